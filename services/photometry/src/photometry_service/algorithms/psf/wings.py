"""Wings, rings and spikes of a PSF from bright stars of a fitted frame, and the light beyond them.

After a first fit every star's neighbours are subtracted, so that the light of a bright one can be followed to where it
leaves the noise: its mean profile in rings first (a curve of growth), then what is not round, pixel by pixel, as far
as that stands out of the scatter between the stars. Beyond, the profile is continued by a power law.

References
----------
Howell (1989), PASP 101, 616 and Stetson (1990), PASP 102, 932 (curves of growth). Breiman (1995), Technometrics 37, 373
(the non-negative garrote that shrinks what is little above its error).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import spline_filter

from photometry_service.algorithms.detection.fit_frame import FitFrame
from photometry_service.algorithms.psf.fit import PsfFit, bright_stars
from photometry_service.algorithms.psf.model import MARGIN_PX, TableGrid, moffat_values, psf_values, unit_flux
from photometry_service.domain.psf import FloatArray, PsfKind, PsfModel

__all__ = ["WingOptions", "Wings", "curve_of_growth", "fit_wings", "scaled_psf"]

SKY_SHARE = 0.02
"""Error of the sky below a star, in units of the noise of a pixel."""

SATURATED_FWHM = 3.0
"""Saturated stars show the wings beyond this distance."""

TAIL_ERROR = 0.2
"""Largest relative error of the light beyond the last ring: a power law is right to that much."""

SIGNIFICANT, SIGNIFICANT_ON_MOFFATS = 5.0, 50.0
"""Errors by which the chi2 of the rings must exceed chance for wings. Faint neighbours that nothing subtracts yet reach
20 to 30 on stars whose cores cross-validation found to be Moffats."""

NORMALISATION_GARROTE = 3.0
"""Light that a Moffat does not explain counts from this many of its errors on: what faint neighbours and the choice of
a power law add is always positive."""

FEWEST_FOR_MEDIAN = 12
MEAN_CLIP = 5.0
"""Standard deviations beyond which a pixel does not count where a mean stands for a median."""

MEDIAN_VARIANCE = 1.57
"""Variance of a median of normal numbers in units of that of their mean."""

UNEVEN_SHARE = 0.04
"""Share of the pixels of a ring that must stand out of it for a spike; chance and neighbours give less."""

SLOPES = np.arange(2.4, 8.05, 0.1)
"""Powers of the profile beyond the last ring: a diffraction pattern has 3, turbulence 11/3, a Moffat twice its beta."""


@dataclass(frozen=True)
class WingOptions:
    """How wings are measured.

    Attributes
    ----------
    stars, fewest : the brightest that are used, and how many are needed
    smallest_snr : of such a star
    reach_fwhm, largest_px : how far they are followed at most
    inner_fwhm : nothing is changed nearer than this
    smallest_share : flux, in units of the star's, that the wings must differ by
    garrote : deviations from the rings count from this many errors on
    means : rings by means alone; a sky that was cut off below has no median that tells its level
    """

    stars: int = 30
    fewest: int = 5
    smallest_snr: float = 100.0
    reach_fwhm: float = 14.0
    largest_px: int = 50
    inner_fwhm: float = 1.0
    smallest_share: float = 5e-4
    garrote: float = 3.0
    means: bool = False


@dataclass(frozen=True, eq=False)
class Wings:
    """A PSF with its wings.

    Attributes
    ----------
    psf : normalised to its total light: the tables hold less than 1 by the share beyond them
    changed : whether tables were changed other than by a factor
    outside, outside_err : share of the light beyond the tables, and the error of the total, one sigma
    """

    psf: PsfModel
    changed: bool = False
    outside: float = 0.0
    outside_err: float = 0.0


@dataclass(frozen=True, eq=False)
class _Stamps:
    """Light around bright stars over their flux, (n, side, side): all of it, what the PSF leaves, its variance, and
    the offsets of the pixels from the stars; NaN where a pixel is not usable."""

    light: FloatArray
    left: FloatArray
    variance: FloatArray
    u: FloatArray
    v: FloatArray

    @cached_property
    def radius(self) -> FloatArray:
        """(n, side, side): distance from the star."""
        return np.hypot(self.u, self.v)


@dataclass(frozen=True, eq=False)
class _Rings:
    """Mean profile in rings: radius, all the light and what the PSF leaves with their error, per pixel."""

    radius: FloatArray
    light: FloatArray
    left: FloatArray
    error: FloatArray


def fit_wings(frame: FitFrame, psf: PsfModel, fit: PsfFit, options: WingOptions | None = None) -> Wings:
    """Add what bright stars show around them to a PSF, and normalise it to all of their light.

    Parameters
    ----------
    frame, fit : the frame and its stars as fitted with ``psf``

    Returns
    -------
    Wings
        ``psf`` itself where bright stars are too few.
    """
    options = options or WingOptions()
    chosen = bright_stars(fit, options.smallest_snr, options.stars, with_saturated=True)
    if chosen.size < options.fewest:
        return Wings(psf)
    reach = _reach(frame, psf, float(fit.flux[chosen[0]]), options)
    reach = max(reach, psf.half_px - MARGIN_PX)
    stamps = _stamps(frame, psf, fit, chosen, reach, options)
    rings = _rings(stamps, reach, max(0.5, psf.fwhm_px / 6), options)
    inner = options.inner_fwhm * psf.major_fwhm_px
    outer = _last_ring(rings, inner)
    beyond = (rings.radius > inner) & (rings.radius <= outer)
    area = 2 * pi * rings.radius * np.gradient(rings.radius)
    share = float(np.abs(rings.left[beyond] * area[beyond]).sum())
    excess = float(((rings.left[beyond] / rings.error[beyond]) ** 2).sum() - beyond.sum())
    needed = SIGNIFICANT_ON_MOFFATS if psf.kind is PsfKind.MOFFAT else SIGNIFICANT
    changed = share > options.smallest_share and excess > needed * sqrt(2 * max(int(beyond.sum()), 1))
    if changed:
        psf, outer = _with_wings(psf, stamps, rings, inner, (outer, float(reach)), options)
    outside, error = _tail(rings, outer if changed else min(outer, float(psf.half_px)))
    if psf.kind is PsfKind.MOFFAT:
        wider = _wider_moffat(psf, ceil(outer) + MARGIN_PX + 1)
        changed, psf = wider is not psf, wider
        beyond_table = _beyond_table(psf)
        outside = beyond_table / (1 - beyond_table)
    return Wings(scaled_psf(psf, 1.0 / (1.0 + outside)), changed, outside, error)


def curve_of_growth(
    frame: FitFrame, psf: PsfModel, fit: PsfFit, options: WingOptions | None = None
) -> tuple[float, float]:
    """All the light of bright stars over their fitted fluxes, and its error (one sigma); 1 and 0 from too few stars.

    When every star that can be found is subtracted; the light beyond the tables is that of a power law.
    """
    options = options or WingOptions()
    chosen = bright_stars(fit, options.smallest_snr, options.stars, with_saturated=True)
    if chosen.size < options.fewest:
        return 1.0, 0.0
    reach = max(_reach(frame, psf, float(fit.flux[chosen[0]]), options), psf.half_px - MARGIN_PX)
    rings = _rings(_stamps(frame, psf, fit, chosen, reach, options), reach, max(0.5, psf.fwhm_px / 6), options)
    outer = _last_ring(rings, options.inner_fwhm * psf.major_fwhm_px)
    area = 2 * pi * rings.radius * np.gradient(rings.radius)
    inside = rings.radius <= outer
    outside, error = _tail(rings, outer)
    drawn = float(psf.tables[0].sum()) / psf.oversampling**2
    left = float((rings.left[inside] * area[inside]).sum()) - float(((rings.light - rings.left) * area)[~inside].sum())
    measured = drawn + left + outside
    if psf.kind is not PsfKind.MOFFAT:
        return measured, error
    expected = drawn / (1 - _beyond_table(psf))
    return expected + float(_shrunk(np.array(measured - expected), np.array(error), NORMALISATION_GARROTE)), error


def _wider_moffat(psf: PsfModel, half_px: int) -> PsfModel:
    """A Moffat on a table that reaches the last light of bright stars; the same when it does already."""
    if half_px <= psf.half_px:
        return psf
    more = (half_px - psf.half_px) * psf.oversampling
    tables = np.pad(psf.tables, ((0, 0), (more, more), (more, more)))
    values = moffat_values(np.array([psf.shape]), TableGrid(psf.oversampling, half_px))[0]
    tables[0] = spline_filter(values, 3, mode="mirror")
    return unit_flux(replace(psf, tables=tables))


def _beyond_table(psf: PsfModel) -> float:
    """Share of a Moffat's light that lies outside its table, taken as the circle of that area."""
    beta = psf.shape[3]
    scale = psf.fwhm_px / (2 * sqrt(2 ** (1 / beta) - 1))
    return float((1 + ((2 * psf.half_px + 1) / scale) ** 2 / pi) ** (1 - beta))


