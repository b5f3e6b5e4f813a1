"""Solving with nothing known: the index of patterns, its kernels, and the search."""

import itertools

import numpy as np
import pytest
from astrometry_service.algorithms.matching._quads import quad_code

from astro_shared.science.tangent_plane import project
from astrometry_service.adapters.sky_index_store import SkyIndexStore
from astrometry_service.algorithms.matching.all_sky_search import AllSkyOptions, search_all_sky, spread_evenly
from astrometry_service.algorithms.matching.pointing_search import ScaleRange
from astrometry_service.algorithms.matching.sky_index import IndexOptions, build_sky_index
from astrometry_service.algorithms.matching.sky_lookup import sky_cone
from astrometry_service.algorithms.matching.tangent_plane import angular_distance_deg
from astrometry_service.domain.solving import NoMatch, StartMatch
from astrometry_service.domain.star_lists import SkyMap, StarList

SHAPE = (1500, 2000)
SCALE = 10.0 / 2000  # a field of 10 degrees
ANY_SCALE = ScaleRange(0.1 / 2000, 60.0 / 2000)
OPTIONS = IndexOptions(smallest_deg=2.0, levels=2)


@pytest.fixture(scope="module")
def index():
    rng = np.random.default_rng(1)
    n = 30_000
    sky = SkyMap.from_columns(
        rng.uniform(0, 360, n),
        np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
        9 + 2.5 * np.log10(rng.uniform(1e-4, 1, n)),
    )
    return build_sky_index(sky, OPTIONS)


def frame(index, ra, dec, *, seed=1, parity=-1, rotation=0.8, scale=SCALE, spurious=0.1):
    """Detections of a frame centred there: noise, magnitude scatter, a tenth lost and a tenth false."""
    rng = np.random.default_rng(seed)
    stars = sky_cone(index.sky, ra, dec, 0.7 * np.hypot(*SHAPE) * scale)
    xi, eta = project(stars.ra_deg, stars.dec_deg, ra0_deg=ra, dec0_deg=dec)
    place = (xi + 1j * eta) / scale * np.exp(-1j * rotation)
    x, y = 999.5 + parity * place.real, 749.5 + place.imag
    on = np.flatnonzero((x > 0) & (x < SHAPE[1]) & (y > 0) & (y < SHAPE[0]) & (rng.random(x.size) > 0.1))
    false = int(spurious * on.size)
    mag = stars.mag[on] + rng.normal(0, 0.2, on.size)
    return StarList.from_columns(
        np.r_[x[on] + rng.normal(0, 0.3, on.size), rng.uniform(0, SHAPE[1], false)],
        np.r_[y[on] + rng.normal(0, 0.3, on.size), rng.uniform(0, SHAPE[0], false)],
        10 ** (-0.4 * np.r_[mag, rng.choice(mag, false)]),
    )


@pytest.mark.parametrize("parity", [-1, 1])
@pytest.mark.parametrize(
    ("ra", "dec"), [(83.0, -5.0), (0.0, 0.0), (359.9, 45.0), (10.0, 89.0), (200.0, -90.0)],
    ids=["orion", "0h", "0h north", "north pole", "south pole"],
)  # fmt: skip
def test_a_field_of_which_nothing_is_known_is_found(index, ra, dec, parity):
    match = search_all_sky(frame(index, ra, dec, parity=parity), index, shape=SHAPE, scale=ANY_SCALE)
    assert isinstance(match, StartMatch), match
    assert angular_distance_deg(*match.plane.pixel_to_sky(999.5, 749.5), ra, dec) < SCALE
    assert match.plane.scale_arcsec == pytest.approx(3600 * SCALE, rel=2e-3)
    assert match.plane.parity == parity and match.log_odds > 25


def test_pairs_count_in_the_lists_as_given(index):
    stars = frame(index, 83.0, -5.0)
    match = search_all_sky(stars, index, shape=SHAPE, scale=ANY_SCALE)
    inverse = np.argsort(stars.origin)
    ra, dec = match.plane.pixel_to_sky(stars.x[inverse][match.pairs[:, 0]], stars.y[inverse][match.pairs[:, 0]])
    apart = angular_distance_deg(ra, dec, index.sky.ra_deg[match.pairs[:, 1]], index.sky.dec_deg[match.pairs[:, 1]])
    assert len(match.pairs) > 30 and np.median(apart) < SCALE


