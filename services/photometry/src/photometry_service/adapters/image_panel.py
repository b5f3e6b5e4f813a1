"""Images with axes around them, pixel for pixel.

matplotlib draws axes, labels and marks on a transparent canvas; the picture's own pixels are put underneath. That spares
resampling every picture, which would cost more than all the rest, and keeps each pixel what it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from photometry_service.adapters.light_axes import draw_lightly

Array = NDArray[Any]
Pixels = NDArray[np.uint8]

DPI = 100
SIDE_PX = 900
LEVELS, GREYS = 216, 40
_LEFT, _RIGHT, _BOTTOM, _TOP = 80, 30, 60, 45  # margins, px
_GAP, _BAR, _BAR_LABELS = 18, 22, 75
_LEAST_WIDTH = 480


def reduced(image: Array, side: int = SIDE_PX) -> tuple[NDArray[np.float32], int]:
    """Block means of an image so that its longer side is at most ``side``; and the block size. NaN are left out of means."""
    step = max(1, math.ceil(max(image.shape) / side))
    if step == 1:
        return np.asarray(image, np.float32), 1
    ny, nx = (max(1, n // step) for n in image.shape)
    tall, wide = (min(step, n) for n in image.shape)
    cut = image[: ny * tall, : nx * wide]
    means = cut.reshape(ny, tall, -1).sum(axis=1, dtype=np.float32).reshape(ny, nx, wide).sum(axis=2)
    means /= np.float32(tall * wide)
    if not np.isfinite(means).all():
        blocks = cut.reshape(ny, tall, nx, wide).swapaxes(1, 2).reshape(ny, nx, -1)
        good = np.isfinite(blocks)
        with np.errstate(invalid="ignore"):
            means = (np.where(good, blocks, 0).sum(axis=2) / good.sum(axis=2)).astype(np.float32)
    return means, step


@dataclass(frozen=True, eq=False)
class Picture:
    """An image to be shown: values, their colours and limits.

    Attributes
    ----------
    values : (my, mx), row 0 at the bottom; NaN is shown grey
    low, high : shown in the first and last colour
    cmap : name of a colour map of matplotlib
    """

    values: NDArray[np.float32]
    low: float
    high: float
    cmap: str

    def levels(self, zoom: int) -> Pixels:
        """(zoom my, zoom mx), indices into `palette`, row 0 at the top."""
        scale = (LEVELS - 1) / ((self.high - self.low) or 1.0)
        with np.errstate(invalid="ignore"):
            level = np.clip((self.values - np.float32(self.low)) * np.float32(scale), 0, LEVELS - 1)
        known = np.isfinite(level)
        index = np.where(known, level, 0).astype(np.uint8)
        if not known.all():
            index[~known] = LEVELS + GREYS // 2
        return np.repeat(np.repeat(index[::-1], zoom, axis=0), zoom, axis=1)


def palette(cmap: str) -> Pixels:
    """(256, 3): the colours of a map, then greys from black to white for axes and letters."""
    colors = mpl.colormaps[cmap](np.linspace(0, 1, LEVELS), bytes=True)[:, :3]
    greys = np.linspace(0, 255, GREYS).astype(np.uint8)[:, None].repeat(3, axis=1)
    return np.concatenate([colors, greys])


class ImagePanel:
    """Axes for images of one frame, drawn once and used for several pictures.

    Parameters
    ----------
    frame_shape : (ny, nx) of the frame, px: what the axes count
    picture_shape : (my, mx) of the pictures
    bar : with a bar that explains the colours
    colored : marks in other colours than black and grey are drawn on it
    """

    def __init__(
        self, frame_shape: tuple[int, ...], picture_shape: tuple[int, ...], *, bar: bool, colored: bool = False
    ) -> None:
        my, mx = picture_shape
        self._colored = colored
        self._zoom = max(1, SIDE_PX // max(my, mx))
        self._high, self._wide = my * self._zoom, mx * self._zoom
        right = _RIGHT + (_GAP + _BAR + _BAR_LABELS if bar else 0)
        width, height = max(_LEAST_WIDTH, _LEFT + self._wide + right), _BOTTOM + self._high + _TOP
        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="none")
        self._canvas = FigureCanvasAgg(self.figure)
        self._corner = (height - _BOTTOM - self._high, _LEFT)

        def place(left: float, wide: float) -> Axes:
            box = (left / width, _BOTTOM / height, wide / width, self._high / height)
            return self.figure.add_axes(box, facecolor="none")

        self.axes = place(_LEFT, self._wide)
        self._bar = place(_LEFT + self._wide + _GAP, _BAR) if bar else None
        ny, nx = frame_shape
        self.axes.set(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5), xlabel="x (px)", ylabel="y (px)")
        if self._bar is not None:
            self._bar.set_xticks([])
            self._bar.yaxis.tick_right()
            self._bar.yaxis.set_label_position("right")
        draw_lightly(self.axes)
        self._changing = [self.axes.title] + ([self._bar] if self._bar else [])
        self._fixed: Any = None

    def draw(self, picture: Picture, *, title: str, unit: str = "") -> Image.Image:
        """The figure with this picture; ``unit`` labels the bar.

        What is the same in all pictures is drawn with the first.
        """
        if self._fixed is None:
            for artist in self._changing:
                artist.set_animated(True)
            self._canvas.draw()
            self._fixed = self._canvas.copy_from_bbox(self.figure.bbox)
        self._canvas.restore_region(self._fixed)
        ticks: list[Artist] = []
        self.axes.set_title(title, y=1.0)  # a place of its own spares measuring all labels above the axes
        below = np.full(self._canvas.get_width_height()[::-1], LEVELS + GREYS - 1, np.uint8)
        top, left = self._corner
        below[top : top + self._high, left : left + self._wide] = picture.levels(self._zoom)
        if self._bar is not None:
            self._bar.set(ylim=(picture.low, picture.high), ylabel=unit)
            ticks = draw_lightly(self._bar)
            start = left + self._wide + _GAP
            ramp = np.linspace(LEVELS - 1, 0, self._high).astype(np.uint8)
            below[top : top + self._high, start : start + _BAR] = ramp[:, None]
        for artist in self._changing:
            self.figure.draw_artist(artist)
        for tick in ticks:
            tick.remove()
        drawn, colors = np.asarray(self._canvas.buffer_rgba()), palette(picture.cmap)
        if self._colored:
            return Image.fromarray(_over(drawn, colors[below]))
        image = Image.fromarray(_greys_over(drawn, below), mode="P")
        image.putpalette(colors.tobytes())
        return image


def _greys_over(drawn: Pixels, below: Pixels) -> Pixels:
    """Black and grey of a canvas with transparency, as on white, on top of indices."""
    rows, columns = np.nonzero(drawn[..., 3])
    pixels = drawn[rows, columns].astype(np.float32)
    grey = 255 - (255 - pixels[:, 0]) * pixels[:, 3] / 255
    below[rows, columns] = LEVELS + np.rint(grey * ((GREYS - 1) / 255)).astype(np.uint8)
    return below


def _over(drawn: Pixels, below: Pixels) -> Pixels:
    """A canvas with transparency on top of colours; few pixels of it are drawn on."""
    rows, columns = np.nonzero(drawn[..., 3])
    pixels = drawn[rows, columns]
    alpha = pixels[:, 3:].astype(np.float32) / 255
    below[rows, columns] = (pixels[:, :3] * alpha + below[rows, columns] * (1 - alpha) + 0.5).astype(np.uint8)
    return below
