"""Table of what an analytic PSF leaves over: a smooth spline whose strength is chosen by cross-validation.

The residuals (d - sky) / F - P of all stars are fitted by one cubic B-spline in the star's own coordinates, by weighted
linear least squares (banded, Cholesky), with a ridge prior. Half of the stars choose the table, the other half judge it.

References
----------
Stetson (1987), PASP 99, 191. Anderson & King (2000), PASP 112, 1360.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy.interpolate import BSpline
from scipy.linalg import LinAlgError, solveh_banded
from scipy.ndimage import spline_filter

from photometry_service.algorithms import _psf_build
from photometry_service.algorithms.fit_frame import FitFrame
from photometry_service.algorithms.psf_model import EvaluationTables, TableGrid, evaluation_tables
from photometry_service.algorithms.psf_star_step import star_step
from photometry_service.domain.psf import FloatArray

__all__ = ["ResidualOptions", "ResidualTable", "fit_residual_table"]

LARGEST_TABLE = 89
"""Most nodes along one axis: the cost of the solution goes with the fourth power."""


@dataclass(frozen=True)
class ResidualOptions:
    """How the residual table is made.

    Attributes
    ----------
    priors : amplitudes of the prior to choose from, ascending, in units of
        ``sqrt((relative P)^2 + (floor P_max)^2)``
    relative, floor : those units
    radius_fwhm : half size of the table
    rounds : fits of the table, each after a new fit of the stars
    smallest_gain : chi2 that the held-out stars must lose, in all, to accept any table
    """

    priors: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    relative: float = 0.05
    floor: float = 2e-4
    radius_fwhm: float = 3.75
    rounds: int = 3
    smallest_gain: float = 10.0


@dataclass(frozen=True, eq=False)
class ResidualTable:
    """The table that was chosen.

    Attributes
    ----------
    coefficients : (n, n), B-spline coefficients on the PSF's own nodes; zero when ``prior`` is 0
    prior : amplitude chosen, 0 when no table predicts the held-out stars
    gain_per_star : chi2 of held-out stars taken away
    """

    coefficients: FloatArray
    prior: float
    gain_per_star: float


@dataclass(frozen=True, eq=False)
class _Equations:
    """Banded normal equations, ``band[j, k]`` = element (j + k, j)."""

    band: FloatArray
    vector: FloatArray

    def __add__(self, other: _Equations) -> _Equations:
        return _Equations(self.band + other.band, self.vector + other.vector)

    def solve(self, prior: FloatArray) -> FloatArray:
        """Coefficients for a prior of variance ``prior`` about zero."""
        banded = self.band.T.copy(order="F")
        banded[0] += 1 / prior
        return np.asarray(
            solveh_banded(banded, self.vector, lower=True, check_finite=False, overwrite_ab=True), dtype=np.float64
        )

    def chi2_change(self, r: FloatArray) -> float:
        """What a table r does to the chi2 of these pixels."""
        total = r @ (self.band[:, 0] * r)
        for k in np.flatnonzero(self.band.any(axis=0))[1:]:
            total += 2 * r[k:] @ (self.band[: r.size - k, k] * r[: r.size - k])
        return float(total - 2 * self.vector @ r)


def fit_residual_table(
    frame: FitFrame,
    star: FloatArray,
    tables: FloatArray,
    mix: FloatArray,
    grid: TableGrid,
    *,
    fwhm_px: float,
    weight_floor: float,
    clip_sigma: float,
    options: ResidualOptions | None = None,
) -> ResidualTable:
    """Fit the residual table of a PSF.

    Parameters
    ----------
    star : (n, 4), flux, x, y, sky
    tables : (k, n, n), mix : (n, k)
        The analytic PSF: coefficient tables and their weights at the stars.
    fwhm_px : along the major axis

    Notes
    -----
    Nodes are those of the PSF's tables, or 2, 4, ... times further apart so that there are not more than 89 along an
    axis. A first choice is made with nodes twice as far apart again, which costs a thirtieth; only if a table helps
    there is the fine one made. Parts of the table along dP/dx and dP/dy within 1.25 FWHM are taken out: they would move
    the centre.
    """
    options = options or ResidualOptions()
    nothing = ResidualTable(np.zeros_like(tables[0]), 0.0, 0.0)
    work = _Work(frame, mix, grid, options, fwhm_px, weight_floor, clip_sigma)
    spacing = 1.0 / grid.oversampling
    while work.nodes(spacing) > LARGEST_TABLE:
        spacing *= 2
    star = work.refit(star, tables)
    coarse = work.halves(star, tables, 2 * spacing)
    prior, _ = work.choose(coarse, tables, 2 * spacing, options.priors)
    if prior == 0:
        return nothing
    near = tuple(p for p in options.priors if prior / 4 < p < prior * 4)
    total = tables.copy()
    chosen, gain = 0.0, 0.0
    for number in range(options.rounds):
        equations = work.halves(star, total, spacing)
        if number == 0:
            chosen, gain = work.choose(equations, total, spacing, near)
            if chosen == 0:
                return nothing
        correction = work.solve(equations[0] + equations[1], total, spacing, chosen)
        if correction is None:
            return nothing
        total[0] += correction
        star = work.refit(star, total)
    return ResidualTable(total[0] - tables[0], chosen, gain / star.shape[0])


@dataclass(frozen=True, eq=False)
class _Work:
    """The fixed inputs of the fit, and its pieces."""

    frame: FitFrame
    mix: FloatArray
    grid: TableGrid
    options: ResidualOptions
    fwhm_px: float
    weight_floor: float
    clip_sigma: float

    @property
    def radius_px(self) -> float:
        """Half size of the table."""
        return min(self.options.radius_fwhm * self.fwhm_px, self.grid.half_px - 4.0)

    def nodes(self, spacing: float) -> int:
        """Coefficients along one axis."""
        return 2 * ceil(self.radius_px / spacing) + 1

    def refit(self, star: FloatArray, tables: FloatArray) -> FloatArray:
        """Stars after one more step with these tables."""
        planes = evaluation_tables(tables, self.grid.oversampling)
        return star_step(
            self.frame, star, planes, self.mix,
            radius_px=self.radius_px, clip_sigma=self.clip_sigma, weight_floor=self.weight_floor,
        ).star  # fmt: skip

    def halves(self, star: FloatArray, tables: FloatArray, spacing: float) -> tuple[_Equations, _Equations]:
        """Equations from every other star, and from the rest."""
        planes = evaluation_tables(tables, self.grid.oversampling)
        return (self._equations(star, planes, spacing, 0), self._equations(star, planes, spacing, 1))

    def _equations(self, star: FloatArray, planes: EvaluationTables, spacing: float, half: int) -> _Equations:
        nodes = self.nodes(spacing)
        band, vector = np.zeros((nodes * nodes, 3 * nodes + 4)), np.zeros(nodes * nodes)
        pixels = min(ceil(self.radius_px), planes.largest_stamp_px)
        _psf_build.residual_equations(
            self.frame.data, self.frame.state, self.frame.rms, self.frame.shot_noise,
            planes.planes, planes.terms, planes.pad(self.mix[half::2]), planes.oversampling, planes.half_px,
            pixels, self.radius_px, self.weight_floor, self.clip_sigma, np.ascontiguousarray(star[half::2]),
            spacing, nodes, band, vector,
        )  # fmt: skip
        return _Equations(band, vector)

    def prior(self, tables: FloatArray, spacing: float, amplitude: float) -> FloatArray:
        """Variance of the prior of each coefficient."""
        centre, nodes = tables.shape[1] // 2, self.nodes(spacing)
        step = round(spacing * self.grid.oversampling)
        reach = nodes // 2 * step
        profile = np.abs(
            tables[0, centre - reach : centre + reach + 1 : step, centre - reach : centre + reach + 1 : step]
        )
        unit2 = (self.options.relative * profile) ** 2 + (self.options.floor * profile.max()) ** 2
        return np.asarray(amplitude**2 * unit2.ravel())

    def choose(
        self, halves: tuple[_Equations, _Equations], tables: FloatArray, spacing: float, priors: tuple[float, ...]
    ) -> tuple[float, float]:
        """Amplitude with the lowest chi2 of held-out stars, and what it gains; (0, 0) when none gains enough.

        The chi2 falls and then rises with the amplitude, so the search walks up and stops when it rises.
        """
        best, lowest = 0.0, -self.options.smallest_gain
        previous = np.inf
        for amplitude in priors:
            variance = self.prior(tables, spacing, amplitude)
            try:
                score = sum(halves[1 - k].chi2_change(halves[k].solve(variance)) for k in (0, 1))
            except LinAlgError:
                break
            if score < lowest:
                best, lowest = amplitude, score
            if score > previous and score > 0.5 * lowest:
                break
            previous = score
        return (best, -lowest) if best > 0 else (0.0, 0.0)

    def solve(self, equations: _Equations, tables: FloatArray, spacing: float, amplitude: float) -> FloatArray | None:
        """The table on the PSF's own nodes, its shift taken out; None when the system is singular."""
        nodes = self.nodes(spacing)
        try:
            coefficients = equations.solve(self.prior(tables, spacing, amplitude)).reshape(nodes, nodes)
        except LinAlgError:
            return None
        fine = _refine(coefficients, spacing, self.grid)
        return _without_shift(fine, tables[0], self.grid, 1.25 * self.fwhm_px)


