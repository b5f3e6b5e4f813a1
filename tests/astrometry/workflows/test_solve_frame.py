"""The order of solving: cheapest first, nothing believed unseen, everything accounted for."""

import numpy as np
import pytest

from astro_shared.errors import UnavailableError
from astro_shared.science.tangent_plane import deproject
from astrometry_service.algorithms.matching.pointing_search import SearchOptions
from astrometry_service.algorithms.matching.sky_index import IndexOptions, build_sky_index
from astrometry_service.algorithms.matching.sky_lookup import sky_cone
from astrometry_service.algorithms.matching.tangent_plane import angular_distance_deg
from astrometry_service.algorithms.wcs.validation import validate_header
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.domain.solving import EngineAnswer, EngineStatus, SolveHints
from astrometry_service.domain.sources import FrameGeometry, SourceList
from astrometry_service.domain.star_lists import SkyMap
from astrometry_service.errors import ReferenceListError
from astrometry_service.ports import ReferenceCone
from astrometry_service.workflows.solve_frame import SolveFrame
from astrometry_service.workflows.solve_options import SolveOptions

NX, NY, SCALE = 1000, 800, 2.0 / 3600
GEOMETRY = FrameGeometry(NX, NY, 2016.0)


def mapping(ra, dec, rotation=0.7, parity=-1, dx=0.0, scale=SCALE):
    turn = scale * np.array([[np.cos(rotation), -np.sin(rotation)], [np.sin(rotation), np.cos(rotation)]])
    linear = turn @ np.diag([parity, 1.0])
    return PlaneAffine(np.column_stack([linear, -linear @ [(NX - 1) / 2 + dx, (NY - 1) / 2]]), ra, dec)


class Catalogue:
    """Stars in a few degrees around (150, 20); counts its questions."""

    def __init__(self, seed=1, count=12_000, fails=False):
        rng = np.random.default_rng(seed)
        xi, eta = rng.uniform(-3.5, 3.5, (2, count))
        self.ra, self.dec = deproject(xi, eta, ra0_deg=150.0, dec0_deg=20.0)
        self.mag = 14 + 2.5 * np.log10(rng.uniform(1e-3, 1, count))
        self.questions, self.fails = [], fails

    def cone(self, ra_deg, dec_deg, radius_deg, *, mag_limit=None, max_rows=None, epoch_jyear=None):
        self.questions.append((ra_deg, dec_deg, radius_deg))
        if self.fails:
            raise UnavailableError("the archive is asleep")
        near = np.flatnonzero(angular_distance_deg(self.ra, self.dec, ra_deg, dec_deg) <= radius_deg)
        near = near[np.argsort(self.mag[near])]
        kept = near[:max_rows]
        columns = {"ra": self.ra[kept], "dec": self.dec[kept], "phot_g_mean_mag": self.mag[kept]}
        stars = ReferenceStars.from_columns(columns) if kept.size else _no_stars()
        return ReferenceCone(stars, "gaia", "mirror", truncated=kept.size < near.size)

    def sky_map(self):
        return SkyMap.from_columns(self.ra, self.dec, self.mag)


def _no_stars():
    empty = np.zeros(0)
    return ReferenceStars(empty, empty, empty, empty, np.zeros(0, np.int64), np.zeros(0, bool))


class Engine:
    """Says what it is told to."""

    def __init__(self, name, *answers, usable=True, remote=False):
        self.name, self.answers, self.usable, self.remote, self.asked = name, list(answers), usable, remote, []

    def status(self):
        return EngineStatus(self.name, self.usable, "fine" if self.usable else "not installed", "apt-get install it")

    def solve(self, stars, shape, hints, *, limit_s):
        self.asked.append((shape, hints, limit_s))
        if not self.usable:
            return EngineAnswer(self.name, "unavailable", 0.0, detail="not installed")
        return self.answers.pop(0) if self.answers else EngineAnswer(self.name, "no_solution", 0.1, detail="nothing")


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue()


@pytest.fixture(autouse=True)
def forget_questions(catalogue):
    catalogue.questions.clear()


