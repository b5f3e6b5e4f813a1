"""What a header, and a request in its place, say about a frame."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from astropy.io import fits

from astro_shared.contracts.settings import InputSettings
from astro_shared.errors import InvalidRequestError
from astro_shared.fits.aliases import QUANTITIES, TEXTS, CardReader
from astro_shared.fits.date_forms import YEAR_S, parse_moment
from astro_shared.fits.dates import MidExposure, exposure_span_s, mid_exposure, to_julian_year, to_mjd, to_text
from astro_shared.fits.detector import Given, read_detector, unit_of_pixels
from astro_shared.fits.exposure_time import read_exposure_time
from astro_shared.fits.headers import clean_text
from astro_shared.fits.optics import pixel_scale
from astro_shared.fits.pointing import PointingReading, find_hour_angle, pointing_readings, sexagesimal
from astro_shared.fits.site import SkyEvidence, east_longitude
from astro_shared.fits.stacks import Method, Stack, read_stack, total_exposure
from astro_shared.fits.units import PixelKind, PixelUnit, plain_number
from astro_shared.frame_warnings import FrameWarning, WarningCode

__all__ = ["CALIBRATION_TYPES", "QUANTITIES", "TEXTS", "FrameFacts", "frame_facts"]


@dataclass(frozen=True)
class FrameFacts:
    """What header and request say; None where they say nothing believable.

    Attributes
    ----------
    date_mid, mjd_mid, epoch_jyear
        Middle of the exposure, UTC: ISO 8601, modified Julian date, Julian year.
    epoch_err_yr
        One sigma of what the header leaves open of the date; 0 where it tells day and time.
    gain_e_per_adu
        Electrons of the whole exposure in one unit of the pixels: of ADU per second, and of a mean of frames, more than
        those of an ADU of one frame.
    read_noise_e
        Of the whole exposure.
    saturation_adu
        In units of the pixels.
    exposure_s
        Of all frames that are in the image together.
    ra_deg, dec_deg
        Pointing, ICRS: the most plausible of ``pointings``.
    pointings
        Every way to read it.
    longitude_deg
        Towards the east.
    image_type
        ``light``, ``flat``, ``dark``, ``bias`` or the header's own word.
    stack_is_assumed
        Whether the image is made of several frames and nothing tells how: their mean is assumed.
    sources
        Which keyword each number or text came from.
    warnings
        Sentences for the user.
    """

    gain_e_per_adu: float | None = None
    read_noise_e: float | None = None
    saturation_adu: float | None = None
    exposure_s: float | None = None
    date_mid: str | None = None
    mjd_mid: float | None = None
    epoch_jyear: float | None = None
    epoch_err_yr: float | None = None
    filter: str | None = None
    airmass: float | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    elevation_m: float | None = None
    ra_deg: float | None = None
    dec_deg: float | None = None
    pointings: tuple[PointingReading, ...] = ()
    pixel_scale_arcsec: float | None = None
    image_type: str | None = None
    object: str | None = None
    instrument: str | None = None
    stack_is_assumed: bool = False
    sources: dict[str, str] = field(default_factory=dict)
    warnings: tuple[FrameWarning, ...] = ()


def frame_facts(
    header: fits.Header, given: InputSettings | None = None, *, stacked_as: tuple[Method, str] | None = None
) -> FrameFacts:
    """Read everything that the alias tables know from a header made safe by `astro_shared.fits.read_frame`.

    Parameters
    ----------
    given
        What a request says in place of the header: everything that follows from a value (electrons of pixels per second
        from the exposure, the middle from its length) follows from what was given.
    stacked_as
        How the frames of a stack were combined and what tells it, for headers that do not say.
    """
    given = given or InputSettings()
    read = CardReader(header)
    unit = unit_of_pixels(read)
    stack, stack_notes = read_stack(header)
    if stack is not None and stacked_as is not None and not stack.is_stated:
        stack = replace(stack, method=stacked_as[0], reason=stacked_as[1])
    span = exposure_span_s(header)
    exposure = given.exposure_s or _exposure(read, unit, stack, span)
    constants = Given(given.gain_e_per_adu, given.read_noise_e, given.saturation_adu)
    detector = read_detector(read, unit, stack, exposure, constants)
    pointings, pointing_notes = pointing_readings(header)
    ra, dec = (pointings[0].ra_deg, pointings[0].dec_deg) if pointings else (None, None)
    place = (ra, dec) if ra is not None and dec is not None else _reference_place(header)
    middle = _given_middle(given.date_mid) or mid_exposure(header, exposure, place, is_stack=stack is not None)
    mjd = None if middle.when is None else to_mjd(middle.when)
    airmass, latitude = read.number("airmass"), read.number("latitude_deg")
    longitude = read.number("longitude_deg")
    if longitude is not None:
        evidence = SkyEvidence(mjd, ra, dec, latitude, find_hour_angle(header), airmass)
        longitude, remark = east_longitude(longitude, read.comment(read.sources["longitude_deg"]), evidence)
        read.warnings += [WarningCode.LONGITUDE_SIGN(remark)] if remark else []
    if middle.keyword:
        read.sources["date"] = middle.keyword
    return FrameFacts(
        gain_e_per_adu=detector.gain_e_per_unit,
        read_noise_e=detector.read_noise_e,
        saturation_adu=detector.saturation_units,
        exposure_s=exposure,
        date_mid=to_text(middle.when) if middle.when else None,
        mjd_mid=mjd,
        epoch_jyear=to_julian_year(middle.when) if middle.when else None,
        epoch_err_yr=middle.err_s / YEAR_S if middle.when else None,
        filter=given.filter or read.text("filter"),
        airmass=airmass,
        latitude_deg=latitude if given.latitude_deg is None else given.latitude_deg,
        longitude_deg=longitude if given.longitude_deg is None else given.longitude_deg,
        elevation_m=read.number("elevation_m") if given.elevation_m is None else given.elevation_m,
        ra_deg=ra,
        dec_deg=dec,
        pointings=tuple(pointings),
        pixel_scale_arcsec=pixel_scale(read),
        image_type=_image_type(read.text("image_type")),
        object=read.text("object"),
        instrument=read.text("instrument"),
        stack_is_assumed=stack is not None and not (stack.is_stated or stack.reason) and given.gain_e_per_adu is None,
        sources=read.sources,
        warnings=(*read.warnings, *stack_notes, *middle.notes, *pointing_notes),
    )


def _exposure(read: CardReader, unit: PixelUnit, stack: Stack | None, span_s: float | None) -> float | None:
    """Exposure time of all frames of the image together, seconds."""
    told = read_exposure_time(read.header, span_s, frames=stack.frames if stack else 1)
    read.warnings += told.notes
    if told.seconds is None:
        if span_s is not None and not told.keyword:
            read.warnings.append(
                WarningCode.EXPOSURE_UNKNOWN(
                    f"the header gives no exposure time: the {span_s:g} s from its start to its end are taken"
                )
            )
            read.sources["exposure_s"] = "DATE-END"
            return span_s
        return None
    read.sources["exposure_s"] = told.keyword
    if stack is None:
        return told.seconds
    total, words = total_exposure(
        read.header,
        stack,
        told.seconds,
        told.comment,
        span_s,
        is_rate=unit.per_seconds > 0 or unit.kind is PixelKind.PHYSICAL,
    )
    read.warnings.append(WarningCode.FRAME_IS_STACK(words))
    return total


def _reference_place(header: fits.Header) -> tuple[float, float] | None:
    """Right ascension and declination of the reference point of the WCS, degrees, good enough for a light-travel time."""
    place = []
    for axis, kind in ((1, "RA"), (2, "DEC")):
        value = header.get(f"CRVAL{axis}")
        if not str(header.get(f"CTYPE{axis}", "")).strip().upper().startswith(kind):
            return None
        number = plain_number(value)
        if number is None and isinstance(value, str) and (told := sexagesimal(value)) is not None:
            number = told * (15.0 if kind == "RA" else 1.0)
        if number is None or abs(number) > (360 if kind == "RA" else 90):
            return None
        place.append(number)
    return place[0], place[1]


def _given_middle(text: str | None) -> MidExposure | None:
    """The middle of the exposure as a request gives it.

    Raises
    ------
    InvalidRequestError
        Not a date with a time.
    """
    if text is None:
        return None
    moment = parse_moment(text)
    if moment is None or not moment.has_time:
        raise InvalidRequestError(f"{clean_text(text, limit=40)!r} is not a date with a time (ISO 8601, UTC).")
    return MidExposure(moment.when, "request")


CALIBRATION_TYPES = frozenset({"flat", "dark", "bias"})
"""Types of `FrameFacts.image_type` that are no pictures of the sky."""


def _image_type(text: str | None) -> str | None:
    """One word for the kind of frame."""
    if text is None:
        return None
    lower = text.lower()
    for word in ("flat", "dark", "bias", "zero"):
        if word in lower:
            return "bias" if word == "zero" else word
    if any(word in lower for word in ("light", "object", "science", "expose", "sci")):
        return "light"
    return "light" if lower == "ext" else lower
