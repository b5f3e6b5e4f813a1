"""A first look at a frame: how wide are its stars, and which of them shall make the PSF."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from photometry_service.algorithms import _detection
from photometry_service.algorithms.detection import (
    FWHM_PER_SIGMA,
    FloatImage,
    Mask,
    MatchedFilter,
    detect_sources,
    gaussian_filter,
    snr_map,
)
from photometry_service.domain.psf import FloatArray, Sources

__all__ = ["FirstLook", "StarSelection", "first_look", "select_psf_stars"]

FIRST_FWHM_PX = 3.5
FIRST_THRESHOLD = 5.0
WIDTH_STARS = 300
LARGEST_FWHM_PX = 20.0


@dataclass(frozen=True, eq=False)
class FirstLook:
    """What a detection without a PSF tells.

    Attributes
    ----------
    sources : found with a Gaussian kernel
    kernel : that kernel
    covariance : (2, 2), pixels^2, x first
        Of the Gaussian as wide as a typical bright source at half its peak, the pixel included.
    """

    sources: Sources
    kernel: MatchedFilter
    covariance: FloatArray

    @property
    def fwhm_px(self) -> float:
        """Geometric-mean full width at half maximum."""
        return FWHM_PER_SIGMA * float(np.linalg.det(self.covariance)) ** 0.25

    @property
    def major_fwhm_px(self) -> float:
        """Full width at half maximum along the major axis."""
        return FWHM_PER_SIGMA * sqrt(float(np.linalg.eigvalsh(self.covariance)[-1]))

    def shape(self, beta: float = 2.5) -> tuple[float, float, float, float]:
        """(ln s, e1, e2, beta) of the Moffat of this width and elongation."""
        (xx, xy), (_, yy) = self.covariance
        e1, e2 = (yy - xx) / (xx + yy), -2 * xy / (xx + yy)
        round_log_s = 2 * log(2 * sqrt(2 ** (1 / beta) - 1) / self.fwhm_px)
        return round_log_s - 0.5 * log(1 - e1**2 - e2**2), e1, e2, beta


@dataclass(frozen=True)
class StarSelection:
    """Rules for PSF stars, `specification, section 7`.

    Attributes
    ----------
    largest_number : the brightest are taken
    smallest_snr : lowered to a third when fewer than ``enough`` stars pass
    edge_fwhm : distance from the edges; reduced to 1.5 when fewer than ``enough`` stars pass
    isolation_fwhm, neighbour_ratio : no neighbour within this distance above this fraction of the flux
    largest_peak_ratio : central pixel over the kernel's expectation, relative to the median; above it is not a star
    """

    largest_number: int = 200
    smallest_snr: float = 50.0
    edge_fwhm: float = 6.0
    isolation_fwhm: float = 4.0
    neighbour_ratio: float = 0.05
    largest_peak_ratio: float = 1.8
    enough: int = 10


def first_look(
    image: FloatImage, rms: FloatImage, mask: Mask, saturated: Mask, fwhm_px: float = FIRST_FWHM_PX
) -> FirstLook:
    """Find bright sources with a Gaussian kernel and measure their typical width.

    Parameters
    ----------
    image : (ny, nx), background subtracted
    rms : (ny, nx), one sigma per pixel
    mask, saturated : (ny, nx), uint8, not zero = bad, saturated
    fwhm_px : of the first kernel

    Notes
    -----
    The width is that of the pixels above half the peak: ``2 sqrt(n / pi)`` for n of them, the median over the 300
    brightest unsaturated sources. When it is far from the first kernel's, or the sources are elongated (a trailed
    frame), they are searched once more with a Gaussian of the width and direction found.
    """
    look = _look(image, rms, mask, saturated, np.eye(2) * (fwhm_px / FWHM_PER_SIGMA) ** 2)
    elongated = look.major_fwhm_px > 1.3 * look.fwhm_px
    if len(look.sources) and (elongated or not 0.75 < look.fwhm_px / fwhm_px < 1.5):
        again = _look(image, rms, mask, saturated, look.covariance)
        if len(again.sources):
            return again
    return look


def _look(image: FloatImage, rms: FloatImage, mask: Mask, saturated: Mask, covariance: FloatArray) -> FirstLook:
    """One detection with a Gaussian kernel, and the covariance it leads to."""
    kernel = gaussian_filter(covariance)
    snr = snr_map(image, rms, kernel, mask)
    sources = detect_sources(image, snr, kernel, mask, FIRST_THRESHOLD, saturated.astype(bool))
    measured = _typical_covariance(image, mask, saturated, sources)
    return FirstLook(sources, kernel, covariance if measured is None else measured)


def _typical_covariance(image: FloatImage, mask: Mask, saturated: Mask, sources: Sources) -> FloatArray | None:
    """Median covariance of the half-maximum areas of bright sources, scaled to their median area."""
    iy, ix = _pixels(sources, image.shape)
    clean = np.flatnonzero((saturated[iy, ix] == 0) & np.isfinite(sources.flux))
    if clean.size == 0:
        return None
    pick = clean[np.argsort(-sources.flux[clean], kind="stable")[:WIDTH_STARS]]
    moments = np.empty((pick.size, 4))
    _detection.half_maximum_moments(image, mask, iy[pick], ix[pick], int(1.5 * LARGEST_FWHM_PX), moments)
    moments = moments[moments[:, 0] > 0]
    if moments.shape[0] == 0:
        return None
    area, xx, yy, xy = np.median(moments, axis=0)
    xx, yy = xx + 1 / 12, yy + 1 / 12  # a pixel has an extent of its own
    limit = 0.95 * sqrt(xx * yy)
    tensor = np.array([[xx, np.clip(xy, -limit, limit)], [np.clip(xy, -limit, limit), yy]])
    fwhm = min(2 * sqrt(area / pi), LARGEST_FWHM_PX)
    ratio = np.linalg.eigvalsh(tensor)
    if ratio[0] > 0.6 * ratio[1]:  # axis ratio above 0.77: round is a better start than noise
        tensor = np.eye(2)
    return np.asarray(tensor / sqrt(np.linalg.det(tensor)) * (fwhm / FWHM_PER_SIGMA) ** 2)


def select_psf_stars(
    look: FirstLook, image: FloatImage, mask: Mask, saturated: Mask, rules: StarSelection | None = None
) -> NDArray[np.intp]:
    """Indices of the sources that shall make the PSF, brightest first; fewer than asked for, or none, is an answer.

    A star has no saturated or masked pixel in its 3 x 3 core, stands alone, is not near an edge, and its central
    pixel stands in the usual ratio to its flux (a cosmic ray's is higher).
    """
    rules = rules or StarSelection()
    sources = look.sources
    if len(sources) == 0:
        return np.empty(0, dtype=np.intp)
    iy, ix = _pixels(sources, image.shape)
    good = np.isfinite(sources.flux) & (sources.flux > 0) & _clean_core(iy, ix, mask, saturated)
    good &= _alone(sources, rules.isolation_fwhm * look.major_fwhm_px, rules.neighbour_ratio)
    expected = np.where(good, sources.flux, 1.0) * look.kernel.kernel[look.kernel.half_px, look.kernel.half_px]
    peak_ratio = image[iy, ix] / expected
    if good.any():
        good &= peak_ratio < rules.largest_peak_ratio * np.median(peak_ratio[good])
    edge = np.minimum.reduce([ix, iy, image.shape[1] - 1 - ix, image.shape[0] - 1 - iy])
    for margin, snr in (
        (rules.edge_fwhm, rules.smallest_snr),
        (1.5, rules.smallest_snr),
        (1.5, rules.smallest_snr / 3),
        (1.0, 2 * FIRST_THRESHOLD),
    ):
        chosen = np.flatnonzero(good & (edge > margin * look.fwhm_px) & (sources.snr > snr))
        if chosen.size >= rules.enough:
            break
    return chosen[np.argsort(-sources.flux[chosen], kind="stable")][: rules.largest_number]


def _pixels(sources: Sources, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pixels nearest to sources, inside the frame."""
    iy = np.clip(np.rint(sources.y), 0, shape[0] - 1).astype(np.intp)
    ix = np.clip(np.rint(sources.x), 0, shape[1] - 1).astype(np.intp)
    return iy, ix


def _clean_core(iy: NDArray[np.intp], ix: NDArray[np.intp], mask: Mask, saturated: Mask) -> NDArray[np.bool_]:
    """No masked or saturated pixel in the 3 x 3 around each pixel."""
    clean = np.ones(iy.size, dtype=bool)
    for j in (-1, 0, 1):
        for i in (-1, 0, 1):
            y, x = np.clip(iy + j, 0, mask.shape[0] - 1), np.clip(ix + i, 0, mask.shape[1] - 1)
            clean &= (mask[y, x] == 0) & (saturated[y, x] == 0)
    return clean


def _alone(sources: Sources, radius: float, ratio: float) -> NDArray[np.bool_]:
    """No neighbour within ``radius`` above ``ratio`` of the flux, of the five nearest."""
    alone = np.ones(len(sources), dtype=bool)
    if len(sources) < 2:
        return alone
    places = np.stack([sources.x, sources.y], axis=1)
    count = min(6, len(sources))
    neighbour = cKDTree(places).query(places, k=count, distance_upper_bound=radius)[1]
    flux = np.append(np.nan_to_num(sources.flux, nan=np.inf), 0.0)
    for k in range(1, count):
        alone &= ~(flux[neighbour[:, k]] > ratio * flux[:-1])
    return alone
