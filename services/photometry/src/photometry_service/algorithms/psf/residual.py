"""Tables of what a Moffat leaves over: smooth splines whose strength, and change over the field, cross-validation chooses.

The residuals (d - sky) / F - P of all stars are fitted by one cubic B-spline in the star's own coordinates, by weighted
linear least squares (banded, Cholesky), with a ridge prior; then, term by term, by splines times polynomials of the field.
Half of the stars choose a table, the other half judge it.

References
----------
Stetson (1987), PASP 99, 191. Anderson & King (2000), PASP 112, 1360. Bertin (2011), ASPC 442, 435 (pixel tables with
polynomials of the field).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from scipy.interpolate import BSpline
from scipy.linalg import LinAlgError, solveh_banded
from scipy.ndimage import spline_filter

from photometry_service.algorithms.detection.fit_frame import FitFrame
from photometry_service.algorithms.psf import _build
from photometry_service.algorithms.psf.model import EvaluationTables, TableGrid, evaluation_tables
from photometry_service.algorithms.psf.star_step import star_step
from photometry_service.domain.psf import FloatArray, PsfModel, field_terms

__all__ = ["ResidualOptions", "ResidualTables", "fit_residual_tables"]

MISFIT_SHRINKS = 4.0
"""By this factor the allowance for misfit shrinks with each round."""

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
    smallest_gain : chi2 that the held-out stars must lose, in all, to accept a table
    """

    priors: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
    relative: float = 0.05
    floor: float = 2e-4
    radius_fwhm: float = 3.75
    rounds: int = 6
    smallest_gain: float = 10.0


@dataclass(frozen=True, eq=False)
class ResidualTables:
    """The tables that were chosen.

    Attributes
    ----------
    psf : with them; the same as before when ``prior`` is 0
    prior : amplitude of the constant one, 0 when no table predicts the held-out stars
    gain_per_star : chi2 of held-out stars taken away by all of them
    order : highest order of the field terms
    """

    psf: PsfModel
    prior: float = 0.0
    gain_per_star: float = 0.0
    order: int = 0


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


def fit_residual_tables(
    frame: FitFrame,
    star: FloatArray,
    psf: PsfModel,
    *,
    order: int,
    weight_floor: float,
    clip_sigma: float,
    misfit: float = 0.0,
    options: ResidualOptions | None = None,
) -> ResidualTables:
    """Fit the residual tables of a PSF.

    Parameters
    ----------
    star : (n, 4), flux, x, y, sky
    psf : the analytic PSF
    order : highest order of the field terms
    misfit : error of the analytic PSF in units of its peak, see ``star_step``

    Notes
    -----
    Nodes are those of the PSF's tables, or 2, 4, ... times further apart so that there are not more than 89 along an
    axis. A first choice is made with nodes twice as far apart again, which costs a thirtieth; only if a table helps
    there is the fine one made. Parts of the tables along dP/dx and dP/dy within 1.25 FWHM are taken out: they would move
    the centre. Field terms are polynomials that are orthogonal over the stars; each gets a table on the coarse nodes if
    that predicts held-out stars, and no order is tried when the one below had none.
    """
    options = options or ResidualOptions()
    grid = TableGrid(psf.oversampling, psf.half_px)
    work = _Work(frame, grid, options, psf.major_fwhm_px, weight_floor, clip_sigma, misfit)
    spacing = 2.0 / grid.oversampling
    while work.nodes(spacing) > LARGEST_TABLE:
        spacing *= 2
    model = _Model(psf.tables.copy(), psf.mix(star[:, 1], star[:, 2]))
    star = work.refit(star, model)
    base, prior, gain = model.tables[0].copy(), 0.0, 0.0
    constant = _FieldTerm(np.ones(star.shape[0]), 0)
    coarse = work.halves(star, model, 2 * spacing, constant)
    near, _ = work.choose(coarse, base, 2 * spacing, options.priors)
    if near > 0:
        close = tuple(p for p in options.priors if near / 4 < p < near * 4)
        prior, gain = work.choose(work.halves(star, model, spacing, constant), base, spacing, close)
    for _ in range(options.rounds if prior > 0 else 0):
        corrected = work.corrected(star, model, spacing, constant, prior)
        if corrected is None:
            break
        work = replace(work, misfit=work.misfit / MISFIT_SHRINKS)
        model, star = corrected, work.refit(star, corrected)
    if order == 0 or (prior == 0 and psf.order == 0):
        return _result(psf, model, np.zeros((0, 1)), prior, gain, star, 0)
    return _with_field(work, psf, model, star, 2 * spacing, order, prior, gain)


