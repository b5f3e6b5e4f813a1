"""Mesh background against analytic skies and against plain numpy forms of the kernels."""

import numpy as np
import pytest

from photometry_service.algorithms.background import map as maps
from photometry_service.algorithms.background import passes as module
from photometry_service.algorithms.background.estimate import (
    Background,
    BackgroundOptions,
    NoGoodPixelsError,
    estimate_background,
    mark_sources,
)

ONE_PASS = BackgroundOptions(mask_sources=False)


def noise(shape, level=300.0, sigma=18.0, seed=1):
    return np.random.default_rng(seed).normal(level, sigma, shape).astype(np.float32)


def add_stars(data, count, flux, fwhm=3.2, seed=2):
    """Gaussian stars of one flux at random places; returns the frame with them and their positions."""
    rng = np.random.default_rng(seed)
    y, x = (rng.uniform(0, n - 1, count) for n in data.shape)
    sigma, half = fwhm / 2.3548, 12
    out = data.astype(np.float64)
    for xs, ys in zip(x, y, strict=True):
        j0, i0 = max(0, round(ys) - half), max(0, round(xs) - half)
        jj, ii = np.mgrid[j0 : min(data.shape[0], round(ys) + half + 1), i0 : min(data.shape[1], round(xs) + half + 1)]
        r2 = (ii - xs) ** 2 + (jj - ys) ** 2
        out[jj, ii] += flux / (2 * np.pi * sigma**2) * np.exp(-r2 / (2 * sigma**2))
    return out.astype(np.float32), x, y


def clipped_statistics(values, clip=3.0, rounds=10):
    """Twin of one mesh: clip about the median to convergence, by sorting."""
    values = np.sort(np.asarray(values, np.float64))
    for _ in range(rounds):
        median, sigma = np.median(values), values.std()
        kept = values[np.abs(values - median) <= clip * sigma]
        if kept.size == values.size:
            break
        values = kept
    return values.mean(), np.median(values), values.std(), values.size


def kernel_statistics(data, mask=None, quantum=(0.0, 0.0)):
    """The kernel on a frame that is one mesh."""
    outputs = [np.empty((1, 1)) for _ in range(3)] + [np.empty((1, 1), np.int32) for _ in range(2)]
    mask = np.zeros(data.shape, np.uint8) if mask is None else mask.view(np.uint8)
    edges = [np.array([0, n], np.int32) for n in data.shape]
    module._meshes.mesh_statistics(data, mask, *edges, 3.0, 10, *quantum, *outputs)
    return [plane[0, 0] for plane in outputs]


def cubic_map(mesh, shape):
    """Twin of the interpolation: four weights per axis, two matrix products."""
    extended = maps.extend(mesh)

    def matrix(n, nodes):
        u = (np.arange(n) + 0.5) * nodes / n - 0.5
        first = np.floor(u).astype(int)
        out = np.zeros((n, nodes + 4))
        for k, w in enumerate(maps._cubic_weights(u - first).T):
            out[np.arange(n), first + 1 + k] = w
        return out

    return matrix(shape[0], mesh.shape[0]) @ extended @ matrix(shape[1], mesh.shape[1]).T


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_statistics_agree_with_sorting_and_clipping(seed):
    data, _, _ = add_stars(noise((64, 64), seed=seed), 6, 8000.0, seed=seed)
    mask = np.random.default_rng(seed).random(data.shape) < 0.1
    mean, median, sigma, used, good = kernel_statistics(data, mask)
    expected = clipped_statistics(data[~mask])
    # A bin is 1/32 sigma; the last clipping round may differ by the pixels of one bin.
    assert mean == pytest.approx(expected[0], abs=0.02 * 18)
    assert median == pytest.approx(expected[1], abs=0.02 * 18)
    assert sigma == pytest.approx(expected[2], rel=0.01)
    assert used == pytest.approx(expected[3], rel=0.005)
    assert good == (~mask).sum()


def test_map_agrees_with_matrix_form():
    rng = np.random.default_rng(5)
    mesh = rng.normal(100.0, 5.0, (4, 7))
    background = Background(mesh, np.ones((4, 7)), np.ones((4, 7), np.int32), (203, 330), 50)
    assert background.level_map() == pytest.approx(cubic_map(mesh, (203, 330)), rel=2e-6)


