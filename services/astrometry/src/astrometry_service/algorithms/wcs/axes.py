"""Axis types of headers as people write them, and values of angles in any notation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from astro_shared.fits.pointing import sexagesimal
from astro_shared.fits.units import plain_number

__all__ = ["LONGITUDES", "PROJECTIONS", "axis_types", "card_angle", "unit_deg"]

PROJECTIONS = frozenset(
    ("AZP", "SZP", "TAN", "STG", "SIN", "ARC", "ZPN", "ZEA", "AIR", "CYP", "CEA", "CAR", "MER", "COP", "COE", "COD",
     "COO", "SFL", "PAR", "MOL", "AIT", "BON", "PCO", "TSC", "CSC", "QSC", "HPX", "TPV", "TNX", "ZPX", "NCP", "GLS")
)  # fmt: skip
LONGITUDES = {"RA": "DEC", "GLON": "GLAT", "ELON": "ELAT", "HLON": "HLAT", "SLON": "SLAT"}

_DEGREES = {
    "deg": 1.0, "degs": 1.0, "degree": 1.0, "degrees": 1.0, "d": 1.0, "°": 1.0, "dms": 1.0, "d:m:s": 1.0,
    "arcmin": 1 / 60, "arcmins": 1 / 60, "arcminute": 1 / 60, "arcminutes": 1 / 60, "amin": 1 / 60, "'": 1 / 60,
    "arcsec": 1 / 3600, "arcsecs": 1 / 3600, "arcsecond": 1 / 3600, "arcseconds": 1 / 3600, "asec": 1 / 3600, '"': 1 / 3600,
    "mas": 1 / 3.6e6, "rad": 57.29577951308232, "radian": 57.29577951308232, "radians": 57.29577951308232,
    "h": 15.0, "hr": 15.0, "hrs": 15.0, "hour": 15.0, "hours": 15.0, "hourangle": 15.0, "hms": 15.0, "h:m:s": 15.0,
}  # fmt: skip

_HEADS = {"DE": "DEC", "DECL": "DEC", "R.A.": "RA", "R.A": "RA", "DEC.": "DEC"}
_TYPE = re.compile(r"(R\.?A\.?|DECL|DEC\.?|DE|[GEHS]LON|[GEHS]LAT)[\s_\-–=.]*([A-Z]{3})?(?:[\s_\-–=.]*(SIP))?[\s_\-]*")
_WITH_UNIT = re.compile(r"([+-]?[\d.,]+(?:[eEdD][+-]?\d+)?)\s*([a-z\"'°]+)", re.I)
_MAX_AXES = 9
# deg / pixel: smaller or larger steps are no picture of the sky.
_STEP_DEG = (1e-6, 0.1)


def unit_deg(text: str) -> float | None:
    """Degrees in one unit of this name; None where it names no angle."""
    return _DEGREES.get(text.strip().strip("[]()").strip().lower())


def card_angle(value: object, *, hours: bool) -> tuple[float, bool] | None:
    """The number of a card, and whether it is in degrees by its own notation; None where there is none.

    Parameters
    ----------
    value : a number; text with a number (comma, Fortran's exponent), with a unit behind it, or sexagesimal
    hours : sexagesimal text without a unit counts hours, as long as it is below 24
    """
    number = plain_number(value)
    if number is not None or not isinstance(value, str):
        return None if number is None else (number, False)
    text = value.strip().replace(",", ".")
    found = _WITH_UNIT.fullmatch(text)
    if found and (unit := unit_deg(found[2])) is not None and (number := plain_number(found[1])) is not None:
        return number * unit, True
    angle = sexagesimal(text)
    if angle is None:
        return None
    in_hours = "h" in text.lower() or (hours and "d" not in text.lower() and "°" not in text and abs(angle) < 24.0)
    return angle * (15.0 if in_hours else 1.0), True


def axis_types(header: Mapping[str, Any], repairs: list[str]) -> dict[str, str]:
    """CTYPE of each axis that has one, the way the standard writes celestial ones.

    Repaired: wrong separators and numbers of dashes, a missing or an unknown code of projection where the other axis has
    one, RA and DEC without a code (TAN), twice the same axis, and no types at all where the rest describes a picture of
    the sky.
    """
    given = {f"CTYPE{k}": header.get(f"CTYPE{k}") for k in range(1, _MAX_AXES + 1)}
    texts = {name: value.strip().upper() for name, value in given.items() if isinstance(value, str) and value.strip()}
    parts = {name: match.groups() for name, text in texts.items() if (match := _TYPE.fullmatch(text))}
    if not texts and _is_sky_without_types(header):
        repairs.append("CTYPE1 and CTYPE2 are absent: read as RA---TAN and DEC--TAN")
        return {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
    heads = {name: _HEADS.get(part[0], part[0]) for name, part in parts.items()}
    _part_twins(heads)
    celestial = {name: head for name, head in heads.items() if _has_partner(head, heads)}
    codes = {name: _code(parts[name][1], parts[name][2]) for name in celestial}
    known = sorted((c for c in codes.values() if c.split("-")[0] in PROJECTIONS), key=lambda c: (c == "TAN", c))
    for name, head in celestial.items():
        code = codes[name]
        if known and (code.split("-")[0] not in PROJECTIONS or len(set(known)) > 1):
            code = known[0]
        elif not code and head in ("RA", "DEC"):
            code = "TAN"
        if code:
            wanted = f"{head}{'-' * (5 - len(head))}{code}"
            if wanted != texts[name]:
                repairs.append(f"read {name} = {texts[name][:20]!r} as {wanted}")
            texts[name] = wanted
    return texts


def _code(projection: str | None, sip: str | None) -> str:
    """Projection with its suffix; SIP alone is that of TAN."""
    if projection == "SIP":
        return "TAN-SIP"
    return f"{projection or ''}{'-SIP' if sip and projection else ''}"


def _part_twins(heads: dict[str, str]) -> None:
    """Two axes of right ascension, or of declination: the one that stands in the other's place is the other."""
    pair = [heads.get("CTYPE1"), heads.get("CTYPE2")]
    if pair == ["RA", "RA"]:
        heads["CTYPE2"] = "DEC"
    elif pair == ["DEC", "DEC"]:
        heads["CTYPE1"] = "RA"


def _has_partner(head: str, heads: Mapping[str, str]) -> bool:
    partners = LONGITUDES | {latitude: longitude for longitude, latitude in LONGITUDES.items()}
    return partners.get(head) in heads.values()


def _is_sky_without_types(header: Mapping[str, Any]) -> bool:
    """Whether reference values and steps are those of a picture of the sky."""
    if "AMDX1" in header:
        return False
    places = [card_angle(header.get(f"CRVAL{k}"), hours=k == 1) for k in (1, 2)]
    names = ("CD1_1", "CD1_2", "CD2_1", "CD2_2", "CDELT1", "CDELT2")
    steps = [abs(number) for name in names if (number := plain_number(header.get(name))) is not None and number != 0.0]
    if places[0] is None or places[1] is None or len(steps) < 2 or (places[0][0], places[1][0]) == (0.0, 0.0):
        return False
    on_sky = -180.0 <= places[0][0] <= 360.0 and abs(places[1][0]) <= 90.0
    units = [str(header.get(f"CUNIT{k}", "")).strip() for k in (1, 2)]
    angles = all(not unit or unit_deg(unit) is not None for unit in units)
    return on_sky and angles and _STEP_DEG[0] < max(steps) < _STEP_DEG[1]
