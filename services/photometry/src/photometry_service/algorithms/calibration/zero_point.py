"""Photometric zero point with colour and spatial terms, an intrinsic scatter and honest errors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from astro_shared.frame_warnings import FrameWarning, WarningCode
from astro_shared.science.robust_statistics import mad_std
from photometry_service.errors import TooFewCalibratorsError

Array = NDArray[np.float64]

MIN_CALIBRATORS = 3
MIN_FOR_COLOR = 15
MIN_COLOR_SPAN_MAG = 0.3
MIN_FOR_ORDER = (0, 50, 200)
TUKEY_C = 4.685
MAX_ROUNDS = 20
_TRUNCATED_VARIANCE_STEPS = 4001


@dataclass(frozen=True)
class ZeroPointOptions:
    """How the fit is done (``docs/algorithms/zero-point.md``)."""

    mode: str = "robust"
    color_term: bool = True
    spatial_order: int | None = None
    clip_sigma: float = 3.0


@dataclass(frozen=True)
class ZeroPointModel:
    """``m_ref - m_inst = coefficients . design(x, y, color)``.

    Attributes
    ----------
    coefficients : (p,), mag
        Zero point at the frame centre and ``color_zero``, then the colour term (if any), then the spatial terms.
    covariance : (p, p), mag^2
    color_zero : mag
        Colour at which the zero point is quoted: the median of the calibrators.
    color_scatter : mag
        Robust scatter of the calibrators' colours; what a star of unknown colour is uncertain by.
    sigma_int : mag
        Scatter that the errors do not explain.
    """

    coefficients: Array
    covariance: Array
    has_color: bool
    spatial_order: int
    color_zero: float
    color_scatter: float
    sigma_int: float

    @property
    def value(self) -> float:
        return float(self.coefficients[0])

    @property
    def error(self) -> float:
        return float(math.sqrt(self.covariance[0, 0]))

    @property
    def color_term(self) -> float | None:
        return float(self.coefficients[1]) if self.has_color else None

    @property
    def color_term_err(self) -> float | None:
        return float(math.sqrt(self.covariance[1, 1])) if self.has_color else None

    def at(self, x: Array, y: Array, color: Array) -> tuple[Array, Array]:
        """Zero point and its error at positions (-1..1) and colours; a NaN colour is taken at ``color_zero``.

        Returns
        -------
        zero point, error : (n,), mag
            The error of a star without a colour contains ``|color term| x color_scatter``.
        """
        known = np.isfinite(color)
        design = _design(
            x, y, np.where(known, color, self.color_zero) - self.color_zero, self.has_color, self.spatial_order
        )
        variance = np.einsum("ij,jk,ik->i", design, self.covariance, design)
        if self.has_color:
            variance = variance + np.where(known, 0.0, (self.coefficients[1] * self.color_scatter) ** 2)
        return design @ self.coefficients, np.sqrt(variance)


@dataclass(frozen=True)
class ZeroPointFit(ZeroPointModel):
    """A model and how well it describes its calibrators.

    Attributes
    ----------
    rms, mad : mag
        Scatter of the residuals of the stars used; the second is robust.
    chi2_red : with ``sigma_int``; NaN where the errors have no part in the fit
    used : (n,) bool
    residual : (n,), mag
        Reference minus model; NaN where it cannot be computed.
    notes : sentences
    """

    rms: float
    mad: float
    chi2_red: float
    used: NDArray[np.bool_]
    residual: Array
    notes: tuple[FrameWarning, ...] = field(default=())


def fit_zero_point(
    m_ref: Array,
    m_ref_err: Array,
    m_inst: Array,
    m_inst_err: Array,
    *,
    x: Array,
    y: Array,
    color: Array,
    options: ZeroPointOptions | None = None,
) -> ZeroPointFit:
    """Fit the zero point to calibrators.

    Parameters
    ----------
    m_ref, m_ref_err, m_inst, m_inst_err : (n,), mag
        Rows with NaN magnitudes are not used.
    x, y : (n,), -1..1 over the frame
    color : (n,), mag
        NaN where unknown.

    Raises
    ------
    TooFewCalibratorsError
        Fewer than 3 can be used.

    Notes
    -----
    Robust: Tukey weights (c = 4.685) from the median, then clipping at ``clip_sigma`` to a fixed set; ``sigma_int`` is
    the scatter with which the reduced chi-square of the clipped set is what a clipped normal distribution gives.
    Classic: a constant, the clipped median, its error ``1.2533 sigma / sqrt(N)``; the errors have no part in it, only in
    ``sigma_int``, what colour terms and unevenness leave in single stars.
    """
    options = options or ZeroPointOptions()
    usable = np.isfinite(m_ref) & np.isfinite(m_inst) & np.isfinite(m_inst_err)
    n = int(usable.sum())
    if n < MIN_CALIBRATORS:
        raise TooFewCalibratorsError(
            f"{n} calibrators are left, {MIN_CALIBRATORS} are needed.", found=n, needed=MIN_CALIBRATORS
        )
    variance = np.where(np.isfinite(m_ref_err), m_ref_err, 0.0) ** 2 + m_inst_err**2
    if options.mode == "classic":
        return _classic(m_ref - m_inst, variance, color, usable, options.clip_sigma)
    has_color, color_zero, color_scatter, notes = _color_model(color, usable, options)
    if has_color:
        usable = usable & np.isfinite(color)
    order = _spatial_order(int(usable.sum()), options)
    offset = np.where(np.isfinite(color), color, color_zero) - color_zero
    design = _design(x, y, offset, has_color, order)
    target = m_ref - m_inst
    return _robust(
        design, target, variance, usable, options.clip_sigma,
        has_color=has_color, order=order, color_zero=color_zero, color_scatter=color_scatter, notes=notes,
    )  # fmt: skip


def _color_model(
    color: Array, usable: NDArray[np.bool_], options: ZeroPointOptions
) -> tuple[bool, float, float, tuple[FrameWarning, ...]]:
    known = color[usable & np.isfinite(color)]
    if len(known) == 0:
        told = WarningCode.COLOR_TERM_MISSING("no calibrator has a colour")
        return False, 0.0, 0.0, (told,) if options.color_term else ()
    zero = float(np.median(known))
    scatter = float(mad_std(known, zero))
    if not options.color_term:
        return False, zero, scatter, ()
    low, high = np.percentile(known, [5, 95])
    if len(known) < max(MIN_FOR_COLOR, 0.5 * usable.sum()) or high - low < MIN_COLOR_SPAN_MAG:
        note = f"no colour term: {len(known)} calibrators with colours that span {high - low:.2f} mag"
        return False, zero, scatter, (WarningCode.COLOR_TERM_MISSING(note),)
    return True, zero, scatter, ()


def _spatial_order(n: int, options: ZeroPointOptions) -> int:
    allowed = max(order for order, needed in enumerate(MIN_FOR_ORDER) if n >= needed)
    return allowed if options.spatial_order is None else min(options.spatial_order, allowed)


def _design(x: Array, y: Array, color_offset: Array, has_color: bool, order: int) -> Array:
    columns = [np.ones_like(x)]
    if has_color:
        columns.append(color_offset)
    for degree in range(1, order + 1):
        columns += [x ** (degree - j) * y**j for j in range(degree + 1)]
    return np.stack(columns, axis=1)


def _robust(
    design: Array, target: Array, variance: Array, usable: NDArray[np.bool_], clip: float, *,
    has_color: bool, order: int, color_zero: float, color_scatter: float, notes: tuple[FrameWarning, ...],
) -> ZeroPointFit:  # fmt: skip
    theta = np.zeros(design.shape[1])
    theta[0] = np.median(target[usable])
    for _ in range(MAX_ROUNDS):
        residual = target - design @ theta
        scale = np.hypot(np.sqrt(variance), mad_std(residual[usable], 0.0))
        u = residual / (TUKEY_C * scale)
        weight = np.where(usable & (np.abs(u) < 1), (1 - u**2) ** 2 / scale**2, 0.0)
        step = _weighted(design, target, weight) - theta
        theta = theta + step
        if np.max(np.abs(step)) < 1e-6:
            break
    used, sigma_int = usable, 0.0
    for _ in range(MAX_ROUNDS):
        residual = target - design @ theta
        sigma_int = _intrinsic(residual[used], variance[used], design.shape[1], clip)
        total = np.sqrt(variance + sigma_int**2)
        keep = usable & (np.abs(residual) < clip * np.maximum(total, 1e-9))
        if keep.sum() < max(MIN_CALIBRATORS, design.shape[1] + 1):
            keep = used
        theta = _weighted(design, target, np.where(keep, 1 / (variance + sigma_int**2 + 1e-12), 0.0))
        if np.array_equal(keep, used):
            break
        used = keep
    residual = target - design @ theta
    weight = np.where(used, 1 / (variance + sigma_int**2 + 1e-12), 0.0)
    dof = max(int(used.sum()) - design.shape[1], 1)
    covariance = np.linalg.inv(design.T @ (weight[:, None] * np.nan_to_num(design)))
    good = residual[used]
    return ZeroPointFit(
        coefficients=theta,
        covariance=covariance,
        has_color=has_color,
        spatial_order=order,
        color_zero=color_zero,
        color_scatter=color_scatter,
        sigma_int=sigma_int,
        rms=float(np.std(good)),
        mad=float(mad_std(good)),
        chi2_red=float(np.sum(weight[used] * good**2) / dof),
        used=used,
        residual=np.where(np.isfinite(target), residual, np.nan),
        notes=notes,
    )


def _weighted(design: Array, target: Array, weight: Array) -> Array:
    rows = weight > 0
    root = np.sqrt(weight[rows])
    return np.asarray(np.linalg.lstsq(design[rows] * root[:, None], target[rows] * root, rcond=None)[0], float)


def _intrinsic(residual: Array, variance: Array, parameters: int, clip: float) -> float:
    """Scatter beyond the errors, such that chi-square is what ``clip`` sigma of a normal distribution leave of it."""
    wanted = max(len(residual) - parameters, 1) * truncated_variance(clip)

    def excess(sigma: float) -> float:
        return float(np.sum(residual**2 / (variance + sigma**2 + 1e-12)) - wanted)

    if excess(0.0) <= 0:
        return 0.0
    high = float(np.max(np.abs(residual))) + 1e-6
    while excess(high) > 0:
        high *= 2
    return float(brentq(excess, 0.0, high, xtol=1e-7))


def truncated_variance(clip: float) -> float:
    """Variance of a standard normal variable that lies within ``clip``."""
    z = np.linspace(-clip, clip, _TRUNCATED_VARIANCE_STEPS)
    density = np.exp(-0.5 * z**2)
    return float(np.sum(z**2 * density) / np.sum(density))


def _classic(difference: Array, variance: Array, color: Array, usable: NDArray[np.bool_], clip: float) -> ZeroPointFit:
    used = usable
    for _ in range(MAX_ROUNDS):
        center, scatter = np.median(difference[used]), np.std(difference[used])
        keep = usable & (np.abs(difference - center) <= clip * max(float(scatter), 1e-9))
        if keep.sum() < MIN_CALIBRATORS or np.array_equal(keep, used):
            break
        used = keep
    good = difference[used]
    value, spread = float(np.median(good)), float(np.std(good, ddof=1))
    known = color[used & np.isfinite(color)]
    return ZeroPointFit(
        coefficients=np.array([value]),
        covariance=np.array([[(1.2533 * spread) ** 2 / len(good)]]),
        has_color=False,
        spatial_order=0,
        color_zero=float(np.median(known)) if len(known) else 0.0,
        color_scatter=0.0,
        sigma_int=_intrinsic(good - value, variance[used], 1, clip),
        rms=spread,
        mad=float(mad_std(good, value)),
        chi2_red=float("nan"),
        used=used,
        residual=difference - value,
    )
