"""Which stars of a frame shall make its PSF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from photometry_service.algorithms.detection.first_look import FIRST_THRESHOLD, FirstLook
from photometry_service.algorithms.detection.fit_frame import FitFrame
from photometry_service.domain.psf import Sources

__all__ = ["StarSelection", "in_halos", "select_psf_stars", "without_halo_maxima"]

BRIGHTEST, HALO = 200, 3.0
"""Sources whose halos are looked at, and how bright maxima in them may be: 3 F (FWHM / r)^3 at a distance r."""
LARGEST_SHARE = 0.3
"""No ring is brighter than this share of its star."""
BLOCK = 4096
"""Sources that are held against the brightest at a time: 7 MB, whatever their number."""


@dataclass(frozen=True)
class StarSelection:
    """Which sources are taken as PSF stars.

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


def select_psf_stars(frame: FitFrame, look: FirstLook, rules: StarSelection | None = None) -> NDArray[np.intp]:
    """Indices of the sources that shall make the PSF, brightest first; fewer than asked for, or none, is an answer.

    A star has no saturated or masked pixel in its 3 x 3 core, stands alone, is not near an edge, and its central
    pixel stands in the usual ratio to its flux (a cosmic ray's is higher).
    """
    rules = rules or StarSelection()
    sources = look.sources
    if len(sources) == 0:
        return np.empty(0, dtype=np.intp)
    iy, ix = _pixels(sources, frame.shape)
    good = np.isfinite(sources.flux) & (sources.flux > 0) & _clean_core(frame, iy, ix)
    good &= _alone(sources, rules.isolation_fwhm * look.major_fwhm_px, rules.neighbour_ratio)
    good &= ~in_halos(sources, look.fwhm_px)[0]
    expected = np.where(good, sources.flux, 1.0) * look.kernel.kernel[look.kernel.half_px, look.kernel.half_px]
    peak_ratio = frame.data[iy, ix] / expected
    if good.any():
        good &= peak_ratio < rules.largest_peak_ratio * np.median(peak_ratio[good])
    edge = np.minimum.reduce([ix, iy, frame.shape[1] - 1 - ix, frame.shape[0] - 1 - iy])
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


def _clean_core(frame: FitFrame, iy: NDArray[np.intp], ix: NDArray[np.intp]) -> NDArray[np.bool_]:
    """No bad or saturated pixel in the 3 x 3 around each pixel."""
    clean = np.ones(iy.size, dtype=bool)
    for j in (-1, 0, 1):
        for i in (-1, 0, 1):
            y, x = np.clip(iy + j, 0, frame.shape[0] - 1), np.clip(ix + i, 0, frame.shape[1] - 1)
            clean &= frame.state[y, x] == 0
    return clean


def without_halo_maxima(sources: Sources, fwhm_px: float, shape: tuple[int, int], *, always: bool = False) -> Sources:
    """Leave out what may be rings and spikes of bright stars, if there is more of it than chance puts stars there
    (or ``always``, where the PSF is known to be no Moffat).

    What is left out and is a star stands out once the bright ones are subtracted.
    """
    suspect, area = in_halos(sources, fwhm_px)
    expected = float(area[~suspect].sum()) / (shape[0] * shape[1])
    if not always and suspect.sum() <= 1.5 * expected + 5 * np.sqrt(expected) + 5:
        return sources
    return sources.take(~suspect)


def in_halos(sources: Sources, fwhm_px: float) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Sources below 3 F (FWHM / r)^3 of one of the brightest, and the area in pixels where each would be so."""
    flux = np.maximum(np.nan_to_num(sources.flux, nan=0.0), 1e-30)
    host = np.argsort(-flux, kind="stable")[:BRIGHTEST]
    spread = np.cbrt(flux[host]) ** 2
    reach2_of_one = fwhm_px**2 * np.cbrt(HALO / flux) ** 2
    brighter = np.searchsorted(-flux[host], -flux, side="left")
    area = np.pi * reach2_of_one * np.append(0.0, np.cumsum(spread))[brighter]
    inside = np.zeros(flux.size, dtype=bool)
    for start in range(0, flux.size, BLOCK):
        block = slice(start, start + BLOCK)
        distance2 = (sources.x[block] - sources.x[host, None]) ** 2 + (sources.y[block] - sources.y[host, None]) ** 2
        near = (distance2 < reach2_of_one[block] * spread[:, None]) & (distance2 > 0)
        inside[block] = (near & (flux[block] < LARGEST_SHARE * flux[host, None])).any(axis=0)
    return inside, area


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
