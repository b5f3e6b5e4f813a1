"""The summary: every field of the contract, and a reason beside what is not known."""

from __future__ import annotations

from typing import Any

import pytest

from astro_shared.contracts.gateway import CollectStage, StageName, StageState
from gateway_service.domain.reductions import STAGES
from gateway_service.domain.summary import outcome, summary

MEASURED = {
    "sources": 12,
    "fwhm_psf_px": 2.5,
    "fwhm_marginal_px": 3.0,
    "frame": {"warnings": ["no gain"], "warning_codes": ["gain_assumed"]},
}
SOLVED = {"astrometry": {"solved": True, "state": "calibrated", "ra_center_deg": 10.0, "rms_mas": 20.0}}
CALIBRATED = {
    "zero_point": {
        "status": "calibrated", "band": "G", "value": 22.0, "error": 0.01, "n_used": 9, "rms": 0.02,
        "limiting_mag_5sigma": 19.0, "airmass": 1.2,
    }
}  # fmt: skip
DONE = {
    StageName.MEASURE: MEASURED,
    StageName.SOLVE: SOLVED,
    StageName.CALIBRATE: CALIBRATED,
    StageName.IDENTIFY: {
        "catalogues": [
            {"catalogue": "vsx", "status": "matched", "matches": 2},
            {"catalogue": "simbad", "status": "failed", "matches": 0, "cause": "unreachable", "message": "no answer"},
        ]
    },
}


def bjd(mjd: float, ra_deg: float, dec_deg: float) -> float:
    """No barycentric date, but one that tells what it was made of."""
    return mjd + 2400000.5 + ra_deg / 1e3 + dec_deg / 1e6


def stages(**changes: dict[str, Any]) -> dict[StageName, CollectStage]:
    made = {}
    for name in STAGES[:-1]:
        fields: dict[str, Any] = {"name": name, "state": StageState.DONE, "result": DONE[name], "seconds": 1.0}
        made[name] = CollectStage(**(fields | changes.get(name, {})))
    return made


def test_a_calibrated_frame_has_no_reason() -> None:
    assert outcome(stages()) == ("calibrated", None)
    document = summary("a.fits", "h", "alidade 0", stages(), [{"name": "collect"}], bjd)
    assert document["zero_point"]["value"] == 22.0 and document["limiting_mag_5sigma"] == 19.0
    assert document["airmass"] == 1.2
    assert document["identification"]["vsx"] == {"status": "matched", "matches": 2}
    assert document["identification"]["simbad"]["cause"] == "unreachable"
    assert [stage["name"] for stage in document["stages"]] == [*map(str, STAGES[:-1]), "collect"]
    assert document["warnings"] == ["no gain"] and document["warning_codes"] == ["gain_assumed"]
    assert not [name for name in document if name.endswith("_reason")]


def test_an_unmeasured_frame_is_failed_with_the_reason_of_that_stage() -> None:
    nothing = {"state": StageState.SKIPPED, "result": None, "seconds": None}
    broken = {"state": StageState.FAILED, "result": None, "reason": "No star stands out."}
    made = stages(measure=broken, solve=nothing, calibrate=nothing, identify=nothing)
    assert outcome(made) == ("failed", "No star stands out.")
    document = summary("a.fits", "h", "alidade 0", made, [], bjd)
    assert document["sources"] is None and document["sources_reason"] == "No star stands out."
    assert document["zero_point"]["value"] is None and document["zero_point"]["value_reason"]
    assert document["astrometry"]["state"] == "missing" and document["astrometry"]["reason"]
    assert document["airmass"] is None and document["airmass_reason"]
    assert document["limiting_mag_5sigma_reason"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"solve": {"result": {"astrometry": {"solved": False, "reason": "too few stars"}}}}, "too few stars"),
        ({"solve": {"state": StageState.FAILED, "result": None, "reason": "it crashed"}}, "it crashed"),
        ({"calibrate": {"result": {"zero_point": {"status": "uncalibrated", "reason": "two stars"}}}}, "two stars"),
        ({"calibrate": {"state": StageState.SKIPPED, "result": None, "reason": "no reference"}}, "no reference"),
    ],
)
def test_an_uncalibrated_frame_says_why(changes: dict[str, Any], reason: str) -> None:
    assert outcome(stages(**changes)) == ("uncalibrated", reason)