def test_subtraction_equals_data_minus_map():
    data = noise((150, 170))
    background = estimate_background(data, options=BackgroundOptions(box_px=40))
    assert background.subtract_from(data) == pytest.approx(data - background.level_map(), abs=1e-3)


def test_coarser_maps_are_the_block_means_of_the_full_ones():
    background = estimate_background(noise((300, 420)), options=BackgroundOptions(box_px=60))
    for full, coarse in (
        (background.level_map(), background.coarser(5).level_map()),
        (background.rms_map(), background.coarser(5).rms_map()),
    ):
        means = full.reshape(60, 5, 84, 5).mean(axis=(1, 3))
        # a smooth map differs from its block means by step^2 / 24 of its curvature
        assert coarse == pytest.approx(means, abs=0.02 * float(np.ptp(full)))
    assert background.coarser(1000).level_map().shape == (1, 1)


def test_values_at_positions_equal_the_maps():
    background = estimate_background(noise((200, 260)), options=BackgroundOptions(box_px=50))
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 260, 40), rng.integers(0, 200, 40)
    assert background.level_at(x, y) == pytest.approx(background.level_map()[y, x], rel=1e-5)
    assert background.rms_at(x, y) == pytest.approx(background.rms_map()[y, x], rel=1e-5)


def test_level_and_rms_are_unbiased_on_pure_noise():
    background = estimate_background(noise((1024, 1024)))
    # 256 meshes: the mean of their modes is good to about sigma sqrt(5) / 1024 = 0.04.
    assert background.mesh.mean() == pytest.approx(300.0, abs=0.15)
    assert background.mesh_rms.mean() == pytest.approx(18.0, rel=0.003)


def test_second_pass_removes_most_of_the_bias_by_stars():
    data, _, _ = add_stars(noise((1024, 1024)), 3000, 2000.0)
    first = estimate_background(data, options=ONE_PASS)
    second = estimate_background(data)
    assert abs(second.median - 300.0) < 0.3
    assert abs(second.median - 300.0) < 0.5 * abs(first.median - 300.0)
    assert second.rms_median == pytest.approx(18.0, rel=0.02)


def test_gradient_is_followed_to_the_edge():
    y, x = np.mgrid[:640, :640]
    plane = 300 + 0.05 * x - 0.03 * y
    data = (plane + np.random.default_rng(4).normal(0, 5, plane.shape)).astype(np.float32)
    residual = estimate_background(data).level_map() - plane
    assert np.abs(residual).max() < 1.0
    assert np.abs(residual[:, :16].mean()) < 0.3


@pytest.mark.parametrize("scale", [1e-11, 1e6])
def test_unit_of_the_frame_does_not_matter(scale):
    data = noise((256, 256))
    reference = estimate_background(data)
    scaled = estimate_background((data.astype(np.float64) * scale).astype(np.float32))
    assert scaled.mesh == pytest.approx(reference.mesh * scale, rel=1e-4)
    assert scaled.mesh_rms == pytest.approx(reference.mesh_rms * scale, rel=1e-2)


def test_negative_sky_and_zero_mean_frames_work():
    background = estimate_background(noise((256, 256), level=-40.0, sigma=3.0))
    assert background.median == pytest.approx(-40.0, abs=0.2)
    assert background.rms_median == pytest.approx(3.0, rel=0.02)


def test_constant_frame_has_its_level_and_no_noise():
    background = estimate_background(np.full((128, 128), 7.5, np.float32))
    assert np.all(background.mesh == 7.5)
    assert np.all(background.mesh_rms == 0.0)
    assert np.all(background.level_map() == 7.5)


def test_zero_padding_of_a_stack_gets_noise_from_its_neighbours():
    data = noise((512, 512))
    data[:, :150] = 0.0
    background = estimate_background(data)
    assert background.mesh_rms.min() > 15.0
    assert background.mesh[:, 0] == pytest.approx(0.0, abs=1e-6)


