"""Lists of detected sources as the astrometric algorithms see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astrometry_service.errors import SourceListError

__all__ = ["FrameGeometry", "SourceList"]

Floats = NDArray[np.float64]

# Position errors where a list brings none: what systematics leave, and photon noise by S/N for stars 3 pixels wide
# (FWHM / 2.35 / (S/N), King 1983, PASP 95, 163).
DEFAULT_POSITION_SIGMA_PX = 0.02
DEFAULT_STAR_SIGMA_PX = 1.3


@dataclass(frozen=True)
class FrameGeometry:
    """Size of the frame in pixels and, where known, the middle of the exposure.

    Attributes
    ----------
    nx, ny : pixel
    epoch_jyear : yr, Julian year of mid-exposure, or None
    """

    nx: int
    ny: int
    epoch_jyear: float | None = None

    @property
    def diagonal_px(self) -> float:
        """Length of the diagonal."""
        return float(np.hypot(self.nx, self.ny))

    @property
    def centre_px(self) -> tuple[float, float]:
        """Middle of the frame, 0-based."""
        return (self.nx - 1) / 2.0, (self.ny - 1) / 2.0

    @property
    def corners_px(self) -> Floats:
        """(4, 2) outer corners of the corner pixels, counter-clockwise in x, y."""
        x, y = self.nx - 0.5, self.ny - 0.5
        return np.array([[-0.5, -0.5], [x, -0.5], [x, y], [-0.5, y]])


@dataclass(frozen=True)
class SourceList:
    """Detected sources: places with covariances, fluxes, and which of them may carry a fit.

    Attributes
    ----------
    x, y : (n,), pixel, 0-based
    covariance : (n, 2, 2), pixel^2
    flux : (n,), any linear unit
    snr : (n,), signal to noise ratio of the flux
    usable : (n,), True where nothing speaks against using the source in the fit
    position_kind : ``psf``, ``windowed`` or ``isophotal``
    covariance_known : False when the input brought no position errors and typical ones were put in
    """

    x: Floats
    y: Floats
    covariance: Floats
    flux: Floats
    snr: Floats
    usable: NDArray[np.bool_]
    position_kind: str = "psf"
    covariance_known: bool = True

    def __len__(self) -> int:
        return int(self.x.size)

    @property
    def matchable(self) -> NDArray[np.bool_]:
        """(n,), with a place, a flux, and an error of the place that can be one."""
        place = np.isfinite(self.x) & np.isfinite(self.y) & (self.flux > 0)
        return np.asarray(place & _positive_definite(self.covariance))

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Any], *, bad: ArrayLike | None = None, position_kind: str | None = None
    ) -> SourceList:
        """Sources from the columns of a source table, or from a plain list of ``x, y, flux``.

        Parameters
        ----------
        columns : mapping of names to (n,)
            ``x, y`` and a flux (``flux_psf``, ``flux_aper_2``, ``flux_aper_1``, ``flux_auto`` or ``flux``) are needed;
            ``x_var, y_var, xy_cov`` (pixel^2), ``snr`` and ``<flux>_err`` are used where present.
        bad : (n,), rows that must stay out of the fit (saturated, blended, at the edge)
        position_kind : overrides what the table says

        Raises
        ------
        SourceListError
            A needed column is missing, lengths differ, or no row has a finite place and a positive flux.
        """
        names = set(columns)
        flux_name = next((n for n in _FLUX_COLUMNS if n in names and np.any(_column(columns[n]) > 0)), None)
        if not {"x", "y"} <= names or flux_name is None:
            raise SourceListError("A source list needs columns x, y and a flux with positive values", count=0)
        x, y, flux = (_column(columns[name]) for name in ("x", "y", flux_name))
        if not x.shape == y.shape == flux.shape:
            raise SourceListError(f"Columns of different lengths: {x.size}, {y.size}, {flux.size}", count=int(x.size))
        snr = _signal_to_noise(columns, flux_name, flux)
        covariance, known = _covariances(columns, snr)
        finite = np.isfinite(x) & np.isfinite(y) & np.isfinite(flux) & (flux > 0)
        usable = finite & _positive_definite(covariance)
        if bad is not None:
            usable &= ~np.asarray(bad, bool)
        if not finite.any():
            raise SourceListError("No source has a finite place and a positive flux", count=int(x.size))
        kind = position_kind or _kind(columns)
        return cls(x, y, covariance, np.where(finite, flux, 0.0), snr, usable, kind, known)


_FLUX_COLUMNS = ("flux_psf", "flux_aper_2", "flux_aper_1", "flux_auto", "flux")


def _column(values: Any) -> Floats:
    filled = values.filled(np.nan) if hasattr(values, "filled") else values
    return np.array(filled, dtype=np.float64).reshape(-1)


def _covariances(columns: Mapping[str, Any], snr: Floats) -> tuple[Floats, bool]:
    out = np.zeros((snr.size, 2, 2))
    known = "x_var" in columns and "y_var" in columns
    if not known:
        photon = np.where(snr > 0, DEFAULT_STAR_SIGMA_PX / np.where(snr > 0, snr, 1.0), 0.0)
        out[:, 0, 0] = out[:, 1, 1] = DEFAULT_POSITION_SIGMA_PX**2 + photon**2
        return out, False
    out[:, 0, 0], out[:, 1, 1] = _column(columns["x_var"]), _column(columns["y_var"])
    if "xy_cov" in columns:
        out[:, 0, 1] = out[:, 1, 0] = np.nan_to_num(_column(columns["xy_cov"]))
    return out, True


def _positive_definite(covariance: Floats) -> NDArray[np.bool_]:
    known = np.isfinite(covariance).all(axis=(1, 2)) & (covariance[:, 0, 0] > 0) & (covariance[:, 1, 1] > 0)
    return known & (np.linalg.det(np.where(known[:, None, None], covariance, 0.0)) > 0)


def _signal_to_noise(columns: Mapping[str, Any], flux_name: str, flux: Floats) -> Floats:
    if f"{flux_name}_err" in columns:
        error = _column(columns[f"{flux_name}_err"])
        return np.divide(flux, error, out=np.zeros_like(flux), where=error > 0)
    if "snr" in columns:
        return np.nan_to_num(_column(columns["snr"]))
    return np.full(flux.shape, np.nan)


def _kind(columns: Mapping[str, Any]) -> str:
    kinds = columns.get("position_kind")
    if kinds is None or len(kinds) == 0:
        return "isophotal"
    values, counts = np.unique([k.decode() if isinstance(k, bytes) else str(k) for k in kinds], return_counts=True)
    return str(values[np.argmax(counts)]).strip()
