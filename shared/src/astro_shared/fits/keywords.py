"""What a header says about its frame: one table of aliases per quantity, and the facts read with it.

For every quantity the first keyword of its row that holds a believable value wins. A value outside the row's range
is passed over with a warning. Units are those of the row; where the comment of a card names another one (``[d]``,
``minutes``, electrons for a saturation) the value is converted.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import datetime

from astropy.io import fits

from astro_shared.errors import InvalidRequestError
from astro_shared.fits.dates import mid_exposure, parse_moment, to_julian_year, to_mjd, to_text
from astro_shared.fits.headers import clean_text
from astro_shared.fits.pointing import PointingReading, find_hour_angle, pointing_readings, sexagesimal
from astro_shared.fits.site import SkyEvidence, east_longitude


@dataclass(frozen=True)
class Quantity:
    """One row of the alias table: believable values lie in ``low`` to ``high``."""

    keywords: tuple[str, ...]
    unit: str
    low: float = -math.inf
    high: float = math.inf


#: The alias table of numbers. ESO's ``DET OUTi GAIN`` is ADU per electron; its ``CONAD`` is what others call gain.
QUANTITIES: dict[str, Quantity] = {
    "gain_e_per_adu": Quantity(
        ("GAIN", "EGAIN", "HIERARCH ESO DET OUT1 CONAD", "GAINEFF", "CCDGAIN", "ARAWGAIN", "GAINA"), "e/ADU", 1e-3, 1e3
    ),
    "read_noise_e": Quantity(
        ("RDNOISE", "READNOIS", "RON", "RDNOIS", "ENOISE", "RNOISE", "HIERARCH ESO DET OUT1 RON", "RDNOISEA", "READNSEA"),
        "e", 1e-3, 1e4,
    ),
    "saturation_adu": Quantity(("SATURATE", "SATLEVEL", "MAXLIN", "SATURATA"), "ADU", 1.0, 1e9),
    "exposure_s": Quantity(
        ("EXPTIME", "EXPOSURE", "EXP_TIME", "ITIME", "TEXPTIME", "EXPDUR", "ETIMEAVE", "TELAPSE"), "s", 1e-6, 1e7
    ),
    "airmass": Quantity(("AIRMASS", "SECZ", "AMSTART", "HIERARCH ESO TEL AIRM START"), "", 0.99, 40.0),
    "pixel_scale_arcsec": Quantity(
        ("PIXSCALE", "PIXSCAL1", "SECPIX", "SECPIX1", "IM_SCALE", "PIXSCL", "CCDSCALE", "SCALE",
         "HIERARCH ESO INS PIXSCALE", "PIXLSIZE"),
        "arcsec/px", 1e-2, 300.0,
    ),
    "latitude_deg": Quantity(
        ("SITELAT", "LAT-OBS", "OBS-LAT", "LATITUDE", "GEOLAT", "OBSGEO-B", "OBSLAT", "TELLAT",
         "HIERARCH ESO TEL GEOLAT", "HIERARCH ESO TEL LAT"),
        "deg", -90.0, 90.0,
    ),
    "longitude_deg": Quantity(
        ("SITELONG", "LONG-OBS", "OBS-LONG", "LONGITUD", "GEOLON", "OBSGEO-L", "OBSLON", "OBSLONG", "TELLONG",
         "HIERARCH ESO TEL GEOLON", "HIERARCH ESO TEL LON"),
        "deg", -360.0, 360.0,
    ),
    "elevation_m": Quantity(
        ("SITEELEV", "ELEV-OBS", "OBS-ELEV", "ALT-OBS", "HEIGHT", "GEOELEV", "OBSGEO-H", "SITEALT", "OBSALT",
         "HIERARCH ESO TEL GEOELEV", "HIERARCH ESO TEL ALTITUDE"),
        "m", -500.0, 10_000.0,
    ),
}  # fmt: skip

#: The alias table of texts.
TEXTS: dict[str, tuple[str, ...]] = {
    "filter": ("FILTER", "FILTNAM", "FILTER1", "FILTER2", "FILTERID", "FILTERS", "INSFILTE", "FILT", "BAND",
               "HIERARCH ESO INS FILT1 NAME"),
    "image_type": ("IMAGETYP", "OBSTYPE", "IMTYPE", "FRAME", "VIMTYPE", "HIERARCH ESO DPR TYPE"),
    "object": ("OBJECT", "OBJNAME", "TARGNAME", "FIELD"),
    "instrument": ("INSTRUME", "DETECTOR", "CAMERA"),
}  # fmt: skip

CAMERA_SETTING_GAIN = 30.0  # a larger whole number in GAIN is the setting of a CMOS camera, not e/ADU

_NOT_COUNTS = re.compile(r"jy|maggy|maggies|erg|flam|fnu|\bw\b|w/m|mag\b|\bk\b|\bkelvin", re.I)
_ELECTRONS = re.compile(r"^(?:e-?|electrons?|e/s|e-/s|electrons?\s*/\s*(?:s|sec|second)|electrons?\s*s-1)$", re.I)
_SECONDS_PER = (
    (re.compile(r"\[\s*d(?:ays?)?\s*\]|\bdays\b", re.I), 86400.0),
    (re.compile(r"\[\s*h(?:ours?)?\s*\]|\bhours\b", re.I), 3600.0),
    (re.compile(r"\[\s*min(?:utes?)?\s*\]|\bminutes\b", re.I), 60.0),
    (re.compile(r"\[\s*ms(?:ec)?\s*\]|\bmilliseconds\b", re.I), 1e-3),
)
_NO_FILTER = ("", "none", "unknown", "n/a", "open", "air", "empty", "clear1", "clear2", "clear1l", "clear2l")


@dataclass(frozen=True)
class FrameFacts:
    """What the header says; None where it says nothing believable.

    Attributes
    ----------
    date_mid, mjd_mid, epoch_jyear
        Middle of the exposure, UTC: ISO 8601, modified Julian date, Julian year.
    ra_deg, dec_deg
        Pointing, ICRS: the most plausible of ``pointings``.
    pointings
        Every way to read it.
    longitude_deg
        Towards the east.
    image_type
        ``light``, ``flat``, ``dark``, ``bias`` or the header's own word.
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
    sources: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @staticmethod
    def mid_of(text: str) -> tuple[str, float]:
        """A date given by a person, as ISO 8601 in UTC and as Julian year.

        Raises
        ------
        InvalidRequestError
            Not a date with a time.
        """
        moment = parse_moment(text)
        if moment is None or not moment.has_time:
            raise InvalidRequestError(f"{clean_text(text, limit=40)!r} is not a date with a time (ISO 8601, UTC).")
        return to_text(moment.when), to_julian_year(moment.when)


