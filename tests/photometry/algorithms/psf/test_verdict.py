"""Whether a PSF holds: stars whose width no polynomial of the field follows, beside stars that are all alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import galsim
import numpy as np
import pytest
from scipy.spatial import cKDTree

from astro_shared.science.robust_statistics import mad_std
from independent_sky.light import Profile, draw_stars
from photometry_service.algorithms.psf.photometry import measure_psf
from photometry_service.algorithms.psf.verdict import PSF_DOES_NOT_HOLD, verdict_words
from photometry_service.domain.psf import PsfPhotometry, PsfVerdict

SIDE_PX, STARS, SKY_E, FWHM_PX = 480, 220, 400.0, 3.0


def wavy(u: float, v: float) -> float:
    """Width that changes by up to a tenth from one star to the next."""
    return FWHM_PX * (1 + 0.1 * np.sin(41 * u) * np.sin(37 * v))


def wavy_above(u: float, v: float) -> float:
    """The same in the upper third only."""
    return wavy(u, v) if v > 1 / 3 else FWHM_PX


def same(u: float, v: float) -> float:
    return FWHM_PX


@dataclass(frozen=True)
class Sky:
    """A frame as measured, and its stars."""

    found: PsfPhotometry
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray

    def pulls(self, error: np.ndarray) -> np.ndarray:
        """Of the fluxes of stars above S/N 20, in these errors."""
        away, near = cKDTree(np.c_[self.x, self.y]).query(np.c_[self.found.x, self.found.y])
        good = (away < 0.5) & (self.found.snr > 20) & (self.found.flags & 62 == 0)
        return ((self.found.flux - self.flux[near]) / error)[good]


def sky(width: Callable[[float, float], float]) -> Sky:
    rng = np.random.default_rng(8)
    places = np.arange(15)
    x, y = (32.0 * v.ravel()[:STARS] + rng.uniform(10, 22, STARS) for v in np.meshgrid(places, places))
    flux = 10 ** rng.uniform(3.3, 5.5, STARS)
    profile = Profile(lambda u, v: galsim.Moffat(beta=3.0, fwhm=width(u, v)), FWHM_PX, 20)
    image = draw_stars((SIDE_PX, SIDE_PX), x, y, flux, profile).image_e
    image = image + rng.normal(0, np.sqrt(np.maximum(image, 0) + SKY_E))
    found = measure_psf(image.astype(np.float32), np.full(image.shape, np.sqrt(SKY_E), np.float32))
    return Sky(found, x, y, flux)


@pytest.fixture(scope="module")
def uneven() -> Sky:
    return sky(wavy)


def test_a_psf_that_stars_do_not_follow_is_said_to_be_so(uneven: Sky):
    verdict = uneven.found.summary.verdict
    assert not verdict.holds
    assert verdict.misfit > 0.02
    assert verdict.beyond > 0.5 * verdict.stars
    (words,) = verdict_words(verdict)
    assert words.startswith(f"{PSF_DOES_NOT_HOLD}: of {verdict.stars} bright stars {verdict.beyond} leave")


def test_errors_hold_what_the_psf_does_not(uneven: Sky):
    found = uneven.found
    by_noise, stated = (mad_std(uneven.pulls(error)) for error in (found.flux / found.snr, found.flux_err))
    assert by_noise > 2.5
    # the worst case: each star departs in its own way, and has the error of the stars around it
    assert 0.8 < stated < 1.5


def test_signal_to_noise_is_that_of_the_noise(uneven: Sky):
    assert uneven.found.snr.max() > 300
    assert (uneven.found.flux / uneven.found.flux_err).max() < 200


def test_a_psf_that_holds_is_not_complained_of():
    found = sky(same).found
    assert found.summary.verdict.holds and found.summary.verdict.stars >= 50
    assert verdict_words(found.summary.verdict) == ()
    assert found.snr == pytest.approx(found.flux / found.flux_err, rel=1e-3)


def test_the_worst_part_of_the_frame_is_named():
    verdict = sky(wavy_above).found.summary.verdict
    assert not verdict.holds
    assert verdict.worst_zone.startswith("upper")
    assert f"most in the {verdict.worst_zone}" in verdict_words(verdict)[0]


def test_a_verdict_of_alike_zones_names_none():
    assert "most in" not in verdict_words(PsfVerdict(holds=False, misfit=0.1, stars=9, beyond=8))[0]
