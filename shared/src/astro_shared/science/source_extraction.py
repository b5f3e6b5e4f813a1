"""Detection of stars with SEP in two depths, with refined centroids and their covariances.

One extraction goes down to the relaxed threshold; the strict list (for starting a match) is the part of it that has
enough pixels above the strict threshold. Sources that cannot be trusted are flagged and kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from functools import partial

import numpy as np
import sep
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from astro_shared.science.centroids import (
    Centroids,
    floor_covariance,
    half_light_radius,
    half_light_sigma,
    isophotal_covariance,
    pixel_windows,
    psf_fit,
    psf_fit_together,
    windowed,
)
from astro_shared.science.psf_shape import fit_moffat

__all__ = ["ExtractedSources", "ExtractionFlag", "ExtractionOptions", "extract_sources"]

Floats = NDArray[np.float64]

PIXEL_STACK = 300_000
APERTURE_HALF_LIGHTS = 2.5


class ExtractionFlag(IntFlag):
    """Why a source may be doubtful.

    ========== ==============================================================
    BLENDED    deblended from a neighbour, or no single star by the pixels that its PSF fit left out
    TRUNCATED  too close to the edge of the frame for its light to be summed, or the deblending overflowed
    SATURATED  has a saturated pixel in its core
    MASKED     has masked pixels in its core
    SHARP      half-light radius below the stellar locus: cosmic ray, hot pixel
    EXTENDED   half-light radius above the stellar locus, or elongated: galaxy, trail, track
    MOVED      the refined centroid lies too far from the barycentre, or failed
    ========== ==============================================================
    """

    NONE = 0
    BLENDED = 1
    TRUNCATED = 2
    SATURATED = 4
    MASKED = 8
    SHARP = 16
    EXTENDED = 32
    MOVED = 64


@dataclass(frozen=True)
class ExtractionOptions:
    """Every number of the extraction.

    Attributes
    ----------
    mesh_px : pixel, side of the background mesh (64 to 128)
    strict_sigma, strict_pixels : the strict list has this many pixels above this many sigma
    solid_pixels : ... and so many where the shape of the stars is taken from them
    relaxed_sigma, relaxed_pixels : threshold of the extraction on the smoothed image, and least area
    deblend_levels, deblend_contrast : of SEP; 16 levels find the stars of 32 in 70 per cent of its time
    locus_low, locus_high : half-light radius in units of the stellar median outside which a source is no star
    max_elongation : axis ratio in units of the stellar median above which a clear source (S/N > 20) is no star
    max_move_px : pixel, largest way of a centroid from the barycentre; twice that for stars fitted with their neighbours
    psf_below_fwhm_px : pixel, below it the image is undersampled and every centroid is a PSF fit
    psf_above_snr : PSF fits of brighter stars, when ``psf_for_bright``
    psf_for_bright : refine bright stars of well-sampled images by PSF fits as well
    blend_fwhm : stars closer than this many FWHM are fitted together, where there are PSF fits
    resolved_fwhm : a blended star whose neighbours are all further away than this has a centroid to be trusted
    max_rejected_share : ... and any star whose fit left out no more than this share of its pixels
    max_saturated_pixels : ... and a saturated one with no more such pixels, all within two pixels of its centre
    max_sources : the brightest of the relaxed list
    """

    mesh_px: int = 128
    strict_sigma: float = 5.0
    strict_pixels: int = 5
    solid_pixels: int = 9
    relaxed_sigma: float = 1.5
    relaxed_pixels: int = 5
    deblend_levels: int = 16
    deblend_contrast: float = 0.005
    locus_low: float = 0.65
    locus_high: float = 1.6
    max_elongation: float = 1.6
    max_move_px: float = 1.0
    psf_below_fwhm_px: float = 2.4
    psf_above_snr: float = 200.0
    psf_for_bright: bool = True
    blend_fwhm: float = 2.5
    resolved_fwhm: float = 1.0
    max_rejected_share: float = 0.07
    max_saturated_pixels: int = 9
    max_sources: int = 200_000


@dataclass(frozen=True)
class ExtractedSources:
    """Sources of a frame, brightest first.

    Attributes
    ----------
    x, y : (n,), pixel, 0-based
    covariance : (n, 2, 2), pixel^2
    psf_fitted : (n,), True where the place is from a PSF fit
    recovered : (n,), True where a PSF fit has allowed for neighbours and a few saturated pixels and there is no other flag
    flux, flux_err : (n,), electron, in an aperture of 2.5 half-light radii
    snr : (n,), flux / flux_err
    half_light_px : (n,), pixel
    flags : (n,), `ExtractionFlag`
    strict : (n,), member of the strict list
    fwhm_px : pixel, of the stars
    position_kind : ``windowed`` or ``psf``, what most places are
    background_e, background_rms_e : electron, medians over the frame
    """

    x: Floats
    y: Floats
    covariance: Floats
    psf_fitted: NDArray[np.bool_]
    recovered: NDArray[np.bool_]
    flux: Floats
    flux_err: Floats
    snr: Floats
    half_light_px: Floats
    flags: NDArray[np.int32]
    strict: NDArray[np.bool_]
    fwhm_px: float
    position_kind: str
    background_e: float
    background_rms_e: float

    def __len__(self) -> int:
        return int(self.x.size)

    @property
    def stellar(self) -> NDArray[np.bool_]:
        """Sources without any flag but ``BLENDED``."""
        return (self.flags & ~int(ExtractionFlag.BLENDED)) == 0

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Sources that may carry an astrometric fit: without any flag, or recovered from being blended or saturated."""
        return (self.flags == 0) | self.recovered


