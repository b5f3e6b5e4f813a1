"""The S/N map against a plain-numpy twin and against noise; maxima; saturated areas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter as gaussian_smooth
from scipy.ndimage import label, maximum_filter

from astro_shared.testing.profiles import integrated_moffat
from photometry_service.algorithms.detection import _matched_filter
from photometry_service.algorithms.detection.matched_filter import (
    MatchedFilter,
    detect_sources,
    filter_flux,
    gaussian_filter,
    matched_filter,
    maxima,
    merge_saturated,
    snr_map,
)
from photometry_service.domain.psf import Sources


def moffat_filter(half: int = 4) -> MatchedFilter:
    zero, one = np.zeros(1), np.ones(1)
    stamp = integrated_moffat(zero, zero, fwhm=3.2 * one, e1=0.05 * one, e2=0.1 * one, beta=3.0, half=half)[0]
    return matched_filter(stamp)


def snr_twin(image, rms, kernel, mask, frame=None, shot_noise=1.0, model_error=0.03):
    """The same map, pixel by pixel."""
    half, k = kernel.half_px, kernel.kernel.astype(float)
    k4 = np.outer(kernel.variance_y, kernel.variance_x).astype(float)
    out = np.zeros(image.shape)
    for y in range(half, image.shape[0] - half):
        for x in range(half, image.shape[1] - half):
            box = (slice(y - half, y + half + 1), slice(x - half, x + half + 1))
            good = mask[box] == 0
            left = (k[good] ** 2).sum()
            variance = left * float(rms[y, x]) ** 2
            if frame is not None:
                model = np.maximum(frame[box].astype(float) - image[box], 0)
                variance += (k4 * (shot_noise * model + (model_error * model) ** 2))[good].sum()
            if left >= 0.4 * (k**2).sum() and rms[y, x] > 0:
                out[y, x] = (k * image[box])[good].sum() / np.sqrt(variance)
    return out


@pytest.mark.parametrize("with_model", [False, True])
@pytest.mark.parametrize("masked", [0.0, 0.15])
def test_map_equals_its_numpy_twin(with_model, masked):
    rng = np.random.default_rng(7)
    shape = (41, 53)
    image = rng.normal(0, 3, shape).astype(np.float32)
    rms = rng.uniform(0.5, 2, shape).astype(np.float32)
    rms[20, 20] = 0
    mask = (rng.uniform(size=shape) < masked).astype(np.uint8)
    mask[:, 0] = mask[0, :] = masked > 0
    frame = (image + rng.exponential(5, shape)).astype(np.float32) if with_model else None
    kernel = moffat_filter()
    ours = snr_map(image, rms, kernel, mask, frame=frame, shot_noise=0.7)
    assert np.abs(ours - snr_twin(image, rms, kernel, mask, frame, 0.7)).max() < 2e-5


def test_map_of_noise_has_unit_width_under_any_mask():
    rng = np.random.default_rng(8)
    image = rng.normal(0, 20, (300, 300)).astype(np.float32)
    mask = (rng.uniform(size=image.shape) < 0.1).astype(np.uint8)
    image[mask > 0] = np.nan
    snr = snr_map(image, np.full_like(image, 20), moffat_filter(), mask)
    assert np.isfinite(snr).all()
    # about 300^2 / 15 independent values
    assert snr[snr != 0].std() == pytest.approx(1.0, abs=0.03)


def test_map_does_not_depend_on_the_scale_of_the_frame():
    rng = np.random.default_rng(9)
    image = rng.normal(0, 20, (80, 80)).astype(np.float32)
    rms, mask, kernel = np.full_like(image, 20), np.zeros(image.shape, np.uint8), moffat_filter()
    scale = np.float32(2.0**-40)
    assert np.array_equal(snr_map(image, rms, kernel, mask), snr_map(image * scale, rms * scale, kernel, mask))


def test_a_star_is_found_where_it_is_with_its_flux():
    image = np.zeros((40, 50))
    one = np.ones(1)
    stamp = integrated_moffat(0.3 * one, -0.2 * one, fwhm=3.2 * one, e1=0.05 * one, e2=0.1 * one, beta=3.0, half=12)[0]
    image[5:30, 13:38] += 1e4 * stamp
    image = image.astype(np.float32)
    kernel, mask = moffat_filter(), np.zeros(image.shape, np.uint8)
    snr = snr_map(image, np.full_like(image, 10), kernel, mask)
    found = detect_sources(image, snr, kernel, mask, 5.0)
    assert len(found) == 1
    assert np.hypot(found.x[0] - 25.3, found.y[0] - 16.8) < 0.05
    assert found.flux[0] == pytest.approx(1e4, rel=0.03)  # the kernel is centred, the star is not
    assert found.snr[0] == pytest.approx(found.flux[0] / (10 * kernel.noise_factor), rel=1e-3)


def test_filter_flux_ignores_masked_pixels():
    rng = np.random.default_rng(10)
    kernel = moffat_filter()
    image = np.zeros((9, 9), np.float32)
    image += 500 * kernel.kernel
    mask = (rng.uniform(size=image.shape) < 0.4).astype(np.uint8)
    image[mask > 0] = np.nan
    centre = np.array([4])
    assert filter_flux(image, mask, kernel, centre, centre)[0] == pytest.approx(500, rel=1e-5)
    assert np.isnan(filter_flux(image, np.ones_like(mask), kernel, centre, centre)[0])


@pytest.mark.parametrize("half", [None, 33, 60], ids=["filter", "wings", "wide wings"])
def test_filter_flux_is_the_sum_over_the_kernel_inside_and_at_edges(half):
    """Also for stamps wider than any filter: those of saturated stars reach out to three widths."""
    rng = np.random.default_rng(11)
    kernel = moffat_filter()
    if half is not None:
        one, zero = np.ones(1), np.zeros(1)
        stamp = integrated_moffat(zero, zero, fwhm=half / 3 * one, e1=zero, e2=zero, beta=3.0, half=half)[0]
        kernel = replace(kernel, kernel=stamp.astype(np.float32))
    half = kernel.half_px
    image = rng.normal(5, 3, (2 * half + 10, 2 * half + 20)).astype(np.float32)
    mask = np.zeros(image.shape, np.uint8)
    mask[half + 2, : half // 4] = 1  # near one side, so that whole kernels are left
    y, x = (v.ravel() for v in np.indices(image.shape))
    padded = np.pad(np.where(mask > 0, 0, image).astype(np.float64), half)
    good = np.pad((mask == 0).astype(np.float64), half)
    weight = kernel.kernel.astype(np.float64)
    side = 2 * half + 1
    top = np.array([(weight * padded[j : j + side, i : i + side]).sum() for j, i in zip(y, x, strict=True)])
    bottom = np.array([(weight**2 * good[j : j + side, i : i + side]).sum() for j, i in zip(y, x, strict=True)])
    np.testing.assert_allclose(filter_flux(image, mask, kernel, y, x), top / bottom, rtol=1e-5, atol=1e-3)


def test_of_equal_neighbours_one_is_the_maximum():
    snr = np.zeros((7, 9), np.float32)
    snr[3, 3:6] = 8.0
    y, x = maxima(snr, 5.0)
    assert (y.tolist(), x.tolist()) == ([3], [3])


def test_maxima_beyond_the_room_are_not_lost():
    snr = np.zeros((400, 400), np.float32)
    snr[1:-1:2, 1:-1:2] = 10
    assert maxima(snr, 5.0)[0].size == 199 * 199


def test_separation_keeps_a_diagonal_trail():
    angle = np.radians(40)
    major, minor = 16.0, 2.0
    c, s = np.cos(angle), np.sin(angle)
    rotation = np.array([[c, -s], [s, c]])
    covariance = rotation @ np.diag([major, minor]) @ rotation.T
    filtered = gaussian_filter(covariance)
    y, x = np.mgrid[-filtered.half_px : filtered.half_px + 1, -filtered.half_px : filtered.half_px + 1]
    inverse = np.linalg.inv(covariance)
    exact = np.exp(-0.5 * (inverse[0, 0] * x**2 + 2 * inverse[0, 1] * x * y + inverse[1, 1] * y**2))
    exact /= exact.sum()
    assert ((filtered.kernel - exact) ** 2).sum() < 1e-3 * (exact**2).sum()


def test_a_frame_smaller_than_the_kernel_has_no_sources():
    image = np.ones((8, 8), np.float32)
    kernel = moffat_filter()
    assert not snr_map(image, image, kernel, np.zeros((8, 8), np.uint8)).any()


def test_kernels_must_be_odd_and_square():
    with pytest.raises(ValueError, match="odd"):
        matched_filter(np.ones((8, 8)))


def test_a_flat_top_is_one_source_at_its_centre():
    saturated = np.zeros((60, 60), bool)
    y, x = np.mgrid[:60, :60]
    saturated[np.hypot(x - 30, y - 25) < 6] = True
    corners = np.array([26.0, 33.0]), np.array([22.0, 28.0])
    sources = Sources(np.append(corners[0], 5.0), np.append(corners[1], 50.0), np.array([3.0, 4, 5]), np.ones(3))
    merged = merge_saturated(sources, saturated)
    assert len(merged) == 2
    assert (merged.x[1], merged.y[1], merged.flux[1]) == (30, 25, 4)
    nothing = Sources(*np.empty((4, 0)))
    assert merge_saturated(nothing, saturated).x.tolist() == [30]


def test_a_saturated_column_is_not_a_star():
    saturated = np.zeros((60, 60), bool)
    saturated[:, 7] = True
    assert len(merge_saturated(Sources(*np.empty((4, 0))), saturated)) == 0


def test_one_detection_in_a_saturated_area_keeps_its_place():
    saturated = np.zeros((60, 60), bool)
    saturated[20:24, 20:24] = True
    sources = Sources(np.array([21.4]), np.array([22.2]), np.array([9.0]), np.array([50.0]))
    assert merge_saturated(sources, saturated).x[0] == 21.4


def test_maxima_equal_a_plain_search():
    snr = np.random.default_rng(11).normal(0, 1, (50, 60)).astype(np.float32)
    y, x = maxima(snr, 1.0)
    inner = maximum_filter(snr, 3) == snr
    inner[[0, -1]] = inner[:, [0, -1]] = False
    expected = np.argwhere(inner & (snr > 1.0))
    assert np.array_equal(np.stack([y, x], axis=1), expected)


def test_half_maximum_areas_equal_labelled_areas():
    rng = np.random.default_rng(12)
    image = gaussian_smooth(rng.normal(0, 1, (160, 160)), 2.0).astype(np.float32)
    mask = (rng.uniform(size=image.shape) < 0.03).astype(np.uint8)
    clean = np.where(mask > 0, -np.inf, image)
    y, x = np.nonzero((maximum_filter(clean, 9) == clean) & (clean > 0.2))
    inside = (x > 20) & (y > 20) & (x < 139) & (y < 139)
    y, x = y[inside], x[inside]
    out = np.empty((y.size, 4))
    _matched_filter.half_maximum_moments(image, mask, y, x, 20, out)
    assert y.size > 10
    for k in range(y.size):
        areas = label((clean > 0.5 * image[y[k], x[k]])[y[k] - 20 : y[k] + 21, x[k] - 20 : x[k] + 21])[0]
        rows, columns = np.nonzero(areas == areas[20, 20])
        moments = [rows.size, columns.var(), rows.var(), np.mean(rows * columns) - rows.mean() * columns.mean()]
        assert out[k] == pytest.approx(moments, abs=1e-9)
