"""Tabulated PSF: tables of a pixel-integrated Moffat, evaluation, and storage as plain arrays.

The PSF is held as cubic B-spline coefficients on nodes finer than the pixels, so a star's sub-pixel phase costs 4 x 4
weights common to all its pixels, values at the nodes are exact and derivatives are those of the spline itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import spline_filter

from photometry_service.algorithms.psf import _model
from photometry_service.domain.psf import (
    FloatArray,
    PsfKind,
    PsfModel,
    PsfQuality,
    field_terms,
    local_shapes,
    order_of,
)

__all__ = [
    "EvaluationTables",
    "TableGrid",
    "evaluate_psf",
    "evaluation_tables",
    "field_places",
    "moffat_psf",
    "moffat_values",
    "node_values",
    "psf_from_arrays",
    "psf_stamp",
    "psf_to_arrays",
    "psf_values",
    "quadrature",
    "round_shape",
    "shape_fwhm",
    "table_grid",
    "unit_flux",
]

MARGIN_PX = 3
"""Stamps end this far inside the tables."""

NEGLIGIBLE = 5e-5
"""Components are dropped that change no pixel by more than this fraction of the peak anywhere in the field."""

MOST_COMPONENTS = 27
SMALL_CHANGE = 0.03
"""Departures of width and shear up to which tables change linearly with them."""

LARGE_CHANGE = 0.3
"""Beyond it weights are polynomials of order 8, for smaller changes of order 6: both are within 2e-3 of the peak."""


@dataclass(frozen=True)
class TableGrid:
    """Sampling of the PSF's tables.

    Attributes
    ----------
    oversampling : nodes per pixel
    half_px : half size
    """

    oversampling: int
    half_px: int

    @property
    def nodes(self) -> int:
        """Nodes along one axis."""
        return 2 * self.oversampling * self.half_px + 1


def table_grid(fwhm_px: float, major_fwhm_px: float | None = None) -> TableGrid:
    """Choose the sampling for a width: at least 5 nodes per FWHM, half size 6.25 FWHM.

    A cubic spline with 6 nodes per FWHM reproduces a Moffat to 2e-4 of its peak. Nodes finer than a quarter pixel are
    not needed: integration over the pixel keeps the profile of the narrowest star wider than 1.4 px.
    """
    oversampling = 4 if fwhm_px < 3.0 else 2 if fwhm_px < 6.0 else 1
    half = int(np.clip(np.ceil(6.25 * max(fwhm_px, 0.6 * (major_fwhm_px or 0.0))), 12, 90))
    return TableGrid(oversampling, half)


def round_shape(fwhm_px: float, beta: float = 2.5) -> tuple[float, float, float, float]:
    """Shape parameters of a round Moffat of a given width."""
    return 2 * log(2 * sqrt(2 ** (1 / beta) - 1) / fwhm_px), 0.0, 0.0, beta


def shape_fwhm(shape: tuple[float, float, float, float]) -> tuple[float, float]:
    """Geometric-mean and major-axis full width at half maximum of a Moffat, pixels."""
    log_s, e1, e2, beta = shape
    width = 2 * sqrt(2 ** (1 / beta) - 1) * exp(-log_s / 2)
    e = sqrt(e1**2 + e2**2)
    return width / (1 - e * e) ** 0.25, width / sqrt(1 - e)


def quadrature(fwhm_minor_px: float) -> tuple[FloatArray, FloatArray]:
    """Points and weights (2, m) of the integration over a pixel within 1.5 FWHM, and beyond.

    Gauss-Legendre: 3 points along each axis, 5 below a FWHM of 2.5 px; beyond 1.5 FWHM 2, or 3.
    """
    inner, outer = (_gauss_legendre(n) for n in ((3, 2) if fwhm_minor_px >= 2.5 else (5, 3)))
    return inner, outer


@cache
def _gauss_legendre(count: int) -> FloatArray:
    """Points and weights (2, count) on -0.5..0.5."""
    rule = np.stack(np.polynomial.legendre.leggauss(count)) / 2
    rule.setflags(write=False)
    return rule


def moffat_values(shapes: FloatArray, grid: TableGrid) -> FloatArray:
    """Tabulate pixel-integrated Moffats of unit flux.

    Parameters
    ----------
    shapes : (g, 4), ln s [ln px^-2], e1, e2, beta
        ``P = N (1 + s((1 + e1) u^2 + 2 e2 u v + (1 - e1) v^2))^-beta``, e1^2 + e2^2 < 1, beta > 1.

    Returns
    -------
    (g, n, n), pixel^-2
        Values at the nodes. N is that of the whole plane: the flux outside the table is not in the table.

    References
    ----------
    Moffat (1969), A&A 3, 455.
    """
    narrowest = min(mean**2 / major for mean, major in (shape_fwhm(tuple(row)) for row in shapes))
    out = np.empty((shapes.shape[0], grid.nodes, grid.nodes))
    _model.moffat_nodes(np.ascontiguousarray(shapes), grid.oversampling, *quadrature(narrowest), out)
    return out


def moffat_psf(
    shape: tuple[float, float, float, float],
    field: FloatArray,
    frame_shape: tuple[int, int],
    grid: TableGrid,
    *,
    kind: PsfKind = PsfKind.MOFFAT,
    quality: PsfQuality | None = None,
    star_x: FloatArray | None = None,
    star_y: FloatArray | None = None,
) -> PsfModel:
    """Tabulate a Moffat that changes over the field.

    Parameters
    ----------
    field : (3, m)
        Polynomial coefficients of width and shear, see ``PsfModel``; the constants are zero.

    Notes
    -----
    Exact Moffats at Chebyshev places of the field; their differences from that at the centre are reduced to principal
    components, whose weights are polynomials of order 6 or 8 (of the order of the field for changes below 3 %).
    """
    order = order_of(field.shape[1])
    tables, mixing = spline_filter(moffat_values(np.array([shape]), grid)[0], 3, mode="mirror")[None], np.ones((1, 1))
    if order > 0:
        change = float(np.abs(field[:, 1:]).sum(axis=1).max())
        mixing_order = order if change < SMALL_CHANGE else 6 if change < LARGE_CHANGE else 8
        places = field_places(mixing_order + 1, frame_shape)
        shapes = local_shapes(shape, field_terms(*places, frame_shape, order) @ field.T)
        differences = moffat_values(shapes, grid) - moffat_values(np.array([shape]), grid)
        parts, weights = _components(
            differences.reshape(shapes.shape[0], -1), NEGLIGIBLE * float(np.abs(tables[0]).max())
        )
        terms = field_terms(*places, frame_shape, mixing_order)
        fitted = np.linalg.lstsq(terms, weights, rcond=None)[0]
        fitted[0] = 0.0  # at the centre the PSF is tables[0]
        parts = np.stack([tables[0], *(spline_filter(p.reshape(tables[0].shape), 3, mode="mirror") for p in parts)])
        mixing = np.zeros((parts.shape[0], terms.shape[1]))
        mixing[0, 0], mixing[1:] = 1.0, fitted.T
        tables = parts
    return PsfModel(
        kind=kind,
        tables=tables,
        mixing=mixing,
        field=field.copy(),
        shape=shape,
        oversampling=grid.oversampling,
        frame_shape=frame_shape,
        quality=quality or PsfQuality(),
        star_x=np.empty(0) if star_x is None else star_x,
        star_y=np.empty(0) if star_y is None else star_y,
    )


def field_places(count: int, frame_shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """x and y of ``count`` x ``count`` Chebyshev places of a frame, the corners included."""
    along = 0.5 - 0.5 * np.cos(np.pi * np.arange(count) / max(count - 1, 1))
    y, x = np.meshgrid(along * frame_shape[0], along * frame_shape[1], indexing="ij")
    return x.ravel(), y.ravel()


def _components(change: FloatArray, negligible: float) -> tuple[FloatArray, FloatArray]:
    """Principal components (k, pixels) of changes (g, pixels), and their weights (g, k); as few as describe all."""
    value, vector = np.linalg.eigh(change @ change.T)
    order = np.argsort(-value)[:MOST_COMPONENTS]
    vector = vector[:, order]
    parts = vector.T @ change
    left = change.copy()
    for count in range(order.size):
        if np.abs(left).max() <= negligible:
            return parts[:count], vector[:, :count]
        left -= vector[:, count, None] * parts[count]
    return parts, vector


def unit_flux(psf: PsfModel) -> PsfModel:
    """The same PSF with the same flux everywhere in the field, one inside the tables."""
    table_sums = psf.tables.sum(axis=(1, 2)) / psf.oversampling**2
    central = psf.tables[0] / table_sums[0]
    tables = (psf.tables - table_sums[:, None, None] * central) / table_sums[0]
    tables[0] = central
    mixing = psf.mixing.copy()
    mixing[0] = 0.0
    mixing[0, 0] = 1.0
    return replace(psf, tables=tables, mixing=mixing)


@dataclass(frozen=True, eq=False)
class EvaluationTables:
    """A PSF in the memory order of the kernels.

    Attributes
    ----------
    planes : flat float32, [term][phase y][phase x][node y][node x], with slack at the end
    terms : number of terms, padded with zeros to 1 or a multiple of 4
    """

    planes: NDArray[np.float32]
    terms: int
    oversampling: int
    half_px: int

    @property
    def largest_stamp_px(self) -> int:
        """Largest half size of a stamp that can be evaluated."""
        return self.half_px - MARGIN_PX

    def pad(self, mix: FloatArray) -> NDArray[np.float32]:
        """(n, terms): weights with zeros for the padding terms."""
        out = np.zeros((mix.shape[0], self.terms), dtype=np.float32)
        out[:, : mix.shape[1]] = mix
        return out


def evaluation_tables(tables: FloatArray, oversampling: int) -> EvaluationTables:
    """Sort coefficient tables (k, n, n) by their phase between pixels, every ``oversampling``-th node side by side."""
    count, n = tables.shape[:2]
    half = n // 2 // oversampling
    per_phase = 2 * half + 1
    terms = 1 if count == 1 else -(-count // 4) * 4
    padded = np.zeros((terms, per_phase * oversampling, per_phase * oversampling), dtype=np.float32)
    padded[:count, :n, :n] = tables
    phases = padded.reshape(terms, per_phase, oversampling, per_phase, oversampling).transpose(0, 2, 4, 1, 3)
    planes = np.zeros(phases.size + 4 * per_phase + 64, dtype=np.float32)
    planes[: phases.size] = phases.ravel()
    return EvaluationTables(planes, terms, oversampling, half)


def evaluate_psf(
    psf: PsfModel, x: FloatArray, y: FloatArray, half_px: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Evaluate the PSF of unit flux on the pixels around stars.

    Parameters
    ----------
    x, y : (n,), pixels, 0-based
    half_px
        Stamps are (2 half_px + 1) pixels wide around ``floor(x + 0.5), floor(y + 0.5)``.

    Returns
    -------
    value, slope_x, slope_y : (n, 2 half_px + 1, 2 half_px + 1)
        Fraction of the flux in each pixel and its derivatives to x and y, pixel^-1.

    Raises
    ------
    ValueError
        The stamp is larger than the tables.
    """
    out = _stamps(psf, x, y, half_px, 3)
    return out[:, 0], out[:, 1], out[:, 2]


