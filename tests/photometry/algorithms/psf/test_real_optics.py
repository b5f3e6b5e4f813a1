"""PSF photometry of stars that are no Moffats, on skies drawn by galsim: no false companions, right fluxes and errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from independent_sky import light
from photometry_service.algorithms.psf.photometry import measure_psf

SIDE_PX, STARS, SKY_E = 512, 250, 436.0

PROFILES = {
    "rings": light.obscured_airy(2.2, 0.35, 1.0),
    "turbulence": light.kolmogorov(3.0),
    "field_curvature": light.field_curvature(2.6, 4.0, 0.3, 3.0),
}


@pytest.fixture(scope="module", params=list(PROFILES))
def results(request: pytest.FixtureRequest):
    rng = np.random.default_rng(5)
    x, y = rng.uniform(2, SIDE_PX - 3, (2, STARS))
    flux = 10 ** rng.uniform(3.2, 5.7, STARS)
    drawn = light.draw_stars((SIDE_PX, SIDE_PX), x, y, flux, PROFILES[request.param])
    image = drawn.image_e + rng.normal(0, np.sqrt(np.maximum(drawn.image_e, 0) + SKY_E))
    found = measure_psf(image.astype(np.float32), np.full(image.shape, np.sqrt(SKY_E), np.float32))
    return found, x, y, flux


def test_rings_and_elongated_stars_are_not_split(results):
    found, x, y, _ = results
    distance = cKDTree(np.c_[x, y]).query(np.c_[found.x, found.y])[0]
    assert np.count_nonzero(distance > 2) <= 0.02 * len(found)


def test_fluxes_are_all_of_the_light_and_their_errors_right(results):
    found, x, y, flux = results
    tree = cKDTree(np.c_[x, y])
    distance, near = tree.query(np.c_[found.x, found.y])
    alone = np.array(
        [all(flux[k] < 0.02 * flux[i] or k == i for k in tree.query_ball_point((x[i], y[i]), 12)) for i in range(STARS)]
    )
    edge = np.minimum.reduce([found.x, found.y, SIDE_PX - 1 - found.x, SIDE_PX - 1 - found.y])
    good = (distance < 1) & alone[near] & (found.snr > 20) & (edge > 8)
    ratio = found.flux[good] / flux[near][good]
    assert good.sum() > 50
    assert np.median(ratio) == pytest.approx(1.0, abs=0.01)
    pull = (found.flux - np.median(ratio) * flux[near])[good] / found.flux_err[good]
    assert 1.4826 * np.median(np.abs(pull - np.median(pull))) < 1.5


def test_no_bright_star_is_lost(results):
    found, x, y, flux = results
    bright = flux > 10 * np.sqrt(flux + 14 * SKY_E)
    away = cKDTree(np.c_[found.x, found.y]).query(np.c_[x, y])[0]
    assert np.mean(away[bright] < 1.5) > 0.97


def moffats(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A frame of 1,000 Moffats, most of them too faint to be found: their light lies in the rings of the bright ones."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(2, SIDE_PX - 3, (2, 1000))
    flux = 10 ** (2.3 + rng.exponential(0.7, 1000).clip(max=3.2))
    drawn = light.draw_stars((SIDE_PX, SIDE_PX), x, y, flux, light.moffat(3.0, 3.0))
    return drawn.image_e + rng.normal(0, np.sqrt(np.maximum(drawn.image_e, 0) + SKY_E)), x, y, flux


def test_fluxes_of_moffats_are_right_to_15_in_10000():
    departures = []
    for seed in (21, 22, 23):
        image, x, y, flux = moffats(seed)
        found = measure_psf(image.astype(np.float32), np.full(image.shape, np.sqrt(SKY_E), np.float32))
        tree = cKDTree(np.c_[found.x, found.y])
        away, near = tree.query(np.c_[x, y])
        crowd = cKDTree(np.c_[x, y])
        good = np.flatnonzero((flux > 1e4) & (away < 0.5))
        alone = [sum(flux[crowd.query_ball_point((x[i], y[i]), 12)]) < 1.02 * flux[i] for i in good]
        departures.append(np.median((found.flux[near[good]] / flux[good])[alone]) - 1)
    assert np.abs(np.mean(departures)) < 1.5e-3
