"""Plots of ``calibrate`` and ``extinction``: zero points against magnitude, colour, place and airmass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts.photometry import ExtinctionResult, ZeroPointReport
from astro_shared.science.robust_statistics import mad_std
from photometry_service.adapters.image_panel import ImagePanel, Picture
from photometry_service.adapters.plot_folder import BLUE, GREY, ORANGE, PlotFolder, new_figure

Array = NDArray[Any]


def draw_zero_point(plots: PlotFolder, calibrators: Mapping[str, Array], report: ZeroPointReport) -> None:
    """Zero points of stars against magnitude and colour, with binned medians; rejected stars are shown, not hidden."""
    colours = bool(np.isfinite(calibrators["color_ref"]).any())
    figure = new_figure((10.0 if colours else 6.0, 4.4), top_in=0.6, between_in=0.3)
    axes = figure.subplots(1, 2 if colours else 1, sharey=True, squeeze=False)[0]
    used = calibrators["used"].astype(bool)
    residual = calibrators["residual_mag"]
    width = max(5 * (report.rms or 0.02), 0.05)
    names = (("mag_ref", f"{report.band} (mag)"), ("color_ref", f"{report.color or 'colour'} (mag)"))
    bins: dict[str, Any] = {}
    for panel, (column, label) in zip(axes, names, strict=False):
        value = calibrators[column]
        others = np.clip(residual[~used], -width, width)
        panel.plot(value[~used], others, "x", ms=4, color=GREY, alpha=0.6, label="not used")
        error = calibrators["mag_inst_err"][used]
        panel.errorbar(
            value[used], residual[used], error, fmt=".", ms=4, color=BLUE, alpha=0.6, elinewidth=0.6, label="used"
        )
        centre, middle, spread = binned(value[used], residual[used])
        bins[column] = {"centre": centre, "median": middle, "error": spread}
        panel.errorbar(centre, middle, spread, fmt="o-", color=ORANGE, mec="k", ms=6, zorder=5, label="median of a bin")
        panel.axhline(0, color="k", lw=0.8)
        panel.set(xlabel=label, ylim=(-width, width))
    axes[0].set_ylabel("zero point of the star - fit (mag)")
    axes[0].legend(fontsize=8)
    figure.suptitle(
        f"Zero point {report.value:.4f} ± {report.error:.4f} mag, {int(used.sum())} stars, rms {report.rms or 0:.4f} mag"
        if report.value is not None
        else "No zero point"
    )
    columns = ("mag_ref", "color_ref", "residual_mag", "mag_inst_err", "used", "x", "y")
    plots.save(
        "zero_point",
        figure,
        {name: calibrators[name] for name in columns} | {"bins": bins, "report": report.model_dump(mode="json")},
    )


def draw_zero_point_map(
    plots: PlotFolder, calibrators: Mapping[str, Array], field: Array, report: ZeroPointReport, shape: tuple[int, int]
) -> None:
    """The zero point over the frame minus its value, and the stars it was fitted to.

    Parameters
    ----------
    field : (my, mx), mag, on a grid over the frame, row 0 at the bottom
    shape : (ny, nx), px, of the frame
    """
    used = calibrators["used"].astype(bool)
    x, y = calibrators["x"][used], calibrators["y"][used]
    rows, columns = (
        np.clip((place + 0.5) / size * cells, 0, cells - 1).astype(np.intp)
        for place, size, cells in ((y, shape[0], field.shape[0]), (x, shape[1], field.shape[1]))
    )
    residual, error = calibrators["residual_mag"][used], calibrators["mag_inst_err"][used]
    star = field[rows, columns] + residual
    limit = max(0.002, float(np.abs(field).max()), 1.5 * float(np.median(np.abs(residual))))
    size = 12 + 60 * np.clip(np.quantile(error, 0.1) / error, 0, 1)
    panel = ImagePanel(shape, field.shape, bar=True, colored=True)
    panel.axes.scatter(
        x, y, c=1000 * star, s=size, cmap="RdBu_r", vmin=-1000 * limit, vmax=1000 * limit, edgecolors="k", linewidths=0.6,
        label=f"{len(x)} calibrators, sure ones larger",
    )  # fmt: skip
    panel.axes.legend(loc="upper right", fontsize=8)
    what = "constant" if not report.spatial_order else f"order {report.spatial_order} in x and y"
    picture = panel.draw(
        Picture((1000 * field).astype(np.float32), -1000 * limit, 1000 * limit, "RdBu_r"),
        title=f"Zero point over the frame: {what}",
        unit="zero point - value (mmag)",
    )
    data = {
        "values": field, "block_px": [shape[0] / field.shape[0], shape[1] / field.shape[1]], "unit": "mag",
        "zero_point_mag": report.value, "spatial_order": report.spatial_order, "x": x, "y": y, "star": star,
    }  # fmt: skip
    plots.save("zero_point_map", picture, data, true_color=True)


def draw_extinction(plots: PlotFolder, result: ExtinctionResult) -> None:
    """Zero points of the frames of a series against airmass with the line fitted, and what is left."""
    frames = [frame for frame in result.frames if frame.used]
    airmass, zero, offset, error = (
        np.array([getattr(frame, name) for frame in frames], float)
        for name in ("airmass", "zero_point_mag", "offset_mag", "offset_err_mag")
    )
    figure = new_figure((7.0, 6.0))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    line = np.array([airmass.min(), airmass.max()])
    label = f"k = {result.k_mag:.4f} ± {result.k_err_mag:.4f} mag per airmass"
    upper.plot(line, result.zero_point_mag - result.k_mag * line, color=ORANGE, lw=2, label=label)
    upper.errorbar(airmass, zero, error, fmt="o", ms=5, color=BLUE, label=f"{len(frames)} frames")
    upper.set(title=f"Extinction in {result.band}", ylabel="zero point (mag)")
    upper.legend()
    lower.errorbar(airmass, 1000 * offset, 1000 * error, fmt="o", ms=5, color=BLUE)
    lower.axhline(0, color=ORANGE, lw=2)
    lower.set(xlabel="airmass", ylabel="frame - line (mmag)")
    plots.save("extinction", figure, result)


def binned(value: Array, residual: Array, bins: int = 8) -> tuple[Array, Array, Array]:
    """Centre, median and its error in bins of equal count."""
    good = np.isfinite(value) & np.isfinite(residual)
    order = np.argsort(value[good], kind="stable")
    parts = [part for part in np.array_split(order, min(bins, max(1, good.sum() // 5))) if len(part) >= 3]
    if not parts:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    x, y = value[good], residual[good]
    spread = [1.2533 * mad_std(y[p]) / math.sqrt(len(p)) for p in parts]
    return np.array([np.median(x[p]) for p in parts]), np.array([np.median(y[p]) for p in parts]), np.array(spread)