def extract_sources(
    image_e: NDArray[np.float32],
    *,
    saturation_e: float = np.inf,
    mask: NDArray[np.bool_] | None = None,
    options: ExtractionOptions | None = None,
    overwrite_image: bool = False,
) -> ExtractedSources:
    """Find the stars of a frame.

    Parameters
    ----------
    image_e : (ny, nx), electron, with its sky; NaN counts as masked
    saturation_e : electron, level from which a pixel is saturated
    mask : (ny, nx), True = bad pixel
    options : thresholds
    overwrite_image : the image may be changed, which saves a copy of it

    Returns
    -------
    ExtractedSources
        Empty for a frame without a source; never an exception for an odd image.
    """
    options = options or ExtractionOptions()
    image = np.array(image_e, dtype=np.float32, order="C", copy=None if overwrite_image else True)
    bad = np.isfinite(image)
    np.logical_not(bad, out=bad)
    if mask is not None:
        bad |= mask
    saturated = image >= saturation_e
    if bad.all():
        return _empty()
    if bad.any():
        image[bad] = np.float32(np.median(image[~bad]))
    background = sep.Background(image, mask=bad | saturated, bw=options.mesh_px, bh=options.mesh_px)
    background.subfrom(image)
    rms = background.rms()
    np.maximum(rms, np.float32(1e-6 * background.globalrms), out=rms)
    if not background.globalrms > 0:
        return _empty()
    found = _extract(image, rms, bad, options)
    if len(found) == 0:
        return _empty()
    return _refine(image, rms, found, saturated, bad, background, options)


def _extract(
    image: NDArray[np.float32], rms: NDArray[np.float32], bad: NDArray[np.bool_], options: ExtractionOptions
) -> NDArray[np.void]:
    """Rows of ``sep.extract`` at the relaxed threshold, brightest first.

    The image is smoothed with SExtractor's default kernel: the threshold counts sigmas of the unsmoothed noise, as
    SExtractor's does. (SEP's own matched filter takes four times as long with a noise map.) Nothing is "cleaned": that
    takes out 7 per cent of the true stars of S/N 5 to 10, and as long as the rest for 20,000 sources.
    """
    sep.set_sub_object_limit(8192)
    objects = _sep_rows(image, rms, bad if bad.any() else None, options, PIXEL_STACK)
    finite = np.isfinite(objects["x"]) & np.isfinite(objects["y"]) & (objects["flux"] > 0)
    objects = objects[finite]
    return objects[np.argsort(-objects["flux"], kind="stable")][: options.max_sources]


