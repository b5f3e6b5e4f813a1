"""Models that a fit puts on one star become one model, and the star is never lost with them."""

from __future__ import annotations

import numpy as np
import pytest

from astro_shared.testing.profiles import add_stars
from photometry_service.algorithms.detection.fit_frame import FitFrame, fit_frame
from photometry_service.algorithms.psf.fit import PsfFit, fit_psf
from photometry_service.algorithms.psf.merge import collapsed, one_of_each_cluster
from photometry_service.algorithms.psf.model import moffat_psf, round_shape, table_grid
from photometry_service.algorithms.psf.photometry import measure_psf
from photometry_service.domain.psf import PsfModel, PsfPhotometry, Sources

SKY_E, FWHM_PX, BETA, SIDE_PX, FULL_E = 400.0, 3.0, 3.0, 240, 60_000.0


def drawn(stars: list[tuple[float, float, float]], seed: int) -> np.ndarray:
    """A frame of Moffats, (x, y, electrons) each, with noise, sky subtracted."""
    image, (x, y, flux) = np.zeros((SIDE_PX, SIDE_PX)), np.array(stars).T
    one = np.ones(x.size)
    add_stars(image, x, y, flux, fwhm=FWHM_PX * one, e1=0 * one, e2=0 * one, beta=BETA)
    return (image + np.random.default_rng(seed).normal(0, np.sqrt(image + SKY_E))).astype(np.float32)


def field() -> list[tuple[float, float, float]]:
    """Twenty-five stars far from each other and from the middle of the lowest rows."""
    rng = np.random.default_rng(5)
    at = 50 + 42.0 * np.arange(5)
    return [(x + rng.uniform(-2, 2), y + rng.uniform(-2, 2), 10 ** rng.uniform(4, 5)) for x in at for y in at]


def measured(stars: list[tuple[float, float, float]], seed: int) -> PsfPhotometry:
    data = drawn(stars, seed)
    full = data > FULL_E
    return measure_psf(
        np.minimum(data, np.float32(FULL_E)), np.full(data.shape, np.sqrt(SKY_E), np.float32), saturated=full
    )


def frame_and_psf(stars: list[tuple[float, float, float]]) -> tuple[FitFrame, PsfModel]:
    frame = fit_frame(drawn(stars, 1), np.full((SIDE_PX, SIDE_PX), np.sqrt(SKY_E), np.float32))
    return frame, moffat_psf(round_shape(FWHM_PX, BETA), np.zeros((3, 1)), frame.shape, table_grid(FWHM_PX))


def on_one_star() -> PsfFit:
    """Two models that start on a star of 50,000 electrons, and one alone on another."""
    frame, psf = frame_and_psf([(60.0, 60.0, 5e4), (150.0, 150.0, 2e4)])
    return fit_psf(frame, psf, np.array([60.0, 60.5, 150.0]), np.array([60.0, 60.0, 150.0]), np.array([3e4, 2e4, 2e4]))


def test_of_two_models_on_one_star_the_one_found_with_less_goes():
    fit = on_one_star()
    assert collapsed(fit, np.array([200.0, 5.0, 100.0]), FWHM_PX, 3.8).tolist() == [False, True, False]
    assert collapsed(fit, np.array([5.0, 200.0, 100.0]), FWHM_PX, 3.8).tolist() == [True, False, False]


def test_two_stars_half_a_width_apart_that_the_fit_confirms_stay():
    frame, psf = frame_and_psf([(60.0, 60.0, 2e5), (61.4, 60.0, 2e5)])
    fit = fit_psf(frame, psf, np.array([60.0, 61.4]), np.array([60.0, 60.0]), np.array([2e5, 2e5]))
    assert not collapsed(fit, np.array([500.0, 400.0]), FWHM_PX, 3.8).any()


def test_of_failures_that_share_their_light_the_weakest_goes_first():
    fit = on_one_star()
    failed = np.array([True, True, True])
    assert one_of_each_cluster(fit, failed, np.array([200.0, 5.0, 4.0]), FWHM_PX).tolist() == [False, True, True]
    assert one_of_each_cluster(fit, np.array([True, False, False]), fit.snr, FWHM_PX).tolist() == [True, False, False]


@pytest.mark.parametrize("seed", range(6))
def test_a_saturated_star_at_the_edge_leaves_its_neighbours_whole(seed: int):
    bright, neighbours = (120.5, 2.1, 3.8e6), [(121.1, 9.9, 1.28e5), (122.4, 11.9, 6.1e4)]
    found = measured([*field(), bright, *neighbours], seed)
    for x, y, flux in neighbours:
        nearest = np.argmin(np.hypot(found.x - x, found.y - y))
        assert np.hypot(found.x[nearest] - x, found.y[nearest] - y) < 0.2
        assert found.flux[nearest] == pytest.approx(flux, rel=0.06)
    on_bright = np.hypot(found.x - bright[0], found.y - bright[1]) < FWHM_PX
    assert on_bright.sum() == 1


def test_a_star_that_was_found_twice_is_not_lost():
    stars = field()
    x, y, flux = np.array(stars).T
    for apart in (0.05, 0.3, 0.6):
        twice = Sources(np.append(x, x + apart), np.append(y, y), np.append(flux, flux), np.append(flux, flux) / 300)
        rms = np.full((SIDE_PX, SIDE_PX), np.sqrt(SKY_E), np.float32)
        found = measure_psf(drawn(stars, 2), rms, sources=twice)
        assert len(found) == len(stars)
        nearest = np.argmin(np.hypot(found.x - x[:, None], found.y - y[:, None]), axis=1)
        assert found.flux[nearest] == pytest.approx(flux, rel=0.05)
