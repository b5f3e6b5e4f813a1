"""Every plot of ``measure`` and ``calibrate``: there, a picture, and its data as the contracts say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from astro_shared.contracts.plots import PLOT_DATA, PsfPlot, ZeroPointMapPlot, ZeroPointPlot
from astro_shared.testing.frames import Camera, simulate_frame
from photometry_service.adapters.image_panel import ImagePanel, Picture, palette, reduced
from photometry_service.adapters.measurement_plots import draw_image, zscale
from photometry_service.adapters.plot_folder import PlotFolder, plain

OF_A_FRAME = set(PLOT_DATA) - {"extinction"}


@pytest.fixture(scope="module")
def folder(job_folder: Any) -> Path:
    """Holds the products of both jobs."""
    jobs = job_folder(simulate_frame(23, n_stars=500, camera=Camera(shape=(700, 900))))
    assert jobs.calibrate(jobs.measure()).status == "calibrated"
    return Path(jobs.path)


def data(folder: Path, name: str) -> dict:
    return json.loads((folder / "plots" / f"{name}.json").read_text())


def test_every_plot_is_a_picture_with_data_of_its_schema(folder: Path) -> None:
    assert {path.stem for path in (folder / "plots").iterdir()} == OF_A_FRAME
    for name in OF_A_FRAME:
        PLOT_DATA[name].model_validate(data(folder, name))
        with Image.open(folder / "plots" / f"{name}.png") as picture:
            picture.load()
            assert 400 <= picture.width <= 1400 and 300 <= picture.height <= 1100, name
            assert len(np.unique(np.asarray(picture.convert("L")))) > 10, name


def test_the_psf_leaves_little_of_its_stars(folder: Path) -> None:
    psf = PsfPlot.model_validate(data(folder, "psf"))
    assert sum(map(sum, psf.stamp)) == pytest.approx(1, abs=0.03)
    assert np.abs(np.array(psf.residual, float)).max() < 0.02


def test_the_map_of_the_zero_point_is_the_fit_and_the_stars(folder: Path) -> None:
    field = ZeroPointMapPlot.model_validate(data(folder, "zero_point_map"))
    report = ZeroPointPlot.model_validate(data(folder, "zero_point")).report
    values = np.array(field.values, float)
    assert values.shape == (70, 90)
    assert values.mean() == pytest.approx(0, abs=0.02)
    assert len(field.star) == len(field.x) == report.n_used
    assert (values.std() > 0) == (report.spatial_order > 0)


def test_binned_medians_of_the_zero_point_are_near_zero(folder: Path) -> None:
    bins = ZeroPointPlot.model_validate(data(folder, "zero_point")).bins
    assert set(bins) == {"mag_ref", "color_ref"}
    for panel in bins.values():
        pulls = np.array(panel.median, float) / np.array(panel.error, float)
        assert len(pulls) > 1 and np.abs(pulls).max() < 6


def test_blocks_are_means_and_leave_out_what_is_not_known() -> None:
    image = np.arange(36, dtype=np.float32).reshape(6, 6)
    image[0, 0] = np.nan
    small, step = reduced(image, 3)
    assert step == 2 and small.shape == (3, 3)
    assert small[0, 0] == pytest.approx(np.nanmean(image[:2, :2]))
    assert small[2, 1] == pytest.approx(image[4:, 2:4].mean())
    assert reduced(np.full((1, 5000), 2.0), 100)[0].shape == (1, 100)
    assert np.isnan(reduced(np.full((4, 4), np.nan), 2)[0]).all()


def test_pixels_of_a_picture_are_its_values_and_row_0_is_at_the_bottom() -> None:
    values = np.linspace(0, 1, 120 * 100, dtype=np.float32).reshape(120, 100)
    panel = ImagePanel((120, 100), values.shape, bar=True)
    picture = Picture(values, 0.0, 1.0, "viridis")
    shown = np.asarray(panel.draw(picture, title="t", unit="u").convert("RGB"))
    colors = palette("viridis")
    row, column = panel.figure.bbox.height - 60 - 3, 80 + 3  # inside of the frame's lower left corner
    assert tuple(shown[int(row), column]) == tuple(colors[0])
    again = np.asarray(panel.draw(picture, title="t", unit="u").convert("RGB"))
    np.testing.assert_array_equal(again, shown)


def test_an_image_without_sources_and_with_holes_is_drawn(tmp_path: Path) -> None:
    plots = PlotFolder(tmp_path)
    image = np.random.default_rng(1).normal(100, 3, (64, 640)).astype(np.float32)
    image[10:20] = np.nan
    nothing = np.zeros(0)
    draw_image(plots, image, nothing, nothing, nothing.astype(np.int32), 3.0, title="a name " * 30)
    PLOT_DATA["image"].model_validate(json.loads(plots.files["image.json"].read_text()))


def test_rings_leave_a_crowded_picture_to_be_seen(tmp_path: Path) -> None:
    plots, rng = PlotFolder(tmp_path), np.random.default_rng(1)
    image = rng.normal(100, 3, (300, 300)).astype(np.float32)
    x, y = rng.uniform(0, 300, (2, 2500))
    draw_image(plots, image, x, y, np.zeros(2500, np.int32), 3.0, title="crowded")
    with Image.open(plots.files["image.png"]) as picture:
        red, _, blue = np.moveaxis(np.asarray(picture.convert("RGB"), float), 2, 0)
    assert 0.02 < np.mean(blue > red + 40) < 0.3
    assert len(json.loads(plots.files["image.json"].read_text())["x"]) == 2500


def test_limits_of_a_constant_image_are_two_numbers() -> None:
    low, high = zscale(np.full((50, 50), 7.0))
    assert low <= 7.0 < high


def test_data_that_differ_from_the_schema_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fwhm_px"):
        PlotFolder(tmp_path).save("fwhm", Image.new("P", (4, 4)), {"fwhm_marginal_px": 1, "fwhm_psf_px": 2})


def test_numbers_keep_six_digits_and_what_is_not_finite_is_null() -> None:
    values = np.array([[1234567.8, -0.000123456789, 0.0], [np.nan, np.inf, 0.1]], np.float32)
    assert plain(values) == [[1234570.0, -0.000123457, 0.0], [None, None, 0.1]]
    rng = np.random.default_rng(2)
    wild = rng.normal(0, 1, 1000) * 10.0 ** rng.integers(-12, 12, 1000)
    assert plain(wild) == [float(f"{value:.6g}") for value in wild]
    assert plain({"a": (np.float64(np.nan), np.int64(3), np.bool_(True))}) == {"a": [None, 3, True]}


def test_depth_and_maps_belong_to_the_frame(folder: Path) -> None:
    for name in ("background", "background_rms", "residual"):
        assert fits.getdata(folder / f"{name}.fits").shape == (700, 900)
