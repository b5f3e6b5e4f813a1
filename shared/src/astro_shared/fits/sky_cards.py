"""The world coordinates in a header from outside, without what could do harm.

A library asked to read ``A_ORDER = 30000`` does not come back. Such cards are taken out and named; what is merely wrong is
left to those who read world coordinates, who repair it.
"""

from __future__ import annotations

import re

from astropy.io import fits

from astro_shared.fits.headers import names_of
from astro_shared.fits.units import plain_number
from astro_shared.frame_warnings import FrameWarning, WarningCode

MAX_SIP_ORDER = 9
MAX_PV_INDEX = 39
MAX_ABS_VALUE = 1e30
MAX_AXES = 9

_ALTERNATE = re.compile(r"(?:WCSAXES|WCSNAME|(?:CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CNAME|CRDER|CSYER)\d+"
                        r"|(?:CD|PC|PV|PS)\d+_\d+|LONPOLE|LATPOLE)[A-Z]")  # fmt: skip
_LOOKUP = re.compile(r"(?:CPDIS|CQDIS|CPERR|CQERR|DP|DQ|D2IMDIS|D2IMERR|D2IMARR|D2IM)\d*(?:\.\w+)*"
                     r"|AXISCORR|D2IMEXT|NPOLEXT")  # fmt: skip
_AXIS = re.compile(r"(?:CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CNAME|CRDER|CSYER|CROTA)(\d+)|(?:PV|PS)(\d+)_\d+")
_MATRIX = re.compile(r"(?:CD|PC)(\d+)_(\d+)|(?:CD|PC)(\d{3})(\d{3})")
_PV = re.compile(r"PV(\d+)_(\d+)")
_NUMERIC = re.compile(r"(?:CRVAL|CRPIX|CDELT|CROTA)\d+|(?:CD|PC|PV)\d+_\d+|(?:A|B|AP|BP)_\d+_\d+|LONPOLE|LATPOLE")
_SIP_ORDER = re.compile(r"(?:A|B|AP|BP)_ORDER")
_SIP = re.compile(r"(?:A|B|AP|BP)_(?:ORDER|DMAX|\d+_\d+)")
_SCALES = re.compile(r"CDELT\d|(?:CD|PC)\d_\d")
_PAIRS = (("RA", "DEC"), *((f"{kind}LON", f"{kind}LAT") for kind in "GEHST"))
_NO_SKY = {"", "LINEAR", "PIXEL", "X", "Y"}


def tidy_sky_cards(header: fits.Header) -> tuple[fits.Header, list[FrameWarning]]:
    """Take what could do harm, or belongs to other axes, out of the world coordinates of a header.

    Returns
    -------
    A new header, and a warning that names the cards left out.

    Notes
    -----
    Left out: SIP polynomials of an order above 9, PV terms of an index above 39, values beyond 1e30, look-up-table
    distortions (their tables do not travel with the header), alternate descriptions (``CTYPE1A``), axes beyond the second.
    What is only wrong (text in place of numbers, a singular matrix, a declination of 95) stays: who solves the frame
    repairs it or says what is wrong with it.
    """
    result = header.copy()
    warnings: list[FrameWarning] = []
    for pattern, words in (
        (_ALTERNATE, "alternate world coordinates are left out"),
        (_LOOKUP, "look-up-table distortions of the WCS are ignored"),
    ):
        if found := _remove(result, pattern):
            warnings.append(WarningCode.WCS_CARDS_IGNORED(f"{words}: {names_of(found)}"))
    if found := _drop_other_axes(result):
        told = f"the image is the plane of the first two axes: {names_of(found)} are left out"
        warnings.append(WarningCode.WCS_CARDS_IGNORED(told))
    if reason := _wild_order(result):
        found = _remove(result, _SIP)
        told = f"{reason}: the SIP polynomials are left out ({names_of(found, most=4)})"
        warnings.append(WarningCode.WCS_CARDS_IGNORED(told))
    wild = {keyword: reason for keyword in dict.fromkeys(result) if (reason := _bad_card(keyword, result))}
    for keyword in wild:
        result.remove(keyword, remove_all=True)
    if wild:
        told = f"left out of the WCS: {'; '.join(list(wild.values())[:10])}"
        warnings.append(WarningCode.WCS_CARDS_IGNORED(told))
    types = _text(result, "CTYPE1"), _text(result, "CTYPE2")
    if not has_sky(result) and not set(types) <= _NO_SKY:
        told = f"axes 1 and 2 are {types[0]!r} and {types[1]!r}, not a pair on the sky"
        warnings.append(WarningCode.WCS_NOT_STANDARD(f"the WCS of the header breaks the standard: {told}"))
    elif not any(types) and "CTYPE1" not in result and any(_SCALES.fullmatch(k) for k in result):
        warnings.append(WarningCode.WCS_NOT_STANDARD("the WCS of the header has no axis types (CTYPE1, CTYPE2)"))
    return result, warnings


def has_sky(header: fits.Header) -> bool:
    """Whether a (tidied) header has celestial axes."""
    heads = {_text(header, name).split("-")[0] for name in ("CTYPE1", "CTYPE2")}
    return any({longitude, latitude} == heads for longitude, latitude in _PAIRS)


def _wild_order(header: fits.Header) -> str:
    """Which order of the SIP polynomials is not believed, in words; empty where all are."""
    for keyword in header:
        if _SIP_ORDER.fullmatch(keyword):
            order = plain_number(header[keyword])
            if order is None or order != int(order) or not 0 <= order <= MAX_SIP_ORDER:
                return f"{keyword} = {header[keyword]!r} is outside 0 to {MAX_SIP_ORDER}"
    return ""


def _bad_card(keyword: str, header: fits.Header) -> str:
    """Why one card must not reach a parser, in words; empty where it may."""
    value = header[keyword]
    pv = _PV.fullmatch(keyword)
    if pv and (int(pv[1]) > MAX_AXES or int(pv[2]) > MAX_PV_INDEX):
        return f"{keyword} does not exist"
    number = plain_number(value)
    if _NUMERIC.fullmatch(keyword) and number is not None and abs(number) > MAX_ABS_VALUE:
        return f"{keyword} = {number:g}"
    if keyword == "WCSAXES" and value not in range(1, MAX_AXES + 1):
        return f"WCSAXES = {value!r}"
    return ""


def _drop_other_axes(header: fits.Header) -> list[str]:
    """Remove the cards of axes beyond the second (spectral, polarisation), so that the plane's own two remain."""
    removed = []
    for keyword in list(dict.fromkeys(header)):
        axis, matrix = _AXIS.fullmatch(keyword), _MATRIX.fullmatch(keyword)
        numbers = [int(g) for match in (axis, matrix) if match for g in match.groups() if g]
        if any(n > 2 for n in numbers):
            header.remove(keyword, remove_all=True)
            removed.append(keyword)
    if isinstance(header.get("WCSAXES"), int) and 2 < header["WCSAXES"] <= MAX_AXES:
        header["WCSAXES"] = 2
    return removed


def _remove(header: fits.Header, pattern: re.Pattern[str]) -> list[str]:
    """Remove all cards whose keyword matches; the keywords."""
    found = [keyword for keyword in dict.fromkeys(header) if pattern.fullmatch(keyword)]
    for keyword in found:
        header.remove(keyword, remove_all=True)
    return found


def _text(header: fits.Header, keyword: str) -> str:
    """A text value, trimmed; empty for anything else."""
    value = header.get(keyword, "")
    return value.strip().upper() if isinstance(value, str) else ""