def sources_of(catalogue, truth, seed=3):
    """Detections of the catalogue's stars on a frame, with noise and a few false ones."""
    rng = np.random.default_rng(seed)
    x, y = truth.sky_to_pixel(catalogue.ra, catalogue.dec)
    on = np.flatnonzero((x > 0) & (x < NX) & (y > 0) & (y < NY))
    false = 5
    columns = {
        "x": np.r_[x[on] + rng.normal(0, 0.2, on.size), rng.uniform(0, NX, false)],
        "y": np.r_[y[on] + rng.normal(0, 0.2, on.size), rng.uniform(0, NY, false)],
        "flux": 10 ** (-0.4 * (np.r_[catalogue.mag[on], rng.uniform(8, 14, false)] - 20)),
    }
    return SourceList.from_columns(columns)


def random_sources(count=80):
    rng = np.random.default_rng(9)
    columns = {"x": rng.uniform(0, NX, count), "y": rng.uniform(0, NY, count), "flux": rng.uniform(1, 2, count)}
    return SourceList.from_columns(columns)


def header_of(plane):
    """A TAN header as in a file."""
    reference = -np.linalg.solve(plane.linear, plane.matrix[:, 2])
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": plane.ra0_deg, "CRVAL2": plane.dec0_deg}
    cards |= {"CRPIX1": reference[0] + 1, "CRPIX2": reference[1] + 1}
    cards |= {f"CD{i + 1}_{j + 1}": plane.linear[i, j] for i in range(2) for j in range(2)}
    return validate_header(cards, NX, NY)


def assert_at(outcome, ra, dec):
    assert outcome.solved, outcome
    found = outcome.transform.pixel_to_sky((NX - 1) / 2, (NY - 1) / 2)
    assert angular_distance_deg(*found, ra, dec) < SCALE


TRUTH = mapping(150.3, 20.2)
QUICK = SolveOptions(search_deg=0.6, search=SearchOptions(budget=500_000))


def hint(**changes):
    values = {"ra_deg": 150.2, "dec_deg": 20.1, "radius_deg": 0.5, "scale_low_arcsec": 1.98, "scale_high_arcsec": 2.02}
    return SolveHints(**{**values, **changes})


def test_a_right_header_is_verified_and_kept(catalogue):
    engine = Engine("other")
    header = header_of(TRUTH)
    outcome = SolveFrame(catalogue, [engine]).run(sources_of(catalogue, TRUTH), GEOMETRY, header=header, hints=[hint()])
    assert (outcome.engine, outcome.header_valid, outcome.header_reason) == ("header", True, "")
    assert outcome.transform is header.transform
    assert [a.outcome for a in outcome.attempts] == ["solved"] and not engine.asked
    assert outcome.attempts[0].log_odds > 25
    assert_at(outcome, 150.3, 20.2)
    assert len(outcome.reference) > 30 and (outcome.reference_name, outcome.reference_layer) == ("gaia", "mirror")


def test_a_header_some_pixels_off_gives_a_corrected_start(catalogue):
    outcome = SolveFrame(catalogue).run(
        sources_of(catalogue, TRUTH), GEOMETRY, header=header_of(mapping(150.3, 20.2, dx=6))
    )
    assert outcome.engine == "header" and not outcome.header_valid and "6.0 px" in outcome.header_reason
    assert_at(outcome, 150.3, 20.2)


@pytest.mark.parametrize(
    "wrong", [mapping(150.9, 20.2), mapping(150.3, 20.2, parity=1), mapping(150.3, 20.2, scale=1.3 * SCALE)],
    ids=["half a degree off", "mirrored", "wrong scale"],
)  # fmt: skip
def test_a_wrong_header_is_caught_and_its_pointing_still_serves(catalogue, wrong):
    outcome = SolveFrame(catalogue).run(sources_of(catalogue, TRUTH), GEOMETRY, header=header_of(wrong))
    assert not outcome.header_valid and outcome.header_reason
    assert outcome.attempts[0].outcome == "refused" and outcome.engine == "matcher"
    assert_at(outcome, 150.3, 20.2)


def test_a_pointing_with_a_scale_is_enough(catalogue):
    outcome = SolveFrame(catalogue).run(sources_of(catalogue, TRUTH), GEOMETRY, hints=[hint()])
    assert [a.engine for a in outcome.attempts] == ["matcher (request)"]
    assert_at(outcome, 150.3, 20.2)


def test_a_scale_wrong_by_a_factor_is_freed(catalogue):
    wrong = hint(scale_low_arcsec=2.9, scale_high_arcsec=3.0)
    outcome = SolveFrame(catalogue).run(sources_of(catalogue, TRUTH), GEOMETRY, hints=[wrong])
    assert [a.outcome for a in outcome.attempts] == ["no_solution", "solved"]
    assert outcome.attempts[1].engine == "matcher, scale free (request)"
    assert_at(outcome, 150.3, 20.2)