def _sep_rows(
    image: NDArray[np.float32],
    rms: NDArray[np.float32],
    bad: NDArray[np.bool_] | None,
    options: ExtractionOptions,
    stack: int,
) -> NDArray[np.void]:
    """SEP with room for ``stack`` pixels of unfinished sources; all of it is written first, so it is kept small."""
    sep.set_extract_pixstack(stack)
    try:
        return sep.extract(
            image, options.relaxed_sigma, err=rms, mask=bad, filter_type="conv", minarea=options.relaxed_pixels,
            deblend_nthresh=options.deblend_levels, deblend_cont=options.deblend_contrast, clean=False,
        )  # fmt: skip
    except Exception as error:  # SEP has no class of its own for a full buffer
        if "pixel buffer full" not in str(error) or stack > image.size:
            raise
        return _sep_rows(image, rms, bad, options, 8 * stack)


def _refine(
    image: NDArray[np.float32],
    rms: NDArray[np.float32],
    found: NDArray[np.void],
    saturated: NDArray[np.bool_],
    bad: NDArray[np.bool_],
    background: sep.Background,
    options: ExtractionOptions,
) -> ExtractedSources:
    x0, y0 = found["x"].astype(np.float64), found["y"].astype(np.float64)
    column = np.clip(np.rint(x0).astype(int), 0, image.shape[1] - 1)
    row = np.clip(np.rint(y0).astype(int), 0, image.shape[0] - 1)
    variance = rms[row, column].astype(np.float64) ** 2
    above = _pixels_above(image, rms, column, row, options.strict_sigma)
    strict = above >= options.strict_pixels
    flags = _core_flags(found, saturated, bad, column, row)
    half, locus = _half_light(image, x0, y0, _solid(above, strict & (flags == 0), options))
    flags[(found["flag"] & ~sep.OBJ_MERGED & ~sep.OBJ_TRUNC) != 0] |= ExtractionFlag.TRUNCATED
    margin = np.minimum(np.minimum(x0, image.shape[1] - 1 - x0), np.minimum(y0, image.shape[0] - 1 - y0))
    radius = APERTURE_HALF_LIGHTS * locus
    flags[margin < radius] |= ExtractionFlag.TRUNCATED
    flags[half < options.locus_low * locus] |= ExtractionFlag.SHARP
    flags[half > options.locus_high * locus] |= ExtractionFlag.EXTENDED
    flux, _, _ = sep.sum_circle(image, x0, y0, radius, subpix=5)
    flux_err = np.sqrt(np.maximum(np.pi * radius**2 * variance + np.maximum(flux, 0.0), 1e-12))
    snr = flux / flux_err
    ratio = found["a"] / np.maximum(found["b"], 0.3)
    sample = ratio[_solid(above, strict & (flags == 0), options)]
    if sample.size:
        flags[(ratio > options.max_elongation * np.median(sample)) & (snr > 20.0)] |= ExtractionFlag.EXTENDED
    clean = _solid(above, strict & (flags == 0), options)
    blended = (flags & ExtractionFlag.BLENDED) != 0
    full = _slightly_saturated(saturated, column, row, options)
    places, fitted, blended, clear, fwhm = _centroids(
        image, x0, y0, variance, snr, bad | saturated, clean, blended, full, locus, options, work=rms
    )
    flags[blended] |= ExtractionFlag.BLENDED
    # Deblending leaves the barycentres of close stars further off than those of others.
    way = np.where(clear, 2.0, 1.0) * options.max_move_px
    moved = ~(np.hypot(places.x - x0, places.y - y0) <= way)
    flags[moved] |= ExtractionFlag.MOVED
    fallback = isophotal_covariance(found["errx2"], found["erry2"], found["errxy"])
    covariance = np.where(moved[:, None, None], fallback, places.covariance)
    return ExtractedSources(
        x=np.where(moved, x0, places.x),
        y=np.where(moved, y0, places.y),
        covariance=floor_covariance(covariance, found["npix"].astype(np.float64)),
        psf_fitted=fitted & ~moved,
        recovered=fitted
        & ((~blended | clear) & _only(flags, ExtractionFlag.BLENDED | ExtractionFlag.SATURATED))
        & (full | ((flags & ExtractionFlag.SATURATED) == 0)),
        flux=np.asarray(flux, np.float64),
        flux_err=np.asarray(flux_err, np.float64),
        snr=np.asarray(snr, np.float64),
        half_light_px=half,
        flags=flags,
        strict=strict,
        fwhm_px=fwhm,
        position_kind="psf" if fitted.mean() > 0.5 else "windowed",
        background_e=float(background.globalback),
        background_rms_e=float(background.globalrms),
    )


