"""A folder of plots: each a PNG and, beside it, its data as JSON (`astro_shared.contracts.plots`).

The object interface of matplotlib is used, so that nothing global is touched.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel

from astro_shared.contracts.plots import PLOT_DATA
from photometry_service.adapters.image_panel import DPI
from photometry_service.adapters.light_axes import draw_lightly

BLUE, SKY, ORANGE, RED, GREY = "#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#555555"
"""Okabe and Ito's palette: told apart by colour-blind eyes."""
_DIGITS = 6


class PlotFolder:
    """Writes ``<name>.png`` and ``<name>.json`` into ``folder``.

    Attributes
    ----------
    files : what was written, by name
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.files: dict[str, Path] = {}

    def save(
        self, name: str, picture: Figure | Image.Image, data: BaseModel | Mapping[str, Any], *, true_color: bool = False
    ) -> None:
        """Write a plot and its data, which are those of the plot's schema; ``true_color`` keeps every shade."""
        image = rendered(picture) if isinstance(picture, Figure) else picture
        path, product = self._folder / f"{name}.png", self._folder / f"{name}.json"
        if image.mode != "P" and not true_color:
            # a palette of 256 colours is a quarter of the size and a third of the work of true colour
            image = image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        image.save(path, compress_level=1, dpi=(DPI, DPI))
        values = data.model_dump(mode="json") if isinstance(data, BaseModel) else data
        unknown = set(values) ^ set(PLOT_DATA[name].model_fields)
        if unknown:
            raise ValueError(f"the data of the plot {name} and its schema differ in {', '.join(sorted(unknown))}")
        product.write_text(json.dumps(plain(values), allow_nan=False), encoding="utf-8")
        self.files |= {path.name: path, product.name: product}


def new_figure(size: tuple[float, float], *, top_in: float = 0.45, between_in: float = 0.0) -> Figure:
    """An empty figure with margins in inches: a layout engine would draw everything twice."""
    figure = Figure(figsize=size, dpi=DPI)
    FigureCanvasAgg(figure)
    width, height = size
    figure.subplots_adjust(
        left=0.85 / width, right=1 - 0.25 / width, bottom=0.6 / height, top=1 - top_in / height,
        wspace=2 * between_in / (width - 1.1 - between_in),
    )  # fmt: skip
    return figure


def rendered(figure: Figure) -> Image.Image:
    """The figure's pixels."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)  # noqa: S101
    for axes in figure.axes:
        axes.set_title(axes.get_title(), y=1.0)  # a place of its own spares measuring all labels above the axes
        draw_lightly(axes)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])


def plain(value: Any) -> Any:
    """JSON of arrays and numbers; what is not finite becomes null, floats keep six digits."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _listed(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value


def _listed(values: NDArray[Any]) -> Any:
    if values.dtype.kind != "f":
        return values.tolist()
    wide = values.astype(np.float64)
    finite = np.isfinite(wide)
    size = np.abs(np.where(finite & (wide != 0), wide, 1.0))
    power = _DIGITS - 1 - np.floor(np.log10(size))
    # whole numbers times or over an exact power of ten are the nearest doubles, and print short
    up, down = 10.0 ** np.clip(power, 0, 22), 10.0 ** np.clip(-power, 0, 22)
    rounded = np.asarray(np.rint(np.where(finite, wide, 0.0) * up / down) * down / up)
    if finite.all():
        return rounded.tolist()
    mixed = rounded.astype(object)
    mixed[~finite] = None
    return mixed.tolist()
