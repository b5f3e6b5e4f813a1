import numpy as np
import pytest
import sep
from scipy.spatial import cKDTree

from astro_shared.science import source_extraction
from astro_shared.science.centroids import half_light_radius, moffat_table
from astro_shared.science.psf_shape import _profile, fit_moffat
from astro_shared.science.source_extraction import (
    ExtractedSources,
    ExtractionFlag,
    ExtractionOptions,
    extract_sources,
)
from astro_shared.testing.frames import SimulatedFrame, simulate_frame
from astro_shared.testing.optics import Camera, PointSpread


@pytest.fixture(scope="module")
def frame() -> SimulatedFrame:
    return simulate_frame(21, n_stars=700, camera=Camera(shape=(900, 1000)))


def matched(frame: SimulatedFrame, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the truth with a source within a pixel, and the rows of these sources."""
    distance, row = cKDTree(np.stack([x, y], 1)).query(np.stack([frame.truth["x"], frame.truth["y"]], 1))
    found = np.flatnonzero(distance < 1.0)
    return found, row[found]


def test_finds_the_stars_with_true_errors(frame: SimulatedFrame) -> None:
    found = extract_sources(frame.data_e, saturation_e=0.95 * 55000 * 1.5)
    truth, row = matched(frame, found.x, found.y)
    stars = frame.truth
    bright = (stars["snr"] > 15) & stars["isolated"] & ~stars["saturated"]
    inside = (stars["x"] > 10) & (stars["x"] < 989) & (stars["y"] > 10) & (stars["y"] < 889)
    assert np.isin(np.flatnonzero(bright & inside), truth).mean() > 0.97
    good = found.usable[row] & bright[truth]
    dx = (found.x[row] - stars["x"][truth])[good] / np.sqrt(found.covariance[row, 0, 0][good])
    dy = (found.y[row] - stars["y"][truth])[good] / np.sqrt(found.covariance[row, 1, 1][good])
    pulls = np.concatenate([dx, dy])
    # Median absolute pull of a unit Gaussian is 0.6745; some 400 pulls know it to 6 per cent.
    assert 1.4826 * np.median(np.abs(pulls)) == pytest.approx(1.0, abs=0.15)
    assert found.fwhm_px == pytest.approx(3.2, abs=0.15)


def test_strict_list_is_that_of_a_strict_extraction(frame: SimulatedFrame) -> None:
    image = frame.data_e.copy()
    background = sep.Background(image, bw=128, bh=128)
    background.subfrom(image)
    literal = sep.extract(image, 5.0, err=background.rms(), minarea=5, deblend_cont=0.005, filter_kernel=None)
    found = extract_sources(frame.data_e)
    tree = cKDTree(np.stack([found.x, found.y], 1)[found.strict])
    again = tree.query(np.stack([literal["x"], literal["y"]], 1))[0] < 2.0
    # They may differ in stars at the very threshold and in deblended pieces.
    assert again.mean() > 0.95
    assert found.strict.sum() == pytest.approx(len(literal), rel=0.05)


def test_undersampled_frames_get_psf_centroids() -> None:
    frame = simulate_frame(22, n_stars=500, camera=Camera(shape=(700, 700), psf=PointSpread(fwhm_px=1.7)))
    found = extract_sources(frame.data_e)
    assert found.position_kind == "psf" and found.fwhm_px == pytest.approx(1.7, abs=0.1)


def test_cosmic_rays_and_saturated_stars_stay_out_of_the_fit(frame: SimulatedFrame) -> None:
    found = extract_sources(frame.data_e, saturation_e=20000.0)
    saturated = (found.flags & ExtractionFlag.SATURATED) != 0
    truth, row = matched(frame, found.x, found.y)
    peak = np.zeros(len(found))
    peak[row] = frame.truth["peak_e"][truth]
    # Little more than full: a few pixels, which the fit leaves out; the others stay out themselves.
    assert saturated.any() and not found.usable[saturated & (peak > 80000.0)].any()
    near_cosmic = frame.cosmic_ray_mask[np.rint(found.y).astype(int), np.rint(found.x).astype(int)]
    far = cKDTree(np.stack([frame.truth["x"], frame.truth["y"]], 1)).query(np.stack([found.x, found.y], 1))[0] > 5
    # Long tracks can have the half-light radius of a star; the match with the sky leaves those out.
    assert found.usable[near_cosmic & far].mean() < 0.1


def rendered(x: list[float], y: list[float], flux: list[float]) -> np.ndarray:
    """Moffat stars of FWHM 3.2 among some faint ones, on a sky of 300 electrons, with photon noise."""
    rng = np.random.default_rng(31)
    table = moffat_table(3.2, 3.0, reach_px=20)
    field_x = [20.0 + 27 * (k % 10) for k in range(100)]
    field_y = [20.0 + 27 * (k // 10) for k in range(100)]
    image = np.full((290, 290), 300.0)
    rows, columns = np.mgrid[-20:21, -20:21]
    centre = table.values.shape[0] // 2
    for px, py, light in zip(field_x + x, field_y + y, [2e4] * 100 + flux, strict=True):
        ix, iy = round(px), round(py)
        take = (
            np.rint(centre + 8 * (rows - (py - iy))).astype(int),
            np.rint(centre + 8 * (columns - (px - ix))).astype(int),
        )
        inside = (rows + iy >= 0) & (rows + iy < 290) & (columns + ix >= 0) & (columns + ix < 290)
        image[rows[inside] + iy, columns[inside] + ix] += light * table.values[take][inside]
    return rng.poisson(image).astype(np.float32)


def nearest(found: ExtractedSources, x: float, y: float) -> int:
    return int(np.argmin(np.hypot(found.x - x, found.y - y)))


def test_blended_stars_are_fitted_together() -> None:
    # Places on the grid of the table, so that the image is exact. 2.2 FWHM apart, three to one in flux.
    image = rendered([100.5, 107.5], [87.0, 88.0], [3e5, 1e5])
    found = extract_sources(image)
    row = nearest(found, 100.5, 87.0)
    assert found.flags[row] & ExtractionFlag.BLENDED and found.usable[row]
    sigma = np.sqrt(np.diag(found.covariance[row]))
    assert np.all(np.abs([found.x[row] - 100.5, found.y[row] - 87.0]) < 5 * sigma) and sigma[0] < 0.01


def test_stars_that_cannot_be_told_apart_stay_out() -> None:
    # The fainter one is not detected by itself; the brighter one must not pass for a single star.
    for x in (103.0, 105.5):
        found = extract_sources(rendered([100.5, x], [87.0, 87.0], [3e5, 1.5e5]))
        row = nearest(found, 100.5, 87.0)
        away = np.abs(found.x[row] - 100.5) / np.sqrt(found.covariance[row, 0, 0])
        assert not found.usable[row] or away < 5


def test_a_few_saturated_pixels_are_left_out_of_the_fit() -> None:
    image = rendered([100.5], [87.25], [6e5])
    level = np.sort(image.ravel())[-5]
    found = extract_sources(np.minimum(image, level), saturation_e=float(level))
    row = nearest(found, 100.5, 87.25)
    assert found.flags[row] & ExtractionFlag.SATURATED and found.usable[row]
    sigma = np.sqrt(np.diag(found.covariance[row]))
    assert np.all(np.abs([found.x[row] - 100.5, found.y[row] - 87.25]) < 5 * sigma) and sigma[0] < 0.01


def test_a_bleeding_star_stays_out() -> None:
    image = rendered([100.0], [87.0], [6e5])
    image[75:100, 100] = 60000.0
    found = extract_sources(image, saturation_e=60000.0)
    near = np.hypot(found.x - 100, found.y - 87) < 12
    assert near.any() and not found.usable[near].any()


def test_a_cosmic_ray_on_a_star_does_not_move_it() -> None:
    clean = rendered([100.5], [87.25], [6e5])
    hit = clean.copy()
    hit[88:90, 102] += 9000.0
    places = []
    for image in (clean, hit):
        found = extract_sources(image)
        row = nearest(found, 100.5, 87.25)
        places.append((found.x[row], found.y[row]))
        sigma = np.sqrt(found.covariance[row, 0, 0])
    # Nine thousand electrons 1.5 pixels away would move a fit of all pixels by twenty of its errors.
    assert np.hypot(*np.subtract(*places)) < 3 * sigma


def test_a_small_stack_of_pixels_is_enlarged(frame: SimulatedFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    found = extract_sources(frame.data_e)
    monkeypatch.setattr(source_extraction, "PIXEL_STACK", 500)
    np.testing.assert_array_equal(extract_sources(frame.data_e).x, found.x)


def test_odd_images_give_no_sources_and_no_exception() -> None:
    assert len(extract_sources(np.zeros((64, 64), np.float32))) == 0
    assert len(extract_sources(np.full((64, 64), np.nan, np.float32))) == 0
    noise = np.random.default_rng(1).normal(100, 5, (200, 200)).astype(np.float32)
    noise[10:20, 10:20] = np.nan
    assert len(extract_sources(noise, options=ExtractionOptions(relaxed_sigma=5.0))) == 0


def test_input_is_not_modified_unless_it_may_be(frame: SimulatedFrame) -> None:
    image = frame.data_e
    before = image.copy()
    found = extract_sources(image)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(extract_sources(before, overwrite_image=True).x, found.x)


def test_shape_of_the_stars_is_recovered() -> None:
    psf = PointSpread(fwhm_px=2.6, beta=3.0, fwhm_variation=0.0, ellipticity=0.06, ellipticity_variation=0.0)
    frame = simulate_frame(23, n_stars=400, camera=Camera(shape=(700, 700), psf=psf))
    image = frame.data_e - np.float32(np.median(frame.data_e))
    stars = frame.truth[(frame.truth["snr"] > 50) & frame.truth["isolated"] & ~frame.truth["saturated"]]
    shape = fit_moffat(image, np.array(stars["x"]), np.array(stars["y"]), np.full(len(stars), 345.0))
    assert shape is not None
    assert shape.fwhm_px == pytest.approx(2.6, rel=0.02)
    assert shape.beta == pytest.approx(3.0, rel=0.12)
    # The simulator's positive e1 is elongation along y, ours along x.
    assert shape.e1 == pytest.approx(-0.06, abs=0.01) and shape.e2 == pytest.approx(0.0, abs=0.01)


def test_half_light_radius_is_that_of_sep_and_of_a_gaussian() -> None:
    y, x = np.mgrid[:41, :41]
    image = np.exp(-((x - 20.2) ** 2 + (y - 19.7) ** 2) / (2 * 2.0**2)).astype(np.float32)
    place = np.array([20.2]), np.array([19.7])
    ours = half_light_radius(image, *place, reach_px=10.0)
    assert ours[0] == pytest.approx(2.0 * np.sqrt(2 * np.log(2)), rel=0.04)
    assert ours[0] == pytest.approx(sep.flux_radius(image, *place, [10.0], 0.5, subpix=5)[0][0], rel=0.04)
    assert np.isnan(half_light_radius(np.zeros((9, 9), np.float32), np.array([4.0]), np.array([4.0]), reach_px=3.0)[0])


def test_shape_needs_whole_stars() -> None:
    assert fit_moffat(np.zeros((30, 30), np.float32), np.array([1.0]), np.array([1.0]), np.array([1.0])) is None


def test_slopes_of_the_moffat_fit_are_those_of_its_residuals() -> None:
    rng = np.random.default_rng(8)
    px, py = rng.uniform(-0.5, 0.5, (2, 6))
    shape, grid = np.array([np.log(3.1), np.log(2.9), 0.1, -0.05]), np.arange(-7, 8)
    table = _profile(shape, grid - px[:, None], grid - py[:, None], 2, slopes=True)
    for k in range(4):
        step = np.eye(4)[k] * 1e-5
        up, down = (_profile(shape + s, grid - px[:, None], grid - py[:, None], 2) for s in (step, -step))
        np.testing.assert_allclose(table[k + 1], (up - down) / 2e-5, atol=1e-8)