def _shrunk(value: FloatArray, error: FloatArray, garrote: float) -> FloatArray:
    """Values without those below ``garrote`` errors, and less of those little above."""
    return value * np.clip(1 - (garrote * error / np.maximum(np.abs(value), 1e-300)) ** 2, 0, 1)


def _reach(frame: FitFrame, psf: PsfModel, brightest: float, options: WingOptions) -> int:
    """Radius to which the brightest star's rings can be seen, should they fall like 3 F (FWHM / r)^3."""
    seen = (3 * max(brightest, 0.0) / (frame.typical_rms * psf.fwhm_px)) ** (1 / 3)
    largest = min(options.largest_px, min(frame.shape) // 6)
    return int(min(ceil(min(options.reach_fwhm, seen) * psf.major_fwhm_px), largest))


def _stamps(
    frame: FitFrame, psf: PsfModel, fit: PsfFit, chosen: NDArray[np.intp], reach: int, options: WingOptions
) -> _Stamps:
    """The light of bright stars, the models of all others subtracted."""
    x, y, flux = fit.x[chosen], fit.y[chosen], fit.flux[chosen][:, None, None]
    cx, cy = np.floor(x + 0.5).astype(np.intp), np.floor(y + 0.5).astype(np.intp)
    offset = np.arange(-reach, reach + 1)
    rows, columns = cy[:, None, None] + offset[:, None], cx[:, None, None] + offset
    ny, nx = frame.shape
    inside = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
    rows, columns = np.clip(rows, 0, ny - 1), np.clip(columns, 0, nx - 1)
    usable = inside & (frame.state[rows, columns] == 0)
    u, v = offset - (x - cx)[:, None, None], offset[:, None] - (y - cy)[:, None, None]
    saturated = (fit.saturated[chosen] > 0)[:, None, None]
    usable &= ~(saturated & (np.hypot(u, v) < SATURATED_FWHM * psf.major_fwhm_px))
    model = np.zeros((x.size, offset.size, offset.size))
    half = min(psf.half_px - MARGIN_PX, reach)
    middle = slice(reach - half, reach + half + 1)
    model[:, middle, middle] = psf_values(psf, x, y, half)
    drawn = np.maximum(np.abs(offset)[:, None], np.abs(offset))[None] <= fit.half_render[chosen][:, None, None]
    light = (fit.residual[rows, columns] - _pedestal(frame, fit, options)) / flux + model * drawn
    variance = (frame.rms[rows, columns] ** 2 + frame.shot_noise * np.maximum(light * flux, 0)) / flux**2
    light = np.where(usable, light, np.nan)
    return _Stamps(light, light - model, variance, u + 0 * v, v + 0 * u)


def _pedestal(frame: FitFrame, fit: PsfFit, options: WingOptions) -> float:
    """What lies below all stars alike: faint ones that are not subtracted, and errors of the sky."""
    rows = slice(None, None, max(1, frame.shape[0] // 256))
    clear = fit.residual[rows][frame.state[rows] == 0]
    if clear.size == 0:
        return 0.0
    if not options.means:
        return float(np.median(clear))
    return float(np.mean(clear[np.abs(clear) < MEAN_CLIP * clear.std()]))


def _rings(stamps: _Stamps, reach: int, width: float, options: WingOptions) -> _Rings:
    """Mean over the stars of their rings' medians (which faint stars in them do not move), weighted and clipped."""
    count, n = int(reach / width), stamps.light.shape[0]
    ring = np.minimum((stamps.radius / width).astype(np.intp), count)
    bins = np.arange(n)[:, None, None] * (count + 1) + ring
    good = np.isfinite(stamps.light) & (ring < count)
    bins, some = bins[good], n * (count + 1)

    def per_ring(values: FloatArray | NDArray[np.intp]) -> FloatArray:
        return np.asarray(values.reshape(n, -1)[:, :count], dtype=np.float64)

    pixels = np.bincount(bins, minlength=some)
    at_least_one = np.maximum(pixels, 1)
    middle = np.cumsum(pixels) - pixels + pixels // 2
    left = np.append(stamps.left[good], 0.0)
    lowest, span = left.min(), max(float(np.ptp(left)), 1e-300)
    order = np.append(np.argsort(bins + 0.5 * (left[:-1] - lowest) / span), left.size - 1)
    inner = (pixels < FEWEST_FOR_MEDIAN) | options.means
    means = np.bincount(bins, left[:-1], some) / at_least_one
    medians = np.where(pixels > 0, left[order[np.minimum(middle, left.size - 1)]], 0.0)
    mean_left_of_star = per_ring(np.where(inner, means, medians))
    model = per_ring(np.bincount(bins, (stamps.light - stamps.left)[good], some) / at_least_one)
    radius = per_ring(np.bincount(bins, stamps.radius[good], some) / at_least_one)
    sky = SKY_SHARE**2 * np.nanmedian(stamps.variance, axis=(1, 2))[:, None]
    variance = per_ring(np.bincount(bins, stamps.variance[good], some) / at_least_one**2) * MEDIAN_VARIANCE + sky
    weight = np.where(per_ring(pixels) > 0, 1 / variance, 0.0)
    mean_left, error = _clipped_mean(mean_left_of_star, weight)
    mean_model, _ = _clipped_mean(model, weight, clip_by=mean_left_of_star - mean_left)
    total = np.maximum(weight.sum(axis=0), 1e-300)
    return _Rings((radius * weight).sum(axis=0) / total, mean_model + mean_left, mean_left, error)


def _clipped_mean(
    value: FloatArray, weight: FloatArray, *, clip_by: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Weighted mean over the first axis without those far off, and its error from the scatter (at least the noise)."""
    keep = weight > 0
    mean, scatter2 = np.zeros(value.shape[1:]), np.zeros(value.shape[1:])
    for _ in range(4):
        w = weight * keep
        total = np.maximum(w.sum(axis=0), 1e-300)
        mean = (w * value).sum(axis=0) / total
        from_mean = value - mean if clip_by is None else clip_by
        chi2 = weight * from_mean**2
        scatter2 = np.maximum(_median_of(chi2, keep) / 0.455, 1.0)
        keep = (weight > 0) & (chi2 < 9 * scatter2)
    return mean, np.sqrt(scatter2 / np.maximum((weight * keep).sum(axis=0), 1e-300))


def _median_of(values: FloatArray, keep: NDArray[np.bool_]) -> FloatArray:
    """Median over the first axis of the values that are kept; 0 of none."""
    ordered = np.sort(np.where(keep, values, np.inf), axis=0)
    count = keep.sum(axis=0)
    low, high = np.maximum((count - 1) // 2, 0), np.minimum(count // 2, values.shape[0] - 1)
    middle = [np.take_along_axis(ordered, rows[None], axis=0)[0] for rows in (low, high)]
    return np.where(count > 0, 0.5 * (middle[0] + middle[1]), 0.0)


def _power_laws(rings: _Rings, use: NDArray[np.bool_], unit_px: float) -> tuple[FloatArray, FloatArray]:
    """Fit A (r / unit)^-slope to rings for each slope: likelihoods and amplitudes."""
    shape = (rings.radius[use][None] / unit_px) ** -SLOPES[:, None]
    weight, light = rings.error[use] ** -2.0, rings.light[use]
    amplitude = np.maximum(shape @ (weight * light) / (shape**2 @ weight), 0.0)
    chi2 = (weight * (light - amplitude[:, None] * shape) ** 2).sum(axis=1)
    noise = max(1.0, float(chi2.min()) / max(int(use.sum()) - 2, 1))
    likely = np.exp(-0.5 * (chi2 - chi2.min()) / noise)
    return likely / likely.sum(), amplitude


def _last_ring(rings: _Rings, inner: float) -> float:
    """Radius beyond which the light, averaged over five rings, is within three errors of nothing."""
    taps = np.ones(5)
    mean = np.convolve(rings.light, taps / 5, mode="same")
    error = np.sqrt(np.convolve(rings.error**2, taps, mode="same")) / 5
    faint = np.flatnonzero((mean < 3 * error) & (rings.radius > inner))
    return float(rings.radius[faint[0]] if faint.size else rings.radius[-1])


def _with_wings(
    psf: PsfModel, stamps: _Stamps, rings: _Rings, inner: float, between: tuple[float, float], options: WingOptions
) -> tuple[PsfModel, float]:
    """The PSF on tables that reach the last light, with the mean profile and what is not round; and that radius.

    ``between``: radius of the last ring, and that up to which spikes may go beyond.
    """
    grid, values = _not_round(stamps, rings, ceil(between[1]), options.garrote)
    outer = max(between[0], _last_spike(grid, values))
    half = max(psf.half_px, ceil(outer) + MARGIN_PX + 1)
    more = (half - psf.half_px) * psf.oversampling
    tables = np.pad(psf.tables, ((0, 0), (more, more), (more, more)))
    places = np.arange(-half * psf.oversampling, half * psf.oversampling + 1) / psf.oversampling
    radius = np.hypot(places[None], places[:, None])
    taper = np.clip((radius - inner) / (0.25 * inner), 0, 1) * np.clip((outer + 2 - radius) / 2, 0, 1)
    profile = np.interp(radius, rings.radius, rings.left, right=0.0) * (radius <= between[0])
    uneven = _bilinear(grid, values, places)
    tables[0] += spline_filter(taper * (profile + uneven), 3, mode="mirror")
    return unit_flux(replace(psf, tables=tables, kind=PsfKind.MOFFAT_TABLE)), outer


def _last_spike(grid: FloatArray, values: FloatArray) -> float:
    """Radius of the last ring, a pixel wide, in which more pixels are uneven than chance lets appear so."""
    ring = np.rint(np.hypot(grid[None], grid[:, None])).astype(np.intp)
    count = np.bincount(ring[values != 0], minlength=int(ring.max()) + 1)
    share = count / np.bincount(ring.ravel())
    uneven = np.flatnonzero(share[: int(grid[-1]) + 1] > UNEVEN_SHARE)
    return float(uneven[-1]) if uneven.size else 0.0


def _not_round(stamps: _Stamps, rings: _Rings, reach: int, garrote: float) -> tuple[FloatArray, FloatArray]:
    """What is left beside the rings at whole pixels from the star, shrunk by its error; (places), (side, side)."""
    side = 2 * reach + 1
    left = stamps.left - np.interp(stamps.radius, rings.radius, rings.left, right=0.0)
    cell_x, cell_y = np.rint(stamps.u).astype(np.intp) + reach, np.rint(stamps.v).astype(np.intp) + reach
    inside = (cell_x >= 0) & (cell_x < side) & (cell_y >= 0) & (cell_y < side) & np.isfinite(left)
    n = left.shape[0]
    value, weight = np.zeros((n, side * side)), np.zeros((n, side * side))
    star = np.broadcast_to(np.arange(n)[:, None, None], left.shape)[inside]
    cell = (cell_y * side + cell_x)[inside]
    value[star, cell] = left[inside]
    weight[star, cell] = 1 / stamps.variance[inside]
    mean, error = _clipped_mean(value, weight)
    return np.arange(-reach, reach + 1.0), _shrunk(mean, error, garrote).reshape(side, side)


def _bilinear(grid: FloatArray, values: FloatArray, places: FloatArray) -> FloatArray:
    """Values between whole pixels; zero outside."""
    across = np.stack([np.interp(places, grid, row, left=0.0, right=0.0) for row in values])
    return np.stack([np.interp(places, grid, column, left=0.0, right=0.0) for column in across.T], axis=1)


def _tail(rings: _Rings, outer: float) -> tuple[float, float]:
    """Share of the light beyond a radius by a power law through the outer rings, and the error of the whole curve."""
    inside = rings.radius <= outer
    area = 2 * pi * rings.radius * np.gradient(rings.radius)
    sky = float(np.sqrt((rings.error[inside] ** 2 * area[inside] ** 2).sum()))
    use = inside & (rings.radius > 0.5 * outer)
    if use.sum() < 4:
        return 0.0, sky
    likely, amplitude = _power_laws(rings, use, outer)
    outside = 2 * pi * amplitude * outer**2 / (SLOPES - 2)
    mean = float((likely * outside).sum())
    spread = min(float(np.sqrt((likely * (outside - mean) ** 2).sum())), TAIL_ERROR * mean)
    return mean, float(np.hypot(spread, sky))


def scaled_psf(psf: PsfModel, factor: float) -> PsfModel:
    """The same PSF with less light in its tables."""
    return replace(psf, tables=psf.tables * factor)