def psf_values(psf: PsfModel, x: FloatArray, y: FloatArray, half_px: int) -> NDArray[np.float32]:
    """(n, 2 half_px + 1, 2 half_px + 1): ``evaluate_psf`` without the slopes, a third of its memory."""
    return _stamps(psf, x, y, half_px, 1)[:, 0]


def _stamps(psf: PsfModel, x: FloatArray, y: FloatArray, half_px: int, planes: int) -> NDArray[np.float32]:
    """(n, planes, 2 half_px + 1, 2 half_px + 1): values, and slopes if there are three planes."""
    tables = evaluation_tables(psf.tables, psf.oversampling)
    if not 0 <= half_px <= tables.largest_stamp_px:
        raise ValueError(f"stamps of half size {half_px} px asked of tables that reach {tables.largest_stamp_px} px")
    x, y = np.ascontiguousarray(x, dtype=np.float64), np.ascontiguousarray(y, dtype=np.float64)
    out = np.empty((x.size, planes, 2 * half_px + 1, 2 * half_px + 1), dtype=np.float32)
    mix = tables.pad(psf.mix(x, y))
    _model.evaluate_stamps(tables.planes, tables.terms, tables.oversampling, tables.half_px, mix, x, y, half_px, out)
    return out


def psf_stamp(psf: PsfModel, half_px: int) -> FloatArray:
    """(2 half_px + 1, 2 half_px + 1): the central PSF on the pixels around a star centred in its pixel."""
    centre = psf.tables.shape[1] // 2
    taps = np.array([1.0, 4.0, 1.0]) / 6.0  # the cubic B-spline at its own node and the two beside it
    reach = half_px * psf.oversampling
    window = psf.tables[0, centre - reach - 1 : centre + reach + 2, centre - reach - 1 : centre + reach + 2]
    blocks = np.lib.stride_tricks.sliding_window_view(window, (3, 3))[:: psf.oversampling, :: psf.oversampling]
    return np.einsum("ijab,a,b->ij", blocks, taps, taps)