def test_masked_pixels_have_no_influence():
    data = noise((256, 256))
    mask = np.random.default_rng(7).random(data.shape) < 0.2
    spoilt = np.where(mask, np.float32(np.nan), data)
    background = estimate_background(spoilt, mask)
    assert np.isfinite(background.mesh).all()
    assert background.median == pytest.approx(300.0, abs=0.8)
    assert background.mesh_pixels.max() < 0.82 * 64 * 64


def test_mostly_masked_mesh_is_filled_from_its_neighbours():
    data, mask = noise((256, 256)), np.zeros((256, 256), bool)
    data[:64, :64], mask[:60, :64] = 50000.0, True
    background = estimate_background(data, mask)
    assert background.mesh_pixels[0, 0] == 0
    assert background.mesh[0, 0] == pytest.approx(300.0, abs=1.5)


def test_frame_without_good_pixels_is_an_error():
    with pytest.raises(NoGoodPixelsError):
        estimate_background(noise((64, 64)), np.ones((64, 64), bool))


def test_bright_star_in_a_mesh_does_not_spoil_it():
    data = noise((192, 192))
    y, x = np.mgrid[:192, :192]
    data += (60000.0 * (1 + ((x - 96) ** 2 + (y - 96) ** 2) / 6.0) ** -2.5).astype(np.float32)
    background = estimate_background(data)
    assert background.mesh[1, 1] == pytest.approx(300.0, abs=6.0)
    assert background.mesh_rms[1, 1] == pytest.approx(18.0, rel=0.1)


@pytest.mark.parametrize("sigma_steps", [0.4, 0.7, 1.5, 3.0])
def test_digitised_sky_has_no_half_step_bias(sigma_steps):
    gain, true_adu = 2.5, 100.35
    rng = np.random.default_rng(11)
    adu = np.round(rng.normal(true_adu, sigma_steps, (512, 512)))
    background = estimate_background((adu * gain).astype(np.float32))
    # The median interpolated inside a step is nearly free of bias once sigma is half a step.
    assert background.mesh.mean() / gain == pytest.approx(true_adu, abs=0.15 if sigma_steps < 0.5 else 0.05)
    assert background.rms_median / gain == pytest.approx(np.hypot(sigma_steps, np.sqrt(1 / 12)), rel=0.1)


def test_small_and_odd_frames_are_divided_evenly():
    for shape in [(32, 32), (33, 200), (95, 97)]:
        background = estimate_background(noise(shape))
        assert background.level_map().shape == shape
        assert background.median == pytest.approx(300.0, abs=4.0)


def test_mean_is_replaced_by_the_median_in_crowded_meshes():
    rng = np.random.default_rng(3)
    data = rng.normal(300, 10, (64, 64)) + np.where(rng.random((64, 64)) < 0.4, rng.exponential(25, (64, 64)), 0)
    mean, median, sigma, _, _ = kernel_statistics(data.astype(np.float32))
    background = estimate_background(data.astype(np.float32), options=ONE_PASS)
    expected = median if abs(mean - median) > 0.3 * sigma else 2.5 * median - 1.5 * mean
    assert background.mesh[0, 0] == pytest.approx(expected, rel=1e-6)


def test_source_mask_agrees_with_block_sums():
    data, _, _ = add_stars(noise((200, 180), level=0.0), 25, 3000.0)
    background = Background(np.zeros((3, 3)), np.full((3, 3), 18.0), np.ones((3, 3), np.int32), data.shape, 64)
    block = sum(np.roll(np.roll(data, j, 0), i, 1) for j in (-1, 0, 1) for i in (-1, 0, 1))
    hit = block > 3 * 4.0 * 18.0
    hit[[0, -1]] = hit[:, [0, -1]] = False
    expected = np.zeros(data.shape, bool)
    for j, i in np.argwhere(hit):
        expected[max(0, j - 4) : j + 5, max(0, i - 4) : i + 5] = True
    assert (mark_sources(data, background) == expected).mean() > 0.999  # sums in another order


def test_input_is_not_changed_and_result_repeats():
    data = noise((256, 256))
    before = data.copy()
    first, second = estimate_background(data), estimate_background(data)
    assert np.array_equal(data, before)
    assert np.array_equal(first.mesh, second.mesh)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="mask"):
        estimate_background(noise((64, 64)), np.zeros((64, 65), bool))
    with pytest.raises(ValueError, match="data"):
        estimate_background(noise((64, 64))).subtract_from(noise((64, 65)))


