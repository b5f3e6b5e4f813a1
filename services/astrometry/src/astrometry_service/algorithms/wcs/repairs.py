"""Repair of the linear part and of the distortion of headers that contradict themselves or use other units."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import numpy as np

from astrometry_service.algorithms.wcs.axes import unit_deg

__all__ = ["repair_distortion", "repair_equinox", "repair_matrix", "repair_place", "repair_units"]

# deg / pixel: the scales that `validate_header` takes for possible.
SCALE_DEG = (0.01 / 3600, 300.0 / 3600)
_SYSTEMS = frozenset(("ICRS", "FK5", "FK4", "FK4-NO-E", "GAPPT"))
_ALIASES = {
    "ICRF": "ICRS",
    "ICRS2": "ICRS",
    "GCRS": "ICRS",
    "J2000": "FK5",
    "FK-5": "FK5",
    "B1950": "FK4",
    "FK-4": "FK4",
}


def repair_units(cards: dict[str, Any], axes: tuple[int, int], in_degrees: Collection[str], repairs: list[str]) -> None:
    """Reference values and steps of the celestial axes in degrees, whatever CUNIT they were given in.

    Parameters
    ----------
    axes : longitude and latitude
    in_degrees : names of cards whose text told its unit
    """
    for axis in axes:
        unit = str(cards.pop(f"CUNIT{axis}", "")).strip()
        factor = unit_deg(unit) if unit else 1.0
        cards[f"CUNIT{axis}"] = "deg"
        if factor is None:
            repairs.append(f"CUNIT{axis} = {unit[:20]!r} is no angle and taken for degrees")
        elif factor != 1.0:
            _scale_axis(cards, axis, unit, factor, in_degrees, repairs)


def _scale_axis(
    cards: dict[str, Any], axis: int, unit: str, factor: float, in_degrees: Collection[str], repairs: list[str]
) -> None:
    """One axis in degrees. A place within six arcminutes of the origin is no place in arcseconds but one in degrees."""
    name = f"CRVAL{axis}"
    if name in cards and name not in in_degrees:
        if factor <= 1 / 60 and 0.0 < abs(cards[name]) <= 360.0:
            repairs.append(f"CUNIT{axis} = {unit[:20]!r} is that of the steps: {name} = {cards[name]:g} is in degrees")
        else:
            cards[name] = cards[name] * factor
            repairs.append(f"{name} is in {unit[:20]}: {cards[name]:.6f} deg")
    steps = [k for k in cards if re.match(rf"^CDELT{axis}$|^CD{axis}_\d$", k) and k not in in_degrees]
    if factor == 15.0 and max((abs(cards[k]) for k in steps), default=0.0) * factor > 1.5 * _other_step(cards, axis):
        return
    cards |= {k: cards[k] * factor for k in steps}


def _other_step(cards: dict[str, Any], axis: int) -> float:
    """Largest step of the other axes; infinite where there is none."""
    steps = [
        abs(v)
        for k, v in cards.items()
        if re.match(r"^CDELT\d$|^CD\d_\d$", k) and not k.startswith((f"CDELT{axis}", f"CD{axis}_"))
    ]
    return max(steps, default=float("inf")) or float("inf")


def repair_place(
    cards: dict[str, Any], longitude: int, latitude: int, size: tuple[int, int] | None, repairs: list[str]
) -> None:
    """Reference values in each other's place, and a reference pixel that is not given and from which no distortion counts."""
    ra, dec = f"CRVAL{longitude}", f"CRVAL{latitude}"
    if ra in cards and dec in cards and abs(cards[dec]) > 90.0 >= abs(cards[ra]) and -180.0 <= cards[dec] <= 360.0:
        cards[ra], cards[dec] = cards[dec], cards[ra]
        repairs.append(f"exchanged {ra} and {dec}: {cards[ra]:g} is no latitude")
    missing = [axis for axis in (longitude, latitude) if f"CRPIX{axis}" not in cards]
    distorted = any(re.match(r"^(PV\d_|[AB]_)", name) for name in cards)
    if size is not None and missing and not distorted and (longitude, latitude) in ((1, 2), (2, 1)):
        for axis in missing:
            cards[f"CRPIX{axis}"] = (size[axis - 1] + 1) / 2.0
        names = " and ".join(f"CRPIX{axis}" for axis in sorted(missing))
        repairs.append(f"{names} absent: the centre of the image")