def test_a_pointing_wrong_by_degrees_is_searched_on_rings(catalogue):
    outcome = SolveFrame(catalogue).run(
        sources_of(catalogue, TRUTH), GEOMETRY, hints=[hint(dec_deg=22.0, radius_deg=0.2)]
    )
    assert outcome.attempts[-1].engine == "pointing search (request)"
    assert_at(outcome, 150.3, 20.2)


def test_a_scale_of_one_hint_serves_another(catalogue):
    bare = SolveHints(150.2, 20.1, 0.5, origin="header keywords")
    scale = SolveHints(scale_low_arcsec=1.98, scale_high_arcsec=2.02)
    outcome = SolveFrame(catalogue).run(sources_of(catalogue, TRUTH), GEOMETRY, hints=[scale, bare])
    assert [a.engine for a in outcome.attempts] == ["matcher (header keywords)"]


def test_an_engine_is_asked_when_nothing_is_known_and_its_answer_is_verified(catalogue):
    engine = Engine("index", EngineAnswer("index", "solved", 0.2, TRUTH, 90.0, "index-4107"))
    outcome = SolveFrame(catalogue, [engine]).run(sources_of(catalogue, TRUTH), GEOMETRY)
    assert outcome.engine == "index" and outcome.start.log_odds > 25
    assert engine.asked[0][1].pointing is None and engine.asked[0][0] == (NY, NX)
    assert_at(outcome, 150.3, 20.2)


def test_a_lying_engine_is_refused_and_the_next_is_asked(catalogue):
    liar = Engine("liar", EngineAnswer("liar", "solved", 0.2, mapping(151.3, 21.0), 500.0))
    honest = Engine("honest", EngineAnswer("honest", "solved", 0.2, TRUTH, 30.0))
    outcome = SolveFrame(catalogue, [liar, honest]).run(sources_of(catalogue, TRUTH), GEOMETRY)
    assert outcome.engine == "honest"
    assert outcome.attempts[0].outcome == "refused" and "not confirmed by stars" in outcome.attempts[0].detail


def test_an_empty_disc_is_not_the_end_of_a_catalogue(catalogue):
    """A header of another frame points at a disc of some arcseconds that holds no star."""

    class Strict(Catalogue):
        def cone(self, *place, **options):
            cone = super().cone(*place, **options)
            if not len(cone.stars):
                raise ReferenceListError("the list has no stars there", count=0)
            return cone

    strict = Strict()
    wrong = header_of(mapping(170.0, 20.0, scale=0.01 / 3600))
    outcome = SolveFrame(strict).run(sources_of(strict, TRUTH), GEOMETRY, header=wrong, hints=[hint()])
    assert outcome.solved
    assert_at(outcome, 150.3, 20.2)


def test_an_engine_is_asked_with_hints_and_then_blind(catalogue):
    engine = Engine("index")
    wrong = hint(ra_deg=148.0, dec_deg=18.0)
    outcome = SolveFrame(catalogue, [engine], options=QUICK).run(random_sources(), GEOMETRY, hints=[wrong])
    assert [asked[1].origin for asked in engine.asked] == ["request", "request, any scale", "blind"]
    assert not outcome.solved


def test_the_account_of_a_failure_names_everything(catalogue):
    missing, failing = Engine("missing", usable=False), Engine("failing")
    outcome = SolveFrame(catalogue, [missing, failing], options=QUICK).run(
        random_sources(), GEOMETRY, header=header_of(mapping(150.0, 20.0)), hints=[hint()]
    )
    assert not outcome.solved and outcome.start is None and outcome.reference is None
    tried = [a.engine for a in outcome.attempts]
    assert tried[0] == "header" and "matcher (request)" in tried and "failing (blind)" in tried
    assert all(a.seconds >= 0 and a.detail for a in outcome.attempts)
    assert "80 stars" in outcome.reason and "failing" in outcome.reason and "missing" not in outcome.reason
    assert "matcher" in outcome.reason and " s, " in outcome.reason
    assert any("missing is not usable" in line and "apt-get" in line for line in outcome.advice)
    assert any("degrees" in line for line in outcome.advice)