def test_a_known_scale_costs_fewer_hypotheses(index):
    stars = frame(index, 150.0, 30.0, seed=3)
    free = search_all_sky(stars, index, shape=SHAPE, scale=ANY_SCALE)
    known = search_all_sky(stars, index, shape=SHAPE, scale=ScaleRange(SCALE / 1.02, SCALE * 1.02))
    assert known.hypotheses < free.hypotheses


def test_a_wrong_scale_range_finds_nothing(index):
    match = search_all_sky(frame(index, 150.0, 30.0), index, shape=SHAPE, scale=ScaleRange(SCALE * 1.2, SCALE * 1.4))
    assert isinstance(match, NoMatch)


def test_nine_of_ten_random_fields_are_found(index):
    found = 0
    for seed in range(20):
        rng = np.random.default_rng([seed, 7])
        ra, dec = rng.uniform(0, 360), np.degrees(np.arcsin(rng.uniform(-1, 1)))
        scale = SCALE * rng.uniform(0.7, 1.5)
        stars = frame(index, ra, dec, seed=seed, rotation=rng.uniform(0, 6), parity=rng.choice([-1, 1]), scale=scale)
        match = search_all_sky(stars, index, shape=SHAPE, scale=ANY_SCALE)
        if isinstance(match, StartMatch):
            assert angular_distance_deg(*match.plane.pixel_to_sky(999.5, 749.5), ra, dec) < 2 * scale
            found += 1
    assert found >= 18


def test_random_lists_are_refused(index):
    for seed in range(10):
        rng = np.random.default_rng([seed, 8])
        stars = StarList.from_columns(rng.uniform(0, 2000, 150), rng.uniform(0, 1500, 150), rng.uniform(1, 2, 150))
        match = search_all_sky(stars, index, shape=SHAPE, scale=ANY_SCALE)
        assert isinstance(match, NoMatch) and match.hypotheses > 100


def test_few_stars_and_limits_are_told(index):
    stars = frame(index, 83.0, -5.0)
    few = search_all_sky(stars.brightest(5), index, shape=SHAPE, scale=ANY_SCALE)
    assert few.reasons == ("5 image stars, need 6",)
    rng = np.random.default_rng(3)
    noise = StarList.from_columns(rng.uniform(0, 2000, 90), rng.uniform(0, 1500, 90), rng.uniform(1, 2, 90))
    stopped = search_all_sky(noise, index, shape=SHAPE, scale=ANY_SCALE, should_stop=lambda: True)
    assert stopped.stopped and "time limit" in stopped.reasons[-1]
    spent = search_all_sky(noise, index, shape=SHAPE, scale=ANY_SCALE, options=AllSkyOptions(budget=100))
    assert spent.stopped and "budget" in spent.reasons[-1] and spent.hypotheses < 20_000


def plain_code(points):
    """The code of four points in complex numbers."""
    a, b = max(itertools.combinations(range(4), 2), key=lambda p: abs(points[p[0]] - points[p[1]]))
    c, d = (k for k in range(4) if k not in (a, b))

    def place(k, origin, end):
        return (points[k] - points[origin]) / (points[end] - points[origin])

    if any(abs(place(k, a, b) - 0.5) > 0.5 for k in (c, d)):
        return None
    if place(c, a, b).real + place(d, a, b).real > 1:
        a, b = b, a
    if place(c, a, b).real > place(d, a, b).real:
        c, d = d, c
    return [a, b, c, d], [f(place(k, a, b)) for k in (c, d) for f in (np.real, lambda z: z.imag + 0.5)]


def test_codes_equal_the_plain_ones_and_survive_turning_and_scaling():
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(300):
        points = rng.normal(size=4) + 1j * rng.normal(size=4)
        mine, plain = quad_code(points.real.copy(), points.imag.copy()), plain_code(points)
        assert (mine is None) == (plain is None)
        if mine is None:
            continue
        inside += 1
        assert mine[0] == plain[0] and mine[1] == pytest.approx(plain[1])
        moved = points * 3.7 * np.exp(1.1j) + (5 - 2j)
        assert quad_code(moved.real.copy(), moved.imag.copy())[1] == pytest.approx(mine[1])
        mirrored = quad_code(points.real.copy(), -points.imag)
        assert mirrored[1] == pytest.approx([mine[1][0], 1 - mine[1][1], mine[1][2], 1 - mine[1][3]])
    assert inside > 20


