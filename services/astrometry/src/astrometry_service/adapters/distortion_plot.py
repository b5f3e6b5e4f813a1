"""A picture of the distortion: how far a solution is from a linear one over the frame, with its data as JSON beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from astro_shared.science.tangent_plane import project
from astrometry_service.domain.solution import SkyTransform

__all__ = ["distortion_px", "distortion_title", "draw_distortion"]

Floats = NDArray[np.float64]
GRID = 25
ARROWS = 12
# Below this the map is linear for every purpose, and a picture of it would show rounding.
LINEAR_PX = 1e-3


def distortion_px(transform: SkyTransform, shape: tuple[int, int], *, grid: int = GRID) -> tuple[Floats, ...]:
    """Distortion on a grid: x, y (px) and the offsets dx, dy (px) from the best linear map; each (grid, grid)."""
    ny, nx = shape
    x, y = np.meshgrid(np.linspace(0, nx - 1, grid), np.linspace(0, ny - 1, grid))
    ra0, dec0 = transform.pixel_to_sky(np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2]))
    ra, dec = transform.pixel_to_sky(x.ravel(), y.ravel())
    plane = np.stack(project(ra, dec, ra0_deg=float(ra0[0]), dec0_deg=float(dec0[0])), axis=1)
    design = np.stack([np.ones(x.size), x.ravel() / nx, y.ravel() / ny], axis=1)
    real = np.isfinite(plane).all(axis=1)
    linear = np.linalg.lstsq(design[real], plane[real], rcond=None)[0]
    per_px = linear[1:].T / np.array([nx, ny])
    offset = np.linalg.solve(per_px, (plane - design @ linear).T)
    return x, y, offset[0].reshape(x.shape), offset[1].reshape(x.shape)


def distortion_title(largest_px: float) -> str:
    """What the picture shows, in words."""
    if largest_px < LINEAR_PX:
        return "The map is linear: there is no distortion to show"
    return f"Distortion against a linear map, at most {largest_px:.2g} px"


def draw_distortion(folder: Path, transform: SkyTransform, shape: tuple[int, int]) -> dict[str, Path]:
    """``distortion.png`` and ``distortion.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    x, y, dx, dy = distortion_px(transform, shape)
    size = np.hypot(dx, dy)
    figure = Figure(figsize=(6.4, 1.0 + 4.7 * min(max(shape[0] / shape[1], 0.4), 1.6)), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    largest = float(np.nanmax(size))
    if largest >= LINEAR_PX:
        drawn = axes.contourf(x, y, size, levels=12, cmap="viridis")
        figure.colorbar(drawn, ax=axes, label="px", fraction=0.035, pad=0.02)
        step = max(1, GRID // ARROWS)
        part = np.s_[::step, ::step]
        axes.quiver(x[part], y[part], dx[part], dy[part], color="w", angles="xy", width=0.003)
    axes.set(
        title=distortion_title(largest),
        xlim=(0, shape[1] - 1),
        ylim=(0, shape[0] - 1),
        xlabel="x (px)",
        ylabel="y (px)",
        aspect="equal",
    )
    picture, product = folder / "distortion.png", folder / "distortion.json"
    figure.savefig(picture, pil_kwargs={"compress_level": 4})
    data = {
        name: [float(f"{v:.6g}") if np.isfinite(v) else None for v in values.ravel().tolist()]
        for name, values in (("x", x), ("y", y), ("dx_px", dx), ("dy_px", dy))
    }
    product.write_text(json.dumps(data, allow_nan=False), encoding="utf-8")
    return {"distortion.png": picture, "distortion.json": product}