def _refine(coefficients: FloatArray, spacing: float, grid: TableGrid) -> FloatArray:
    """The same spline on the PSF's nodes; exact, because these hold the coarse ones."""
    reach, centre = coefficients.shape[0] // 2, grid.oversampling * grid.half_px
    step = round(spacing * grid.oversampling)
    if step == 1:
        out = np.zeros((grid.nodes, grid.nodes))
        out[centre - reach : centre + reach + 1, centre - reach : centre + reach + 1] = coefficients
        return out
    places = np.arange(-centre, centre + 1) / step
    knots = np.arange(-reach - 2, reach + 3, dtype=np.float64)
    basis = np.stack([BSpline.basis_element(knots[k : k + 5], extrapolate=False)(places) for k in range(2 * reach + 1)])
    basis = np.nan_to_num(basis)
    return np.asarray(spline_filter(basis.T @ coefficients @ basis, 3, mode="mirror"))


def _without_shift(table: FloatArray, psf: FloatArray, grid: TableGrid, radius_px: float) -> FloatArray:
    """Take out the parts of a table along dP/dx and dP/dy in the core."""
    gy, gx = (np.asarray(slope) for slope in np.gradient(psf))
    places = np.arange(-grid.half_px * grid.oversampling, grid.half_px * grid.oversampling + 1) / grid.oversampling
    core = np.hypot(places[None], places[:, None]) < radius_px
    slopes = np.stack([gx[core], gy[core]], axis=1)
    along_x, along_y = np.linalg.lstsq(slopes, table[core], rcond=None)[0].tolist()
    return np.asarray(table - along_x * gx - along_y * gy)
