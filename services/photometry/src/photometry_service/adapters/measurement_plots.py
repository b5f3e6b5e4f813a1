"""Plots of ``measure``: the frame with its sources, maps, widths, PSF, curve of growth and what is left.

Images are reduced before they are drawn: nobody sees more pixels than the picture has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.collections import EllipseCollection
from numpy.typing import NDArray

from astro_shared.science.robust_statistics import mad_std
from photometry_service.adapters.image_panel import ImagePanel, Picture, reduced
from photometry_service.adapters.plot_folder import BLUE, GREY, ORANGE, RED, SKY, PlotFolder, new_figure
from photometry_service.algorithms.background import Background

Array = NDArray[Any]

COARSE_PX, MAP_PX = 128, 64  # longer side of images and maps in data products
MOST_SHOWN = 3000
MOST_COVERED = 0.25
"""Share of the picture that rings may cover, or the stars in them are not seen."""
SATURATED = 0b100
ELECTRONS = "electron / px"
RESIDUAL_SIGMA = 5.0
TITLE_LENGTH = 60


def zscale(image: Array, contrast: float = 0.25, samples: int = 10_000) -> tuple[float, float]:
    """Limits of the IRAF zscale kind: a line through the sorted sample, flattened by ``contrast``."""
    values = np.sort(image[np.isfinite(image)][:: max(1, image.size // samples)])
    if len(values) < 5:
        return 0.0, 1.0
    middle = len(values) // 2
    rank = np.arange(len(values)) - middle
    good = np.abs(values - values[middle]) < 3 * mad_std(values, values[middle]) + 1e-30
    slope = np.polyfit(rank[good], values[good], 1)[0] / contrast if good.sum() > 2 else 0.0
    low, high = values[middle] - middle * slope, values[middle] + (len(values) - middle) * slope
    low, high = max(low, values[0]), min(high, values[-1])
    return _apart(float(low), float(high)) if high > low else _apart(float(values[0]), float(values[-1]))


def _apart(low: float, high: float) -> tuple[float, float]:
    """Limits between which a colour scale can be drawn."""
    return low, max(high, low + max(1e-6 * abs(low), 1e-30))


def draw_image(plots: PlotFolder, data: Array, x: Array, y: Array, flags: Array, fwhm_px: float, *, title: str) -> None:
    """The frame with its sources, rows upwards."""
    small, step = reduced(data)
    low, high = zscale(small)
    panel = ImagePanel(data.shape, small.shape, bar=False, colored=True)
    axes = panel.axes
    kept = slice(0, MOST_SHOWN)
    ring_px = max(3.0 * fwhm_px, 8.0 * step)
    shown = slice(0, min(MOST_SHOWN, round(MOST_COVERED * data.size / (np.pi * (0.5 * ring_px) ** 2))))
    doubtful = (flags[shown] & SATURATED) != 0
    for mask, color, size, line, word in (
        (~doubtful, SKY, ring_px, 0.8, "measured"), (doubtful, ORANGE, 2 * ring_px, 1.6, "saturated")
    ):  # fmt: skip
        if mask.any():
            places = np.column_stack([x[shown][mask], y[shown][mask]])
            width = np.full(len(places), size)
            look = {"facecolors": "none", "edgecolors": color, "linewidths": line}
            rings = EllipseCollection(
                width, width, np.zeros(len(places)), units="xy", offsets=places, transOffset=axes.transData, **look
            )
            axes.add_collection(rings)
            axes.plot([], [], "o", mfc="none", mec=color, label=f"{word}: {int(mask.sum())}")
    if len(x):
        axes.legend(loc="upper right", fontsize=8)
    more = f" (the brightest {shown.stop} shown)" if len(x) > shown.stop else ""
    name = title if len(title) <= TITLE_LENGTH else f"{title[: TITLE_LENGTH - 1]}…"
    picture = panel.draw(Picture(small, low, high, "gray"), title=f"{name}: {len(x)} sources{more}")
    coarse, block = reduced(small, COARSE_PX)
    values = {
        "x": x[kept], "y": y[kept], "flags": flags[kept], "zscale": [low, high], "unit": ELECTRONS,
        "values": coarse, "block_px": block * step,
    }  # fmt: skip
    plots.save("image", picture, values)


def draw_maps(plots: PlotFolder, background: Background, residual: Array, rms: float) -> None:
    """Background, its noise, and the frame without its sources in units of the noise."""
    small, step = reduced(residual)
    panel = ImagePanel(residual.shape, small.shape, bar=True)
    sky = background.coarser(step)
    for name, shown, words in (
        ("background", sky.level_map(), "Background"), ("background_rms", sky.rms_map(), "Background noise")
    ):  # fmt: skip
        low, high = (float(limit) for limit in np.nanpercentile(shown[::4, ::4], [0.5, 99.5]))
        median = float(np.nanmedian(shown[::4, ::4]))
        picture = Picture(shown, *_apart(low, high), "viridis")
        image = panel.draw(picture, title=f"{words}: median {median:.4g} {ELECTRONS}", unit=ELECTRONS)
        coarse, block = reduced(shown, MAP_PX)
        data = {"values": coarse, "block_px": block * step, "unit": ELECTRONS, "median": median}
        plots.save(name, image, data)
    scaled = Picture(small * np.float32(step / rms), -RESIDUAL_SIGMA, RESIDUAL_SIGMA, "RdBu_r")
    image = panel.draw(scaled, title="Frame minus background and sources", unit="sigma of the shown pixels")
    coarse, block = reduced(small, COARSE_PX)
    data = {
        "values": coarse,
        "block_px": block * step,
        "unit": ELECTRONS,
        "rms_e": rms,
        "clipped_at_sigma": RESIDUAL_SIGMA,
    }
    plots.save("residual", image, data)


def draw_fwhm(plots: PlotFolder, widths_px: Array, *, marginal_px: float | None, psf_px: float | None) -> None:
    """Histogram of the stars' widths with the two figures that summarise it."""
    figure = new_figure((7.0, 4.5))
    axes = figure.add_subplot()
    good = widths_px[np.isfinite(widths_px)]
    if len(good):
        low, high = np.quantile(good, [0.01, 0.99])
        edges = np.linspace(0.9 * min(low, psf_px or low), 1.1 * max(high, psf_px or high), 41)
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
        axes.legend(loc="upper right")
    plots.save("fwhm", figure, {"fwhm_px": good, "fwhm_marginal_px": marginal_px, "fwhm_psf_px": psf_px})