def test_without_hints_the_advice_asks_for_them(catalogue):
    outcome = SolveFrame(catalogue).run(random_sources(), GEOMETRY)
    assert any("--hint RA,DEC" in line for line in outcome.advice)
    assert any("--scale LOW,HIGH" in line for line in outcome.advice)


def test_blind_solving_can_be_switched_off(catalogue):
    engine = Engine("index", EngineAnswer("index", "solved", 0.2, TRUTH, 90.0))
    outcome = SolveFrame(catalogue, [engine], options=SolveOptions(blind=False)).run(
        sources_of(catalogue, TRUTH), GEOMETRY
    )
    assert not outcome.solved and not engine.asked
    assert any("solve.blind" in line for line in outcome.advice)


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_stars_end_at_once(catalogue, count):
    sources = SourceList(*(np.zeros(count) for _ in range(2)), np.zeros((count, 2, 2)), np.ones(count), np.ones(count),
                         np.ones(count, bool))  # fmt: skip
    outcome = SolveFrame(catalogue, [Engine("index")]).run(sources, GEOMETRY, hints=[hint()])
    assert not outcome.solved and f"{count} stars" in outcome.reason and "need 5" in outcome.reason
    assert any("exposure" in line for line in outcome.advice) and not catalogue.questions


def test_a_dead_catalogue_is_asked_once_and_said():
    dead = Catalogue(fails=True)
    outcome = SolveFrame(dead, options=SolveOptions(search_deg=0.6)).run(random_sources(), GEOMETRY, hints=[hint()])
    assert not outcome.solved and len(dead.questions) == 1
    assert any("asleep" in note for note in outcome.notes)
    assert any("reference import" in line for line in outcome.advice)


def test_a_dead_catalogue_is_replaced_by_the_local_list(catalogue):
    class Local:
        def load(self):
            return catalogue.sky_map()

        def patterns(self):
            return None

    dead = Catalogue(fails=True)
    outcome = SolveFrame(dead, all_sky=Local()).run(sources_of(catalogue, TRUTH), GEOMETRY, hints=[hint()])
    assert_at(outcome, 150.3, 20.2)
    assert outcome.reference_name == "all-sky" and any("asleep" in note for note in outcome.notes)


class Sky:
    """A local list of stars with patterns."""

    def __init__(self, catalogue):
        self.index = build_sky_index(catalogue.sky_map(), IndexOptions(smallest_deg=0.15, levels=2))

    def load(self):
        return self.index.sky

    def patterns(self):
        return self.index


def test_the_whole_sky_is_searched_when_nothing_is_known_and_before_any_engine(catalogue):
    engine = Engine("index")
    outcome = SolveFrame(catalogue, [engine], all_sky=Sky(catalogue)).run(sources_of(catalogue, TRUTH), GEOMETRY)
    assert outcome.engine == "all-sky" and not engine.asked
    assert [a.engine for a in outcome.attempts] == ["all sky"]
    assert_at(outcome, 150.3, 20.2)


def test_one_cone_serves_the_header_the_matcher_and_the_refinement(catalogue):
    SolveFrame(catalogue).run(sources_of(catalogue, TRUTH), GEOMETRY, hints=[hint()])
    assert len(catalogue.questions) == 1


def test_the_time_limit_ends_the_steps(catalogue):
    times = iter(np.arange(0.0, 1e6, 40.0))
    engine = Engine("index")
    outcome = SolveFrame(
        catalogue, [engine], options=SolveOptions(limit_s=100.0), clock=lambda: float(next(times))
    ).run(random_sources(), GEOMETRY, hints=[hint()])
    assert not outcome.solved and not engine.asked
    assert any(a.outcome == "time_limit" for a in outcome.attempts)


def test_an_engine_elsewhere_has_a_time_limit_of_its_own(catalogue):
    times = iter(np.arange(0.0, 1e6, 5.0))
    here, there = Engine("index"), Engine("nova", remote=True)
    options = SolveOptions(limit_s=20.0, remote_limit_s=180.0)
    SolveFrame(catalogue, [there, here], options=options, clock=lambda: float(next(times))).run(
        random_sources(), GEOMETRY, hints=[hint()]
    )
    assert there.asked and all(limit_s > 100.0 for _, _, limit_s in there.asked)
    assert not here.asked