def node_values(coefficients: FloatArray) -> FloatArray:
    """(n, n): values of a table at its nodes, from its spline coefficients (n, n)."""
    padded = np.pad(coefficients, 1)
    along = (padded[:-2] + 4 * padded[1:-1] + padded[2:]) / 6
    return np.asarray((along[:, :-2] + 4 * along[:, 1:-1] + along[:, 2:]) / 6)


def psf_to_arrays(psf: PsfModel) -> dict[str, NDArray[np.float64]]:
    """Everything needed to evaluate the PSF elsewhere, as named float64 arrays; ``psf_from_arrays`` undoes it.

    ``tables`` (k, n, n), ``mixing`` (k, m), ``field`` (3, m), ``shape`` (4,), ``stars`` (2, n_stars), and ``scalars``
    (kind index, oversampling, ny, nx, n_candidates, n_stars, chi2_red, table_prior, cross_validation_gain, ripple).
    """
    q = psf.quality
    scalars = (
        list(PsfKind).index(psf.kind), psf.oversampling, *psf.frame_shape,
        q.n_candidates, q.n_stars, q.chi2_red, q.table_prior, q.cross_validation_gain, q.ripple,
    )  # fmt: skip
    return {
        "tables": psf.tables.copy(),
        "mixing": psf.mixing.copy(),
        "field": psf.field.copy(),
        "shape": np.array(psf.shape),
        "stars": np.stack([psf.star_x, psf.star_y]),
        "scalars": np.array(scalars, dtype=np.float64),
    }


def psf_from_arrays(arrays: dict[str, NDArray[np.float64]]) -> PsfModel:
    """Rebuild a PSF from ``psf_to_arrays``.

    Raises
    ------
    KeyError
        An array is missing.
    """
    s = [float(v) for v in arrays["scalars"]]
    log_s, e1, e2, beta = (float(v) for v in arrays["shape"])
    return PsfModel(
        kind=list(PsfKind)[int(s[0])],
        tables=np.ascontiguousarray(arrays["tables"], dtype=np.float64),
        mixing=np.ascontiguousarray(arrays["mixing"], dtype=np.float64),
        field=np.ascontiguousarray(arrays["field"], dtype=np.float64),
        shape=(log_s, e1, e2, beta),
        oversampling=int(s[1]),
        frame_shape=(int(s[2]), int(s[3])),
        quality=PsfQuality(int(s[4]), int(s[5]), *s[6:10]),
        star_x=np.asarray(arrays["stars"][0], dtype=np.float64),
        star_y=np.asarray(arrays["stars"][1], dtype=np.float64),
    )
