"""Ticks and labels of axes made of few objects.

matplotlib gives every tick five objects and copies their looks one by one, which costs more than all else in a plot. Here the
ticks of an axis are the marks of one line, and its labels are texts at fixed places; they look as matplotlib's do.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.markers import TICKDOWN, TICKLEFT, TICKRIGHT, MarkerStyle
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import IdentityTransform
from numpy.typing import NDArray

TICKS = 5
TICK_PX, PAD_PX, LINE_PX = 5, 5, 15
"""As matplotlib's at 100 dpi: length of a tick, space before a text, height of a line of text."""
DIGIT_PX = 8.5
"""Width of a digit, with some room."""


def draw_lightly(axes: Axes) -> list[Artist]:
    """Put ticks, their numbers and the labels of both axes in place of matplotlib's; limits must not change any more."""
    for axis in (axes.xaxis, axes.yaxis):
        if isinstance(axis.get_major_locator(), MaxNLocator):  # not where the places are given
            axis.set_major_locator(MaxNLocator(TICKS, steps=[1, 2, 2.5, 5, 10]))
        axis.set_visible(False)
    artists = [*_below(axes), *_beside(axes)]
    for artist in artists:
        axes.add_artist(artist)
        artist.set(clip_on=False, transform=IdentityTransform())
    return artists


def _below(axes: Axes) -> list[Artist]:
    """Marks, label and numbers of the x axis, in pixels of the figure."""
    box, axis = axes.bbox, axes.xaxis
    values, words = _numbers(axis)
    x = axes.transData.transform(np.column_stack([values, np.zeros(len(values))]))[:, 0]
    marks = _marks(x, np.full(len(x), box.y0), TICKDOWN)
    y = box.y0 - TICK_PX - PAD_PX
    numbers: list[Text] = []
    if axis.get_tick_params()["labelbottom"]:
        numbers = [Text(place, y, word, ha="center", va="top") for place, word in zip(x, words, strict=True)]
        y -= LINE_PX + PAD_PX
        numbers.append(Text(box.x1, y, axis.get_major_formatter().get_offset(), ha="right", va="top"))
    return [marks, Text(0.5 * (box.x0 + box.x1), y, axis.get_label_text(), ha="center", va="top"), *numbers]


def _beside(axes: Axes) -> list[Artist]:
    """The same of the y axis, on its left or its right."""
    box, axis = axes.bbox, axes.yaxis
    values, words = _numbers(axis)
    y = axes.transData.transform(np.column_stack([np.zeros(len(values)), values]))[:, 1]
    right = axis.get_tick_params()["right"]
    edge, away, marker, side = (box.x1, 1, TICKRIGHT, "right") if right else (box.x0, -1, TICKLEFT, "left")
    marks = _marks(np.full(len(y), edge), y, marker)
    x = edge + away * (TICK_PX + PAD_PX)
    numbers: list[Text] = []
    if axis.get_tick_params()[f"label{side}"]:
        ha = "left" if right else "right"
        numbers = [Text(x, place, word, ha=ha, va="center_baseline") for place, word in zip(y, words, strict=True)]
        numbers.append(Text(box.x0, box.y1 + PAD_PX, axis.get_major_formatter().get_offset(), ha="left", va="bottom"))
        x += away * (PAD_PX + DIGIT_PX * max(map(len, words), default=0))
    middle = 0.5 * (box.y0 + box.y1)
    va: Literal["top", "bottom"] = "top" if right else "bottom"
    label = Text(x, middle, axis.get_label_text(), rotation="vertical", rotation_mode="anchor", ha="center", va=va)
    return [marks, label, *numbers]


def _numbers(axis: Axis) -> tuple[NDArray[np.float64], list[str]]:
    """Places of the ticks within the limits, and what stands there."""
    low, high = sorted(axis.get_view_interval())
    places = np.asarray(axis.get_majorticklocs(), float)
    values = places[(places >= low) & (places <= high)]
    return values, axis.get_major_formatter().format_ticks(values.tolist())


def _marks(x: NDArray[np.float64], y: NDArray[np.float64], marker: int) -> Line2D:
    return Line2D(x, y, marker=MarkerStyle(marker), linestyle="none", color="k", markersize=3.5, markeredgewidth=0.8)