def _with_field(
    work: _Work, psf: PsfModel, model: _Model, star: FloatArray, spacing: float, order: int, prior: float, gain: float
) -> ResidualTables:
    """Add tables times field terms, order by order, as long as they predict held-out stars."""
    terms = field_terms(star[:, 1], star[:, 2], psf.frame_shape, order)
    basis = _orthogonal(terms, np.sqrt(np.maximum(star[:, 0], 0.0)))
    degree = np.repeat(np.arange(order + 1), np.arange(order + 1) + 1)
    accepted: list[tuple[_FieldTerm, float]] = []
    columns: list[FloatArray] = []
    reached = 0
    for column in range(1, terms.shape[1]):
        if degree[column] > reached + 1:
            break
        term = _FieldTerm(terms @ basis[:, column], model.tables.shape[0])
        halves = work.halves(star, model, spacing, term)
        amplitude, saved = work.choose(halves, model.tables[0], spacing, work.options.priors)
        if amplitude == 0:
            continue
        extended = work.corrected(star, model.with_term(term), spacing, term, amplitude)
        if extended is None:
            continue
        model, gain, reached = extended, gain + saved, int(degree[column])
        star = work.refit(star, model)
        accepted.append((term, amplitude))
        columns.append(basis[:, column])
    for term, amplitude in accepted * (work.options.rounds - 1):
        model = work.corrected(star, model, spacing, term, amplitude) or model
        star = work.refit(star, model)
    return _result(psf, model, np.array(columns).reshape(len(columns), terms.shape[1]), prior, gain, star, reached)


def _result(
    psf: PsfModel, model: _Model, added: FloatArray, prior: float, gain: float, star: FloatArray, order: int
) -> ResidualTables:
    """The PSF with its new tables, ``added`` (j, m) being the field polynomials of the appended ones."""
    if prior == 0 and added.shape[0] == 0:
        return ResidualTables(psf)
    width = max(psf.mixing.shape[1], added.shape[1])
    mixing = np.concatenate([np.pad(m, ((0, 0), (0, width - m.shape[1]))) for m in (psf.mixing, added)])
    return ResidualTables(
        replace(psf, tables=model.tables, mixing=mixing), max(prior, float(added.shape[0] > 0) * 1e-3),
        gain / max(star.shape[0], 1), order,
    )  # fmt: skip


def _orthogonal(terms: FloatArray, weight: FloatArray) -> FloatArray:
    """(m, m): columns of polynomial coefficients that are orthogonal over the stars, with a weighted rms of 1."""
    root = weight[:, None] / np.sqrt(np.mean(weight**2))
    triangle = np.linalg.qr(root * terms / np.sqrt(terms.shape[0]))[1]
    return np.asarray(np.linalg.inv(triangle + 1e-12 * np.eye(triangle.shape[0])))


@dataclass(frozen=True, eq=False)
class _FieldTerm:
    """A polynomial of the field at the stars, and which table it multiplies."""

    value: FloatArray
    table: int


@dataclass(frozen=True, eq=False)
class _Model:
    """Tables (k, n, n) and their weights at the stars (n, k)."""

    tables: FloatArray
    mix: FloatArray

    def with_term(self, term: _FieldTerm) -> _Model:
        """With one more table, which is empty."""
        return _Model(
            np.concatenate([self.tables, np.zeros_like(self.tables[:1])]), np.column_stack([self.mix, term.value])
        )