def draw_psf(plots: PlotFolder, stamp: Array, residual: Array, stars: int, *, fwhm_px: float | None, kind: str) -> None:
    """The PSF at the centre of the frame, its radial profile, and what it leaves of the stars.

    ``residual`` is the median over bright stars of data minus model, as a share of the model's peak.
    """
    figure = new_figure((13.0, 4.0))
    left, middle, right, bar = (
        figure.add_axes((start / 13.0, 0.6 / 4.0, wide / 13.0, 2.95 / 4.0))
        for start, wide in ((0.85, 2.95), (4.75, 3.3), (8.95, 2.95), (12.0, 0.15))
    )
    peak = float(np.nanmax(stamp)) or 1.0
    half = (stamp.shape[0] - 1) / 2
    edge = half + 0.5
    extent = (-edge, edge, -edge, edge)
    log = np.log10(np.clip(stamp / peak, 1e-4, None))
    # the profile beside it explains the colours
    left.imshow(log, origin="lower", cmap="magma", extent=extent, interpolation="nearest", vmin=-4, vmax=0)
    left.set(title=f"log10 (PSF / peak), {kind.replace('_', ' ')} of {stars} stars", xlabel="x (px)", ylabel="y (px)")
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    radius = np.hypot(x, y).ravel()
    middle.plot(radius, np.log10(np.clip(stamp.ravel() / peak, 1e-6, None)), ".", ms=3, color=BLUE)
    if fwhm_px:
        middle.axvline(fwhm_px / 2, color=RED, ls="--", label=f"FWHM / 2 = {fwhm_px / 2:.2f} px")
        middle.legend(loc="upper right")
    middle.set(title="Profile", xlabel="radius (px)", ylabel="log10 (PSF / peak)", ylim=(-5, 0.2), xlim=(0, half))
    known = residual[np.isfinite(residual)]
    limit = max(0.5, 100 * float(np.abs(known).max())) if known.size else 0.5
    look: Any = {"origin": "lower", "cmap": "RdBu_r", "interpolation": "nearest", "vmin": -limit, "vmax": limit}
    right.imshow(100 * residual, extent=extent, **look)
    if not known.size:
        right.text(0.5, 0.5, "too few bright, clean stars", transform=right.transAxes, ha="center")
    ramp = np.linspace(-limit, limit, 256)[:, None]
    bar.imshow(ramp, extent=(0, 1, -limit, limit), aspect="auto", **look)
    bar.set(xticks=[], ylabel="% of the peak")
    bar.yaxis.tick_right()
    right.set(title="Stars minus model, median", xlabel="x (px)", ylabel="y (px)")
    plots.save("psf", figure, {"stamp": stamp, "residual": residual, "fwhm_px": fwhm_px, "stars": stars, "kind": kind})


def draw_curve_of_growth(
    plots: PlotFolder, points: Sequence[tuple[float, float]], stamp: Array, *, fwhm_px: float
) -> None:
    """Share of the light within a radius: the PSF model's, and the medians of stars in the apertures."""
    figure = new_figure((7.0, 4.5))
    axes = figure.add_subplot()
    half = stamp.shape[0] // 2
    model_radius, model = _growth(stamp)
    axes.plot(model_radius, model, color=BLUE, label="PSF model")
    radius, ratio = np.array(points).T
    axes.plot(radius, ratio, "o", color=RED, label="stars: aperture / profile flux, median")
    axes.axhline(1, color="k", lw=0.8)
    axes.axvline(fwhm_px, color=GREY, ls=":", label=f"FWHM {fwhm_px:.2f} px")
    axes.set(title="Curve of growth", xlabel="radius (px)", ylabel="share of the profile flux", xlim=(0, half))
    axes.set_ylim(0, 1.1)
    axes.legend(loc="lower right")
    data = {
        "radius_px": radius, "ratio": ratio, "model_radius_px": model_radius, "model_ratio": model, "fwhm_px": fwhm_px,
    }  # fmt: skip
    plots.save("curve_of_growth", figure, data)


def _growth(stamp: Array, parts: int = 5, radii: int = 161) -> tuple[Array, Array]:
    """Radii and the sum of a stamp within them, each pixel cut into ``parts`` x ``parts``."""
    half = stamp.shape[0] // 2
    fine = np.repeat(np.repeat(stamp / parts**2, parts, axis=0), parts, axis=1)
    place = (np.arange(len(fine)) + 0.5) / parts - stamp.shape[0] / 2
    distance = np.hypot(place[:, None], place[None, :]).ravel()
    radius = np.linspace(0, half, radii)
    within, _ = np.histogram(distance, np.append(radius, np.inf), weights=fine.ravel())
    return radius, np.concatenate([[0.0], np.cumsum(within)[:-1]])
