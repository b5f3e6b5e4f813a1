"""Masters and calibration on a simulated detector whose bias, dark current and flat are known."""

import numpy as np
import pytest

from photometry_service.algorithms.detector.calibration_frames import apply_calibration
from photometry_service.algorithms.detector.master_frames import (
    CalibrationError,
    MasterFrame,
    MasterKind,
    build_bias,
    build_dark,
    build_flat,
    combine,
)

SHAPE = (96, 128)
GAIN, READ_NOISE = 2.0, 6.0
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]
TRUE_BIAS = 1000.0 + 5.0 * np.sin(X / 7.0)
TRUE_DARK_PER_S = 0.5 + 0.3 * (X > 90)
TRUE_FLAT = 1.0 - 0.25 * ((X - 64) ** 2 + (Y - 48) ** 2) / 64**2
TRUE_FLAT /= np.median(TRUE_FLAT)


def expose(rng, light_e=0.0, exposure=0.0):
    """A raw frame, ADU."""
    electrons = rng.poisson(np.broadcast_to(light_e * TRUE_FLAT + TRUE_DARK_PER_S * exposure * GAIN, SHAPE))
    return np.round(TRUE_BIAS + (electrons + rng.normal(0, READ_NOISE, SHAPE)) / GAIN).astype(np.float32)


@pytest.fixture(scope="module")
def masters():
    rng = np.random.default_rng(1)
    bias = build_bias([expose(rng) for _ in range(15)])
    dark = build_dark([expose(rng, exposure=300.0) for _ in range(9)], [300.0] * 9, bias=bias)
    flat = build_flat([expose(rng, 20000.0, 5.0) for _ in range(9)], bias=bias, dark=dark, exposures_s=[5.0] * 9)
    return bias, dark, flat


def calibrate(raw, masters, **changes):
    bias, dark, flat = masters
    values = {"gain_e_per_adu": GAIN, "read_noise_e": READ_NOISE, "exposure_s": 120.0, "bias": bias, "dark": dark}
    return apply_calibration(raw, np.zeros(SHAPE, bool), **(values | {"flat": flat} | changes))


def numpy_combine(frames, clip=3.0):
    """Twin of one block of rows: clipped mean pixel by pixel."""
    stack = np.stack(frames).astype(np.float64)
    medians = np.median(stack, axis=0)
    spread = 1.4826 * np.median(np.abs(stack - medians), axis=0)
    typical = np.median(spread)
    mean, variance = np.empty(medians.shape), np.empty(medians.shape)
    for at in np.ndindex(*medians.shape):
        values = stack[(slice(None), *at)]
        values = values[np.abs(values - medians[at]) <= clip * max(spread[at], typical)]
        mean[at], variance[at] = values.mean(), values.var(ddof=1) / values.size
    return mean, variance


def test_combination_agrees_with_the_pixel_by_pixel_form():
    rng = np.random.default_rng(2)
    frames = [rng.normal(100, 5, (20, 24)).astype(np.float32) for _ in range(7)]
    frames[3][5, 6] = 9000.0
    mean, variance, mask = combine(frames)
    expected = numpy_combine(frames)
    assert mean == pytest.approx(expected[0], rel=1e-6)
    assert variance == pytest.approx(expected[1], rel=1e-5)
    assert not mask.any()
    assert mean[5, 6] == pytest.approx(100.0, abs=8.0)


def test_masters_are_the_truth_within_their_errors(masters):
    bias, dark, flat = masters
    for master, truth in ((bias, TRUE_BIAS), (dark, 300.0 * TRUE_DARK_PER_S), (flat, TRUE_FLAT)):
        pulls = (master.data - truth) / np.sqrt(master.variance)
        # With 9 to 15 frames the errors themselves scatter by 20 to 25 %, which widens the pulls.
        assert abs(np.median(pulls)) < 0.15
        assert 1.4826 * np.median(np.abs(pulls)) == pytest.approx(1.05, abs=0.15)