def repair_matrix(cards: dict[str, Any], axes: tuple[int, int], repairs: list[str]) -> None:
    """One linear transformation, not two: CD wins over PC, PC over CROTA; in degrees."""
    cd = [k for k in cards if re.match(r"^CD\d_\d$", k)]
    pc = [k for k in cards if re.match(r"^PC\d_\d$", k)]
    rota = [k for k in cards if k.startswith("CROTA")]
    if cd and _is_rotation(cards, axes):
        cards |= {f"PC{k[2:]}": cards[k] for k in cd}
        repairs.append("read a CD matrix beside CDELT as PC: it holds no scale")
        stale = cd + rota
    elif cd and any(cards[k] != 0.0 for k in cd):
        stale = pc + rota + [k for k in cards if k.startswith("CDELT")]
        if pc:
            repairs.append("left out PC and CDELT beside CD")
        if rota and any(cards[k] != 0.0 for k in rota):
            repairs.append("left out CROTA beside CD")
    else:
        stale = cd + (rota if pc else [])
        if cd:
            repairs.append("left out a CD matrix of zeros")
        lon, lat = (f"CROTA{axis}" for axis in axes)
        if not pc and lat not in cards and cards.get(lon, 0.0) != 0.0:
            cards[lat] = cards[lon]
            repairs.append(f"{lat} is absent: {lon} = {cards[lon]:g} is taken for it")
    for key in dict.fromkeys(stale):
        del cards[key]
    _repair_scale(cards, axes, repairs)


def _is_rotation(cards: dict[str, Any], axes: tuple[int, int]) -> bool:
    """Whether CD is far too large for a matrix in degrees and CDELT has the scale that it lacks."""
    steps = [abs(cards.get(f"CDELT{axis}", 0.0)) for axis in axes]
    scale = _scale_of(_block(cards, "CD", axes, 0.0))
    return scale > SCALE_DEG[1] and all(SCALE_DEG[0] < scale * step < SCALE_DEG[1] for step in steps)


def _repair_scale(cards: dict[str, Any], axes: tuple[int, int], repairs: list[str]) -> None:
    """Steps that are no pixels of a picture in degrees, and are in arcseconds."""
    has_cd = any(re.match(r"^CD\d_\d$", k) for k in cards)
    if has_cd:
        matrix = _block(cards, "CD", axes, 0.0)
    else:
        steps = np.diag([cards.get(f"CDELT{axis}", 1.0) for axis in axes])
        matrix = steps @ _block(cards, "PC", axes, None)
    scale = _scale_of(matrix)
    if not (scale > SCALE_DEG[1] and SCALE_DEG[0] < scale / 3600 < SCALE_DEG[1] / 10):
        return
    if not has_cd and not any(f"CDELT{axis}" in cards for axis in axes):
        scaled = [k for k in cards if re.match(r"^PC\d_\d$", k)]
    else:
        scaled = [k for k in cards if re.match(r"^CD\d_\d$" if has_cd else r"^CDELT\d$", k)]
    cards |= {k: cards[k] / 3600 for k in scaled}
    if scaled:
        repairs.append(f"the steps are in arcseconds: {scale:.4g} per pixel")


def _block(cards: dict[str, Any], head: str, axes: tuple[int, int], diagonal: float | None) -> np.ndarray:
    """The celestial (2, 2) of a matrix; absent elements are zero, on the diagonal one where ``diagonal`` is None."""
    one = 1.0 if diagonal is None else diagonal
    return np.array([[float(cards.get(f"{head}{i}_{j}", one if i == j else 0.0)) for j in axes] for i in axes])


def _scale_of(matrix: np.ndarray) -> float:
    return float(np.sqrt(abs(np.linalg.det(matrix))))


def repair_equinox(cards: dict[str, Any], repairs: list[str]) -> None:
    """Names of celestial systems and equinoxes in words."""
    equinox = cards.get("EQUINOX")
    if isinstance(equinox, str):
        found = re.fullmatch(r"[JB]?\s*(\d{4}(?:\.\d*)?)", equinox.strip().upper())
        del cards["EQUINOX"]
        if found:
            cards["EQUINOX"] = float(found[1])
        else:
            repairs.append(f"left out EQUINOX = {equinox.strip()[:20]!r}")
    given = cards.get("RADESYS")
    if given is None:
        return
    system = _ALIASES.get(str(given).strip().upper(), str(given).strip().upper())
    if system in _SYSTEMS:
        cards["RADESYS"] = system
    else:
        del cards["RADESYS"]
        if system:
            repairs.append(f"left out RADESYS = {str(given).strip()[:20]!r}, which names no system")


def repair_distortion(cards: dict[str, Any], kind: str, longitude: int, latitude: int, repairs: list[str]) -> str:
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
