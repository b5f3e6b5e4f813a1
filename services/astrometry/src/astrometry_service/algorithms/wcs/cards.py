"""World coordinate cards from strangers: what may be parsed, and the repair of headers that contradict themselves.

Nothing is handed to a parser before it went through here: orders, indices and counts are bounded, numbers are finite,
and cards that refer to tables elsewhere in the file are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from astro_shared.fits.units import plain_number
from astrometry_service.algorithms.wcs.axes import LONGITUDES, PROJECTIONS, axis_types, card_angle
from astrometry_service.algorithms.wcs.header import is_wcs_keyword
from astrometry_service.algorithms.wcs.repairs import (
    repair_distortion,
    repair_equinox,
    repair_matrix,
    repair_place,
    repair_units,
)

__all__ = ["CleanCards", "clean_cards"]

MAX_AXES = 9
MAX_SIP_ORDER = 9
MAX_PV_INDEX = 39
MAX_CARDS = 1000

_NUMBER = re.compile(
    r"^(CRVAL|CRPIX|CDELT|CROTA)\d$|^(CD|PC|PV)\d_\d+$|^[AB]P?_(\d+_\d+|DMAX)$|^(LONPOLE|LATPOLE)$"
    r"|^AMD[XY]\d+$|^PPO\d$|^CNPIX\d$|^PLTRA[HMS]$|^PLTDEC[DMS]$|^PLTSCALE$|^[XY]PIXELSZ$"
)
_OLD_MATRIX = re.compile(r"^(PC|CD)00(\d)00(\d)$")
_DSS = ("AMDX1", "AMDY1", "PLTRAH", "PLTDECD", "XPIXELSZ", "YPIXELSZ", "PPO3", "PPO6", "CNPIX1", "CNPIX2")


@dataclass(frozen=True)
class CleanCards:
    """Cards that can be parsed.

    Attributes
    ----------
    cards : the two celestial axes come first where they did not
    kind : projection code (``TAN``, ``TPV``, ``SIP``, ``DSS``, ...), empty where there is no celestial pair
    longitude, latitude : axis numbers, 1-based, 0 where there is none
    problems : what makes the header unusable, in words
    repairs : what was changed or left out, in words
    """

    cards: Mapping[str, Any]
    kind: str
    longitude: int
    latitude: int
    problems: tuple[str, ...]
    repairs: tuple[str, ...]


def clean_cards(header: Mapping[str, Any], size: tuple[int, int] | None = None) -> CleanCards:
    """Take the world coordinate cards of a header that may be hostile.

    Parameters
    ----------
    header : a FITS header, or any mapping of keywords to values
    size : (nx, ny) pixel, of the image, where it is known

    Returns
    -------
    CleanCards
    """
    repairs: list[str] = []
    problems: list[str] = []
    types = axis_types(header, repairs)
    cards, in_degrees = _gather(header, types, repairs, problems)
    longitude, latitude, kind = _celestial_axes(cards)
    if not kind:
        if all(name in cards for name in _DSS):
            return CleanCards(_plate_cards(cards), "DSS", 1, 2, tuple(problems), tuple(repairs))
        return CleanCards({}, "", 0, 0, tuple(problems), tuple(repairs))
    cards = {name: value for name, value in cards.items() if not _is_plate(name)}
    if kind not in PROJECTIONS:
        problems.append(f"unknown projection {kind}")
    if kind in ("TNX", "ZPX") and any("cor" in str(value) for name, value in cards.items() if name.startswith("WAT")):
        repairs.append(
            f"the correction surfaces of {kind} (WAT cards) may be left out by wcslib: the map is good to some pixels"
        )
    repair_equinox(cards, repairs)
    repair_units(cards, (longitude, latitude), in_degrees, repairs)
    repair_place(cards, longitude, latitude, size, repairs)
    repair_matrix(cards, (longitude, latitude), repairs)
    kind = repair_distortion(cards, kind, longitude, latitude, repairs)
    for axis in (longitude, latitude):
        problems.extend(f"{name} is missing" for name in (f"CRVAL{axis}", f"CRPIX{axis}") if name not in cards)
    if abs(float(cards.get(f"CRVAL{latitude}", 0.0))) > 90.0:
        problems.append(f"CRVAL{latitude} = {cards[f'CRVAL{latitude}']} is no latitude")
    return CleanCards(cards, kind, longitude, latitude, tuple(problems), tuple(repairs))


def _gather(
    header: Mapping[str, Any], types: Mapping[str, str], repairs: list[str], problems: list[str]
) -> tuple[dict[str, Any], frozenset[str]]:
    """Cards of the primary description with values of the right kind, and which of them told their unit as text."""
    cards: dict[str, Any] = dict(types)
    in_degrees: set[str] = set()
    dropped: list[str] = []
    hours = {f"CRVAL{name[5:]}" for name, kind in types.items() if kind.startswith("RA")}
    for key in dict.fromkeys(str(k).upper() for k in header):
        if not is_wcs_keyword(key) or len(cards) >= MAX_CARDS or key.startswith("CTYPE"):
            continue
        value = header[key]
        old = _OLD_MATRIX.match(key)
        name = f"{old[1]}{old[2]}_{old[3]}" if old else {"RADECSYS": "RADESYS"}.get(key, key)
        if name in cards or name == "EPOCH":
            continue
        if re.match(r"^(CPDIS|CQDIS|DP|DQ|D2IM|CPERR|CQERR|PS)", name):
            dropped.append(name)
        elif _NUMBER.match(name):
            found = card_angle(value, hours=name in hours)
            if found is None:
                problems.append(f"{name} = {str(value)[:20]!r} is no finite number")
            elif not re.match(r"^P[VC]\d_\d+$|^CD\d_\d$", name) or _index_allowed(name):
                cards[name] = found[0]
                if found[1]:
                    in_degrees.add(name)
                if isinstance(value, str):
                    unit = " deg" if name.startswith("CRVAL") and found[1] else ""
                    repairs.append(f"read {name} = {value.strip()[:20]!r} as {found[0]:.10g}{unit}")
            else:
                dropped.append(name)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            cards[name] = value.strip() if isinstance(value, str) else value
    if dropped:
        repairs.append(f"left out {len(dropped)} cards of look-up tables or out of range ({dropped[0]}, ...)")
    # EPOCH once named the equinox; many write the epoch of the observation there.
    if "EQUINOX" not in cards and plain_number(header.get("EPOCH")) in (1950.0, 2000.0):
        cards["EQUINOX"] = plain_number(header["EPOCH"])
    _bound_orders(cards, repairs)
    return cards, frozenset(in_degrees)


def _index_allowed(name: str) -> bool:
    axis, index = name[2:].split("_")
    return 1 <= int(axis) <= MAX_AXES and int(index) <= (MAX_PV_INDEX if name.startswith("PV") else MAX_AXES)


def _bound_orders(cards: dict[str, Any], repairs: list[str]) -> None:
    """Drop SIP polynomials whose order is absurd, and the number of axes where it is."""
    for name in ("A_ORDER", "B_ORDER", "AP_ORDER", "BP_ORDER"):
        if name not in cards:
            continue
        order = plain_number(cards[name])
        if order is None or not 0 <= order <= MAX_SIP_ORDER or order != int(order):
            repairs.append(f"left out the SIP polynomials: {name} = {str(cards[name])[:20]}")
            for key in [k for k in cards if re.match(r"^[AB]P?_", k)]:
                del cards[key]
            break
        cards[name] = int(order)
    axes = plain_number(cards.get("WCSAXES"))
    if "WCSAXES" in cards and (axes is None or not 1 <= axes <= MAX_AXES or axes != int(axes)):
        repairs.append(f"left out WCSAXES = {str(cards['WCSAXES'])[:20]}")
        del cards["WCSAXES"]


def _celestial_axes(cards: Mapping[str, Any]) -> tuple[int, int, str]:
    """Longitude axis, latitude axis and projection; zeros where there is no pair."""
    kinds = {}
    for axis in range(1, MAX_AXES + 1):
        value = str(cards.get(f"CTYPE{axis}", "")).upper()
        parts = [part for part in value.split("-") if part]
        if len(parts) >= 2:
            kinds[axis] = (parts[0], parts[1])
    for axis, (name, code) in kinds.items():
        if name in LONGITUDES:
            for other, (partner, other_code) in kinds.items():
                if partner == LONGITUDES[name] and other_code == code:
                    return axis, other, code
    return 0, 0, ""


def _is_plate(name: str) -> bool:
    return re.match(r"^(AMD[XY]\d+|PPO\d|CNPIX\d|PLT\w+|[XY]PIXELSZ)$", name) is not None


def _plate_cards(cards: Mapping[str, Any]) -> dict[str, Any]:
    """Cards of a Digitized Sky Survey plate solution, which wcslib reads by itself."""
    keep = {name: value for name, value in cards.items() if _is_plate(name)}
    keep["PLTDECSN"] = str(cards.get("PLTDECSN", "+"))
    for name in ("EQUINOX", "RADESYS"):
        if name in cards:
            keep[name] = cards[name]
    return keep