def test_calibrated_frames_are_unbiased_and_their_variance_is_right(masters):
    rng = np.random.default_rng(3)
    pulls = []
    for light in (0.0, 500.0, 20000.0):
        result = calibrate(expose(rng, light, 120.0), masters)
        pulls = (result.data - light) / np.sqrt(result.variance)
        assert abs(pulls.mean()) < 0.05
        assert pulls.std() == pytest.approx(1.0, abs=0.03)


def test_without_masters_only_the_gain_is_applied():
    raw = expose(np.random.default_rng(4), 100.0)
    result = apply_calibration(raw, np.zeros(SHAPE, bool), gain_e_per_adu=GAIN, read_noise_e=READ_NOISE)
    assert np.array_equal(result.data, raw * np.float32(GAIN))
    assert result.data.dtype == np.float32
    assert result.variance == pytest.approx(raw * GAIN + READ_NOISE**2 + GAIN**2 / 12, rel=1e-5)


def test_dark_is_scaled_by_exposure(masters):
    bias, dark, _ = masters
    raw = expose(np.random.default_rng(5), 0.0, 600.0)
    result = calibrate(raw, masters, exposure_s=600.0, flat=None)
    assert np.median(result.data[:, X[0] > 90]) == pytest.approx(0.0, abs=4.0)
    far = calibrate(raw, masters, exposure_s=3000.0, flat=None)
    assert "scaled up" in far.warnings[0]
    assert result.warnings == ()
    with pytest.raises(CalibrationError, match="exposures"):
        calibrate(raw, masters, exposure_s=None)
    assert bias.n_frames == 15
    assert dark.exposure_s == 300.0


def test_dark_with_its_bias_fits_only_its_own_exposure():
    rng = np.random.default_rng(6)
    dark = build_dark([expose(rng, exposure=120.0) for _ in range(7)], [120.0] * 7, bias=None)
    raw = expose(rng, 800.0, 120.0)
    result = apply_calibration(
        raw, np.zeros(SHAPE, bool), gain_e_per_adu=GAIN, read_noise_e=READ_NOISE, exposure_s=120.0, dark=dark
    )
    assert np.median(result.data / TRUE_FLAT) == pytest.approx(800.0, rel=0.01)
    with pytest.raises(CalibrationError, match="bias"):
        apply_calibration(
            raw, np.zeros(SHAPE, bool), gain_e_per_adu=GAIN, read_noise_e=READ_NOISE, exposure_s=60.0, dark=dark
        )
    with pytest.raises(CalibrationError, match="without a bias"):
        build_dark([raw, raw], [60.0, 120.0], bias=None)


def test_darks_of_different_exposures_are_scaled_together(masters):
    rng = np.random.default_rng(7)
    times = [100.0, 200.0, 300.0, 300.0, 200.0]
    dark = build_dark([expose(rng, exposure=t) for t in times], times, bias=masters[0])
    assert dark.exposure_s == 300.0
    assert np.median(dark.data / (300.0 * TRUE_DARK_PER_S)) == pytest.approx(1.0, abs=0.01)


def test_hits_in_raw_calibration_frames_do_not_reach_the_master():
    rng = np.random.default_rng(8)
    frames = [expose(rng) for _ in range(7)]
    for frame in frames:
        frame[rng.integers(0, SHAPE[0], 40), rng.integers(0, SHAPE[1], 40)] += 5000.0
    master = build_bias(frames)
    assert np.abs(master.data - TRUE_BIAS).max() < 12.0


