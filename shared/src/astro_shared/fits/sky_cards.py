"""The world coordinates in a header from outside: reduced to the sky, or taken away when they could do harm.

A library asked to read ``A_ORDER = 30000`` does not come back. What is malformed is stripped with a warning; the
pixels stay useful and the frame is solved without a header.
"""

from __future__ import annotations

import math
import re

from astropy.io import fits

MAX_SIP_ORDER = 9
MAX_PV_INDEX = 39
MAX_ABS_VALUE = 1e30
MAX_AXES = 9

_WCS = re.compile(
    r"WCSAXES[A-Z]?|WCSNAME[A-Z]?|(?:CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CNAME|CRDER|CSYER)\d+[A-Z]?|CROTA\d+"
    r"|(?:CD|PC)\d+_\d+[A-Z]?|CD\d{6}|PC\d{6}|P[VS]\d+_\d+[A-Z]?|PROJP\d+|(?:LONPOLE|LATPOLE)[A-Z]?"
    r"|(?:A|B|AP|BP)_(?:ORDER|DMAX|\d+_\d+)"
    r"|(?:CPDIS|CQDIS|CPERR|CQERR|DP|DQ|D2IMDIS|D2IMERR|D2IMARR|D2IM)\d*(?:\.\w+)*|AXISCORR|D2IMEXT|NPOLEXT"
)
_ALTERNATE = re.compile(r"(?:WCSAXES|WCSNAME|(?:CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CNAME|CRDER|CSYER)\d+"
                        r"|(?:CD|PC|PV|PS)\d+_\d+|LONPOLE|LATPOLE)[A-Z]")  # fmt: skip
_LOOKUP = re.compile(r"(?:CPDIS|CQDIS|CPERR|CQERR|DP|DQ|D2IMDIS|D2IMERR|D2IMARR|D2IM)\d*(?:\.\w+)*"
                     r"|AXISCORR|D2IMEXT|NPOLEXT")  # fmt: skip
_AXIS = re.compile(r"(?:CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CNAME|CRDER|CSYER|CROTA)(\d+)|(?:PV|PS)(\d+)_\d+")
_MATRIX = re.compile(r"(?:CD|PC)(\d+)_(\d+)|(?:CD|PC)(\d{3})(\d{3})")
_PV = re.compile(r"PV(\d+)_(\d+)")
_NUMERIC = re.compile(r"(?:CRVAL|CRPIX|CDELT|CROTA)\d+|(?:CD|PC|PV)\d+_\d+|(?:A|B|AP|BP)_\d+_\d+|LONPOLE|LATPOLE")
_SIP_ORDER = re.compile(r"(?:A|B|AP|BP)_ORDER")
#: Celestial axis types of the WCS standard (four letters of the axis, dash, projection) and the common additions.
_CELESTIAL = re.compile(
    r"(?:RA--|DEC-|[GEHS]LON|[GEHS]LAT|[A-Z]{2}LN|[A-Z]{2}LT|TLON|TLAT)-"
    r"(AZP|SZP|TAN|STG|SIN|ARC|ZPN|ZEA|AIR|CYP|CEA|CAR|MER|COP|COE|COD|COO|SFL|PAR|MOL|AIT|BON|PCO|TSC|CSC|QSC|HPX|XPH"
    r"|GLS|NCP|DSS|TPV|TPU|TNX|ZPX)(?:-SIP)?"
)


def tidy_sky_cards(header: fits.Header) -> tuple[fits.Header, list[str]]:
    """Reduce the world coordinates of a header to two celestial axes, or remove them.

    Returns
    -------
    A new header, and a warning for each thing removed that somebody could miss. Alternate descriptions (``CTYPE1A``)
    go silently; look-up-table distortions go with a warning, as their tables do not travel with the header.

    Notes
    -----
    Removed as a whole: SIP order above 9 or without CRPIX, PV index above 39, values that are not finite numbers below
    1e30, singular CD or PC, axis types that are not a celestial pair on axes 1 and 2, declination of the reference
    beyond 90, right ascension beyond 360 degrees.
    """
    result, warnings = header.copy(), []
    _remove(result, _ALTERNATE)
    if _remove(result, _LOOKUP):
        warnings.append("look-up-table distortions of the WCS are ignored")
    if not any(_WCS.fullmatch(keyword) for keyword in result):
        return result, warnings
    _drop_other_axes(result)
    if {_text(result, "CTYPE1"), _text(result, "CTYPE2")} <= {"", "LINEAR", "PIXEL", "X", "Y"} and "CTYPE1" in result:
        _remove(result, _WCS)  # says itself that it is none
        return result, warnings
    reason = _danger(result)
    if reason:
        _remove(result, _WCS)
        warnings.append(f"the WCS of the header is ignored: {reason}")
    return result, warnings


