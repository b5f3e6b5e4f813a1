"""Which sources lie in the halos of bright stars."""

from __future__ import annotations

import numpy as np

from photometry_service.algorithms.psf.stars import BLOCK, BRIGHTEST, HALO, LARGEST_SHARE, in_halos
from photometry_service.domain.psf import Sources


def test_halos_are_those_of_each_bright_star_in_turn():
    rng = np.random.default_rng(4)
    n, fwhm = 400, 3.0
    x, y = rng.uniform(0, 300, (2, n))
    flux = np.round(10 ** rng.uniform(2, 6, n), -2)  # some are equal
    inside, area = in_halos(Sources(x, y, flux, flux), fwhm)
    hosts = np.argsort(-flux, kind="stable")[:BRIGHTEST]
    for k in range(n):
        reach = [fwhm * np.cbrt(HALO * flux[h] / flux[k]) for h in hosts]
        away = [np.hypot(x[h] - x[k], y[h] - y[k]) for h in hosts]
        expected = any(
            0 < d < r and flux[k] < LARGEST_SHARE * flux[h] for d, r, h in zip(away, reach, hosts, strict=True)
        )
        assert inside[k] == expected
        brighter = [np.pi * r**2 for r, h in zip(reach, hosts, strict=True) if flux[h] > flux[k]]
        np.testing.assert_allclose(area[k], sum(brighter), rtol=1e-9)


def test_blocks_of_sources_change_nothing():
    rng = np.random.default_rng(5)
    n = 2 * BLOCK + 17
    x, y = rng.uniform(0, 3000, (2, n))
    sources = Sources(x, y, *[10 ** rng.uniform(2, 6, n)] * 2)
    inside, area = in_halos(sources, 3.0)
    brightest = np.argsort(-sources.flux)[:BRIGHTEST]
    for part in (np.arange(50), np.arange(n - 50, n)):
        some = np.unique(np.append(brightest, part))
        few = in_halos(sources.take(some), 3.0)
        np.testing.assert_array_equal(few[0], inside[some])
        np.testing.assert_allclose(few[1], area[some])
