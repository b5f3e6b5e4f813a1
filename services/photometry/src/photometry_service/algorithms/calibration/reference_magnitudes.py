"""Which magnitudes of a reference list the zero point is fitted to, with their errors and a colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photometry_service.algorithms.calibration.color_relations import ColorRelation, relation_of
from photometry_service.errors import TooFewCalibratorsError

Array = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]

GAIA_BANDS = {"G": "phot_g_mean_mag", "BP": "phot_bp_mean_mag", "RP": "phot_rp_mean_mag"}
_SUFFIX = "_mag"
_MAG_PER_RELATIVE_FLUX = 1.0857362


@dataclass(frozen=True)
class ReferenceMagnitudes:
    """
    Attributes
    ----------
    band, system : names for people
    value, error, color : (n,), mag
        NaN where unknown; an error that the list does not give is 0 and left to the intrinsic scatter.
    color_name : e.g. ``BP-RP``; None when the list has no colour
    color_range : of the relation that the magnitudes come from; None when they are the list's own
    """

    band: str
    system: str
    value: Array
    error: Array
    color: Array
    color_name: str | None
    color_range: tuple[float, float] | None = None


def band_columns(reference: Columns) -> dict[str, str]:
    """Bands of a list by the name people use: G, BP, RP, and the part before ``_mag`` of any other magnitude column."""
    bands = {band: column for band, column in GAIA_BANDS.items() if column in reference}
    taken = set(GAIA_BANDS.values())
    bands |= {name.removesuffix(_SUFFIX): name for name in reference if name.endswith(_SUFFIX) and name not in taken}
    return bands


def choose_magnitudes(
    reference: Columns, *, band: str | None, color: str | None, filter_name: str | None
) -> ReferenceMagnitudes:
    """Take the band that was asked for, else the filter's own, else G, else the first that the list has.

    A band that a Gaia list does not have is computed by the published colour relations where there is one
    (`color_relations`); letters of Johnson-Cousins are upper case, those of SDSS lower case.

    Raises
    ------
    TooFewCalibratorsError
        The list has no magnitudes, or not the band that was asked for.
    """
    bands = band_columns(reference)
    if not bands:
        raise TooFewCalibratorsError("The reference list has no magnitudes.", found=0, needed=1)
    relation = _relation(bands, band, filter_name)
    if relation is not None:
        return _transformed(reference, relation)
    name = _chosen(bands, band, filter_name)
    if name is None:
        raise TooFewCalibratorsError(
            f"The reference list has no band {band}; it has {', '.join(bands)}.", found=0, needed=1
        )
    value = np.asarray(reference[bands[name]], float)
    values, color_name = _color(reference, bands, color)
    return ReferenceMagnitudes(
        band=name,
        system="Gaia Vega" if name in GAIA_BANDS else "as in the list",
        value=value,
        error=_errors(reference, bands[name], len(value)),
        color=values,
        color_name=color_name,
    )


def _relation(bands: Mapping[str, str], band: str | None, filter_name: str | None) -> ColorRelation | None:
    """The relation to use, where a Gaia list lacks the band itself."""
    wanted = (band if band is not None else filter_name or "").strip()
    if wanted in bands or not set(GAIA_BANDS) <= set(bands):
        return None
    relation = relation_of(wanted)
    if relation is None or relation.band in bands:
        return None
    # a band that is asked for as "rp" is Gaia's RP; the filter "rp" of a header is r'
    asked_of_the_list = band is not None and wanted != relation.band and wanted.lower() in map(str.lower, bands)
    return None if asked_of_the_list else relation


def _transformed(reference: Columns, relation: ColorRelation) -> ReferenceMagnitudes:
    g, bp, rp = (np.asarray(reference[GAIA_BANDS[band]], float) for band in ("G", "BP", "RP"))
    g_err, bp_err, rp_err = (_errors(reference, GAIA_BANDS[band], len(g)) for band in ("G", "BP", "RP"))
    color = bp - rp
    return ReferenceMagnitudes(
        band=relation.band,
        system=relation.system,
        value=relation.magnitude(g, color),
        error=relation.error(g_err, color, np.hypot(bp_err, rp_err)),
        color=color,
        color_name="BP-RP",
        color_range=relation.color_range,
    )


def _chosen(bands: Mapping[str, str], band: str | None, filter_name: str | None) -> str | None:
    by_lower = {name.lower(): name for name in bands}
    if band is not None:
        return by_lower.get(band.lower())
    if filter_name is not None and filter_name.strip().lower() in by_lower:
        return by_lower[filter_name.strip().lower()]
    return "G" if "G" in bands else next(iter(bands))


def _errors(reference: Columns, column: str, rows: int) -> Array:
    for name in (f"{column}_error", f"{column}_err"):
        if name in reference:
            return np.asarray(reference[name], float)
    ratio = column.replace("_mean_mag", "_mean_flux_over_error")
    if ratio != column and ratio in reference:
        return _MAG_PER_RELATIVE_FLUX / np.maximum(np.asarray(reference[ratio], float), 1e-3)
    return np.zeros(rows)


def _color(reference: Columns, bands: Mapping[str, str], color: str | None) -> tuple[Array, str | None]:
    wanted = color or ("BP-RP" if {"BP", "RP"} <= set(bands) else None)
    by_lower = {name.lower(): name for name in bands}
    if wanted is not None and "-" in wanted:
        blue, red = (by_lower.get(part.strip().lower()) for part in wanted.split("-", 1))
        if blue and red:
            return np.asarray(reference[bands[blue]], float) - np.asarray(reference[bands[red]], float), f"{blue}-{red}"
    return np.full(len(next(iter(reference.values()))), np.nan), None