class _Reader:
    """Looks quantities up, keeping sources and warnings."""

    def __init__(self, header: fits.Header) -> None:
        self.header = header
        self.sources: dict[str, str] = {}
        self.warnings: list[str] = []

    def number(self, name: str) -> float | None:
        """The first believable number among the aliases of a quantity, in its unit."""
        row = QUANTITIES[name]
        for keyword in row.keywords:
            value = self._value(keyword)
            if value is None:
                continue
            value *= self._factor(name, keyword)
            if row.low <= value <= row.high:
                self.sources[name] = keyword
                return value
            if not (name == "exposure_s" and value == 0):
                self.warnings.append(
                    f"{keyword} = {value:g} {row.unit} in the header is not believed".replace("  ", " ")
                )
        return None

    def text(self, name: str) -> str | None:
        """The first text among the aliases that says something."""
        for keyword in TEXTS[name]:
            value = self.header.get(keyword)
            if isinstance(value, str) and value.strip().lower() not in _NO_FILTER:
                self.sources[name] = keyword
                return clean_text(value, limit=60)
        return None

    def comment(self, keyword: str) -> str:
        """Comment of a card."""
        return str(self.header.comments[keyword])

    def gain(self, exposure_s: float | None) -> float | None:
        """Electrons per unit of the pixels."""
        unit = str(self.header.get("BUNIT", "")).strip()
        if _ELECTRONS.fullmatch(unit):
            self.sources["gain_e_per_adu"] = "BUNIT"
            return exposure_s if re.search(r"/|s-1", unit) else 1.0
        if _NOT_COUNTS.search(unit):
            self.warnings.append(f"the pixels are in {clean_text(unit, limit=20)}: the gain of the header is not used")
            return None
        plain, exact = self._value("GAIN"), self._value("EGAIN")
        if plain is not None and exact is not None and exact > 0 and abs(plain / exact - 1) > 0.05:
            self.warnings.append(f"GAIN = {plain:g} and EGAIN = {exact:g} e/ADU differ: EGAIN is used")
            self.sources["gain_e_per_adu"] = "EGAIN"
            return exact
        if plain is not None and exact is None and plain > CAMERA_SETTING_GAIN and plain == int(plain):
            self.warnings.append(f"GAIN = {plain:g} looks like the setting of a camera, not e/ADU: it is not used")
            return None
        return self.number("gain_e_per_adu")

    def _value(self, keyword: str) -> float | None:
        """A card's value as a number; sexagesimal texts count."""
        value = self.header.get(keyword)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return None
        try:
            number = float(value)
        except ValueError:
            parts = sexagesimal(str(value))
            return parts
        return number if math.isfinite(number) else None

    def _factor(self, name: str, keyword: str) -> float:
        """What the unit in a comment multiplies the value by."""
        comment = self.comment(keyword)
        if name == "exposure_s":
            return next((factor for pattern, factor in _SECONDS_PER if pattern.search(comment)), 1.0)
        if name == "pixel_scale_arcsec" and re.search(r"\bdeg", comment, re.I):
            return 3600.0
        return 1.0


