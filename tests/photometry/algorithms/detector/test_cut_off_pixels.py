"""Working values of pixels that were cut off below: their mean, their noise, and what a fit to them gives."""

from __future__ import annotations

import numpy as np
import pytest

from photometry_service.algorithms.background.estimate import estimate_background
from photometry_service.algorithms.background.map import Background
from photometry_service.algorithms.detector.cut_off_pixels import information_left, working_noise, working_pixels

SIDE, SIGMA = 512, 10.0


def sky_and_frame(above: float, light: float) -> tuple[Background, np.ndarray]:
    """A sky ``above`` sigmas over the lowest value, and another frame of it with light in every pixel."""
    rng = np.random.default_rng(1)
    level = 50 + above * SIGMA
    sky, lit = (np.maximum(rng.normal(level + s, SIGMA, (SIDE, SIDE)), 50).astype(np.float32) for s in (0.0, light))
    return estimate_background(sky), lit


@pytest.mark.parametrize("above", [0.5, 0.0, -0.8])
@pytest.mark.parametrize("light", [0.0, 4.0, 15.0, 60.0])
def test_working_values_have_the_light_as_mean_and_the_noise_that_is_told(above: float, light: float) -> None:
    sky, frame = sky_and_frame(above, light)
    shot = np.full(frame.shape, light, np.float32)
    values, rms = working_pixels(frame, sky, shot)
    # the frame was drawn without shot noise: where light lifts pixels off the floor its share in the noise is missing
    tolerance = 0.03 * SIGMA if light < 10 else 0.08 * SIGMA
    assert values.mean() == pytest.approx(light, abs=tolerance)
    if light == 0:
        assert values.std() == pytest.approx(rms.mean(), rel=0.03)
        assert rms.mean() == pytest.approx(working_noise(sky).rms_median, rel=0.02)


def test_half_of_the_sky_lost_leaves_four_fifths_of_the_information() -> None:
    assert information_left(np.array(0.0)) == pytest.approx(0.5 + 1 / np.pi)  # Amemiya (1973) at the mean
    assert information_left(np.array([4.0, 6.0])) == pytest.approx([1, 1], abs=1e-3)


def test_a_sky_that_lost_nothing_stays_as_it_is() -> None:
    sky = estimate_background(np.random.default_rng(1).normal(100, 10, (SIDE, SIDE)).astype(np.float32))
    assert sky.floor is None and working_noise(sky) is sky
