"""Images that end with a reason, and images that are mended."""

import numpy as np
import pytest

from photometry_service.algorithms.background.estimate import estimate_background
from photometry_service.algorithms.detector.frame_checks import ImageLimits, check_image
from photometry_service.errors import ImageUnusableError, ShapeMismatchError


def sky(shape=(128, 128), seed=1):
    return np.random.default_rng(seed).normal(300.0, 18.0, shape)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (np.zeros(100), "not_two_axes"),
        (np.zeros((3, 40, 40)), "not_two_axes"),
        (np.zeros((40, 40), complex), "not_numbers"),
        (np.zeros((40, 40), bool), "not_numbers"),
        (np.zeros((31, 400)), "too_small"),
        (np.zeros((1, 1)), "too_small"),
        (np.zeros((0, 0)), "too_small"),
        (np.full((64, 64), 7.0), "constant"),
        (np.zeros((64, 64)), "constant"),
        (np.full((64, 64), np.nan), "not_finite"),
        (np.full((64, 64), np.inf), "not_finite"),
        (np.full((64, 64), 1e34), "not_finite"),
        (np.full((64, 64), 1e300), "not_finite"),
    ],
)
def test_unusable_images_end_with_a_reason(data, reason):
    with pytest.raises(ImageUnusableError) as caught:
        check_image(data)
    assert caught.value.code == "image_unusable"
    assert caught.value.reason == reason


def test_too_large_images_are_refused_by_the_limit_given():
    with pytest.raises(ImageUnusableError) as caught:
        check_image(sky((64, 64)), limits=ImageLimits(max_pixels=1000))
    assert caught.value.reason == "too_large"


def test_mostly_saturated_images_are_refused():
    data = np.minimum(sky() * 1000, 65535.0)
    data[0, :5] = 100.0
    with pytest.raises(ImageUnusableError) as caught:
        check_image(data, saturation=65535.0)
    assert caught.value.reason == "saturated"


def test_mostly_masked_images_are_refused():
    mask = np.zeros((128, 128), bool)
    mask[:70] = True
    with pytest.raises(ImageUnusableError) as caught:
        check_image(sky(), mask)
    assert caught.value.usable_fraction == pytest.approx(58 / 128)


def test_pixels_that_are_constant_where_unmasked_are_refused():
    data, mask = np.full((64, 64), 5.0), np.zeros((64, 64), bool)
    data[3, 3], mask[3, 3] = 100.0, True
    with pytest.raises(ImageUnusableError) as caught:
        check_image(data, mask)
    assert caught.value.reason == "constant"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e34])
@pytest.mark.parametrize("share", [0.001, 0.02])
def test_bad_values_are_masked_and_hold_the_local_background(value, share):
    x = np.tile(np.arange(256.0), (256, 1))
    clean = sky((256, 256)) + 2.0 * x
    bad = np.random.default_rng(2).random(clean.shape) < share
    checked = check_image(np.where(bad, value, clean))
    assert np.array_equal(checked.mask, bad)
    assert checked.not_finite == bad.sum()
    assert np.isfinite(checked.data).all()
    assert checked.data[bad] == pytest.approx(300.0 + 2.0 * x[bad], abs=15.0)
    assert np.array_equal(checked.data[~bad], clean[~bad].astype(np.float32))
    assert "not finite" in checked.warnings[0]
    level = estimate_background(checked.data, checked.mask).level_map() - 2.0 * x
    assert level.mean() == pytest.approx(300.0, abs=1.0)


@pytest.mark.parametrize("dtype", [">f4", ">f8", "<f8", ">i2", "u2", ">i4", "i8"])
def test_every_type_and_byte_order_becomes_native_float32(dtype):
    data = sky().astype(dtype)
    checked = check_image(data)
    assert checked.data.dtype == np.float32
    assert checked.data.dtype.isnative
    assert checked.data.flags.c_contiguous
    assert np.array_equal(checked.data, data.astype(np.float64).astype(np.float32))
    assert checked.warnings == ()


def test_transposed_views_and_inputs_stay_as_they_are():
    data = sky((64, 96)).astype(np.float32)
    data[5, 5] = np.nan
    before = data.copy()
    checked = check_image(data.T)
    assert checked.data.shape == (96, 64)
    assert np.array_equal(data, before, equal_nan=True)


def test_mask_is_kept_and_not_written_to():
    mask = np.zeros((128, 128), bool)
    mask[10, 20] = True
    data = sky()
    data[30, 40] = np.nan
    checked = check_image(data, mask)
    assert checked.mask.sum() == 2
    assert mask.sum() == 1


def test_mask_of_another_shape_is_an_error():
    with pytest.raises(ShapeMismatchError):
        check_image(sky(), np.zeros((128, 127), bool))


def test_tiny_scales_and_negative_skies_pass():
    for data in (sky() * 1e-13, sky() - 1000.0, sky() * 1e6):
        assert check_image(data).not_finite == 0


def test_dead_pixels_are_masked_and_dark_stars_are_not() -> None:
    rng = np.random.default_rng(11)
    data = rng.normal(300, 10, (200, 200)).astype(np.float32)
    dead = rng.random(data.shape) < 0.01
    data[dead] = 0
    y, x = np.mgrid[-5:6, -5:6]
    data[95:106, 95:106] -= 250 * np.exp(-(x**2 + y**2) / 2.0).astype(np.float32)
    dead[92:109, 92:109] = False
    checked = check_image(data)
    # two or three dead pixels side by side still have a median of good neighbours
    assert checked.mask[dead].mean() > 0.99
    assert not checked.mask[99:102, 99:102].any()
    assert np.abs(np.median(checked.data[dead]) - 300) < 5
    assert any("far below the sky" in warning for warning in checked.warnings)