def _only(flags: NDArray[np.int32], allowed: ExtractionFlag) -> NDArray[np.bool_]:
    """Sources without any other flag."""
    return (flags & ~int(allowed)) == 0


def _slightly_saturated(
    saturated: NDArray[np.bool_], column: NDArray[np.int_], row: NDArray[np.int_], options: ExtractionOptions
) -> NDArray[np.bool_]:
    """Sources with few saturated pixels, none of them three pixels from the centre, where a bleeding one would have some."""
    around = saturated[pixel_windows(column, row, saturated.shape, 3)]
    core = np.count_nonzero(around[:, 1:-1, 1:-1], axis=(1, 2))
    ring = np.count_nonzero(around, axis=(1, 2)) - core
    return (core > 0) & (core <= options.max_saturated_pixels) & (ring == 0)


def _solid(above: NDArray[np.int_], clean: NDArray[np.bool_], options: ExtractionOptions) -> NDArray[np.bool_]:
    """Clean sources that are certainly no hot pixels or thin tracks, where there are enough of them."""
    solid = clean & (above >= options.solid_pixels)
    return solid if solid.sum() >= 5 else clean


def _pixels_above(
    image: NDArray[np.float32],
    rms: NDArray[np.float32],
    column: NDArray[np.int_],
    row: NDArray[np.int_],
    sigma: float,
) -> NDArray[np.int_]:
    """Pixels above ``sigma`` in the 5 x 5 around each source."""
    window = pixel_windows(column, row, image.shape, 2)
    return np.count_nonzero(image[window] > sigma * rms[window], axis=(1, 2))


def _core_flags(
    found: NDArray[np.void],
    saturated: NDArray[np.bool_],
    bad: NDArray[np.bool_],
    column: NDArray[np.int_],
    row: NDArray[np.int_],
) -> NDArray[np.int32]:
    flags = np.zeros(len(found), np.int32)
    flags[(found["flag"] & sep.OBJ_MERGED) != 0] |= ExtractionFlag.BLENDED
    core = pixel_windows(column, row, bad.shape, 1)
    flags[saturated[core].any(axis=(1, 2))] |= ExtractionFlag.SATURATED
    flags[bad[core].any(axis=(1, 2))] |= ExtractionFlag.MASKED
    return flags