def test_a_few_mended_pixels_do_not_hide_the_digitisation():
    """Noise of one step, as a dark-subtracted 12-bit camera gives: level and noise stay, whatever a repair left between."""
    rng = np.random.default_rng(21)
    data = np.rint(rng.normal(357.3, 1.1, (300, 300))).astype(np.float32)
    mended = data.copy()
    some = rng.choice(data.size, 600, replace=False)
    mended.ravel()[some] = 357.0 + np.float32(1) / rng.integers(2, 25, 600)
    for pixels in (data, mended):
        found = estimate_background(pixels)
        # the median is interpolated inside its step, which is as wide as the noise
        assert found.median == pytest.approx(357.3, abs=0.06)
        # the rounding itself has a variance of 1/12
        assert found.rms_median == pytest.approx(np.sqrt(1.1**2 + 1 / 12), rel=0.04)


def test_a_few_empty_meshes_do_not_speak_for_a_field_full_of_sources():
    """Noise of 1 on the left and 2 on the right; sources leave one mesh more than half free, and a sixth of the others."""
    rng = np.random.default_rng(22)
    noise = np.where(np.arange(512) < 256, 1.0, 2.0)
    data = (100 + noise * rng.standard_normal((512, 512))).astype(np.float32)
    y, x = np.mgrid[:512, :512]
    full = (x % 16 < 14) & (y % 16 < 14) & ~((x < 64) & (y < 64))
    sources = estimate_background(data, full, BackgroundOptions(mask_sources=False))
    assert np.median(sources.mesh_rms[:, :3]) == pytest.approx(1.0, rel=0.05)
    assert np.median(sources.mesh_rms[:, -3:]) == pytest.approx(2.0, rel=0.05)


def steep_skies():
    y, x = np.mgrid[:640, :640].astype(float)
    across = ((x - 320) ** 2 + (y - 320) ** 2) / (2 * 320**2)
    aside = (x - 150) ** 2 + (y - 250) ** 2
    return {
        "vignetted": 2000 * (1 - 0.5 * across),
        "vignetted off the centre": 2000 * (1 - 0.5 * aside / aside.max()),
        "steep": 300 + 4000 * (x / 640) ** 2,
    }


@pytest.mark.parametrize("step", [0.2, 1.5])
@pytest.mark.parametrize("name", list(steep_skies()))
def test_a_steep_sky_is_not_taken_for_noise(name, step):
    sky = steep_skies()[name]
    rng = np.random.default_rng(11)
    electrons = rng.poisson(sky) + rng.normal(0, 6, sky.shape)
    background = estimate_background((np.round(electrons / step) * step).astype(np.float32))
    noise_e = np.sqrt(sky + 36)
    ratio = background.rms_map() / noise_e
    # one pass alone gives 1.2 to 2.4 times the noise on these
    assert np.median(ratio) == pytest.approx(1.0, abs=0.02)
    assert np.percentile(ratio, [1, 99]) == pytest.approx([1, 1], abs=0.08)
    error = (background.level_map() - sky) / noise_e
    assert abs(np.median(error)) < 0.05
    assert np.percentile(np.abs(error), 99) < 0.3


def test_a_bent_sky_is_followed_to_the_edge():
    x = np.broadcast_to(np.arange(640.0), (640, 640))
    sky = 300 + 4000 * (1 - x / 640) ** 2
    rng = np.random.default_rng(12)
    level = estimate_background(rng.normal(sky, 8).astype(np.float32)).level_map()
    # going on straight beyond the outermost nodes is off by 25 e at the steep edge
    assert np.abs((level - sky)[:, :4].mean()) < 4.0
    assert np.abs((level - sky)[:, -4:].mean()) < 4.0


def test_noise_of_a_frame_beside_padding_is_its_own():
    data = noise((512, 512))
    data[:, :150] = 0.0
    background = estimate_background(data)
    assert background.rms_map()[:, 150:] == pytest.approx(18.0, rel=0.06)
    assert background.mesh[:, 2:] == pytest.approx(300.0, abs=6.0)
