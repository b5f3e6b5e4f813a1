import numpy as np
import pytest

from astro_shared.science.healpix_cells import (
    ancestors,
    cells_of_cone,
    cells_of_outline,
    cells_of_positions,
    order_for_size,
)


def test_ancestors_hold_the_position_at_every_order() -> None:
    for order, cell in ancestors(359.999, -89.9, 12):
        assert cell == cells_of_positions(359.999, -89.9, order)[0]


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (123.0, 88.0)])
def test_outline_and_cone_cover_the_positions_inside(ra: float, dec: float) -> None:
    half = 0.5
    stretch = np.cos(np.radians(dec))
    corners = np.array([(ra + sx * half / stretch, dec + sy * half) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
    corners[:, 0] %= 360.0
    stored = set(cells_of_outline(corners, 10))
    cone = set(cells_of_cone(ra, dec, 0.4, 10))
    rng = np.random.default_rng(4)
    for dx, dy in rng.uniform(-0.25, 0.25, (50, 2)):
        keys = set(ancestors((ra + dx / stretch) % 360.0, dec + dy, 10))
        assert keys & stored and keys & cone
    assert not set(ancestors((ra + 180.0) % 360.0, -dec, 10)) & stored


def test_order_follows_the_size() -> None:
    assert order_for_size(1.0) == 9 and order_for_size(60.0) == 3 and order_for_size(1e-12) == 29
