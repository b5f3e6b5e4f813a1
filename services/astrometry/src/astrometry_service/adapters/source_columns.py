"""Source lists of other programs: what they call places, fluxes and errors, and whether they count pixels from 0 or 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrometry_service.adapters.position_errors import (
    SIGMAS,
    ErrorColumns,
    column_key,
    ellipse,
    read_covariance,
    sigmas,
    variances,
)

__all__ = ["PRODUCERS", "KnownSources", "Producer", "canonical_sources"]

Columns = dict[str, NDArray[Any]]
Floats = NDArray[np.float64]

MAG_PER_RELATIVE_FLUX = 2.5 / np.log(10.0)
# Of Alidade's own table, besides x and y.
OWN_FLUXES = ("flux_psf", "flux_aper_2", "flux_aper_1", "flux_auto", "flux")
OWN_NAMES = frozenset(
    {"id", "x", "y", "x_var", "y_var", "xy_cov", "snr", "position_kind", *OWN_FLUXES, *(f"{name}_err" for name in OWN_FLUXES)}
)  # fmt: skip
MOST_NAMES = 30


@dataclass(frozen=True)
class Producer:
    """
    Attributes
    ----------
    name : of the program
    x, y : its columns
    first_pixel : number of the first pixel
    flux : its columns, the best first
    errors : forms in which it gives the errors of these places, the best first
    any_case : the names mean the same in other cases
    """

    name: str
    x: str
    y: str
    first_pixel: int
    flux: tuple[str, ...]
    errors: tuple[ErrorColumns, ...] = ()
    any_case: bool = True


@dataclass(frozen=True)
class KnownSources:
    """
    Attributes
    ----------
    columns : with Alidade's names beside those of the program
    note : how the list was read and which of its columns were left alone; empty where there are none
    """

    columns: Columns
    note: str = ""


def _sextractor(kind: str) -> tuple[ErrorColumns, ...]:
    return variances(f"ERRX2{kind}", f"ERRY2{kind}", f"ERRXY{kind}"), ellipse(
        f"ERRA{kind}", f"ERRB{kind}", f"ERRTHETA{kind}"
    )


_SEXTRACTOR_FLUXES = (
    "FLUX_PSF",
    "FLUX_MODEL",
    "FLUX_AUTO",
    "FLUX_APER",
    "FLUX_WIN",
    "FLUX_ISO",
    "FLUX_ISOCOR",
    "FLUX_BEST",
)
_PHOTUTILS_FLUXES = (
    "flux_fit", "kron_flux", "segment_flux", "aper_total_flux", "isophotal_flux", "aperture_sum", "aperture_sum_0", "flux"
)  # fmt: skip
_LSST_FLUXES = ("base_PsfFlux_instFlux", "slot_PsfFlux_instFlux", "base_CircularApertureFlux_12_0_instFlux", "psfFlux")
_CASU_FLUXES = ("Aper_flux_3", "Isophotal_flux", "Aper_flux_1")
_EVERY_FORM = (
    variances("x_var", "y_var", "xy_cov"), *_sextractor(""), *_sextractor("WIN"), *_sextractor("PSF"), *SIGMAS
)  # fmt: skip

PRODUCERS = (
    Producer("Alidade or SEP", "x", "y", 0,
             (*OWN_FLUXES, *_SEXTRACTOR_FLUXES, *_PHOTUTILS_FLUXES, *_LSST_FLUXES, "cflux"), _EVERY_FORM, any_case=False),
    *(
        Producer(f"SExtractor{name}", f"X{kind}_IMAGE", f"Y{kind}_IMAGE", 1, _SEXTRACTOR_FLUXES, _sextractor(kind))
        for name, kind in ((", PSF", "PSF"), (", model", "MODEL"), (", windowed", "WIN"), ("", ""))
    ),
    Producer("photutils, PSF", "x_fit", "y_fit", 0, _PHOTUTILS_FLUXES, (*SIGMAS, sigmas("x_0_unc", "y_0_unc"))),
    Producer("photutils, windowed", "x_centroid_win", "y_centroid_win", 0, _PHOTUTILS_FLUXES, SIGMAS),
    Producer("photutils", "x_centroid", "y_centroid", 0, _PHOTUTILS_FLUXES, SIGMAS),
    Producer("photutils, apertures", "xcenter", "ycenter", 0, _PHOTUTILS_FLUXES, SIGMAS, any_case=False),
    Producer("photutils, apertures", "x_center", "y_center", 0, _PHOTUTILS_FLUXES, SIGMAS, any_case=False),
    *(
        Producer("the LSST pipelines", f"{slot}_x", f"{slot}_y", 0, _LSST_FLUXES, (sigmas(f"{slot}_xErr", f"{slot}_yErr"),))
        for slot in ("base_SdssCentroid", "slot_Centroid")
    ),
    Producer("SourceXtractor++", "pixel_centroid_x", "pixel_centroid_y", 1, ("auto_flux", "isophotal_flux", "aperture_flux")),
    Producer("CASUTools", "X_coordinate", "Y_coordinate", 1, _CASU_FLUXES, (sigmas("X_coordinate_err", "Y_coordinate_err"),)),
    Producer("DAOPHOT of IRAF", "XCENTER", "YCENTER", 1, ("FLUX",), SIGMAS, any_case=False),
    Producer("DAOPHOT or astrometry.net", "X", "Y", 1, ("FLUX",), _EVERY_FORM, any_case=False),
)  # fmt: skip


def canonical_sources(columns: Mapping[str, NDArray[Any]]) -> KnownSources | None:
    """A list in Alidade's names; None where no known pair of places is there.

    One without fluxes gets them from a magnitude, if it has one. Errors of places that are zero or not finite throughout
    are none.
    """
    found = _producer(columns)
    if found is None:
        return None
    producer, x, y = found
    used = {x, y}
    out = dict(columns)
    out["x"], out["y"] = (np.asarray(columns[name], np.float64) - producer.first_pixel for name in (x, y))
    out |= _fluxes(columns, producer, used)
    errors = read_covariance(columns, producer.errors)
    if errors is not None:
        out |= {"x_var": errors.x_var, "y_var": errors.y_var, "xy_cov": errors.xy_cov}
        used |= set(errors.names)
    return KnownSources(out, _note(columns, producer, (x, y), used, errors.names if errors else ()))


def _producer(columns: Mapping[str, NDArray[Any]]) -> tuple[Producer, str, str] | None:
    """The first program whose places are there, with its names as they are written in the list."""
    for producer in PRODUCERS:
        if producer.x in columns and producer.y in columns:
            return producer, producer.x, producer.y
    names = {column_key(name): name for name in reversed(list(columns))}
    for producer in PRODUCERS:
        x, y = names.get(column_key(producer.x)), names.get(column_key(producer.y))
        if producer.any_case and x is not None and y is not None:
            return producer, x, y
    return None


def _fluxes(columns: Mapping[str, NDArray[Any]], producer: Producer, used: set[str]) -> Columns:
    """``flux`` and ``flux_err``, or nothing where the list has Alidade's own."""
    names = {column_key(name): name for name in reversed(list(columns))}
    written = (names.get(column_key(name)) for name in producer.flux)
    name = next((name for name in written if name is not None), None)
    out: Columns = {}
    if name is not None:
        used.add(name)
        own = name if name in OWN_FLUXES else "flux"
        if own != name:
            out[own] = _first(columns[name])
        key = column_key(name)
        forms = (f"{key}ERR", key.replace("FLUX", "FLUXERR", 1), f"{key}ERROR", f"{key}UNC")
        error = next((names[form] for form in forms if form in names), None)
        if error is not None:
            used.add(error)
            out[f"{own}_err"] = _first(columns[error])
        return out
    magnitude = next((n for n in columns if column_key(n).startswith("MAG") and "ERR" not in n.upper()), None)
    if magnitude is not None:
        used.add(magnitude)
        out["flux"] = 10.0 ** (-0.4 * _first(columns[magnitude]))
        key = column_key(magnitude)
        error = next((names[f] for f in (key.replace("MAG", "MAGERR", 1), f"{key}ERR", "MERR") if f in names), None)
        if error is not None:
            used.add(error)
            out["flux_err"] = out["flux"] * _first(columns[error]) / MAG_PER_RELATIVE_FLUX
    return out


def _note(
    columns: Mapping[str, Any], producer: Producer, places: tuple[str, str], used: set[str], errors: tuple[str, ...]
) -> str:
    if {"x_var", "position_kind"} <= set(columns):
        return ""
    left = [name for name in columns if name not in used and name not in OWN_NAMES]
    if not left:
        return ""
    more = f" and {len(left) - MOST_NAMES} more" if len(left) > MOST_NAMES else ""
    known = f"errors by {', '.join(errors)}" if errors else "no errors of position, so that typical ones are assumed"
    return (
        f"the source list is read as one of {producer.name}: places {', '.join(places)} counted from {producer.first_pixel}, "
        f"{known}; not used: {', '.join(left[:MOST_NAMES])}{more}"
    )


def _first(values: NDArray[Any]) -> Floats:
    """The first aperture of columns with several."""
    plain = np.asarray(values, np.float64)
    return plain[:, 0] if plain.ndim > 1 else plain
