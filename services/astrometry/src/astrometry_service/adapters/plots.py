"""Pictures of a solution, each with its data as JSON beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

Array = NDArray[Any]
BLUE, ORANGE, RED, GREY = "#0072B2", "#E69F00", "#D55E00", "#777777"
GRID = 14
FEW_PAIRS = 200
MAGNITUDE_BINS, FEW_IN_BIN = 14, 5
SIGNIFICANT = 11.83


def draw_astrometry(
    folder: Path, pairs: Mapping[str, Array], report: Mapping[str, Any], shape: tuple[int, int]
) -> dict[str, Path]:
    """Residuals over the frame, against magnitude with the error model, and as a cloud; ``astrometry.png`` and ``.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    used = pairs["used"].astype(bool)
    figure = Figure(figsize=(13, 4.6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    field, cloud, magnitude = figure.subplots(1, 3)
    x, y, dx, dy = (pairs[name] for name in ("x", "y", "dxi_mas", "deta_mas"))
    weight = 1 / (pairs["xi_err_mas"] ** 2 + pairs["eta_err_mas"] ** 2)
    gx, gy, mx, my, count, total = _means(x[used], y[used], dx[used], dy[used], weight[used], shape)
    # two axes: one noise cell in 370 is drawn as if it were significant
    real = 2.0 * total * (mx**2 + my**2) > SIGNIFICANT
    arrows = field.quiver(gx, gy, mx, my, color=np.where(real, RED, "#c8d4dc"), angles="xy", width=0.004)
    length = _round_number(float(np.percentile(np.hypot(mx, my), 90)) if len(mx) else 1.0)
    field.quiverkey(arrows, 0.8, 1.035, length, f"{length:g} mas", labelpos="E")
    field.set_title(f"Mean residuals: {int(real.sum())} of {len(gx)} cells\nabove 3 sigma", loc="left", fontsize=10)
    field.set(xlabel="x (px)", ylabel="y (px)", aspect="equal",
              xlim=(0, shape[1]), ylim=(0, shape[0]))  # fmt: skip
    width = max(5 * float(report.get("rms_mas") or 10.0), 1e-3)
    cloud.plot(dx[~used], dy[~used], "x", ms=4, color=GREY, alpha=0.6, label=f"not used: {int((~used).sum())}")
    cloud.plot(dx[used], dy[used], ".", ms=3, color=BLUE, alpha=0.5, label=f"used: {int(used.sum())}")
    cloud.axhline(0, color="k", lw=0.6)
    cloud.axvline(0, color="k", lw=0.6)
    cloud.set(title="Residuals", xlabel="d xi (mas, east)", ylabel="d eta (mas, north)", aspect="equal",
              xlim=(-width, width), ylim=(-width, width))  # fmt: skip
    cloud.legend(fontsize=8)
    _against_magnitude(magnitude, pairs, used, report)
    rms, error, bright = (report.get(name) for name in ("rms_mas", "solution_error_mas", "rms_bright_mas"))
    figure.suptitle(
        f"{report.get('state')}: {int(used.sum())} of {len(used)} pairs, rms {rms:.1f} mas per axis"
        + (f" ({bright:.1f} above S/N 100)" if bright else "")
        + (f", solution known to {error:.1f} mas" if error else "")
        + (f", degree {report['degree']}" if report.get("degree") else "")
        if rms
        else f"{report.get('state')}: {len(used)} pairs"
    )
    picture, product = folder / "astrometry.png", folder / "astrometry.json"
    figure.savefig(picture, pil_kwargs={"compress_level": 4})
    columns = ("x", "y", "dxi_mas", "deta_mas", "xi_err_mas", "eta_err_mas", "mag_ref", "used")
    means = {"x": gx, "y": gy, "dxi_mas": mx, "deta_mas": my, "count": count}
    data = {"pairs": {name: _plain(pairs[name]) for name in columns}, "means": {k: _plain(v) for k, v in means.items()}}
    product.write_text(json.dumps(data, allow_nan=False), encoding="utf-8")
    return {"astrometry.png": picture, "astrometry.json": product}


def _round_number(value: float) -> float:
    """1, 2 or 5 times a power of ten, at or below ``value``."""
    power = 10.0 ** np.floor(np.log10(max(value, 1e-3)))
    return float(max(step for step in (1, 2, 5) if step * power <= max(value, 1e-3)) * power)


def _against_magnitude(
    axes: Any, pairs: Mapping[str, Array], used: NDArray[np.bool_], report: Mapping[str, Any]
) -> None:
    mag = pairs["mag_ref"]
    size = np.hypot(pairs["dxi_mas"], pairs["deta_mas"]) / np.sqrt(2)
    model = np.sqrt((pairs["xi_err_mas"] ** 2 + pairs["eta_err_mas"] ** 2) / 2)
    good = used & np.isfinite(mag) & (size > 0)
    axes.semilogy(mag[good], size[good], ".", ms=3, color=BLUE, alpha=0.4, label="residual per axis")
    centre, seen, expected = _by_magnitude(mag[good], size[good], model[good])
    if len(centre):
        axes.semilogy(centre, seen, "o", color=ORANGE, label="scatter of a bin")
        axes.semilogy(centre, expected, "-", color=RED, lw=2, label="error model")
    sigma, limit = report.get("sigma_sys_mas"), report.get("sigma_sys_upper_mas")
    if limit is not None:
        axes.axhline(limit, color="k", lw=1, ls=":", label=f"systematic scatter below {limit:.1f} mas")
    elif sigma:
        axes.axhline(sigma, color="k", lw=1, ls="--", label=f"systematic scatter {sigma:.1f} mas")
    axes.set(title="Residual against magnitude", xlabel="reference magnitude", ylabel="mas per axis")
    if good.any():
        axes.legend(fontsize=8)


def _by_magnitude(mag: Array, size: Array, model: Array) -> tuple[Array, Array, Array]:
    """Middle magnitude, scatter of the residuals and their error, by medians, in bins of equal width with enough stars.

    The median of (dx^2 + dy^2) / 2 of a normal scatter is ln 2 times its variance per axis.
    """
    edges = np.linspace(mag.min(), mag.max() + 1e-6, MAGNITUDE_BINS + 1) if len(mag) else np.zeros(1)
    cell = np.digitize(mag, edges)
    parts = [part for part in (np.flatnonzero(cell == k) for k in range(1, len(edges))) if len(part) >= FEW_IN_BIN]
    rows = [
        (np.median(mag[p]), np.sqrt(np.median(size[p] ** 2) / np.log(2.0)), np.sqrt(np.median(model[p] ** 2)))
        for p in parts
    ]
    centre, seen, expected = np.array(rows).reshape(-1, 3).T
    return centre, seen, expected


def _means(
    x: Array, y: Array, dx: Array, dy: Array, weight: Array, shape: tuple[int, int]
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Weighted mean residual in cells of a grid with at least two pairs; with one where pairs are few."""
    ny, nx = shape
    side = max(nx, ny) / GRID
    columns, rows = max(1, round(nx / side)), max(1, round(ny / side))
    row = np.clip((y / ny * rows).astype(int), 0, rows - 1)
    cell = row * columns + np.clip((x / nx * columns).astype(int), 0, columns - 1)
    count = np.bincount(cell, minlength=rows * columns)
    good = np.flatnonzero(count >= (2 if len(x) > FEW_PAIRS else 1))
    total = np.bincount(cell, weight, rows * columns)[good]
    mean_x, mean_y = (np.bincount(cell, weight * values, rows * columns)[good] / total for values in (dx, dy))
    gx, gy = (good % columns + 0.5) * nx / columns, (good // columns + 0.5) * ny / rows
    return gx, gy, mean_x, mean_y, count[good], total


def _plain(values: Array) -> list[Any]:
    if values.dtype.kind == "f":
        return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values.tolist()]
    return list(values.tolist())
