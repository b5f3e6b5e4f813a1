"""When, how long and through what a frame was taken: the same facts in the summary and in every table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from astro_shared.contracts.gateway import CollectStage, StageName

BarycentricDate = Callable[[float, float, float], float]
"""Modified Julian date (UTC), right ascension and declination [deg, ICRS] to BJD (TDB)."""


def frame_time(
    stages: Mapping[StageName, CollectStage], airmass: float | None, barycentric: BarycentricDate
) -> dict[str, Any]:
    """Date of mid-exposure (UTC, MJD, BJD_TDB for the centre of the frame), exposure, filter, airmass; null for unknown.

    The centre is that of the solution, else the pointing of the header.
    """
    frame = (stages[StageName.MEASURE].result or {}).get("frame", {})
    report = (stages[StageName.SOLVE].result or {}).get("astrometry", {})
    facts = {
        "date_mid": frame.get("date_mid"),
        "mjd_mid": frame.get("mjd_mid"),
        "bjd_tdb_mid": None,
        "date_source": frame.get("epoch_source"),
        "exposure_s": frame.get("exposure_s"),
        "filter": frame.get("filter"),
        "airmass": airmass,
    }
    ra, dec = report.get("ra_center_deg"), report.get("dec_center_deg")
    if ra is None or dec is None:
        ra, dec = frame.get("ra_pointing_deg"), frame.get("dec_pointing_deg")
    if facts["mjd_mid"] is not None and ra is not None and dec is not None:
        facts["bjd_tdb_mid"] = round(float(barycentric(facts["mjd_mid"], ra, dec)), 8)
    return facts


def table_facts(time: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that are known, for the metadata of a table."""
    return {name: value for name, value in time.items() if value is not None}
