"""The compiled kernels of the triangle matcher against plain numpy."""

import itertools
import math

import numpy as np
import pytest
from astrometry_service.algorithms.matching._triangles import TriangleSearch

from astrometry_service.algorithms.matching.star_grid import StarGrid
from astrometry_service.algorithms.matching.triangle_tables import image_triangles, shape_table


def plain_triangles(x, y, shortest, longest, thinnest):
    """Every triangle, by itertools: {(star opposite longest, middle, shortest side): (r1, r2, longest)}."""
    out = {}
    for corners in itertools.combinations(range(len(x)), 3):
        sides = []
        for vertex in corners:
            a, b = (c for c in corners if c != vertex)
            sides.append((math.hypot(x[a] - x[b], y[a] - y[b]), vertex))
        (long, p), (middle, q), (short, r) = sorted(sides, key=lambda s: -s[0])
        if shortest <= long <= longest and short >= thinnest * long:
            out[(p, q, r)] = (middle / long, short / long, long)
    return out


def plain_score(search, alpha, beta, parity, own, centre, size):
    """Log-odds of the quick check, star by star, all catalogue stars at once."""
    total, seen, inside = 0.0, 0, 0
    for s in range(len(search["x"])):
        if s in own:
            continue
        seen += 1
        place = alpha * complex(search["x"][s], parity * search["y"][s]) + beta
        if abs(place) > search["disc"]:
            if seen > 7 and inside < search["cover"] * seen:
                return -99.0
            continue
        inside += 1
        distance = math.hypot(search["x"][s] - centre[0], search["y"][s] - centre[1])
        sigma = 1.5 * (1 + 0.5 * distance / size) + 0.006 * max(distance - 0.5 * size, 0)
        sigma *= abs(alpha)
        r = np.hypot(search["u"] - place.real, search["v"] - place.imag).min()
        if r < 3 * sigma:
            rho = search["grid"].density_at(np.array([place.real]), np.array([place.imag]))[0]
            total += math.log(0.7 * math.exp(-0.5 * (r / sigma) ** 2) / (2 * math.pi * sigma**2 * rho) + 0.3)
        else:
            total += math.log(0.3)
        if total < -6.0:
            return total
    return total if inside >= 3 else -99.0


@pytest.fixture
def scene():
    """A catalogue and an image that is part of it, turned, mirrored and noisy; pixels everywhere."""
    rng = np.random.default_rng(11)
    u, v = rng.uniform(-1500, 1500, 240), rng.uniform(-1500, 1500, 240)
    place = (u + 1j * v - (200 - 300j)) * np.exp(0.7j)
    x, y = place.real, -place.imag
    inside = np.flatnonzero((abs(x) < 700) & (abs(y) < 500))[:30]
    return u, v, x[inside] + rng.normal(0, 0.5, inside.size), y[inside] + rng.normal(0, 0.5, inside.size)


def open_search(scene, **changes):
    u, v, x, y = scene
    values = {"low": 80.0, "high": 800.0, "passing": 6.0, "disc": 2000.0, "vertices": 20, "catalogue": 120, **changes}
    corners, shapes = image_triangles(x[: values["vertices"]], y[: values["vertices"]], 80.0, 800.0, 0.12)
    start, members = shape_table(shapes, 0.01, 100)
    grid = StarGrid.build(u, v)
    search = TriangleSearch(
        x, y, corners, shapes, start, members, 100, u, v, values["catalogue"], grid, low=values["low"] * 0.95,
        high=values["high"] * 1.05, thinnest=0.12, tolerance=0.01, scale_low=0.95, scale_high=1.05,
        disc_radius=values["disc"], cover=0.4, sigma=1.5, growth=0.006, unmatched=0.3, give_up=-6.0,
        passing=values["passing"], triangle_limit=10_000_000,
        work_int=np.empty(5000, np.int32), work_float=np.empty(500),
    )  # fmt: skip
    facts = {"x": x, "y": y, "u": u, "v": v, "grid": grid, "disc": values["disc"], "cover": 0.4}
    return search, corners, shapes, facts


