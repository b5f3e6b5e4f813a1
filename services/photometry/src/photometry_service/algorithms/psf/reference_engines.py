"""photutils' detection, ePSF and PSF photometry behind our own result types, to compare with and to choose instead.

References
----------
Bradley et al., photutils 3.0 (DAOStarFinder, EPSFBuilder, IterativePSFPhotometry).
Stetson (1987), PASP 99, 191. Anderson & King (2000), PASP 112, 1360.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from astropy.nddata import NDData
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import NDArray
from photutils.detection import DAOStarFinder
from photutils.psf import EPSFBuilder, ImagePSF, IterativePSFPhotometry, SourceGrouper, extract_stars
from photutils.utils.exceptions import NoDetectionsWarning
from scipy.ndimage import spline_filter

from photometry_service.algorithms.detection.shape_statistics import ShapeStatistics, shape_statistics
from photometry_service.algorithms.psf.model import TableGrid, moffat_values, node_values, round_shape
from photometry_service.algorithms.psf.results import empty_photometry
from photometry_service.domain.flags import SourceFlag
from photometry_service.domain.psf import (
    FloatArray,
    PsfKind,
    PsfModel,
    PsfPhotometry,
    PsfQuality,
    PsfSummary,
    Sources,
)

__all__ = ["DaoOptions", "PhotutilsOptions", "build_epsf", "find_dao", "measure_photutils"]

FloatImage = NDArray[np.float32]
BoolImage = NDArray[np.bool_]

TABLE_MARGIN_PX = 4
NOT_FULL, OUTSIDE, NOT_POSITIVE, NOT_CONVERGED = 1, 2, 4, 8
"""Bits of the flags of photutils' PSF photometry."""


@dataclass(frozen=True)
class DaoOptions:
    """Parameters of DAOStarFinder.

    Attributes
    ----------
    threshold_sigma : local noise per pixel
    exclude_border : leave out what is nearer to an edge than half a kernel
    brightest : keep so many, the brightest; None: all
    peak_max : highest pixel of a source, in the unit of the frame without background; None: any
    """

    threshold_sigma: float = 4.0
    sharpness_range: tuple[float, float] = (0.2, 1.0)
    roundness_range: tuple[float, float] = (-1.0, 1.0)
    exclude_border: bool = False
    brightest: int | None = None
    peak_max: float | None = None

    def finder(self, rms: FloatImage | FloatArray, fwhm_px: float) -> DAOStarFinder:
        """DAOStarFinder whose threshold follows a noise map."""
        return DAOStarFinder(
            threshold=self.threshold_sigma * rms,
            fwhm=fwhm_px,
            sharpness_range=self.sharpness_range,
            roundness_range=self.roundness_range,
            exclude_border=self.exclude_border,
            n_brightest=self.brightest,
            peak_max=self.peak_max,
        )


@dataclass(frozen=True)
class PhotutilsOptions:
    """Parameters of the photutils chain.

    Attributes
    ----------
    rounds : most iterations of detection on the residual
    fit_radius_fwhm : half size of the square fit region
    group_fwhm : sources closer than this are fitted together
    """

    dao: DaoOptions = DaoOptions()
    rounds: int = 3
    fit_radius_fwhm: float = 1.25
    group_fwhm: float = 1.0


def find_dao(
    data: FloatImage,
    rms: FloatImage,
    *,
    fwhm_px: float,
    mask: BoolImage | None = None,
    options: DaoOptions | None = None,
) -> tuple[Sources, ShapeStatistics]:
    """Find sources with DAOStarFinder.

    Parameters
    ----------
    data : (ny, nx), background subtracted
    rms : (ny, nx), one sigma per pixel; the threshold follows it
    fwhm_px : of the kernel

    Returns
    -------
    sources, shapes
        In photutils' order. ``flux`` is the sum of the pixels under the kernel, ``snr`` that over its noise.
    """
    options = options or DaoOptions()
    finder = options.finder(rms, fwhm_px)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        table = finder.find_stars(np.nan_to_num(data), mask=mask)
    if table is None:
        none = np.empty(0)
        return Sources(none, none, none, none), ShapeStatistics(none, none, none)
    x, y = _column(table, "x_centroid"), _column(table, "y_centroid")
    iy, ix = (np.clip(np.rint(v), 0, n - 1).astype(np.intp) for v, n in zip((y, x), data.shape, strict=True))
    flux = _column(table, "flux")
    snr = flux / (rms[iy, ix] * np.sqrt(_column(table, "n_pixels")))
    shapes = ShapeStatistics(*(_column(table, name) for name in ("sharpness", "roundness1", "roundness2")))
    return Sources(x, y, flux, snr), shapes