def test_every_engine_of_this_machine_gets_its_share_of_the_time(catalogue):
    """The last one was never reached: the first took all that was left, and the steps before it what they liked."""

    class Clock:
        now = 0.0

        def __call__(self):
            self.now += 0.02
            return self.now

    clock = Clock()

    class Greedy(Engine):
        def solve(self, stars, shape, hints, *, limit_s):
            clock.now += limit_s
            return super().solve(stars, shape, hints, limit_s=limit_s)

    engines = [Greedy("astrometry"), Engine("solve-field", usable=False), Greedy("nova", remote=True), Greedy("siril")]
    options = SolveOptions(limit_s=40.0, remote_limit_s=100.0)
    SolveFrame(catalogue, engines, options=options, clock=clock).run(random_sources(), GEOMETRY, hints=[hint()])
    first, _, _, last = (sum(limit_s for _, _, limit_s in engine.asked) for engine in engines)
    assert last >= 4.0 and first >= 4.0
    assert first + last <= 40.0


def test_engines_are_tried_in_the_order_that_is_given(catalogue):
    names = ["siril", "astrometry"]
    outcome = SolveFrame(catalogue, [Engine(name) for name in names], options=QUICK).run(random_sources(), GEOMETRY)
    tried = [a.engine.partition(" ")[0] for a in outcome.attempts]
    assert [name for name in tried if name in names] == names


def test_waiting_for_patterns_that_are_made_now_is_not_time_of_the_frame(catalogue):
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    clock, sky = Clock(), Sky(catalogue)

    class Slow(Sky):
        def __init__(self):
            self.index = sky.index

        def patterns(self):
            clock.now += 60.0
            return self.index

    outcome = SolveFrame(None, all_sky=Slow(), options=SolveOptions(limit_s=40.0), clock=clock).run(
        sources_of(catalogue, TRUTH), GEOMETRY
    )
    assert outcome.engine == "all-sky"


def test_a_header_that_points_where_a_hint_does_is_not_searched_around_again(catalogue):
    sky = mapping(150.3, 20.2)
    outcome = SolveFrame(catalogue).run(random_sources(), GEOMETRY, header=header_of(sky), hints=[hint()])
    assert not any("header WCS" in attempt.engine for attempt in outcome.attempts)
    away = SolveFrame(catalogue).run(random_sources(), GEOMETRY, header=header_of(mapping(151.5, 20.2)), hints=[hint()])
    assert any("header WCS" in attempt.engine for attempt in away.attempts)


def test_discs_of_the_sky_map_hold_every_star_within(catalogue):
    sky = catalogue.sky_map()
    for ra, dec, radius in ((150.0, 20.0, 1.0), (153.0, 23.3, 0.4)):
        cut = sky_cone(sky, ra, dec, radius)
        inside = angular_distance_deg(catalogue.ra, catalogue.dec, ra, dec) <= radius
        assert len(cut) == inside.sum() and (np.diff(cut.mag) >= 0).all()
        np.testing.assert_array_equal(sky.ra_deg[cut.origin], cut.ra_deg)


def test_discs_reach_over_0h_and_the_pole():
    rng = np.random.default_rng(2)
    sky = SkyMap.from_columns(rng.uniform(0, 360, 5000), rng.uniform(85, 90, 5000), rng.uniform(5, 9, 5000))
    for ra, dec in ((0.0, 88.0), (200.0, 90.0)):
        inside = angular_distance_deg(sky.ra_deg, sky.dec_deg, ra, dec) <= 1.0
        assert len(sky_cone(sky, ra, dec, 1.0)) == inside.sum() > 50


def test_another_reading_of_the_pointing_is_looked_at_before_anything_is_searched_around(catalogue):
    truth = mapping(150.0, 20.0)
    hints = [hint(ra_deg=10.0, dec_deg=20.0), hint(ra_deg=150.0, dec_deg=20.0, origin="hours", other_reading=True)]
    outcome = SolveFrame(catalogue).run(sources_of(catalogue, truth), GEOMETRY, hints=hints)
    assert_at(outcome, 150.0, 20.0)
    assert outcome.engine == "matcher" and "hours" in outcome.attempts[-1].engine
    assert not any("pointing search" in attempt.engine for attempt in outcome.attempts)


def test_another_reading_that_is_wrong_is_not_searched_around(catalogue):
    hints = [hint(ra_deg=10.0, dec_deg=20.0, origin="hours", other_reading=True)]
    outcome = SolveFrame(catalogue).run(random_sources(), GEOMETRY, hints=hints)
    assert not outcome.solved and not any("pointing search" in attempt.engine for attempt in outcome.attempts)