def test_every_pattern_of_the_index_has_its_code_and_its_size(index):
    for level in index.levels:
        rows = np.random.default_rng(4).choice(len(level.quads), 200, replace=False)
        for row in rows:
            vectors = level.vectors[level.quads[row]]
            centre = vectors[:2].sum(axis=0)
            centre /= np.linalg.norm(centre)
            east = np.array([-centre[1], centre[0], 0.0]) / np.hypot(centre[0], centre[1])
            north = np.cross(centre, east)
            plane = (vectors @ east + 1j * vectors @ north) / (vectors @ centre)
            # the code was made on the plane of its cell: a little off at a base of some degrees
            ends, code = plain_code(plane)
            assert ends[:2] == [0, 1] or abs(code[0] + code[2] - 1) < 0.02
            if ends == [0, 1, 2, 3]:
                assert level.codes[row] / 65535.0 == pytest.approx(code, abs=0.01)
            base = abs(plane[1] - plane[0])
            assert 0.98 * level.smallest <= base <= 2.04 * level.smallest


def test_patterns_cover_the_whole_sky(index):
    level = index.levels[0]
    middle = level.vectors[level.quads[:, 0]] + level.vectors[level.quads[:, 1]]
    dec = np.degrees(np.arcsin(middle[:, 2] / np.linalg.norm(middle, axis=1)))
    ra = np.degrees(np.arctan2(middle[:, 1], middle[:, 0])) % 360
    places = np.random.default_rng(6).normal(size=(100, 3))
    for x, y, z in places / np.linalg.norm(places, axis=1)[:, None]:
        near = angular_distance_deg(ra, dec, np.degrees(np.arctan2(y, x)), np.degrees(np.arcsin(z)))
        assert (near < 3.0).sum() >= 5


def test_patterns_lie_in_the_cell_of_their_code(index):
    level = index.levels[0]
    cells = level.code_cells
    digit = np.minimum((level.codes / 65535.0 * cells).astype(int), cells - 1)
    key = ((digit[:, 0] * cells + digit[:, 1]) * cells + digit[:, 2]) * cells + digit[:, 3]
    place = np.arange(len(key))
    assert ((level.cell_start[key] <= place) & (place < level.cell_start[key + 1])).all()


def test_spreading_takes_the_brightest_of_every_part_first():
    x, y = np.meshgrid(np.linspace(50, 1950, 10), np.linspace(50, 1450, 10))
    stars = StarList.from_columns(x.ravel(), y.ravel(), np.arange(100.0))
    first = spread_evenly(stars, SHAPE, 25)
    boxes = set(zip((stars.x[first] // 400).tolist(), (stars.y[first] // 300).tolist(), strict=True))
    assert len(boxes) == 25


# ---- the store


def test_an_index_survives_the_disk_and_solves_the_same(index, tmp_path):
    store = SkyIndexStore(tmp_path / "sky")
    assert store.load() is None and store.patterns() is None and store.facts() is None
    store.build(index.sky, "a list", options=OPTIONS)
    again = SkyIndexStore(tmp_path / "sky")
    assert again.facts()["source"] == "a list" and again.facts()["patterns"] == index.patterns
    stars = frame(index, 83.0, -5.0)
    fresh = search_all_sky(stars, index, shape=SHAPE, scale=ANY_SCALE)
    stored = search_all_sky(stars, again.patterns(), shape=SHAPE, scale=ANY_SCALE)
    assert stored.log_odds == fresh.log_odds and stored.hypotheses == fresh.hypotheses
    assert len(again.load()) == len(index.sky)
    store.build(index.sky, "another", options=OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["sky"]
    assert SkyIndexStore(tmp_path / "sky").facts()["source"] == "another"


def test_a_damaged_index_is_as_good_as_none(index, tmp_path):
    store = SkyIndexStore(tmp_path / "sky")
    store.build(index.sky, "a list", options=OPTIONS)
    np.save(tmp_path / "sky" / "level0_quads.npy", np.zeros((3, 4), np.int32))
    assert SkyIndexStore(tmp_path / "sky").patterns() is None
    (tmp_path / "sky" / "index.json").write_text("{")
    assert SkyIndexStore(tmp_path / "sky").load() is None
