"""World coordinate cards from strangers: what may be parsed, and the repair of headers that contradict themselves.

Nothing is handed to a parser before it went through here: orders, indices and counts are bounded, numbers are finite,
and cards that refer to tables elsewhere in the file are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from astro_shared.science.sky_time import parse_angle_deg
from astrometry_service.algorithms.wcs_header import is_wcs_keyword

__all__ = ["CleanCards", "clean_cards"]

MAX_AXES = 9
MAX_SIP_ORDER = 9
MAX_PV_INDEX = 39
MAX_CARDS = 1000

PROJECTIONS = frozenset(
    ("AZP", "SZP", "TAN", "STG", "SIN", "ARC", "ZPN", "ZEA", "AIR", "CYP", "CEA", "CAR", "MER", "COP", "COE", "COD",
     "COO", "SFL", "PAR", "MOL", "AIT", "BON", "PCO", "TSC", "CSC", "QSC", "HPX", "TPV", "TNX", "ZPX", "NCP", "GLS")
)  # fmt: skip
LONGITUDES = {"RA": "DEC", "GLON": "GLAT", "ELON": "ELAT", "HLON": "HLAT", "SLON": "SLAT"}

_DEGREES = {
    "deg": 1.0, "degree": 1.0, "degrees": 1.0, "d": 1.0, "arcmin": 1 / 60, "arcsec": 1 / 3600, "mas": 1 / 3.6e6,
    "rad": 57.29577951308232, "hour": 15.0, "hourangle": 15.0,
}  # fmt: skip

_NUMBER = re.compile(
    r"^(CRVAL|CRPIX|CDELT|CROTA)\d$|^(CD|PC|PV)\d_\d+$|^[AB]P?_(\d+_\d+|DMAX)$|^(LONPOLE|LATPOLE|EQUINOX)$"
    r"|^AMD[XY]\d+$|^PPO\d$|^CNPIX\d$|^PLTRA[HMS]$|^PLTDEC[DMS]$|^PLTSCALE$|^[XY]PIXELSZ$"
)
_OLD_PC = re.compile(r"^PC00(\d)00(\d)$")
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


def clean_cards(header: Mapping[str, Any]) -> CleanCards:
    """Take the world coordinate cards of a header that may be hostile.

    Parameters
    ----------
    header : a FITS header, or any mapping of keywords to values

    Returns
    -------
    CleanCards
    """
    repairs: list[str] = []
    problems: list[str] = []
    cards = _gather(header, repairs, problems)
    longitude, latitude, kind = _celestial_axes(cards)
    if not kind:
        if all(name in cards for name in _DSS):
            return CleanCards(_plate_cards(cards), "DSS", 1, 2, tuple(problems), tuple(repairs))
        return CleanCards({}, "", 0, 0, tuple(problems), tuple(repairs))
    cards = {name: value for name, value in cards.items() if not _is_plate(name)}
    if kind not in PROJECTIONS:
        problems.append(f"unknown projection {kind}")
    _in_degrees(cards, (longitude, latitude), repairs)
    _repair_matrix(cards, repairs)
    kind = _repair_distortion(cards, kind, longitude, latitude, repairs)
    for axis in (longitude, latitude):
        problems.extend(f"{name} is missing" for name in (f"CRVAL{axis}", f"CRPIX{axis}") if name not in cards)
    if abs(float(cards.get(f"CRVAL{latitude}", 0.0))) > 90.0:
        problems.append(f"CRVAL{latitude} = {cards[f'CRVAL{latitude}']} is no latitude")
    return CleanCards(cards, kind, longitude, latitude, tuple(problems), tuple(repairs))


def _gather(header: Mapping[str, Any], repairs: list[str], problems: list[str]) -> dict[str, Any]:
    """Cards of the primary description with values of the right kind."""
    cards: dict[str, Any] = {}
    dropped: list[str] = []
    hours = {f"CRVAL{k}" for k in range(1, MAX_AXES + 1) if str(header.get(f"CTYPE{k}", "")).upper().startswith("RA")}
    for key in dict.fromkeys(str(k).upper() for k in header):
        if not is_wcs_keyword(key) or len(cards) >= MAX_CARDS:
            continue
        value = header[key]
        old = _OLD_PC.match(key)
        name = f"PC{old.group(1)}_{old.group(2)}" if old else {"RADECSYS": "RADESYS"}.get(key, key)
        if name in cards or name == "EPOCH":
            continue
        if re.match(r"^(CPDIS|CQDIS|DP|DQ|D2IM|CPERR|CQERR|PS)", name):
            dropped.append(name)
        elif _NUMBER.match(name):
            number = parse_angle_deg(value, hours=name in hours)
            if number is None:
                problems.append(f"{name} = {str(value)[:20]!r} is no finite number")
            elif not re.match(r"^P[VC]\d_\d+$|^CD\d_\d$", name) or _index_allowed(name):
                cards[name] = number
                if name.startswith("CRVAL") and isinstance(value, str):
                    repairs.append(f"read {name} = {value.strip()[:20]!r} as {number:.6f} deg")
            else:
                dropped.append(name)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            cards[name] = value.strip() if isinstance(value, str) else value
    if dropped:
        repairs.append(f"left out {len(dropped)} cards of look-up tables or out of range ({dropped[0]}, ...)")
    # EPOCH once named the equinox; many write the epoch of the observation there.
    if "EQUINOX" not in cards and parse_angle_deg(header.get("EPOCH")) in (1950.0, 2000.0):
        cards["EQUINOX"] = float(header["EPOCH"])
    _bound_orders(cards, repairs)
    return cards


def _index_allowed(name: str) -> bool:
    axis, index = name[2:].split("_")
    return 1 <= int(axis) <= MAX_AXES and int(index) <= (MAX_PV_INDEX if name.startswith("PV") else MAX_AXES)


def _bound_orders(cards: dict[str, Any], repairs: list[str]) -> None:
    """Drop SIP polynomials whose order is absurd, and the number of axes where it is."""
    for name in ("A_ORDER", "B_ORDER", "AP_ORDER", "BP_ORDER"):
        if name not in cards:
            continue
        order = parse_angle_deg(cards[name])
        if order is None or not 0 <= order <= MAX_SIP_ORDER or order != int(order):
            repairs.append(f"left out the SIP polynomials: {name} = {str(cards[name])[:20]}")
            for key in [k for k in cards if re.match(r"^[AB]P?_", k)]:
                del cards[key]
            break
        cards[name] = int(order)
    axes = parse_angle_deg(cards.get("WCSAXES"))
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


def _in_degrees(cards: dict[str, Any], axes: tuple[int, int], repairs: list[str]) -> None:
    """Reference values and steps of the celestial axes in degrees, whatever CUNIT they were given in."""
    for axis in axes:
        unit = str(cards.pop(f"CUNIT{axis}", "deg")).strip().lower()
        factor = _DEGREES.get(unit or "deg")
        if factor is None:
            repairs.append(f"CUNIT{axis} = {unit[:20]!r} is no angle and taken for degrees")
        elif factor != 1.0:
            scaled = [k for k in cards if re.match(rf"^(CRVAL|CDELT){axis}$|^CD{axis}_\d$", k)]
            cards |= {k: float(cards[k]) * factor for k in scaled}
        cards[f"CUNIT{axis}"] = "deg"


def _repair_matrix(cards: dict[str, Any], repairs: list[str]) -> None:
    """One linear transformation, not two: CD wins over PC, PC over CROTA."""
    cd = [k for k in cards if re.match(r"^CD\d_\d$", k)]
    pc = [k for k in cards if re.match(r"^PC\d_\d$", k)]
    rota = [k for k in cards if k.startswith("CROTA")]
    if cd and any(float(cards[k]) != 0.0 for k in cd):
        stale = pc + rota + [k for k in cards if k.startswith("CDELT")]
        if pc:
            repairs.append("left out PC and CDELT beside CD")
        if rota and any(float(cards[k]) != 0.0 for k in rota):
            repairs.append("left out CROTA beside CD")
    else:
        stale = cd + (rota if pc else [])
        if cd:
            repairs.append("left out a CD matrix of zeros")
    for key in stale:
        del cards[key]


def _repair_distortion(cards: dict[str, Any], kind: str, longitude: int, latitude: int, repairs: list[str]) -> str:
    """Make the projection code, the SIP polynomials and the PV terms agree."""
    pv = {k for k in cards if k.startswith("PV")}
    names = [f"CTYPE{axis}" for axis in (longitude, latitude)]
    heads = [str(cards[name]).upper().split("-")[0] for name in names]
    labelled = all(str(cards[name]).upper().endswith("-SIP") for name in names)
    sip = _complete_sip(cards, repairs)
    looks_tpv = f"PV{longitude}_1" in pv and f"PV{latitude}_1" in pv
    looks_tpv |= any(int(k.split("_")[1]) >= 4 for k in pv if cards[k] != 0.0 and k[2] == str(latitude))
    looks_tpv |= any(int(k.split("_")[1]) >= 5 for k in pv if cards[k] != 0.0 and k[2] == str(longitude))
    suffix = ""
    if sip and kind == "TPV":
        repairs.append("left out SIP polynomials beside TPV")
    elif sip and (kind == "TAN" or labelled):
        suffix = "-SIP"
        if not labelled:
            repairs.append("read TAN with SIP polynomials as TAN-SIP")
        if pv and kind == "TAN":
            repairs.append("left out PV terms beside SIP")
            _drop(cards, r"^PV")
    elif kind == "TAN" and looks_tpv:
        kind = "TPV"
        repairs.append("read TAN with PV terms as TPV")
    elif sip:
        repairs.append(f"left out SIP polynomials beside {kind}")
    if kind == "TPV":
        # By the convention an absent PVi_1 is one; wcslib takes it for zero.
        for axis in (longitude, latitude):
            if f"PV{axis}_1" not in cards:
                cards[f"PV{axis}_1"] = 1.0
                repairs.append(f"PV{axis}_1 is absent: 1, as the convention has it")
    for name, head in zip(names, heads, strict=True):
        cards[name] = f"{head}{'-' * (5 - len(head))}{kind}{suffix}"
    if not suffix:
        _drop(cards, r"^[AB]P?_")
    return "SIP" if suffix else kind


def _complete_sip(cards: dict[str, Any], repairs: list[str]) -> bool:
    """Whether there are SIP polynomials; one axis without its own is not distorted."""
    if not any(value != 0.0 for name, value in cards.items() if re.match(r"^[AB]_\d+_\d+$", name)):
        return False
    for name, other in (("A_ORDER", "B_ORDER"), ("B_ORDER", "A_ORDER")):
        if name not in cards and other in cards:
            cards[name] = cards[other]
            repairs.append(f"{name} is absent: no distortion along that axis")
    return "A_ORDER" in cards


def _drop(cards: dict[str, Any], pattern: str) -> None:
    for key in [k for k in cards if re.match(pattern, k)]:
        del cards[key]


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
