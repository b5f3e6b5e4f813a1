"""PSF photometry of stars that are no Moffats, on skies drawn by galsim: no false companions, right fluxes and errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from independent_sky import light
from photometry_service.algorithms.psf_photometry import measure_psf

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
