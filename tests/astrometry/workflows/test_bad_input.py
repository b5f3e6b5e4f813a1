"""Input that goes wrong: every kind ends clearly, by a solution that is right or by a reason."""

import numpy as np
import pytest

from astro_shared.science.source_extraction import extract_sources
from astro_shared.testing.frames import Camera, Exposure, simulate_frame
from astrometry_service.algorithms.matching.pointing_search import SearchOptions
from astrometry_service.algorithms.matching.tangent_plane import angular_distance_deg
from astrometry_service.algorithms.wcs.validation import validate_header
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.domain.solving import SolveHints
from astrometry_service.domain.sources import FrameGeometry, SourceList
from astrometry_service.domain.wcs_state import WcsState
from astrometry_service.ports import ReferenceCone
from astrometry_service.workflows.refine_solution import RefineSolution
from astrometry_service.workflows.solve_frame import SolveFrame
from astrometry_service.workflows.solve_options import SolveOptions

QUICK = SolveOptions(search_deg=0.5, search_discs=4, search=SearchOptions(budget=200_000))
SIDE = 700


class Sky:
    """The reference stars of a simulated frame as a catalogue."""

    def __init__(self, sim):
        self.stars = ReferenceStars.from_columns({c: np.asarray(sim.reference[c]) for c in sim.reference.colnames})

    def cone(self, ra_deg, dec_deg, radius_deg, **_):
        near = np.flatnonzero(angular_distance_deg(self.stars.ra, self.stars.dec, ra_deg, dec_deg) <= radius_deg)
        return ReferenceCone(self.stars.take(near), "simulated", "list")


def sources_of(found):
    cov = found.covariance
    columns = {
        "x": found.x, "y": found.y, "flux": found.flux, "flux_err": found.flux_err, "x_var": cov[:, 0, 0],
        "y_var": cov[:, 1, 1], "xy_cov": cov[:, 0, 1],
    }  # fmt: skip
    return SourceList.from_columns(columns, bad=~found.usable)


def frame(**exposure):
    return simulate_frame(51, n_stars=500, camera=Camera(shape=(SIDE, SIDE)), exposure=Exposure(**exposure))


def hint_of(sim, **change):
    scale = sim.camera.scale_arcsec
    values = {"ra_deg": sim.sky.ra_deg, "dec_deg": sim.sky.dec_deg, "radius_deg": 0.1} | change
    return SolveHints(*values.values(), 0.98 * scale, 1.02 * scale, sim.exposure.epoch)


def solve(sim, sources, *, hint=None, header=None):
    geometry = FrameGeometry(SIDE, SIDE, sim.exposure.epoch)
    return SolveFrame(Sky(sim), options=QUICK).run(sources, geometry, hints=[hint or hint_of(sim)], header=header)


def assert_right_or_said(sim, outcome):
    if not outcome.solved:
        assert outcome.reason and outcome.advice
        return
    middle = (SIDE - 1) / 2
    ra, dec = sim.wcs.all_pix2world(middle, middle, 0)
    assert 3600 * angular_distance_deg(*outcome.transform.pixel_to_sky(middle, middle), ra, dec) < 3.0


def test_a_frame_whose_stars_are_all_saturated_is_not_fitted():
    sim = frame()
    found = extract_sources(sim.data_e)
    sources = SourceList.from_columns(
        {"x": found.x, "y": found.y, "flux": found.flux, "flux_err": found.flux_err}, bad=np.ones(len(found), bool)
    )
    assert_right_or_said(sim, solve(sim, sources))
    start = solve(sim, sources_of(extract_sources(sim.data_e)))
    geometry = FrameGeometry(SIDE, SIDE, sim.exposure.epoch)
    solution = RefineSolution().run(sources, Sky(sim).stars, start.transform, geometry)
    assert solution.state is WcsState.VALID and not solution.improved and solution.reasons


@pytest.mark.parametrize("trail_px", [6.0, 40.0])
def test_a_trailed_frame_is_solved_rightly_or_refused(trail_px):
    sim = frame(trail_px=trail_px)
    assert_right_or_said(sim, solve(sim, sources_of(extract_sources(sim.data_e))))


def test_a_mirrored_frame_is_solved_as_it_is():
    sim = frame()
    found = sources_of(extract_sources(np.ascontiguousarray(sim.data_e[:, ::-1])))
    outcome, straight = solve(sim, found), solve(sim, sources_of(extract_sources(sim.data_e)))
    assert outcome.solved and straight.solved
    assert outcome.start.plane.parity == -straight.start.plane.parity


def test_a_pointing_in_hours_is_refused_and_the_advice_says_so():
    sim = frame()
    outcome = solve(sim, sources_of(extract_sources(sim.data_e)), hint=hint_of(sim, ra_deg=sim.sky.ra_deg / 15.0))
    assert not outcome.solved and any("hours" in line for line in outcome.advice)


@pytest.mark.parametrize("cd", [np.nan, 0.0])
def test_a_header_without_a_usable_matrix_does_not_stop_the_solving(cd):
    sim = frame()
    cards = dict(sim.wcs_header) | {"CD1_1": cd, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": cd}
    header = validate_header(cards, SIDE, SIDE)
    assert header.state is WcsState.MALFORMED and header.transform is None
    outcome = solve(sim, sources_of(extract_sources(sim.data_e)), header=header)
    assert outcome.solved and outcome.engine != "header"
    assert_right_or_said(sim, outcome)


def test_a_frame_without_a_date_is_solved_with_a_word_about_the_epoch():
    sim = frame()
    sources = sources_of(extract_sources(sim.data_e))
    start = solve(sim, sources)
    solution = RefineSolution().run(sources, Sky(sim).stars, start.transform, FrameGeometry(SIDE, SIDE, None))
    assert "epoch" in solution.report["steps"]["reference"]["skipped"]