def has_sky(header: fits.Header) -> bool:
    """Whether a (tidied) header has celestial axes."""
    return bool(_CELESTIAL.fullmatch(_text(header, "CTYPE1"))) and bool(_CELESTIAL.fullmatch(_text(header, "CTYPE2")))


def _danger(header: fits.Header) -> str:
    """Why the world coordinates must not be used; empty when they may."""
    for keyword in header:
        problem = _bad_card(keyword, header)
        if problem:
            return problem
    types = _text(header, "CTYPE1"), _text(header, "CTYPE2")
    if not any(types):
        return (
            "no axis types" if any(_NUMERIC.fullmatch(k) for k in header if not k.startswith("CR")) else "no sky axes"
        )
    if not has_sky(header):
        return f"axes 1 and 2 are {types[0]!r} and {types[1]!r}, not a pair on the sky"
    if "CRPIX1" not in header or "CRPIX2" not in header:
        return "no CRPIX"
    longitude, latitude = (header.get(f"CRVAL{axis}", 0.0) for axis in _sky_order(types))
    if abs(longitude) > 360 or abs(latitude) > 90:
        return f"the reference place {longitude:g}, {latitude:g} is not on the sky"
    if _singular(header):
        return "the matrix of pixel scales is singular"
    return ""


def _bad_card(keyword: str, header: fits.Header) -> str:
    """What is wrong with one card, in words."""
    if _SIP_ORDER.fullmatch(keyword):
        order = header[keyword]
        if isinstance(order, bool) or not isinstance(order, int) or not 0 <= order <= MAX_SIP_ORDER:
            return f"{keyword} = {order!r} is outside 0 to {MAX_SIP_ORDER}"
    pv = _PV.fullmatch(keyword)
    if pv and (int(pv[1]) > MAX_AXES or int(pv[2]) > MAX_PV_INDEX):
        return f"{keyword} does not exist"
    if _NUMERIC.fullmatch(keyword):
        value = header[keyword]
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"{keyword} is not a number"
        if not math.isfinite(value) or abs(value) > MAX_ABS_VALUE:
            return f"{keyword} = {value:g}"
    if keyword == "WCSAXES" and header[keyword] not in range(1, MAX_AXES + 1):
        return f"WCSAXES = {header[keyword]!r}"
    return ""


def _singular(header: fits.Header) -> bool:
    """Whether the linear part maps the frame to a line (missing elements have their defaults)."""
    if any(k.startswith("CD") and k[2:5] in ("1_1", "1_2", "2_1", "2_2") for k in header):
        matrix = [[header.get(f"CD{i}_{j}", 0.0) for j in (1, 2)] for i in (1, 2)]
    elif "AMDX1" in header:
        return False
    else:
        matrix = [
            [header.get(f"PC{i}_{j}", float(i == j)) * header.get(f"CDELT{i}", 1.0) for j in (1, 2)] for i in (1, 2)
        ]
    (a, b), (c, d) = matrix
    scale = max(abs(v) for row in matrix for v in row)
    return scale == 0 or abs(a * d - b * c) < 1e-8 * scale**2


def _sky_order(types: tuple[str, str]) -> tuple[int, int]:
    """Axis numbers of longitude and latitude."""
    return (2, 1) if types[0].startswith("DEC-") or types[0][1:4] == "LAT" or types[0][2:4] == "LT" else (1, 2)


def _drop_other_axes(header: fits.Header) -> None:
    """Remove the cards of axes beyond the second (spectral, polarisation), so that the plane's own two remain."""
    for keyword in list(dict.fromkeys(header)):
        axis, matrix = _AXIS.fullmatch(keyword), _MATRIX.fullmatch(keyword)
        numbers = [int(g) for match in (axis, matrix) if match for g in match.groups() if g]
        if any(n > 2 for n in numbers):
            header.remove(keyword, remove_all=True)
    if isinstance(header.get("WCSAXES"), int) and 2 < header["WCSAXES"] <= MAX_AXES:
        header["WCSAXES"] = 2


def _remove(header: fits.Header, pattern: re.Pattern[str]) -> int:
    """Remove all cards whose keyword matches; how many keywords."""
    found = [keyword for keyword in dict.fromkeys(header) if pattern.fullmatch(keyword)]
    for keyword in found:
        header.remove(keyword, remove_all=True)
    return len(found)


def _text(header: fits.Header, keyword: str) -> str:
    """A text value, trimmed; empty for anything else."""
    value = header.get(keyword, "")
    return value.strip().upper() if isinstance(value, str) else ""
