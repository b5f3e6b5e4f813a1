"""Source lists of other programs: what they call places, fluxes and errors, and whether they count pixels from 0 or 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PRODUCERS", "Producer", "canonical_sources"]

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Producer:
    """
    Attributes
    ----------
    name : of the program
    x, y : its columns
    first_pixel : number of the first pixel
    flux : its columns, the best first
    errors : (x_var, y_var, xy_cov), pixel^2
    """

    name: str
    x: str
    y: str
    first_pixel: int
    flux: tuple[str, ...]
    errors: tuple[str, str, str] | None = None


SEXTRACTOR_FLUXES = ("FLUX_PSF", "FLUX_AUTO", "FLUX_APER", "FLUX_ISO", "FLUX_BEST")
PRODUCERS = (
    Producer("SExtractor, PSF", "XPSF_IMAGE", "YPSF_IMAGE", 1, SEXTRACTOR_FLUXES,
             ("ERRX2PSF_IMAGE", "ERRY2PSF_IMAGE", "ERRXYPSF_IMAGE")),
    Producer("SExtractor, windowed", "XWIN_IMAGE", "YWIN_IMAGE", 1, SEXTRACTOR_FLUXES,
             ("ERRX2WIN_IMAGE", "ERRY2WIN_IMAGE", "ERRXYWIN_IMAGE")),
    Producer("SExtractor", "X_IMAGE", "Y_IMAGE", 1, SEXTRACTOR_FLUXES,
             ("ERRX2_IMAGE", "ERRY2_IMAGE", "ERRXY_IMAGE")),
    Producer("photutils, PSF", "x_fit", "y_fit", 0, ("flux_fit",)),
    Producer("photutils", "xcentroid", "ycentroid", 0, ("flux", "segment_flux", "kron_flux")),
    Producer("photutils", "x_centroid", "y_centroid", 0, ("flux", "segment_flux", "kron_flux")),
    Producer("astrometry.net", "X", "Y", 1, ("FLUX",)),
)  # fmt: skip


def canonical_sources(columns: Mapping[str, NDArray[Any]]) -> Columns | None:
    """The columns with Alidade's names beside those of their program; None where no known pair of places is there.

    A list that has ``x`` and ``y`` stays as it is. One without fluxes gets them from a magnitude, if it has one.
    """
    if {"x", "y"} <= set(columns):
        return dict(columns)
    producer = next((p for p in PRODUCERS if p.x in columns and p.y in columns), None)
    if producer is None:
        return None
    places = {
        ours: np.asarray(columns[theirs], np.float64) - producer.first_pixel
        for ours, theirs in (("x", producer.x), ("y", producer.y))
    }
    return {**columns, **places, **dict(_fluxes(columns, producer)), **dict(_errors(columns, producer))}


def _fluxes(columns: Mapping[str, NDArray[Any]], producer: Producer) -> Iterator[tuple[str, NDArray[Any]]]:
    name = next((name for name in producer.flux if name in columns), None)
    magnitude = next((name for name in columns if name.lower().startswith("mag")), None)
    if name is not None:
        yield "flux", _first(columns[name])
        error = columns.get(name.replace("FLUX", "FLUXERR", 1) if name.isupper() else f"{name}_err")
        if error is not None:
            yield "flux_err", _first(error)
    elif magnitude is not None:
        yield "flux", 10.0 ** (-0.4 * _first(columns[magnitude]))


def _errors(columns: Mapping[str, NDArray[Any]], producer: Producer) -> Iterator[tuple[str, NDArray[Any]]]:
    if producer.errors is not None and all(name in columns for name in producer.errors):
        for ours, name in zip(("x_var", "y_var", "xy_cov"), producer.errors, strict=True):
            yield ours, np.asarray(columns[name], np.float64)


def _first(values: NDArray[Any]) -> NDArray[np.float64]:
    """The first aperture of columns with several."""
    plain = np.asarray(values, np.float64)
    return plain[:, 0] if plain.ndim > 1 else plain