def build_epsf(
    data: FloatImage,
    x: FloatArray,
    y: FloatArray,
    *,
    fwhm_px: float,
    mask: BoolImage | None = None,
    oversampling: int = 2,
    smoothing: Literal["quadratic", "quartic"] = "quadratic",
    rounds: int = 10,
) -> PsfModel:
    """Build the PSF with photutils' EPSFBuilder.

    Parameters
    ----------
    data : (ny, nx), background subtracted
    x, y : (n,), pixels, 0-based; stars too near to the edge are left out by photutils
    oversampling, smoothing
        2, or 4 with ``quadratic``; 4 with ``quartic`` gives 1.6 to 2 times the bound of positions.

    Returns
    -------
    PsfModel
        Constant over the field, kind ``table``.

    Raises
    ------
    ValueError
        No star has a complete cutout.
    """
    half = int(np.ceil(3.75 * fwhm_px))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)
        stars = extract_stars(
            NDData(np.nan_to_num(data).astype(np.float64), mask=mask), Table({"x": x, "y": y}), size=2 * half + 1
        )
        if len(stars) == 0:
            raise ValueError(f"none of {x.size} stars has a complete cutout of {2 * half + 1} pixels")
        builder = EPSFBuilder(
            oversampling=oversampling, smoothing_kernel=smoothing, maxiters=rounds, progress_bar=False
        )
        values = np.asarray(builder(stars).epsf.data, dtype=np.float64)
    values /= values.sum() / oversampling**2
    inner = values.shape[0] // 2
    grid = TableGrid(oversampling, inner // oversampling + TABLE_MARGIN_PX)
    nodes = np.zeros((grid.nodes, grid.nodes))
    first = grid.nodes // 2 - inner
    nodes[first : first + values.shape[0], first : first + values.shape[1]] = values
    centres = np.array([star.center for star in stars.all_good_stars], dtype=np.float64).reshape(-1, 2)
    return PsfModel(
        kind=PsfKind.TABLE,
        tables=spline_filter(nodes, 3, mode="mirror")[None],
        mixing=np.ones((1, 1)),
        field=np.zeros((3, 1)),
        shape=round_shape(_width_before_pixels(values, oversampling)),
        oversampling=oversampling,
        frame_shape=(data.shape[0], data.shape[1]),
        quality=PsfQuality(n_candidates=int(x.size), n_stars=centres.shape[0]),
        star_x=centres[:, 0].copy(),
        star_y=centres[:, 1].copy(),
    )


def measure_photutils(
    data: FloatImage,
    rms: FloatImage,
    psf: PsfModel,
    *,
    mask: BoolImage | None = None,
    saturated: BoolImage | None = None,
    shot_noise: float = 1.0,
    options: PhotutilsOptions | None = None,
) -> PsfPhotometry:
    """Measure a frame with DAOStarFinder and IterativePSFPhotometry.

    Parameters
    ----------
    data, rms, mask, saturated, shot_noise : as ``measure_psf``
    psf
        Evaluated at the middle of the field: photutils has one PSF per frame here.

    Notes
    -----
    Weights are 1 / (rms^2 + shot_noise max(data, 0)), from the noisy data as is usual there. There is no covariance of
    x and y (``xy_cov`` is 0) and no S/N of the detection (NaN). Sources without a positive flux are left out.
    """
    options = options or PhotutilsOptions()
    bad = ~(np.isfinite(data) & np.isfinite(rms) & (rms > 0))
    for plane in (mask, saturated):
        bad = bad if plane is None else bad | plane
    clean = np.where(bad, 0.0, data).astype(np.float64)
    noise = np.where(bad, 1.0, np.sqrt(rms.astype(np.float64) ** 2 + shot_noise * np.maximum(clean, 0)))
    finder = options.dao.finder(np.where(bad, np.nanmedian(rms), rms), psf.fwhm_px)
    photometry = IterativePSFPhotometry(
        ImagePSF(node_values(psf.tables[0]), oversampling=psf.oversampling),
        fit_shape=2 * max(2, round(options.fit_radius_fwhm * psf.fwhm_px)) + 1,
        finder=finder,
        grouper=SourceGrouper(options.group_fwhm * psf.fwhm_px),
        aperture_radius=max(2.0, psf.fwhm_px),
        maxiters=options.rounds,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)
        warnings.simplefilter("ignore", NoDetectionsWarning)
        table = photometry(clean, mask=bad, error=noise)
        if table is None or len(table) == 0:
            return empty_photometry(np.array(data, dtype=np.float32), psf)
        residual = photometry.make_residual_image(clean, psf_shape=2 * psf.half_px - 5)
    return _as_photometry(table, np.asarray(residual, dtype=np.float32), clean, psf, saturated, bad)


def _as_photometry(
    table: Table, residual: FloatImage, data: FloatArray, psf: PsfModel, saturated: BoolImage | None, bad: BoolImage
) -> PsfPhotometry:
    """The table of photutils as our result, brightest first."""
    flux = _column(table, "flux_fit")
    keep = np.flatnonzero(np.isfinite(flux) & (flux > 0) & np.isfinite(_column(table, "x_fit")))
    table = table[keep[np.argsort(-flux[keep], kind="stable")]]
    x, y, flux = (_column(table, name) for name in ("x_fit", "y_fit", "flux_fit"))
    error, chi2 = _column(table, "flux_err"), _column(table, "reduced_chi2")
    shape = shape_statistics(data.astype(np.float32), x, y, psf.fwhm_px, bad.astype(np.uint8))
    size = _column(table, "group_size")
    snr = np.divide(flux, error, out=np.full(x.size, np.nan), where=error > 0)
    theirs = np.asarray(table["flags"], dtype=np.int64)
    iy, ix = (np.clip(np.rint(v), 0, n - 1).astype(np.intp) for v, n in zip((y, x), data.shape, strict=True))
    flags = np.zeros(x.size, dtype=np.int32)
    for flag, where in (
        (SourceFlag.BLENDED, size > 1),
        (SourceFlag.SATURATED, np.zeros(x.size, bool) if saturated is None else saturated[iy, ix]),
        (SourceFlag.TRUNCATED, (theirs & OUTSIDE) != 0),
        (SourceFlag.STAMP_INCOMPLETE, (theirs & NOT_FULL) != 0),
        (SourceFlag.NOT_CONVERGED, (theirs & NOT_CONVERGED) != 0),
    ):
        flags[where] |= flag.value
    return PsfPhotometry(
        id=np.arange(1, x.size + 1),
        x=x,
        y=y,
        x_var=_column(table, "x_err") ** 2,
        y_var=_column(table, "y_err") ** 2,
        xy_cov=np.zeros(x.size),
        flux=flux,
        flux_err=error,
        flux_err_scaled=error * np.sqrt(np.maximum(1.0, np.nan_to_num(chi2, nan=1.0))),
        snr=snr,
        detection_snr=np.full(x.size, np.nan),
        chi2_red=chi2,
        qfit=_column(table, "qfit"),
        cfit=_column(table, "cfit"),
        fwhm=psf.fwhm_at(x, y),
        sharpness=shape.sharpness,
        roundness1=shape.roundness1,
        roundness2=shape.roundness2,
        flags=flags,
        group=np.where(size > 1, np.asarray(table["group_id"], dtype=np.int64), 0),
        psf=psf,
        residual=residual,
        summary=PsfSummary(engine="photutils", n_detected=int(x.size)),
    )


def _column(table: Any, name: str) -> FloatArray:
    """A column as plain float64, masked values NaN."""
    return np.asarray(np.ma.filled(np.ma.asarray(table[name], dtype=np.float64), np.nan))


def _width_before_pixels(values: FloatArray, oversampling: int) -> float:
    """FWHM of the Moffat (beta 2.5) that has the same half-maximum area once integrated over pixels."""
    target = _half_maximum_diameter(values, oversampling)
    width = target
    for _ in range(4):
        grid = TableGrid(oversampling, values.shape[0] // 2 // oversampling)
        table = moffat_values(np.array([round_shape(width)]), grid)[0]
        width = max(0.5, width * target / _half_maximum_diameter(table, oversampling))
    return width


def _half_maximum_diameter(values: FloatArray, oversampling: int) -> float:
    """Diameter of the circle with the area above half the maximum."""
    return float(2 * np.sqrt(np.count_nonzero(values > 0.5 * values.max()) / np.pi) / oversampling)