def test_listed_triangles_are_those_of_the_plain_loop(scene):
    _, _, x, y = scene
    corners, shapes = image_triangles(x[:14], y[:14], 100.0, 600.0, 0.12)
    plain = plain_triangles(x[:14], y[:14], 100.0, 600.0, 0.12)
    assert {tuple(c): pytest.approx(tuple(s)) for c, s in zip(corners.tolist(), shapes.tolist(), strict=True)} == plain
    assert (np.diff(shapes[:, 2]) >= 0).all()


def test_table_cells_hold_every_triangle_within_the_tolerance(scene):
    _, _, x, y = scene
    _, shapes = image_triangles(x[:14], y[:14], 100.0, 600.0, 0.12)
    start, members = shape_table(shapes, 0.01, 100)
    for r1, r2 in np.random.default_rng(3).uniform(0.1, 1.0, (200, 2)):
        near = np.flatnonzero((abs(shapes[:, 0] - r1) < 0.01) & (abs(shapes[:, 1] - r2) < 0.01))
        cell = min(int(r1 * 100), 99) * 100 + min(int(r2 * 100), 99)
        assert set(near) <= set(members[start[cell] : start[cell + 1]])


def test_the_stream_makes_and_checks_what_the_plain_loops_do(scene):
    search, _corners, shapes, _ = open_search(scene, passing=1e9, catalogue=60)
    u, v, _, _ = scene
    while not search.exhausted:
        search.advance(np.empty((8, 9)), 10**9, 60)
    plain = plain_triangles(u[:60], v[:60], 80.0 * 0.95, 800.0 * 1.05, 0.12)
    sky = np.array(list(plain.values()))
    assert search.triangles == len(plain)
    scale = sky[:, None, 2] / shapes[None, :, 2]
    near = (abs(sky[:, None, :2] - shapes[None, :, :2]) <= 0.01).all(axis=2) & (scale >= 0.95) & (scale <= 1.05)
    assert search.checks == near.sum()


def test_quick_check_equals_the_plain_sum(scene):
    search, corners, shapes, facts = open_search(scene)
    rng = np.random.default_rng(5)
    turn = np.exp(-0.7j)
    for k in range(60):
        shift = 0 if k < 20 else complex(*rng.normal(0, 3 if k < 40 else 300, 2))
        alpha, beta = turn * (1 + 0.0005 * (k % 5)), 200 - 300j + shift
        alpha = np.conj(alpha) if k % 7 == 6 else alpha
        row = corners[k * 3]
        centre = facts["x"][row].mean(), facts["y"][row].mean()
        size = shapes[k * 3, 2]
        mine = search.score(alpha.real, alpha.imag, beta.real, beta.imag, -1.0, *row, *centre, size)
        assert mine == pytest.approx(plain_score(facts, alpha, beta, -1, set(row), centre, size), rel=1e-9)


def test_the_right_similarity_is_streamed_out(scene):
    search, *_ = open_search(scene)
    passed = np.empty((8, 9))
    found = 0
    while not found and not search.exhausted:
        found = search.advance(passed, 10**9, 120)
    best = passed[np.argmax(passed[:found, 5])]
    assert complex(best[0], best[1]) == pytest.approx(np.exp(-0.7j), abs=0.01)
    assert complex(best[2], best[3]) == pytest.approx(200 - 300j, abs=5.0)
    assert best[4] == -1.0 and best[5] == search.best_score


def test_work_arrays_that_are_too_small_are_refused(scene):
    u, v, x, y = scene
    corners, shapes = image_triangles(x, y, 80.0, 800.0, 0.12)
    start, members = shape_table(shapes, 0.01, 100)
    with pytest.raises(ValueError, match="too small"):
        TriangleSearch(
            x, y, corners, shapes, start, members, 100, u, v, 200, StarGrid.build(u, v), low=80.0, high=800.0,
            thinnest=0.12, tolerance=0.01, scale_low=0.9, scale_high=1.1, disc_radius=2000.0, cover=0.4, sigma=1.5,
            growth=0.006, unmatched=0.3, give_up=-6.0, passing=8.0, triangle_limit=1000,
            work_int=np.empty(10, np.int32), work_float=np.empty(10),
        )  # fmt: skip
