"""The point spread function of a frame, and what PSF photometry measures with it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from math import atan2, degrees, exp, isqrt, log, sqrt

import numpy as np
from numpy.typing import NDArray

from photometry_service.domain.noise import NoiseCorrelation

__all__ = [
    "PsfKind",
    "PsfModel",
    "PsfPhotometry",
    "PsfQuality",
    "PsfSummary",
    "PsfVerdict",
    "Sources",
    "field_terms",
    "local_shapes",
    "order_of",
    "shear_of",
]

FloatArray = NDArray[np.float64]

LARGEST_SHEAR, SMALLEST_WIDTH = 0.75, 0.2
"""Limits of the shape anywhere in the field: an axis ratio of 7, a fifth of the width at the centre."""


class PsfKind(StrEnum):
    """What the PSF is made of."""

    MOFFAT_TABLE = "moffat_table"
    MOFFAT = "moffat"
    TABLE = "table"
    ASSUMED = "assumed"


@dataclass(frozen=True)
class PsfQuality:
    """How well the PSF is known.

    Attributes
    ----------
    n_candidates, n_stars : stars offered, stars that were left at the end
    chi2_red : median over the stars of chi2 per degree of freedom
    table_prior : amplitude of the residual table's prior in units of its default; 0 without a table
    cross_validation_gain : chi2 of held-out stars that the table takes away, per star; 0 without a table
    ripple : rms of the second mixed difference of the table at r < 1.25 FWHM, relative to the peak
    """

    n_candidates: int = 0
    n_stars: int = 0
    chi2_red: float = float("nan")
    table_prior: float = 0.0
    cross_validation_gain: float = 0.0
    ripple: float = 0.0


def field_terms(x: FloatArray, y: FloatArray, frame_shape: tuple[int, int], order: int) -> FloatArray:
    """Monomials X^i Y^j of i + j <= order, X and Y in -1..1 over the frame: (n, (order + 1)(order + 2) / 2)."""
    X = 2.0 * np.asarray(x, dtype=np.float64) / frame_shape[1] - 1.0
    Y = 2.0 * np.asarray(y, dtype=np.float64) / frame_shape[0] - 1.0
    return np.stack([X ** (d - k) * Y**k for d in range(order + 1) for k in range(d + 1)], axis=-1)


def order_of(terms: int) -> int:
    """Order of the polynomials that have so many terms."""
    return (isqrt(8 * terms + 1) - 3) // 2


def local_shapes(shape: tuple[float, float, float, float], departures: FloatArray) -> FloatArray:
    """(n, 4): ln s, e1, e2, beta where the width is ``1 + d0`` times and the shear ``d1, d2`` more than that of ``shape``.

    The shear g of an ellipse with axis ratio q has the size (1 - q) / (1 + q); e = 2 g / (1 + |g|^2). It stays below 0.9.
    """
    log_s, e1, e2, beta = shape
    g1, g2 = (e + d for e, d in zip(shear_of(e1, e2), departures[:, 1:].T, strict=True))
    limit = np.minimum(1.0, LARGEST_SHEAR / np.maximum(np.hypot(g1, g2), 1e-12))
    square = (g1 * limit) ** 2 + (g2 * limit) ** 2
    log_area = log_s + 0.5 * log(1 - e1 * e1 - e2 * e2) - 2 * np.log(np.maximum(1 + departures[:, 0], SMALLEST_WIDTH))
    stretch = 2 * limit / (1 + square)
    log_s = log_area - np.log((1 - square) / (1 + square))
    return np.stack([log_s, stretch * g1, stretch * g2, np.full(g1.size, beta)], axis=1)


def shear_of(e1: float, e2: float) -> tuple[float, float]:
    """Shear of the ellipse (1 + e1) u^2 + 2 e2 u v + (1 - e1) v^2."""
    scale = 1 / (1 + sqrt(1 - e1 * e1 - e2 * e2))
    return e1 * scale, e2 * scale


@dataclass(frozen=True, eq=False)
class PsfModel:
    """A pixel-integrated PSF, tabulated, with its change over the field.

    At a place of the field the PSF is ``sum_k c_k(X, Y) tables[k]``: principal components of its change over the field,
    with polynomials c_k. ``tables[0]`` is the PSF at the centre of the frame.

    Attributes
    ----------
    tables : (k, n, n)
        Cubic B-spline coefficients at nodes 1 / ``oversampling`` pixel apart, star at the middle node; unit flux.
    mixing : (k, m)
        Coefficients of c_k on ``field_terms``.
    field : (3, m')
        Coefficients of the Moffat's width over that at the centre, minus 1, and of its shear minus that at the centre.
    shape
        ln s [ln px^-2], e1, e2, beta of the Moffat ``(1 + s((1+e1) u^2 + 2 e2 u v + (1-e1) v^2))^-beta`` at the centre.
    frame_shape : (ny, nx)
    star_x, star_y : (n_stars,), pixels, 0-based
        The stars it was built from.
    """

    kind: PsfKind
    tables: FloatArray
    mixing: FloatArray
    field: FloatArray
    shape: tuple[float, float, float, float]
    oversampling: int
    frame_shape: tuple[int, int]
    quality: PsfQuality = dataclasses.field(default_factory=PsfQuality)
    star_x: FloatArray = dataclasses.field(default_factory=lambda: np.empty(0))
    star_y: FloatArray = dataclasses.field(default_factory=lambda: np.empty(0))

    @property
    def order(self) -> int:
        """Order of the polynomials of the Moffat's shape."""
        return order_of(self.field.shape[1])

    @property
    def half_px(self) -> int:
        """Half size of the tables, pixels."""
        return (self.tables.shape[1] // 2) // self.oversampling

    @property
    def fwhm_px(self) -> float:
        """Geometric-mean full width at half maximum of the central Moffat before pixel integration."""
        log_s, e1, e2, beta = self.shape
        return 2 * sqrt(2 ** (1 / beta) - 1) * exp(-log_s / 2) / (1 - e1**2 - e2**2) ** 0.25

    @property
    def axis_ratio(self) -> float:
        """Minor over major axis of the central Moffat."""
        e = sqrt(self.shape[1] ** 2 + self.shape[2] ** 2)
        return sqrt((1 - e) / (1 + e))

    @property
    def ellipticity(self) -> float:
        """1 - minor / major axis of the central Moffat."""
        return 1 - self.axis_ratio

    @property
    def position_angle_deg(self) -> float:
        """Direction of the major axis from +x towards +y, -90..90."""
        return degrees(atan2(-self.shape[2], -self.shape[1])) / 2

    @property
    def major_fwhm_px(self) -> float:
        """Full width at half maximum along the major axis."""
        return self.fwhm_px / sqrt(self.axis_ratio)

    def shapes(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """(n, 4): ln s, e1, e2, beta of the Moffat at positions."""
        return local_shapes(self.shape, field_terms(x, y, self.frame_shape, self.order) @ self.field.T)

    def mix(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """(n, k): weight of each table at positions; those beyond the frame get the weights of its edge."""
        x, y = (np.clip(v, 0.0, size) for v, size in zip((x, y), self.frame_shape[::-1], strict=True))
        return np.asarray(field_terms(x, y, self.frame_shape, order_of(self.mixing.shape[1])) @ self.mixing.T)

    def fwhm_at(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """(n,): geometric-mean FWHM at positions, pixels."""
        log_s, e1, e2, beta = self.shapes(x, y).T
        return np.asarray(2 * np.sqrt(2 ** (1 / beta) - 1) * np.exp(-log_s / 2) / (1 - e1**2 - e2**2) ** 0.25)

    def major_fwhm_at(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """(n,): FWHM along the major axis at positions, pixels."""
        _, e1, e2, _ = self.shapes(x, y).T
        e = np.hypot(e1, e2)
        return np.asarray(self.fwhm_at(x, y) * ((1 + e) / (1 - e)) ** 0.25)


@dataclass(frozen=True, eq=False)
class Sources:
    """Places where a detector found something, in the order it found them.

    Attributes
    ----------
    x, y : (n,), pixels, 0-based
    flux : (n,), unit of the frame
        First guess.
    snr : (n,)
        Signal to noise at the detection.
    """

    x: FloatArray
    y: FloatArray
    flux: FloatArray
    snr: FloatArray

    def __len__(self) -> int:
        return int(self.x.size)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Sources:
        """Return a selection, by index or boolean mask."""
        return Sources(self.x[index], self.y[index], self.flux[index], self.snr[index])


@dataclass(frozen=True)
class PsfVerdict:
    """Whether the PSF holds, by what it leaves of bright stars beyond noise.

    Attributes
    ----------
    holds : also where stars are too few to tell
    misfit : what it leaves as a share of the light, rms weighted as in the fit, median over the stars; 0 when it holds
    stars, beyond : looked at, and beyond the noise
    worst_misfit, worst_zone : of the worst ninth of the frame, and its name; no name where all are alike
    flux_error : relative error of the fluxes of these stars that was added for it, median
    """

    holds: bool = True
    misfit: float = 0.0
    stars: int = 0
    beyond: int = 0
    worst_misfit: float = 0.0
    worst_zone: str = ""
    flux_error: float = 0.0


@dataclass(frozen=True)
class PsfSummary:
    """Figures of one run of PSF photometry.

    Attributes
    ----------
    engine : ``alidade`` or ``photutils``
    first_fwhm_px : width guessed before there was a PSF
    n_detected, n_residual, n_dropped : found in the first pass, added from residuals, fitted and dropped again
    n_repeated : of those dropped, parts of bright stars that several of these show
    rounds : residual rounds done
    background_remeasured : whether the background was taken again on the star-subtracted frame
    weight_floor : the fraction of the model that was added to the noise in the weights
    light_outside : share of a star's light beyond the tables of the PSF
    normalisation_err : relative error of that all fluxes have in common, one sigma
    noise_factor : by which errors of faint sources and thresholds were raised, because the filtered residual is that much
        noisier than noise of independent pixels
    shot_noise : variance per unit of signal that was used
    correlation : of the noise of neighbouring pixels, where the frame was resampled or smoothed
    verdict : whether the PSF holds
    """

    engine: str = "alidade"
    first_fwhm_px: float = float("nan")
    n_detected: int = 0
    n_residual: int = 0
    n_dropped: int = 0
    n_repeated: int = 0
    rounds: int = 0
    background_remeasured: bool = False
    weight_floor: float = 0.0
    light_outside: float = 0.0
    normalisation_err: float = 0.0
    noise_factor: float = 1.0
    shot_noise: float = 1.0
    correlation: NoiseCorrelation | None = None
    verdict: PsfVerdict = dataclasses.field(default_factory=PsfVerdict)


@dataclass(frozen=True, eq=False)
class PsfPhotometry:
    """Sources of a frame measured with its PSF, brightest first.

    Attributes
    ----------
    id : (n,), from 1 in order of flux
    x, y : (n,), pixels, 0-based
    x_var, y_var, xy_cov : (n,), pixels^2
        NaN where the position was not fitted.
    flux, flux_err : (n,), electrons, one sigma
        The error is NaN where saturation left too little of a star to tell its flux, which then is a model's only.
    flux_err_scaled : (n,), electrons
        ``flux_err`` times max(1, sqrt(chi2_red)).
    snr, detection_snr : (n,)
        flux over its error by noise, flat field and normalisation; signal to noise at the detection.
    chi2_red, qfit, cfit : (n,)
        Chi2 per degree of freedom of the fit stamp; sum of absolute residuals, and central residual, over the flux.
    fwhm : (n,), pixels
        The PSF's at the source.
    sharpness, roundness1, roundness2 : (n,)
        DAOFIND's statistics (Stetson 1987); NaN within their kernel of the edge.
    flags : (n,), int32, bits of ``SourceFlag``
    group : (n,)
        0, or the number of the group whose members were fitted jointly.
    psf : the PSF, or None when there was no source to need one
    residual : (ny, nx), electrons, the frame without background and without the sources
    """

    id: NDArray[np.int64]
    x: FloatArray
    y: FloatArray
    x_var: FloatArray
    y_var: FloatArray
    xy_cov: FloatArray
    flux: FloatArray
    flux_err: FloatArray
    flux_err_scaled: FloatArray
    snr: FloatArray
    detection_snr: FloatArray
    chi2_red: FloatArray
    qfit: FloatArray
    cfit: FloatArray
    fwhm: FloatArray
    sharpness: FloatArray
    roundness1: FloatArray
    roundness2: FloatArray
    flags: NDArray[np.int32]
    group: NDArray[np.int64]
    psf: PsfModel | None
    residual: NDArray[np.float32]
    summary: PsfSummary = dataclasses.field(default_factory=PsfSummary)

    def __len__(self) -> int:
        return int(self.x.size)