def test_airmass_falls_back_to_the_header() -> None:
    measured = {"result": MEASURED | {"frame": {"airmass_header": 1.7}}}
    document = summary(
        "a.fits", "h", "alidade 0", stages(measure=measured, calibrate={"result": {"zero_point": {}}}), [], bjd
    )
    assert document["airmass"] == 1.7


def test_a_frame_that_was_not_solved_says_what_was_tried_and_what_to_try() -> None:
    attempt = {
        "engine": "all sky",
        "seconds": 0.2,
        "outcome": "no_solution",
        "detail": "46 hypotheses",
        "log_odds": 7.0,
    }
    report = {
        "solved": False,
        "reason": "no stars match",
        "n_sources": 14,
        "attempts": [attempt],
        "advice": ["expose longer"],
    }
    sky = summary("f.fits", "0", "alidade", stages(solve={"result": {"astrometry": report}}), [], bjd)["astrometry"]
    assert sky["reason"] == "no stars match" and sky["n_sources"] == 14
    assert sky["attempts"] == [attempt] and sky["advice"] == ["expose longer"]


def test_figures_of_quality_are_passed_on_and_null_where_there_are_none() -> None:
    measured = MEASURED | {"rms_ratio": 1.02, "seconds": {"background": 0.1}}
    document = summary("a.fits", "h", "alidade 0", stages(measure={"result": measured}), [], bjd)
    assert document["quality"]["rms_ratio"] == 1.02 and document["quality"]["psf_stars"] is None
    assert document["quality"]["steps_seconds"] == {"background": 0.1}
    failed = summary("a.fits", "h", "alidade 0", stages(measure={"state": StageState.FAILED, "result": None}), [], bjd)
    assert set(failed["quality"]) == set(document["quality"])


def test_a_frame_whose_positions_no_star_carries_is_not_called_calibrated() -> None:
    """The refinement used no pair: its figures are absent, and the status says why."""
    kept = {"solved": True, "state": "valid", "n_matched": 0, "n_used": 0, "reason": "5 sources on the frame, need 6"}
    made = stages(solve={"result": {"astrometry": kept}})
    status, reason = outcome(made)
    assert status == "uncalibrated" and reason is not None
    assert "no star calibrates the positions" in reason and "need 6" in reason
    document = summary("a.fits", "h", "alidade 0", made, [], bjd)
    assert document["zero_point"]["value"] == 22.0 and document["status"] == "uncalibrated"
    assert (
        document["astrometry"]["reason"] == "5 sources on the frame, need 6" and document["astrometry"]["n_used"] == 0
    )
    measured = kept | {"n_matched": 40, "reason": "not below the start's score"}
    assert outcome(stages(solve={"result": {"astrometry": measured}})) == ("calibrated", None)


def test_the_time_of_the_frame_is_in_the_summary():
    frame = {"date_mid": "2025-03-01T02:00:30.000Z", "mjd_mid": 60735.0, "exposure_s": 60.0, "filter": "r",
             "epoch_source": "DATE-OBS", "airmass_header": 1.2, "ra_pointing_deg": 9.0, "dec_pointing_deg": 9.0}  # fmt: skip
    made = stages(
        measure={"result": {"frame": frame}},
        solve={"result": {"astrometry": {"solved": True, "ra_center_deg": 83.0, "dec_center_deg": 20.0}}},
    )
    found = summary("a.fits", "h", "alidade 0", made, [], bjd)["time"]
    assert found == {
        "date_mid": "2025-03-01T02:00:30.000Z", "mjd_mid": 60735.0, "bjd_tdb_mid": 2460735.58302, "date_source": "DATE-OBS",
        "exposure_s": 60.0, "filter": "r", "airmass": 1.2,
    }  # fmt: skip


def test_the_pointing_serves_where_there_is_no_solution_and_no_date_is_said():
    frame = {"mjd_mid": 60735.0, "ra_pointing_deg": 10.0, "dec_pointing_deg": 0.0}
    unsolved = stages(measure={"result": {"frame": frame}}, solve={"result": {"astrometry": {"solved": False}}})
    assert summary("a.fits", "h", "alidade 0", unsolved, [], bjd)["time"]["bjd_tdb_mid"] == pytest.approx(2460735.51)
    nothing = summary("a.fits", "h", "alidade 0", stages(measure={"result": {"frame": {}}}), [], bjd)["time"]
    assert nothing["bjd_tdb_mid"] is None and "no date" in nothing["date_mid_reason"]