def frame_facts(header: fits.Header) -> FrameFacts:
    """Read everything that the alias tables know from a header made safe by `astro_shared.fits.read_frame`."""
    read = _Reader(header)
    exposure = read.number("exposure_s")
    gain = read.gain(exposure)
    noise, saturation = read.number("read_noise_e"), read.number("saturation_adu")
    if saturation and gain and re.search(r"\[e|electron", read.comment(read.sources["saturation_adu"]), re.I):
        saturation /= gain
    if noise and gain and re.search(r"\[(?:adu|dn)", read.comment(read.sources["read_noise_e"]), re.I):
        noise *= gain
    middle, date_notes = mid_exposure(header, exposure)
    pointings, pointing_notes = pointing_readings(header)
    ra, dec = (pointings[0].ra_deg, pointings[0].dec_deg) if pointings else (None, None)
    airmass, latitude = read.number("airmass"), read.number("latitude_deg")
    longitude = read.number("longitude_deg")
    if longitude is not None:
        evidence = SkyEvidence(_mjd(middle), ra, dec, latitude, find_hour_angle(header), airmass)
        longitude, remark = east_longitude(longitude, read.comment(read.sources["longitude_deg"]), evidence)
        read.warnings += [remark] if remark else []
    return FrameFacts(
        gain_e_per_adu=gain,
        read_noise_e=noise,
        saturation_adu=saturation,
        exposure_s=exposure,
        date_mid=to_text(middle) if middle else None,
        mjd_mid=_mjd(middle),
        epoch_jyear=to_julian_year(middle) if middle else None,
        filter=read.text("filter"),
        airmass=airmass,
        latitude_deg=latitude,
        longitude_deg=longitude,
        elevation_m=read.number("elevation_m"),
        ra_deg=ra,
        dec_deg=dec,
        pointings=tuple(pointings),
        pixel_scale_arcsec=read.number("pixel_scale_arcsec") or _scale_of_optics(header),
        image_type=_image_type(read.text("image_type")),
        object=read.text("object"),
        instrument=read.text("instrument"),
        sources=read.sources,
        warnings=(*read.warnings, *date_notes, *pointing_notes),
    )


def _mjd(moment: datetime | None) -> float | None:
    """Modified Julian date, None for none."""
    return None if moment is None else to_mjd(moment)


def _scale_of_optics(header: fits.Header) -> float | None:
    """Arcsec per pixel from pixel size [micrometres, after binning] and focal length [mm]."""
    size, focal = header.get("XPIXSZ"), header.get("FOCALLEN")
    if any(isinstance(v, bool) or not isinstance(v, int | float) or v <= 0 for v in (size, focal)):
        return None
    scale = 206.264806 * size / focal
    row = QUANTITIES["pixel_scale_arcsec"]
    return scale if row.low <= scale <= row.high else None


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