def test_dark_corners_of_a_flat_are_masked(masters):
    bias, _, _ = masters
    rng = np.random.default_rng(9)
    frames = [expose(rng, 20000.0) for _ in range(5)]
    for frame in frames:
        frame[:10, :10] = TRUE_BIAS[:10, :10] + 200.0
    flat = build_flat(frames, bias=bias)
    assert flat.mask[:10, :10].all()
    assert not flat.mask[10:, 10:].any()
    assert np.median(flat.data) == pytest.approx(1.0, abs=0.01)
    result = calibrate(expose(rng, 500.0), (bias, None, flat))
    assert result.mask[:10, :10].all()
    assert np.isfinite(result.data).all()
    assert np.isfinite(result.variance).all()


def test_flats_of_different_levels_have_one_norm(masters):
    rng = np.random.default_rng(10)
    flat = build_flat([expose(rng, level) for level in (8000.0, 16000.0, 24000.0, 30000.0)], bias=masters[0])
    assert np.median(np.abs(flat.data / TRUE_FLAT - 1)) < 0.006


def test_saturation_is_carried_through(masters):
    raw = expose(np.random.default_rng(11), 20000.0)
    raw[40, 50] = 60000.0
    result = calibrate(raw, masters, saturation_adu=60000.0)
    assert result.saturated.sum() == 1
    assert result.saturated[40, 50]
    assert result.data[40, 50] >= result.saturation_e
    assert np.isinf(calibrate(raw, masters).saturation_e)


def test_masked_values_are_left_out_and_missing_pixels_masked():
    frames = [np.full((4, 5), v, np.float32) for v in (1.0, 2.0, 3.0)]
    masks = [np.zeros((4, 5), bool) for _ in range(3)]
    for mask in masks:
        mask[0, 0] = True
    masks[0][1, 1] = masks[1][2, 2] = masks[2][2, 2] = True
    mean, variance, mask = combine(frames, masks)
    assert mask.sum() == 1
    assert mask[0, 0]
    assert mean[1, 1] == 2.5
    assert mean[2, 2] == 1.0
    assert mean[3, 3] == 2.0
    assert np.isfinite(variance).all()
    assert variance[2, 2] > 0


def test_one_and_two_frames_are_combined_without_clipping():
    one, two = np.zeros((3, 3), np.float32), np.full((3, 3), 10.0, np.float32)
    assert np.all(combine([one, two])[0] == 5.0)
    assert np.all(combine([two])[0] == 10.0)


def test_frames_that_do_not_fit_are_refused(masters):
    bias, _, _ = masters
    small = np.zeros((8, 8), np.float32)
    with pytest.raises(CalibrationError, match="shapes"):
        combine([small, np.zeros((8, 9), np.float32)])
    with pytest.raises(CalibrationError, match="no frames"):
        combine([])
    with pytest.raises(CalibrationError, match="bias"):
        apply_calibration(small, small > 0, gain_e_per_adu=1.0, read_noise_e=1.0, bias=bias)
    with pytest.raises(CalibrationError, match="no light"):
        build_flat([(TRUE_BIAS - 50).astype(np.float32)] * 3, bias=bias)
    with pytest.raises(CalibrationError, match="positive"):
        build_dark([small], [0.0], bias=None)


def test_inputs_stay_as_they_are(masters):
    raw = expose(np.random.default_rng(12), 100.0)
    before, flat_before = raw.copy(), masters[2].data.copy()
    calibrate(raw, masters)
    assert np.array_equal(raw, before)
    assert np.array_equal(masters[2].data, flat_before)


def test_errors_of_a_poor_flat_are_part_of_the_variance():
    flat = MasterFrame(
        MasterKind.FLAT, np.ones(SHAPE, np.float32), np.full(SHAPE, 1e-4, np.float32), np.zeros(SHAPE, bool), 1
    )
    raw = np.full(SHAPE, 50000.0, np.float32)
    result = apply_calibration(raw, np.zeros(SHAPE, bool), gain_e_per_adu=1.0, read_noise_e=0.0, flat=flat)
    assert result.variance[0, 0] == pytest.approx(50000.0 + 1 / 12 + (0.01 * 50000.0) ** 2, rel=1e-5)
