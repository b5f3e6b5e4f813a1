"""Ticks and labels drawn lightly are those that matplotlib would have drawn."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from photometry_service.adapters.light_axes import draw_lightly

LIMITS = [(0, 2048), (-0.5, 0.5), (1e-13, 4e-13), (25.0001, 25.0004), (1e6, 3e6), (5, -5)]


def new_axes() -> Axes:
    figure = Figure(figsize=(5, 4), dpi=100)
    FigureCanvasAgg(figure)
    return figure.add_axes((0.2, 0.2, 0.6, 0.6))


def words(artists: list) -> set[str]:
    return {artist.get_text() for artist in artists if isinstance(artist, Text)} - {""}


@pytest.mark.parametrize("limits", LIMITS)
def test_numbers_and_places_are_those_of_matplotlib(limits: tuple[float, float]) -> None:
    axes = new_axes()
    axes.set(xlim=limits, ylim=(7e9, 8e9), xlabel="x (px)", ylabel="y")
    artists = draw_lightly(axes)
    low, high = sorted(limits)
    wanted = {
        tick.get_text(): axes.transData.transform((value, 0))[0]
        for value, tick in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
        if low <= value <= high
    }
    assert len(wanted) >= 2
    drawn = {text.get_text(): text.get_position() for text in artists if isinstance(text, Text)}
    for word, place in wanted.items():
        assert drawn[word][0] == pytest.approx(place, abs=1e-6)
        assert drawn[word][1] < axes.bbox.y0
    assert {"x (px)", "y", axes.xaxis.get_major_formatter().get_offset()} - {""} <= words(artists)


def test_nothing_overlaps_and_all_is_on_the_figure() -> None:
    axes = new_axes()
    axes.set(xlim=(0, 10000), ylim=(-12345.5, 12345.5), xlabel="a label", ylabel="another label")
    artists = [artist for artist in draw_lightly(axes) if isinstance(artist, Text) and artist.get_text()]
    axes.figure.canvas.draw()
    boxes = [artist.get_window_extent() for artist in artists]
    for n, box in enumerate(boxes):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= 500 and box.y1 <= 400
        assert not any(box.overlaps(other) for other in boxes[n + 1 :])
        assert not box.overlaps(axes.bbox)


def test_shared_axes_and_axes_without_ticks_keep_quiet() -> None:
    figure = Figure()
    FigureCanvasAgg(figure)
    first, second = figure.subplots(1, 2, sharey=True)
    first.set(ylim=(0, 7), ylabel="shared")
    second.set(xticks=[], xlabel="no numbers")
    assert {"2", "4", "6", "shared"} <= words(draw_lightly(first))
    assert words(draw_lightly(second)) == {"no numbers"}


def test_what_was_drawn_can_be_taken_off_again() -> None:
    axes = new_axes()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.xaxis.set_visible(False)
    axes.yaxis.set_visible(False)
    axes.figure.canvas.draw()
    before = np.asarray(axes.figure.canvas.buffer_rgba()).copy()
    for artist in draw_lightly(axes):
        artist.remove()
    axes.figure.canvas.draw()
    np.testing.assert_array_equal(np.asarray(axes.figure.canvas.buffer_rgba()), before)