def _half_light(image: NDArray[np.float32], x: Floats, y: Floats, clean: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Half-light radii and their median over clean stars, pixels."""
    sample = np.flatnonzero(clean)[:2000] if clean.sum() >= 5 else np.arange(min(x.size, 200))
    first = half_light_radius(image, x[sample], y[sample], reach_px=10.0)
    locus = max(float(np.median(first[first > 0.3])) if np.any(first > 0.3) else 1.0, 0.5)
    half = half_light_radius(image, x, y, reach_px=max(3.5 * locus, 3.0))
    inner = half[sample]
    return half, max(float(np.median(inner[inner > 0.3])) if np.any(inner > 0.3) else locus, 0.5)


def _centroids(
    image: NDArray[np.float32],
    x: Floats,
    y: Floats,
    variance: Floats,
    snr: Floats,
    bad: NDArray[np.bool_],
    clean: NDArray[np.bool_],
    blended: NDArray[np.bool_],
    full: NDArray[np.bool_],
    locus: float,
    options: ExtractionOptions,
    *,
    work: NDArray[np.float32],
) -> tuple[Centroids, NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_], float]:
    """PSF fits of all stars of an undersampled image, else of the bright, close and full ones; windowed for the rest.

    ``work`` (ny, nx) is overwritten. Returns the centroids, which of them are PSF fits, which sources are blended, which were
    fitted with their neighbours and are clear of them, and the FWHM.
    """
    none = np.zeros(x.size, bool)
    stars = np.flatnonzero(clean & (snr > 20))
    shape = fit_moffat(image, x[stars], y[stars], variance[stars], mask=bad) if stars.size >= 5 else None
    fwhm = shape.fwhm_px if shape else 2.0 * locus
    wanted = none
    if shape is not None and fwhm < options.psf_below_fwhm_px:
        wanted = ~none
    elif shape is not None and options.psf_for_bright:
        wanted = (snr > options.psf_above_snr) | blended | full
    n = x.size
    out = Centroids(
        np.full(n, np.nan), np.full(n, np.nan), np.full((n, 2, 2), np.nan), np.full(n, np.nan), np.full(n, np.nan),
        np.zeros(n, np.int32),
    )  # fmt: skip
    clear = none
    if shape is not None and wanted.any():
        # Three widths hold all of the information that a Moffat has.
        reach, table = max(3, round(2.0 * fwhm)), shape.table()
        group, clear = _neighbours(x, y, blended & wanted, fwhm, options)
        together = partial(psf_fit_together, work=work)
        for rows, fit in ((np.flatnonzero(wanted & ~group), psf_fit), (np.flatnonzero(group), together)):
            _put(out, rows, fit(image, x[rows], y[rows], table, reach_px=reach, background_variance=variance[rows],
                                gain=1.0, mask=bad))  # fmt: skip
        crowded = out.rejected > options.max_rejected_share * (2 * reach + 1) ** 2
        blended, clear = blended | crowded, clear & ~crowded
    fitted = np.isfinite(out.x)
    rows = np.flatnonzero(~fitted)
    _put(out, rows, windowed(image, x[rows], y[rows], window_sigma_px=half_light_sigma(locus),
                             background_variance=variance[rows], gain=1.0, mask=bad))  # fmt: skip
    return out, fitted, blended, clear & fitted, fwhm


def _put(out: Centroids, rows: NDArray[np.intp], part: Centroids) -> None:
    """Write the centroids of some rows."""
    for name in ("x", "y", "covariance", "flux", "reduced_chi2", "rejected"):
        getattr(out, name)[rows] = getattr(part, name)


def _neighbours(
    x: Floats, y: Floats, blended: NDArray[np.bool_], fwhm: float, options: ExtractionOptions
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Sources to be fitted together: blended ones and all near them; and which of them stand clear enough for a fit."""
    links = cKDTree(np.stack([x, y], axis=1)).query_pairs(options.blend_fwhm * fwhm, output_type="ndarray")
    apart = np.hypot(*(np.stack([x, y])[:, links[:, 0]] - np.stack([x, y])[:, links[:, 1]]))
    group, clear = blended.copy(), np.ones(x.size, bool)
    group[links[blended[links].any(axis=1)]] = True
    clear[links[apart < options.resolved_fwhm * fwhm]] = False
    return group, group & clear


def _empty() -> ExtractedSources:
    none = np.zeros(0)
    return ExtractedSources(
        none, none, np.zeros((0, 2, 2)), np.zeros(0, bool), np.zeros(0, bool), none, none, none, none, np.zeros(0, np.int32),
        np.zeros(0, bool), float("nan"), "windowed", float("nan"), float("nan"),
    )  # fmt: skip
