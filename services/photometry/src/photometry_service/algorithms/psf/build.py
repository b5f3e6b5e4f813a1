"""Build the PSF of a frame from its stars: a Moffat that changes over the field, plus cross-validated residual tables.

References
----------
Stetson (1987), PASP 99, 191 (analytic core plus table of residuals). Anderson & King (2000), PASP 112, 1360 (sub-pixel
sampling by many stars; bias of positions by a wrong PSF).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from photometry_service.algorithms.detection.fit_frame import FitFrame
from photometry_service.algorithms.psf.model import moffat_psf, node_values, shape_fwhm, table_grid, unit_flux
from photometry_service.algorithms.psf.residual import ResidualOptions, ResidualTables, fit_residual_tables
from photometry_service.algorithms.psf.shape import Shape, ShapeFit, ShapeOptions, fit_shape, supported_order
from photometry_service.domain.psf import FloatArray, PsfKind, PsfModel, PsfQuality

__all__ = ["PsfBuildOptions", "build_psf"]


@dataclass(frozen=True)
class PsfBuildOptions:
    """How the PSF is made.

    Attributes
    ----------
    shape : options of the Moffat
    use_table, table_stars : whether residual tables may be added, and from how many stars on
    residual : their options
    """

    shape: ShapeOptions = field(default_factory=ShapeOptions)
    use_table: bool = True
    table_stars: int = 8
    residual: ResidualOptions = field(default_factory=ResidualOptions)


def build_psf(
    frame: FitFrame,
    x: FloatArray,
    y: FloatArray,
    flux: FloatArray,
    start: Shape,
    options: PsfBuildOptions | None = None,
) -> PsfModel:
    """Fit the PSF to stars.

    Parameters
    ----------
    frame : background-subtracted pixels, noise and mask (saturated pixels masked as well)
    x, y : (n,), pixels, 0-based, good to about a pixel
    flux : (n,), unit of the frame, good to a factor of two; stars of no positive flux are left out
    start : ln s, e1, e2, beta to start from

    Returns
    -------
    PsfModel
        ``moffat_table`` with residual tables, ``moffat`` without, ``assumed`` (the start itself) without any star.
        Unit flux in the tables everywhere in the field.
    """
    options = options or PsfBuildOptions()
    star = np.stack([flux, x, y, np.zeros(x.size)], axis=1).astype(np.float64)
    star = star[np.all(np.isfinite(star), axis=1) & (star[:, 0] > 0)]
    fit = fit_shape(frame, star, start, options.shape)
    return _with_tables(frame, fit, star.shape[0], options)


def _with_tables(frame: FitFrame, fit: ShapeFit, candidates: int, options: PsfBuildOptions) -> PsfModel:
    """Add residual tables if the stars allow them; the model with its quality figures."""
    used = int(fit.star.shape[0])
    analytic = moffat_psf(
        fit.shape,
        fit.field,
        frame.shape,
        table_grid(*shape_fwhm(fit.shape)),
        kind=PsfKind.MOFFAT if used else PsfKind.ASSUMED,
        star_x=fit.star[:, 1].copy(),
        star_y=fit.star[:, 2].copy(),
    )
    done = ResidualTables(analytic)
    if options.use_table and used >= options.table_stars:
        done = fit_residual_tables(
            frame, fit.star, analytic, order=supported_order(fit.star, frame.shape, options.shape),
            weight_floor=options.shape.weight_floor, clip_sigma=options.shape.clip_sigma, misfit=fit.misfit,
            options=options.residual,
        )  # fmt: skip
    model = unit_flux(done.psf)
    known = fit.chi2[np.isfinite(fit.chi2)]
    quality = PsfQuality(
        n_candidates=candidates,
        n_stars=used,
        chi2_red=float(np.median(known)) if known.size else float("nan"),
        table_prior=done.prior,
        cross_validation_gain=done.gain_per_star,
        ripple=_ripple(model),
    )
    return replace(model, kind=PsfKind.MOFFAT_TABLE if done.prior > 0 else model.kind, quality=quality)


def _ripple(psf: PsfModel) -> float:
    """Rms of the second mixed difference of the central table's values within 1.25 FWHM, over the peak."""
    table, centre = node_values(psf.tables[0]), psf.tables.shape[1] // 2
    reach = min(int(1.25 * psf.fwhm_px * psf.oversampling) + 1, centre - 1)
    core = table[centre - reach - 1 : centre + reach + 2, centre - reach - 1 : centre + reach + 2]
    second = np.array([1.0, -2.0, 1.0]) / 4.0
    windows = np.lib.stride_tricks.sliding_window_view(core, (3, 3))
    mixed = np.einsum("ijab,a,b->ij", windows, second, second)
    g = np.arange(-reach, reach + 1)
    inside = np.hypot(g[None], g[:, None]) <= 1.25 * psf.fwhm_px * psf.oversampling
    return float(np.sqrt(np.mean(mixed[inside] ** 2)) / table.max())
