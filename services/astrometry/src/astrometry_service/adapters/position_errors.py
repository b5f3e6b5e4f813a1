"""Errors of places in source lists: as variances with a covariance, as an error ellipse, or as one sigma per axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "SIGMAS", "ErrorColumns", "PositionErrors", "column_key", "ellipse", "read_covariance", "sigmas", "variances"
]  # fmt: skip

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ErrorColumns:
    """
    Attributes
    ----------
    form : ``variances`` (x, y, covariance), ``ellipse`` (semi-axes, degrees from x to y) or ``sigmas`` (x, y, covariance)
    names : three columns; the last may be missing of variances and sigmas
    """

    form: Literal["variances", "ellipse", "sigmas"]
    names: tuple[str, str, str]


@dataclass(frozen=True)
class PositionErrors:
    """
    Attributes
    ----------
    x_var, y_var, xy_cov : (n,), pixel^2
    names : of the columns that they are from
    """

    x_var: Floats
    y_var: Floats
    xy_cov: Floats
    names: tuple[str, ...]


def variances(x: str, y: str, xy: str) -> ErrorColumns:
    return ErrorColumns("variances", (x, y, xy))


def ellipse(a: str, b: str, theta: str) -> ErrorColumns:
    return ErrorColumns("ellipse", (a, b, theta))


def sigmas(x: str, y: str, xy: str = "xy_cov") -> ErrorColumns:
    return ErrorColumns("sigmas", (x, y, xy))


# One sigma per axis as people call it.
SIGMAS = (
    sigmas("x_err", "y_err"), sigmas("x_fit_err", "y_fit_err"), sigmas("x_error", "y_error"), sigmas("e_x", "e_y"),
    sigmas("x_unc", "y_unc"), sigmas("x_centroid_err", "y_centroid_err"),
)  # fmt: skip


def column_key(name: str) -> str:
    """A name without case, underscores and the ending that SExtractor gives what is in pixels."""
    plain = name.upper().replace("_", "").replace("-", "")
    return plain.removesuffix("IMAGE") if plain.startswith("ERR") else plain


def read_covariance(columns: Mapping[str, NDArray[Any]], forms: Sequence[ErrorColumns]) -> PositionErrors | None:
    """The first form whose columns are there and say something; None without one."""
    written = {column_key(name): name for name in reversed(list(columns))}
    for form in forms:
        names = [written.get(column_key(name)) for name in form.names]
        if None in names[:2] or (form.form == "ellipse" and names[2] is None):
            continue
        found = [name for name in names if name is not None]
        first, second, *rest = (np.asarray(columns[name], np.float64) for name in found)
        third = rest[0] if rest else np.zeros(first.shape)
        if not first.ndim == second.ndim == third.ndim == 1:
            continue
        x_var, y_var, xy_cov = _covariance(form.form, first, second, third)
        if np.any(x_var * y_var - xy_cov**2 > 0):
            return PositionErrors(x_var, y_var, xy_cov, tuple(found))
    return None


def _covariance(form: str, first: Floats, second: Floats, third: Floats) -> tuple[Floats, Floats, Floats]:
    if form == "variances":
        return first, second, third
    if form == "sigmas":
        return first**2, second**2, third
    cos, sin = np.cos(np.radians(third)), np.sin(np.radians(third))
    a2, b2 = first**2, second**2
    return a2 * cos**2 + b2 * sin**2, a2 * sin**2 + b2 * cos**2, (a2 - b2) * sin * cos