@dataclass(frozen=True, eq=False)
class _Work:
    """The fixed inputs of the fit, and its pieces."""

    frame: FitFrame
    grid: TableGrid
    options: ResidualOptions
    fwhm_px: float
    weight_floor: float
    clip_sigma: float
    misfit: float

    @property
    def radius_px(self) -> float:
        """Half size of the table."""
        return min(self.options.radius_fwhm * self.fwhm_px, self.grid.half_px - 4.0)

    def nodes(self, spacing: float) -> int:
        """Coefficients along one axis."""
        return 2 * ceil(self.radius_px / spacing) + 1

    def refit(self, star: FloatArray, model: _Model) -> FloatArray:
        """Stars after one more step with these tables."""
        return star_step(
            self.frame, star, evaluation_tables(model.tables, self.grid.oversampling), model.mix,
            radius_px=self.radius_px, clip_sigma=self.clip_sigma, weight_floor=self.weight_floor, misfit=self.misfit,
        ).star  # fmt: skip

    def halves(
        self, star: FloatArray, model: _Model, spacing: float, term: _FieldTerm
    ) -> tuple[_Equations, _Equations]:
        """Equations from every other star, and from the rest."""
        planes = evaluation_tables(model.tables, self.grid.oversampling)
        return tuple(  # type: ignore[return-value]
            self._equations(star[k::2], planes, model.mix[k::2], spacing, term.value[k::2]) for k in (0, 1)
        )

    def _equations(
        self, star: FloatArray, planes: EvaluationTables, mix: FloatArray, spacing: float, factor: FloatArray
    ) -> _Equations:
        nodes = self.nodes(spacing)
        band, vector = np.zeros((nodes * nodes, 3 * nodes + 4)), np.zeros(nodes * nodes)
        pixels = min(ceil(self.radius_px), planes.largest_stamp_px)
        _build.residual_equations(
            self.frame.data, self.frame.state, self.frame.rms, self.frame.shot_noise,
            planes.planes, planes.terms, planes.pad(mix), planes.oversampling, planes.half_px,
            pixels, self.radius_px, self.weight_floor, self.clip_sigma, self.misfit, np.ascontiguousarray(star),
            np.ascontiguousarray(factor), spacing, nodes, band, vector,
        )  # fmt: skip
        return _Equations(band, vector)

    def corrected(
        self, star: FloatArray, model: _Model, spacing: float, term: _FieldTerm, amplitude: float
    ) -> _Model | None:
        """The model with one of its tables improved by all stars; None when the system is singular."""
        one, other = self.halves(star, model, spacing, term)
        correction = self.solve(one + other, model.tables[0], spacing, amplitude)
        if correction is None:
            return None
        tables = model.tables.copy()
        tables[term.table] += correction
        return _Model(tables, model.mix)

    def prior(self, psf: FloatArray, spacing: float, amplitude: float) -> FloatArray:
        """Variance of the prior of each coefficient."""
        centre, nodes = psf.shape[0] // 2, self.nodes(spacing)
        step = round(spacing * self.grid.oversampling)
        reach = nodes // 2 * step
        inside = slice(centre - reach, centre + reach + 1, step)
        profile = np.abs(psf[inside, inside])
        unit2 = (self.options.relative * profile) ** 2 + (self.options.floor * profile.max()) ** 2
        return np.asarray(amplitude**2 * unit2.ravel())

    def choose(
        self, halves: tuple[_Equations, _Equations], psf: FloatArray, spacing: float, priors: tuple[float, ...]
    ) -> tuple[float, float]:
        """Amplitude with the lowest chi2 of held-out stars, and what it gains; (0, 0) when none gains enough.

        The chi2 falls and then rises with the amplitude, so the search walks up and stops when it rises.
        """
        best, lowest = 0.0, -self.options.smallest_gain
        previous = np.inf
        for amplitude in priors:
            variance = self.prior(psf, spacing, amplitude)
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

    def solve(self, equations: _Equations, psf: FloatArray, spacing: float, amplitude: float) -> FloatArray | None:
        """The table on the PSF's own nodes, its shift taken out; None when the system is singular."""
        nodes = self.nodes(spacing)
        try:
            coefficients = equations.solve(self.prior(psf, spacing, amplitude)).reshape(nodes, nodes)
        except LinAlgError:
            return None
        fine = _refine(coefficients, spacing, self.grid)
        return _without_shift(fine, psf, self.grid, 1.25 * self.fwhm_px)


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
