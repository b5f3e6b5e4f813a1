"""What request and header say of pointing and scale, as hints in the order in which they are believed."""

from __future__ import annotations

from collections.abc import Iterator

from astro_shared.contracts.astrometry import SolveRequest
from astro_shared.contracts.photometry import FrameSummary, PointingHint
from astro_shared.science.sky_time import separation_deg
from astrometry_service.algorithms.wcs import WcsValidation
from astrometry_service.algorithms.wcs.frame_place import reference_ra_deg
from astrometry_service.domain.solving import SolveHints

__all__ = ["reading_note", "solve_hints", "wcs_hints"]

SCALE_KNOWN_TO = 1.02
HINT_RADIUS_DEG = 1.0
WCS_RADIUS_DEG = 0.5


def solve_hints(request: SolveRequest) -> list[SolveHints]:
    """The request's hint first, then the pointing of the header, then every other way to read the two."""
    solve, frame = request.solve, request.summary
    low, high = solve.scale_low_arcsec, solve.scale_high_arcsec
    if (low is None or high is None) and frame.pixel_scale_arcsec is not None and solve.use_header:
        low = low or frame.pixel_scale_arcsec / SCALE_KNOWN_TO
        high = high or frame.pixel_scale_arcsec * SCALE_KNOWN_TO
    first, others = [], []
    radius = solve.radius_deg or HINT_RADIUS_DEG
    if solve.ra_deg is not None or solve.scale_low_arcsec is not None:
        first.append(SolveHints(solve.ra_deg, solve.dec_deg, radius, low, high, frame.epoch_jyear, "request"))
    others += [
        SolveHints(ra, dec, radius, low, high, frame.epoch_jyear, f"request read as {reading}", other_reading=True)
        for ra, dec, reading in _readings(solve.ra_deg, solve.dec_deg)
    ]
    for k, reading in enumerate(header_pointings(frame) if solve.use_header else ()):
        origin = f"header pointing read as {reading.reading}" if k else "header pointing"
        hint = SolveHints(
            reading.ra_deg, reading.dec_deg, solve.pointing_error_deg, low, high, frame.epoch_jyear, origin,
            other_reading=k > 0,
        )  # fmt: skip
        (others if k else first).append(hint)
    return first + others


def wcs_hints(header: WcsValidation) -> list[SolveHints]:
    """The place of a header's WCS, then where it would be if its CRVAL were read otherwise."""
    if header.transform is None:
        return []
    low, high = header.scale_arcsec / SCALE_KNOWN_TO, header.scale_arcsec * SCALE_KNOWN_TO
    return [
        SolveHints(
            ra, dec, WCS_RADIUS_DEG, low, high, origin="header WCS" + (f" read as {reading}" if reading else ""),
            other_reading=bool(reading),
        )
        for ra, dec, reading in ((header.ra_deg, header.dec_deg, ""), *_wcs_readings(header))
    ]  # fmt: skip


def _wcs_readings(header: WcsValidation) -> Iterator[tuple[float, float, str]]:
    """Other places of a frame whose WCS was written with hours, or exchanged: it is the reference point that moves."""
    reference = reference_ra_deg(header.transform) if header.transform is not None else None
    for ra, dec, reading in _readings(reference, header.dec_deg):
        if reading == "hours" and reference is not None:
            yield (ra + header.ra_deg - reference) % 360.0, dec, reading
        else:
            yield ra, dec, reading


def header_pointings(frame: FrameSummary) -> tuple[PointingHint, ...]:
    """Readings of the header's pointing; of a summary that holds a single place, that."""
    if frame.pointings or frame.ra_pointing_deg is None or frame.dec_pointing_deg is None:
        return frame.pointings
    return (PointingHint(ra_deg=frame.ra_pointing_deg, dec_deg=frame.dec_pointing_deg, keyword="", reading="degrees"),)


def reading_note(request: SolveRequest, header: WcsValidation, ra_deg: float, dec_deg: float) -> str:
    """Which reading of the pointing a solution has confirmed, where it is not the one that was most plausible."""
    solve, frame = request.solve, request.summary
    radius = max(solve.radius_deg or HINT_RADIUS_DEG, solve.pointing_error_deg)
    if solve.ra_deg is not None and solve.dec_deg is not None:
        if separation_deg(solve.ra_deg, solve.dec_deg, ra_deg, dec_deg) <= radius:
            return ""
        for ra, dec, reading in _readings(solve.ra_deg, solve.dec_deg):
            if separation_deg(ra, dec, ra_deg, dec_deg) <= radius:
                return f"the pointing of the request is right when it is read as {reading}"
    readings = header_pointings(frame) if solve.use_header else ()
    near = [r for r in readings if separation_deg(r.ra_deg, r.dec_deg, ra_deg, dec_deg) <= radius]
    if not near:
        return _wcs_note(header, ra_deg, dec_deg) if solve.use_header else ""
    if near[0] is readings[0]:
        return ""
    return (
        f"the pointing of the header ({near[0].keyword}) is right when it is read as {near[0].reading}, not as"
        f" {readings[0].reading}"
    )


def _wcs_note(header: WcsValidation, ra_deg: float, dec_deg: float) -> str:
    """The same of a header's WCS."""
    hints = [
        hint
        for hint in wcs_hints(header)
        if hint.pointing is not None and separation_deg(*hint.pointing, ra_deg, dec_deg) <= hint.radius_deg
    ]
    if not hints or not hints[0].other_reading:
        return ""
    words = {
        "hours": "CRVAL1 counts hours; FITS wants degrees",
        "exchanged": "CRVAL1 and CRVAL2 stand in each other's place",
    }
    return f"the WCS of the header is not right as it stands: {words[hints[0].origin.rsplit(' ', 1)[-1]]}"


def _readings(ra_deg: float | None, dec_deg: float | None) -> Iterator[tuple[float, float, str]]:
    """Other ways to read a place that was given in degrees."""
    if ra_deg is None or dec_deg is None:
        return
    if 0.0 <= ra_deg < 24.0:
        yield 15.0 * ra_deg, dec_deg, "hours"
    if abs(ra_deg) <= 90.0 and dec_deg >= 0.0:
        yield dec_deg, ra_deg, "exchanged"
