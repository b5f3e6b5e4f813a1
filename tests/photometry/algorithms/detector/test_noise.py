"""The CCD equation against simulated counts, and the ratio of measured to predicted noise."""

import numpy as np
import pytest

from photometry_service.algorithms.background.estimate import estimate_background
from photometry_service.algorithms.detector.noise import (
    assess_noise,
    model_rms,
    sum_variance,
)
from photometry_service.domain.frame import Frame


def detector_frame(gain, read_noise, sky=200.0, seed=1):
    rng = np.random.default_rng(seed)
    electrons = rng.poisson(sky, (512, 512)) + rng.normal(0, read_noise, (512, 512))
    return (np.round(electrons / gain) * gain).astype(np.float32)


@pytest.mark.parametrize(("gain", "read_noise", "sky"), [(1.5, 5.0, 200.0), (4.0, 2.0, 10.0), (8.0, 20.0, 1.0)])
def test_model_predicts_the_scatter_of_a_simulated_detector(gain, read_noise, sky):
    data = detector_frame(gain, read_noise, sky)
    assert data.std() == pytest.approx(model_rms(sky, read_noise_e=read_noise, gain_e_per_adu=gain), rel=0.01)


def test_ratio_is_one_for_right_constants_and_suspect_for_wrong_ones():
    data = detector_frame(1.5, 5.0)
    mask = np.zeros(data.shape, bool)
    right = assess_noise(estimate_background(data), Frame(data, mask, 1.5, 5.0))
    assert right.rms_ratio == pytest.approx(1.0, abs=0.01)
    assert right.healthy
    assert right.warnings == ()
    wrong = data * np.float32(6.0)  # a gain six times too large: sigma grows by 6, its model by about sqrt(6)
    suspect = assess_noise(estimate_background(wrong), Frame(wrong, mask, 9.0, 5.0))
    assert suspect.rms_ratio > 2
    assert not suspect.healthy
    assert "gain suspect" in suspect.warnings[0]


def test_resampling_takes_noise_off_single_pixels_and_is_no_wrong_gain():
    data = detector_frame(1.5, 5.0)
    averaged = (data + np.roll(data, 1, 0) + np.roll(data, 1, 1) + np.roll(data, (1, 1), (0, 1))) / 4
    sky, frame = estimate_background(averaged), Frame(averaged, np.zeros(data.shape, bool), 1.5, 5.0)
    assert assess_noise(sky, frame, 4.0).rms_ratio == pytest.approx(1.0, abs=0.04)
    assert assess_noise(sky, frame, 4.0).warnings == ()


def test_a_pedestal_is_named_where_the_noise_is_too_low():
    data = detector_frame(1.5, 5.0) + np.float32(1500.0)
    warning = assess_noise(estimate_background(data), Frame(data, np.zeros(data.shape, bool), 1.5, 5.0)).warnings[0]
    assert "pedestal" in warning


def test_ratio_of_a_sky_subtracted_frame_is_undefined():
    data = detector_frame(1.5, 5.0) - np.float32(260.0)
    quality = assess_noise(estimate_background(data), Frame(data, np.zeros(data.shape, bool), 1.5, 5.0))
    assert np.isnan(quality.rms_ratio)
    assert not quality.healthy


def test_variance_of_a_sum_matches_simulated_apertures():
    rng = np.random.default_rng(3)
    flux, area, sky, sky_pixels = 5000.0, 60, 300.0, 400
    source = rng.poisson(flux, 4000) + rng.normal(0, np.sqrt(area * sky), 4000)
    for median in (False, True):
        level = rng.normal(0, np.sqrt(sky), (4000, sky_pixels))
        level = np.median(level, axis=1) if median else level.mean(axis=1)
        expected = sum_variance(flux, area, np.sqrt(sky), sky_pixels, sky_is_median=median)
        assert np.var(source - area * level) == pytest.approx(expected, rel=0.07)  # 4000 trials: 2.2 %


def test_negative_flux_adds_no_variance_and_flat_error_adds_its_square():
    assert sum_variance(-50.0, 10, 3.0, 1e12, sky_is_median=True) == pytest.approx(90.0)
    with_flat = sum_variance(1e6, 10, 3.0, 1e12, sky_is_median=True, flat_error=0.01)
    assert with_flat == pytest.approx(1e6 + 90.0 + 1e8, rel=1e-9)
