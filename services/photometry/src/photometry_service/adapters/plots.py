"""Pictures that are read at one look, each with its data as JSON beside it.

Images are reduced before they are drawn: nobody sees more pixels than the picture has. The object interface of
matplotlib is used, so that nothing global is touched.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#555555"
"""Okabe and Ito's palette: told apart by colour-blind eyes."""
DPI = 100
SIDE_PX = 900
COARSE_PX = 128  # longer side of images in data products


def reduced(image: Array, side: int = SIDE_PX) -> tuple[NDArray[np.float32], int]:
    """Block means of an image so that its longer side is about ``side``; and the block size. NaN are left out of means."""
    step = max(1, math.ceil(max(image.shape) / side))
    ny, nx = (n // step * step for n in image.shape)
    blocks = image[:ny, :nx].reshape(ny // step, step, nx // step, step)
    if step == 1:
        return image.astype(np.float32), 1
    if np.isfinite(blocks).all():
        return blocks.mean(axis=(1, 3), dtype=np.float32), step
    return np.nanmean(blocks, axis=(1, 3)).astype(np.float32), step


def zscale(image: Array, contrast: float = 0.25, samples: int = 10_000) -> tuple[float, float]:
    """Limits of the IRAF zscale kind: a line through the sorted sample, flattened by ``contrast``."""
    values = np.sort(image[np.isfinite(image)][:: max(1, image.size // samples)])
    if len(values) < 5:
        return 0.0, 1.0
    middle = len(values) // 2
    rank = np.arange(len(values)) - middle
    good = np.abs(values - values[middle]) < 3 * 1.4826 * np.median(np.abs(values - values[middle])) + 1e-30
    slope = np.polyfit(rank[good], values[good], 1)[0] / contrast if good.sum() > 2 else 0.0
    low, high = values[middle] - middle * slope, values[middle] + (len(values) - middle) * slope
    low, high = max(low, values[0]), min(high, values[-1])
    return (float(low), float(high)) if high > low else (float(values[0]), float(values[-1]) + 1e-30)


class PlotFolder:
    """Draws into ``folder``: ``<name>.png`` and ``<name>.json``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files: dict[str, Path] = {}

    def image(self, data: Array, x: Array, y: Array, flags: Array, fwhm_px: float, *, title: str) -> None:
        """The frame with its sources, north being wherever it is: rows upwards."""
        small, step = reduced(data)
        low, high = zscale(small)
        figure = self._new(_size(data.shape))
        axes = figure.add_subplot()
        extent = (-0.5, small.shape[1] * step - 0.5, -0.5, small.shape[0] * step - 0.5)
        axes.imshow(small, origin="lower", cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="nearest")
        shown = slice(0, 3000)
        doubtful = (flags[shown] & 0b100) != 0
        for mask, color, word in ((~doubtful, GREEN, "measured"), (doubtful, RED, "saturated")):
            if mask.any():
                places = np.column_stack([x[shown][mask], y[shown][mask]])
                width = np.full(len(places), max(3.0 * fwhm_px, 8.0 * step))
                look = {"facecolors": "none", "edgecolors": color, "linewidths": 0.7}
                flat = np.zeros(len(places))
                rings = EllipseCollection(
                    width, width, flat, units="xy", offsets=places, transOffset=axes.transData, **look
                )
                axes.add_collection(rings)
                axes.plot([], [], "o", mfc="none", mec=color, label=f"{word}: {int(mask.sum())}")
        more = f" (the brightest 3000 of {len(x)})" if len(x) > 3000 else ""
        axes.set(title=f"{title}: {len(x)} sources{more}", xlabel="x (px)", ylabel="y (px)")
        axes.set(xlim=extent[:2], ylim=extent[2:])
        if len(x):
            axes.legend(loc="upper right", fontsize=8)
        coarse, block = reduced(data, COARSE_PX)
        data_product = {
            "x": x[shown], "y": y[shown], "flags": flags[shown], "zscale": [low, high], "unit": "px",
            "values": coarse, "block_px": block,
        }  # fmt: skip
        self._save("image", figure, data_product)

    def map(self, name: str, values: Array, *, title: str, unit: str) -> None:
        """A smooth map with its colour bar."""
        small, step = reduced(values, 256)
        figure = self._new(_size(values.shape, bar=True))
        axes = figure.add_subplot()
        low, high = np.nanpercentile(small, [0.5, 99.5])
        extent = (-0.5, small.shape[1] * step - 0.5, -0.5, small.shape[0] * step - 0.5)
        picture = axes.imshow(
            small, origin="lower", cmap="viridis", extent=extent, vmin=low, vmax=max(high, low + 1e-30)
        )
        figure.colorbar(picture, ax=axes, label=unit, shrink=0.85)
        median = float(np.nanmedian(small))
        axes.set(title=f"{title}: median {median:.4g} {unit}", xlabel="x (px)", ylabel="y (px)")
        coarse, block = reduced(values, 64)
        self._save(name, figure, {"values": coarse, "block_px": block, "unit": unit, "median": median})

    def fwhm(self, widths_px: Array, *, marginal_px: float | None, psf_px: float | None) -> None:
        """Histogram of the stars' widths with the two figures that summarise it."""
        figure = self._new((7.0, 4.5))
        axes = figure.add_subplot()
        good = widths_px[np.isfinite(widths_px)]
        if len(good):
            centre = np.median(good)
            edges = np.linspace(max(0.0, centre * 0.4), centre * 1.8, 41)
            counts, _ = np.histogram(np.clip(good, edges[0], edges[-1]), edges)
            axes.stairs(counts, edges, fill=True, color=BLUE, alpha=0.75, label=f"{len(good)} stars")
        else:
            axes.text(0.5, 0.5, "no star was wide and clean enough", transform=axes.transAxes, ha="center")
        if marginal_px:
            axes.axvline(marginal_px, color=ORANGE, lw=2, label=f"marginal sums: {marginal_px:.2f} px")
        if psf_px:
            axes.axvline(psf_px, color=RED, lw=2, ls="--", label=f"PSF model: {psf_px:.2f} px")
        axes.set(title="Widths of stars", xlabel="FWHM (px)", ylabel="stars")
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
        self._save("fwhm", figure, {"fwhm_px": good, "fwhm_marginal_px": marginal_px, "fwhm_psf_px": psf_px})

    def psf(self, stamp: Array, stars: int, *, fwhm_px: float | None, kind: str, oversampling: int = 1) -> None:
        """The PSF at the centre of the frame, and its radial profile."""
        figure = self._new((9.6, 4.2), between_in=1.6)
        left, right = figure.subplots(1, 2)
        peak = float(np.nanmax(stamp)) or 1.0
        half = (stamp.shape[0] - 1) / 2 / oversampling
        extent = (-half, half, -half, half)
        shown = np.log10(np.clip(stamp / peak, 1e-4, None))
        picture = left.imshow(shown, origin="lower", cmap="magma", extent=extent)
        figure.colorbar(picture, ax=left, label="log10 (PSF / peak)", shrink=0.85)
        left.set(title=f"PSF ({kind}, {stars} stars)", xlabel="x (px)", ylabel="y (px)")
        grid = np.linspace(-half, half, stamp.shape[0])
        radius = np.hypot(grid[None, :], grid[:, None])
        right.semilogy(radius.ravel(), np.clip(stamp.ravel() / peak, 1e-6, None), ".", ms=2, color=BLUE)
        if fwhm_px:
            right.axvline(fwhm_px / 2, color=RED, ls="--", label=f"FWHM / 2 = {fwhm_px / 2:.2f} px")
            right.legend()
        right.yaxis.set_minor_locator(NullLocator())
        right.set(title="Profile", xlabel="radius (px)", ylabel="PSF / peak", ylim=(1e-5, 1.5), xlim=(0, half))
        self._save("psf", figure, {"stamp": stamp, "oversampling": oversampling, "fwhm_px": fwhm_px, "stars": stars})

    def curve_of_growth(self, points: Sequence[tuple[float, float]], stamp: Array, *, fwhm_px: float) -> None:
        """Share of the light within a radius: the PSF model's, and the medians of stars in the apertures."""
        figure = self._new((7.0, 4.5))
        axes = figure.add_subplot()
        half = stamp.shape[0] // 2
        y, x = np.mgrid[-half : half + 1, -half : half + 1]
        distance = np.hypot(x, y).ravel()
        order = np.argsort(distance, kind="stable")
        within = np.cumsum(stamp.ravel()[order])
        axes.plot(distance[order], within, color=BLUE, label="PSF model, sum of whole pixels")
        radius, ratio = np.array(points).T
        axes.plot(radius, ratio, "o", color=RED, label="stars: aperture / profile flux, median")
        axes.axhline(1, color="k", lw=0.8)
        axes.axvline(fwhm_px, color=GREY, ls=":", label=f"FWHM {fwhm_px:.2f} px")
        axes.set(title="Curve of growth", xlabel="radius (px)", ylabel="share of the profile flux", xlim=(0, half))
        axes.set_ylim(0, 1.1)
        axes.legend(loc="lower right")
        data = {"radius_px": radius, "ratio": ratio, "model_radius_px": distance[order], "model_ratio": within}
        self._save("curve_of_growth", figure, data | {"fwhm_px": fwhm_px})

    def residual(self, values: Array, rms: float) -> None:
        """The frame without its sources, in units of the noise."""
        small, step = reduced(values)
        figure = self._new(_size(values.shape, bar=True))
        axes = figure.add_subplot()
        extent = (-0.5, small.shape[1] * step - 0.5, -0.5, small.shape[0] * step - 0.5)
        scale = rms / step
        picture = axes.imshow(small / scale, origin="lower", cmap="RdBu_r", vmin=-5, vmax=5, extent=extent)
        figure.colorbar(picture, ax=axes, label="noise (sigma of the shown pixels)", shrink=0.85)
        axes.set(title="Frame minus models", xlabel="x (px)", ylabel="y (px)")
        coarse, block = reduced(values, COARSE_PX)
        data_product = {
            "values": coarse,
            "block_px": block,
            "unit": "electron / px",
            "rms_e": rms,
            "clipped_at_sigma": 5,
        }
        self._save("residual", figure, data_product)

    def zero_point(self, calibrators: Mapping[str, Array], *, report: Mapping[str, Any]) -> None:
        """Residuals against magnitude and colour, with binned medians; rejected stars are shown, not hidden."""
        colours = bool(np.isfinite(calibrators["color_ref"]).any())
        figure = self._new((10.0 if colours else 6.0, 4.4), top_in=0.6, between_in=0.3)
        axes = figure.subplots(1, 2 if colours else 1, sharey=True, squeeze=False)[0]
        used = calibrators["used"].astype(bool)
        residual = calibrators["residual_mag"]
        width = max(5 * float(report.get("rms") or 0.02), 0.05)
        names = (("mag_ref", f"{report.get('band')} (mag)"), ("color_ref", f"{report.get('color') or 'colour'} (mag)"))
        for panel, (column, label) in zip(axes, names, strict=False):
            value = calibrators[column]
            panel.plot(
                value[~used],
                np.clip(residual[~used], -width, width),
                "x",
                ms=4,
                color=GREY,
                alpha=0.6,
                label="not used",
            )
            error = calibrators["mag_inst_err"][used]
            panel.errorbar(
                value[used], residual[used], error, fmt=".", ms=4, color=BLUE, alpha=0.6, elinewidth=0.6, label="used"
            )
            centre, middle, spread = binned(value[used], residual[used])
            panel.errorbar(centre, middle, spread, fmt="o-", color=ORANGE, ms=5, label="median of a bin")
            panel.axhline(0, color="k", lw=0.8)
            panel.set(xlabel=label, ylim=(-width, width))
        axes[0].set_ylabel("reference - calibrated (mag)")
        axes[0].legend(fontsize=8)
        zero, error = report.get("value"), report.get("error")
        title = (
            f"Zero point {zero:.4f} ± {error:.4f} mag, {int(used.sum())} stars, rms {report.get('rms', 0):.4f}"
            if zero is not None
            else "No zero point"
        )
        figure.suptitle(title)
        columns = ("mag_ref", "color_ref", "residual_mag", "mag_inst_err", "used", "x", "y")
        self._save("zero_point", figure, {name: calibrators[name] for name in columns} | {"report": dict(report)})

    def extinction(self, result: Mapping[str, Any]) -> None:
        """Zero points of the frames of a series against airmass with the line fitted, and what is left."""
        frames = [frame for frame in result["frames"] if frame["used"]]
        airmass, zero, offset, error = (
            np.array([frame[name] for frame in frames])
            for name in ("airmass", "zero_point_mag", "offset_mag", "offset_err_mag")
        )
        figure = self._new((7.0, 6.0))
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        line = np.array([airmass.min(), airmass.max()])
        label = f"k = {result['k_mag']:.4f} ± {result['k_err_mag']:.4f} mag per airmass"
        upper.plot(line, result["zero_point_mag"] - result["k_mag"] * line, color=ORANGE, lw=2, label=label)
        upper.errorbar(airmass, zero, error, fmt="o", ms=5, color=BLUE, label=f"{len(frames)} frames")
        upper.set(title=f"Extinction in {result['band']}", ylabel="zero point (mag)")
        upper.legend()
        lower.errorbar(airmass, 1000 * offset, 1000 * error, fmt="o", ms=5, color=BLUE)
        lower.axhline(0, color=ORANGE, lw=2)
        lower.set(xlabel="airmass", ylabel="frame - line (mmag)")
        self._save("extinction", figure, result)

    def _new(self, size: tuple[float, float], *, top_in: float = 0.45, between_in: float = 0.9) -> Figure:
        """An empty figure with margins in inches: a layout engine would draw everything twice."""
        figure = Figure(figsize=size, dpi=DPI)
        FigureCanvasAgg(figure)
        width, height = size
        figure.subplots_adjust(
            left=0.8 / width, right=1 - 0.25 / width, bottom=0.6 / height, top=1 - top_in / height,
            wspace=2 * between_in / (width - 1.05 - between_in),
        )  # fmt: skip
        return figure

    def _save(self, name: str, figure: Figure, data: Mapping[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        picture, product = self._folder / f"{name}.png", self._folder / f"{name}.json"
        canvas = figure.canvas
        assert isinstance(canvas, FigureCanvasAgg)  # noqa: S101
        for axes in figure.axes:
            axes.set_title(axes.get_title(), y=1.0)  # a place of its own spares measuring all labels above the axes
        canvas.draw()
        # a palette of 256 colours is a quarter of the size and a third of the work of true colour
        image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
        image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
            picture, compress_level=4, dpi=(DPI, DPI)
        )
        product.write_text(json.dumps(_plain(data), allow_nan=False), encoding="utf-8")
        self.files |= {picture.name: picture, product.name: product}


def binned(value: Array, residual: Array, bins: int = 8) -> tuple[Array, Array, Array]:
    """Centre, median and its error in bins of equal count."""
    good = np.isfinite(value) & np.isfinite(residual)
    order = np.argsort(value[good], kind="stable")
    parts = [part for part in np.array_split(order, min(bins, max(1, good.sum() // 5))) if len(part) >= 3]
    if not parts:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    x, y = value[good], residual[good]
    spread = [1.2533 * 1.4826 * np.median(np.abs(y[p] - np.median(y[p]))) / math.sqrt(len(p)) for p in parts]
    return np.array([np.median(x[p]) for p in parts]), np.array([np.median(y[p]) for p in parts]), np.array(spread)


def _size(shape: tuple[int, ...], *, bar: bool = False) -> tuple[float, float]:
    ny, nx = shape
    scale = 9.0 / max(nx, ny)
    return max(4.0, nx * scale) + (2.3 if bar else 1.05), max(3.0, ny * scale) + 1.05


def _plain(value: Any) -> Any:
    """JSON of arrays and numbers; what is not finite becomes null, floats keep six digits."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
