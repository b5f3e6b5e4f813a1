"""Sparse L.A.Cosmic against the whole-frame algorithm: astroscrappy, and its plain numpy form."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, median_filter

from astro_shared.testing.defects import CosmicRays as Hits
from astro_shared.testing.exposures import Exposure
from astro_shared.testing.frames import simulate_frame
from astro_shared.testing.optics import Camera, PointSpread
from photometry_service.algorithms.cosmic_rays.search import (
    CosmicRayOptions,
    find_cosmic_rays,
    remove_cosmic_rays,
)
from photometry_service.domain.frame import Frame

SATURATION_E = 60000.0
READ_NOISE_E = 5.0
BOTH_MEDIANS = pytest.mark.parametrize("medians", ["full", "separable"])


def simulate(seed, shape=(224, 256), stars=220, fwhm=3.2, hits=1200.0):
    camera = Camera(shape=shape, psf=PointSpread(fwhm_px=fwhm), saturation_adu=SATURATION_E / 1.5)
    return simulate_frame(seed, n_stars=stars, camera=camera, exposure=Exposure(cosmic_rays=Hits(per_megapixel=hits)))


def search(data, mask=None, **keywords):
    """Masks and cleaned frames of the sparse engine and of astroscrappy for the same options."""
    constants = {k: keywords.pop(k) for k in ("saturation_e", "variance") if k in keywords}
    constants = {"saturation_e": SATURATION_E, "read_noise_e": READ_NOISE_E} | constants
    return [
        find_cosmic_rays(data, mask, options=CosmicRayOptions(engine=engine, **keywords), **constants)
        for engine in ("sparse", "astroscrappy")
    ]


def assert_same(sparse, reference):
    assert np.array_equal(sparse.mask, reference.mask)
    assert np.array_equal(sparse.values, reference.values)


def whole_frame_lacosmic(data, read_noise, options, satlevel):
    """Plain numpy twin: every step over the whole frame; no bad pixels, no hit without good neighbours."""

    def median(plane, size):
        half, full = size // 2, options.medians == "full"
        out = median_filter(plane, size) if full else median_filter(median_filter(plane, (1, size)), (size, 1))
        out[:half], out[-half:], out[:, :half], out[:, -half:] = (
            plane[:half],
            plane[-half:],
            plane[:, :half],
            plane[:, -half:],
        )
        return out

    def laplacian(plane):
        fine = np.pad(np.repeat(np.repeat(plane, 2, 0), 2, 1), 1)
        centre = fine[1:-1, 1:-1]
        lap = 4 * centre - fine[1:-1, 2:] - fine[1:-1, :-2] - fine[2:, 1:-1] - fine[:-2, 1:-1]
        lap = np.maximum(lap, 0)
        return (lap[::2, ::2] + lap[1::2, ::2] + lap[1::2, 1::2] + lap[::2, 1::2]) / np.float32(4)

    sizes = (5, 5, 3, 7) if options.medians == "full" else (7, 7, 5, 9)
    a, hits, square = data.copy(), np.zeros(data.shape, bool), np.ones((3, 3))
    v = a + np.float32(read_noise**2)
    for _ in range(options.niter):
        noise = np.sqrt(np.maximum(median(v, sizes[0]), np.float32(1e-5)))
        s = laplacian(a) / (2 * noise)
        contrast = s - median(s, sizes[1])
        small = median(a, sizes[2])
        fine = np.maximum((small - median(small, sizes[3])) / noise, np.float32(0.01))
        found = (contrast > options.sigclip) & (contrast / fine > options.objlim)
        found = binary_dilation(found, square) & (contrast > options.sigclip)
        low = np.float32(options.sigfrac) * np.float32(options.sigclip)
        found = binary_dilation(found, square) & (contrast > low)
        hits |= found
        if not found.any():
            break
        for j, i in np.argwhere(hits):
            window = (slice(j - 2, j + 3), slice(i - 2, i + 3))
            good = ~hits[window]
            a[j, i], v[j, i] = (plane[window][good].mean(dtype=np.float64) if good.any() else 0 for plane in (a, v))
    return hits


@BOTH_MEDIANS
@pytest.mark.parametrize("seed", [1, 2])
def test_mask_is_astroscrappys_pixel_by_pixel(medians, seed):
    frame = simulate(seed)
    sparse, reference = search(frame.data_e, medians=medians)
    assert sparse.count > 200
    assert_same(sparse, reference)


@BOTH_MEDIANS
def test_mask_agrees_with_the_whole_frame_numpy_form(medians):
    data = simulate(3, shape=(160, 170), stars=60, hits=600.0).data_e
    options = CosmicRayOptions(medians=medians)
    found = find_cosmic_rays(data, read_noise_e=READ_NOISE_E, options=options)
    twin = whole_frame_lacosmic(data, READ_NOISE_E, options, SATURATION_E)
    assert np.array_equal(found.mask, twin)


@BOTH_MEDIANS
def test_dense_hits_are_found_alike(medians):
    frame = simulate(4, shape=(128, 128), stars=100, hits=20000.0)
    assert_same(*search(frame.data_e, medians=medians))


@BOTH_MEDIANS
@pytest.mark.parametrize(
    "changes", [{"sigclip": 6.0, "objlim": 10.0}, {"sigfrac": 1.0}, {"niter": 1}, {"objlim": 0.5}, {"sigclip": 2.0}]
)
def test_other_limits_give_astroscrappys_mask(medians, changes):
    assert_same(*search(simulate(5, shape=(128, 150), stars=120).data_e, medians=medians, **changes))


@BOTH_MEDIANS
@pytest.mark.parametrize("cleantype", ["medmask", "idw"])
def test_other_cleaning_agrees(cleantype, medians):
    data = simulate(6, shape=(128, 150)).data_e
    mask = np.random.default_rng(6).random(data.shape) < 0.02
    assert_same(*search(data, mask, cleantype=cleantype, medians=medians))


@BOTH_MEDIANS
@pytest.mark.parametrize(
    "changes",
    [{}, {"psfmodel": "gaussx"}, {"psfmodel": "gaussy"}, {"psfmodel": "moffat"}, {"psffwhm": 4.2, "psfsize": 13},
     {"psffwhm": 1.1, "psfsize": 3, "psfmodel": "moffat"}, {"psfsize": 25, "cleantype": "idw"}],
)  # fmt: skip
def test_a_matched_filter_gives_astroscrappys_mask(medians, changes):
    data = simulate(16, shape=(120, 140), stars=90, hits=2500.0).data_e
    sparse, reference = search(data, medians=medians, fsmode="convolve", **changes)
    assert sparse.count > 10
    assert_same(sparse, reference)


def test_the_unmasked_median_is_that_of_the_frame_before_a_round():
    data = simulate(17, shape=(100, 110), stars=20, hits=3000.0).data_e
    options = CosmicRayOptions(cleantype="median", niter=1)
    found = find_cosmic_rays(data, read_noise_e=READ_NOISE_E, options=options)
    assert found.count > 20
    assert np.array_equal(found.values, median_filter(data, 5)[found.mask])


@BOTH_MEDIANS
def test_bad_pixels_and_saturated_stars_are_treated_alike(medians):
    data = simulate(7).data_e
    rng = np.random.default_rng(7)
    mask = rng.random(data.shape) < 0.01
    mask[:, 40] = mask[0, :20] = mask[100:110, 100:110] = True
    data[mask] = 0.0
    y, x = np.mgrid[: data.shape[0], : data.shape[1]]
    for cx, cy in [(0, 60), (2, 150), (128, 3), (255, 223), (180, 90)]:
        data += (3e6 / (1 + ((x - cx) ** 2 + (y - cy) ** 2) / 4.0) ** 2.5).astype(np.float32)
    data = np.minimum(data, np.float32(SATURATION_E))
    sparse, reference = search(data, mask, medians=medians)
    assert_same(sparse, reference)
    assert not sparse.mask[mask].any()


@BOTH_MEDIANS
@pytest.mark.parametrize("level", [-500.0, 0.0, 1e6])
def test_sky_subtracted_and_very_bright_frames_agree(medians, level):
    data = simulate(8, shape=(100, 128), stars=30).data_e - np.float32(320.0) + np.float32(level)
    assert_same(*search(data, medians=medians, saturation_e=np.inf, max_candidate_share=1.0))


@BOTH_MEDIANS
def test_given_variance_replaces_the_noise_of_the_pixels(medians):
    data = simulate(9, shape=(120, 128), stars=40).data_e
    variance = np.abs(data) * np.float32(0.7) + np.float32(60.0)
    assert_same(*search(data, variance=variance, medians=medians))


@BOTH_MEDIANS
def test_a_block_without_good_neighbours_takes_the_level_of_the_frame(medians):
    rng = np.random.default_rng(12)
    data = rng.normal(300, 18, (96, 96)).astype(np.float32)
    data[40:44, 40:44] += 20000.0
    mask = np.zeros(data.shape, bool)
    mask[36:48, 36:48] = True
    mask[39:45, 39:45] = False
    assert_same(*search(data, mask, medians=medians))


def test_true_hits_are_found_and_star_cores_are_left_alone():
    frame = simulate(10, shape=(512, 512), stars=400, hits=400.0)
    found = find_cosmic_rays(frame.data_e, read_noise_e=READ_NOISE_E, saturation_e=SATURATION_E)
    inside = np.zeros(found.mask.shape, bool)
    inside[2:-2, 2:-2] = True
    true = frame.cosmic_ray_mask & inside
    assert (found.mask & true).sum() > 0.96 * true.sum()
    near = binary_dilation(frame.cosmic_rays_e > 0, np.ones((3, 3)))
    assert (found.mask & ~near).sum() < 1e-4 * found.mask.size
    assert not found.mask[~inside].any()


def test_cleaned_pixels_are_near_the_true_sky():
    frame = simulate(11, shape=(256, 256), stars=5, hits=600.0)
    found = find_cosmic_rays(frame.data_e, read_noise_e=READ_NOISE_E, saturation_e=SATURATION_E)
    # Means of about 20 pixels of sky 320 e and noise 18.6 e; wings of hits remain in some.
    assert np.median(found.values) == pytest.approx(320.0, abs=4.0)
    untouched = ~found.mask
    cleaned = found.clean(frame.data_e)
    assert np.array_equal(cleaned[untouched], frame.data_e[untouched])
    assert np.array_equal(cleaned[found.mask], found.values)


@pytest.mark.parametrize(("fwhm", "expect_warning"), [(1.2, True), (2.0, False), (3.2, False)])
@BOTH_MEDIANS
def test_undersampled_stars_keep_their_cores(fwhm, expect_warning, medians):
    simulated = simulate(13, shape=(512, 512), stars=900, fwhm=fwhm, hits=100.0)
    data = simulated.data_e
    frame = Frame(data, np.zeros(data.shape, bool), 1.5, READ_NOISE_E, SATURATION_E)
    found = remove_cosmic_rays(frame, CosmicRayOptions(medians=medians))
    stars = simulated.truth[(simulated.truth["snr"] > 50) & ~simulated.truth["saturated"]]
    x, y = (np.rint(stars[name]).astype(int) for name in ("x", "y"))
    away = (np.minimum(x, y) > 4) & (np.maximum(x, y) < 507)  # near the edge the fine structure has no window
    x, y = x[away], y[away]
    clear = ~binary_dilation(simulated.cosmic_rays_e > 0, np.ones((7, 7)))[y, x]
    flagged = binary_dilation(found.mask, np.ones((3, 3)))[y, x] & clear
    assert clear.sum() > 40
    assert flagged.sum() <= 0.02 * clear.sum()
    assert bool(found.warnings) == expect_warning
    assert found.fwhm_guess_px == pytest.approx(fwhm, rel=0.12)


def test_small_frames_come_back_untouched():
    data = np.full((8, 40), 100.0, np.float32)
    found = find_cosmic_rays(data, read_noise_e=5.0)
    assert not found.mask.any()
    assert found.warnings
    assert np.array_equal(found.clean(data), data)


def test_frames_where_everything_stands_out_are_not_searched():
    data = simulate(15, shape=(64, 64), stars=10).data_e - np.float32(2000.0)
    found = find_cosmic_rays(data, read_noise_e=5.0)
    assert not found.mask.any()
    assert "no cosmic rays were searched" in found.warnings[0]
    assert np.array_equal(found.clean(data), data)


def test_input_is_not_changed():
    data = simulate(14, shape=(64, 64), stars=10).data_e
    mask = np.zeros(data.shape, bool)
    mask[10, 10] = True
    before = data.copy()
    found = find_cosmic_rays(data, mask, read_noise_e=5.0)
    found.clean(data)
    assert found.count > 0
    assert np.array_equal(data, before)
    assert mask.sum() == 1


def test_wrong_shapes_and_limits_are_refused():
    with pytest.raises(ValueError, match="differ"):
        find_cosmic_rays(np.zeros((32, 32), np.float32), np.zeros((32, 33), bool), read_noise_e=5.0)
    with pytest.raises(ValueError, match="niter"):
        CosmicRayOptions(niter=0)
    with pytest.raises(ValueError, match="odd side"):
        CosmicRayOptions(psfsize=8)
    with pytest.raises(ValueError, match="unwritten memory"):
        CosmicRayOptions(engine="astroscrappy", cleantype="median")
    with pytest.raises(ValueError, match="positive"):
        CosmicRayOptions(sigclip=-1.0)
