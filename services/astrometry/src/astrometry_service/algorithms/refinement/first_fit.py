"""From the start to a first smooth map: regions, and a low-degree fit of their pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astro_shared.science.tangent_plane import project
from astrometry_service.algorithms.refinement.depth_match import (
    DepthMatchOptions,
    depth_match,
    match_radius,
    rank_windows,
)
from astrometry_service.algorithms.refinement.mean_affine import mean_affine
from astrometry_service.algorithms.refinement.options import RefineOptions
from astrometry_service.algorithms.refinement.pairs import PairSet, PlaneTargets, SortedSources, robust_fit
from astrometry_service.algorithms.refinement.regions import Region, RegionStars, match_regions
from astrometry_service.algorithms.wcs.plane_fit import PlaneFit, PlanePolynomial
from astrometry_service.algorithms.wcs.polynomials import n_terms
from astrometry_service.domain.solution import SkyTransform
from astrometry_service.domain.sources import FrameGeometry
from astrometry_service.errors import RefinementError

__all__ = ["FirstFit", "MapState", "depth_pairs", "first_fit", "prediction_mas"]

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# Match radii of the growing fit that stands in for regions, pixels.
GROWTH_RADII_PX = (25.0, 10.0, 5.0, 3.0)
# ... of so many brightest sources, and three times as many targets.
GROWTH_SOURCES = 400


@dataclass(frozen=True)
class FirstFit:
    """A first smooth map.

    Attributes
    ----------
    fit : of low degree
    sigma_mas : scatter per axis of its pairs
    pairs : how many carried it
    degree : of the fit
    source : ``regions`` or ``start``
    regions : all regions
    mean : (2, 3), deg, mean affine about the frame's centre, for `debug`, or None
    scale_mas : mas per pixel
    zero_point : mag, reference minus instrumental
    """

    fit: PlaneFit
    sigma_mas: float
    pairs: int
    degree: int
    source: str
    regions: tuple[Region, ...]
    mean: Floats | None
    scale_mas: float
    zero_point: float


@dataclass(frozen=True)
class MapState:
    """A map to match about: the fit, the scatter of its pairs per axis [mas], and a factor on the centroid errors."""

    fit: PlaneFit
    sigma_mas: float
    alpha: float


def first_fit(
    sources: SortedSources,
    targets: PlaneTargets,
    target_xy: tuple[Floats, Floats],
    start: SkyTransform,
    geometry: FrameGeometry,
    options: RefineOptions,
) -> FirstFit:
    """Match regions and fit their pairs; where too few regions agree, grow a fit from the start.

    Parameters
    ----------
    sources, targets : sorted by brightness
    target_xy : pixel, the targets where the start puts them
    start : verified map
    geometry, options

    Raises
    ------
    RefinementError
        Fewer pairs than needed, or their scatter is above the limit.
    """
    usable, good = np.flatnonzero(sources.usable), np.flatnonzero(targets.good)
    stars = RegionStars(
        sources.x[usable], sources.y[usable], target_xy[0][good], target_xy[1][good], targets.plane[good],
        geometry.nx, geometry.ny,
    )  # fmt: skip
    regions = match_regions(stars, options.regions)
    accepted = [region for region in regions if region.accepted]
    needed = min(options.min_regions, len(regions))
    scale = _scale_mas(start, geometry, targets)
    if len(accepted) >= needed:
        source = usable[np.concatenate([region.source_rows for region in accepted])]
        target = good[np.concatenate([region.reference_rows for region in accepted])]
        pairs = PairSet.of(sources, targets, *_one_to_one(source, target))
        fit = _low_degree(pairs, options, geometry)
        if fit is not None and fit[1] <= options.first_fit_max_rms_px * scale:
            return _finish(sources, targets, pairs, fit, "regions", regions, mean_affine(regions), scale)
    pairs, fit = _grow(sources, targets, target_xy, options, geometry, scale)
    if fit[1] > options.first_fit_max_rms_px * scale:
        raise RefinementError(
            f"The first fit leaves {fit[1] / scale:.2f} pixels rms, the limit is {options.first_fit_max_rms_px}",
            found=len(pairs), needed=options.min_pairs,
        )  # fmt: skip
    return _finish(sources, targets, pairs, fit, "start", regions, None, scale)


def prediction_mas(polynomial: PlanePolynomial, sources: SortedSources) -> Floats:
    """Places (n, 2) of the sources in the tangent plane, mas."""
    coefficients = polynomial.coefficients
    return np.asarray(sources.design[:, : coefficients.shape[1]] @ coefficients.T * 3.6e6, dtype=np.float64)


def _finish(
    sources: SortedSources,
    targets: PlaneTargets,
    pairs: PairSet,
    fit: tuple[PlaneFit, float, NDArray[np.bool_]],
    source: str,
    regions: tuple[Region, ...],
    mean: Floats | None,
    scale: float,
) -> FirstFit:
    kept = np.flatnonzero(fit[2])
    difference = targets.mag[pairs.target[kept]] - sources.mag[pairs.source[kept]]
    known = difference[np.isfinite(difference)]
    zero_point = float(np.median(known)) if known.size else float("nan")
    return FirstFit(fit[0], fit[1], kept.size, fit[0].polynomial.degree, source, regions, mean, scale, zero_point)


def _low_degree(
    pairs: PairSet, options: RefineOptions, geometry: FrameGeometry
) -> tuple[PlaneFit, float, NDArray[np.bool_]] | None:
    """Robust fit of the highest low degree that the pairs carry; None where there are too few."""
    count = int(pairs.fitted.sum())
    if count < options.min_pairs:
        return None
    spread = min(np.ptp(pairs.x[pairs.fitted]) / geometry.nx, np.ptp(pairs.y[pairs.fitted]) / geometry.ny)
    highest = options.first_degree if spread > 0.5 else 1
    degree = max([d for d in range(1, highest + 1) if count >= 3 * n_terms(d)], default=1)
    fit, kept, sigma = robust_fit(pairs, degree)
    return fit, sigma, kept


def _grow(
    sources: SortedSources,
    targets: PlaneTargets,
    target_xy: tuple[Floats, Floats],
    options: RefineOptions,
    geometry: FrameGeometry,
    scale: float,
) -> tuple[PairSet, tuple[PlaneFit, float, NDArray[np.bool_]]]:
    """Fits over shrinking match radii, first in pixels of the start, then in the plane of the last fit."""
    bright = slice(0, GROWTH_SOURCES)
    shallow = slice(0, 3 * GROWTH_SOURCES)
    places = np.stack([sources.x, sources.y], axis=1)[bright]
    goals = np.stack(target_xy, axis=1)[shallow]
    n, m = places.shape[0], goals.shape[0]
    pairs: PairSet | None = None
    fit: tuple[PlaneFit, float, NDArray[np.bool_]] | None = None
    for turn, radius in enumerate(GROWTH_RADII_PX):
        unit = 1.0 if turn == 0 else scale
        found = depth_match(
            places, np.full(n, np.nan), goals, np.full(m, np.nan), np.full(n, radius * unit),
            windows=np.full(n, m, np.intp), max_mag_difference=np.inf,
        )  # fmt: skip
        closer = PairSet.of(sources, targets, found.sources, found.targets)
        refit = _low_degree(closer, options, geometry)
        if refit is None:
            break
        pairs, fit = closer, refit
        places, goals = prediction_mas(fit[0].polynomial, sources)[bright], targets.plane[shallow] * 3.6e6
    if pairs is None or fit is None:
        found_pairs = int(closer.fitted.sum())
        raise RefinementError(
            f"Found {found_pairs} pairs about the start, need {options.min_pairs}",
            found=found_pairs, needed=options.min_pairs,
        )  # fmt: skip
    return pairs, fit


def _one_to_one(source: Indices, target: Indices) -> tuple[Indices, Indices]:
    """Pairs without the reference stars that two regions claimed for different sources."""
    _, first, counts = np.unique(target, return_index=True, return_counts=True)
    keep = np.sort(first[counts == 1])
    return source[keep], target[keep]


def _scale_mas(start: SkyTransform, geometry: FrameGeometry, targets: PlaneTargets) -> float:
    """Mean pixel scale of the start at the frame's centre, mas / pixel."""
    x, y = geometry.centre_px
    ra, dec = start.pixel_to_sky(np.array([x, x + 1.0, x]), np.array([y, y, y + 1.0]))
    xi, eta = project(ra, dec, ra0_deg=targets.ra0_deg, dec0_deg=targets.dec0_deg)
    area = (xi[1] - xi[0]) * (eta[2] - eta[0]) - (xi[2] - xi[0]) * (eta[1] - eta[0])
    return float(np.sqrt(abs(area)) * 3.6e6)


def depth_pairs(
    sources: SortedSources, targets: PlaneTargets, about: MapState, first: FirstFit, options: DepthMatchOptions
) -> tuple[PairSet, dict[str, object]]:
    """Depth match of all sources about a fitted map; pairs and a record of what was done."""
    terms = about.fit.polynomial.coefficients.shape[1]
    own = about.alpha * np.sqrt(0.5 * (sources.covariance[:, 0, 0] + sources.covariance[:, 1, 1])) * first.scale_mas
    mapped = np.sqrt(about.fit.variance_mas2(sources.design[:, :terms])) * about.sigma_mas
    # The plain sum, as the method has it: the radius must not cut into the tail that the error clipping expects.
    error = about.sigma_mas + np.hypot(own, mapped)
    places, goals = prediction_mas(about.fit.polynomial, sources), targets.plane * 3.6e6
    area = float(np.prod(np.ptp(goals, axis=0))) if goals.shape[0] > 1 else np.inf
    radius = match_radius(error, goals.shape[0] / area if area > 0 else 0.0, options, pixel=first.scale_mas)
    mag = sources.mag + first.zero_point
    found = depth_match(
        places, mag, goals, targets.mag, radius, windows=rank_windows(mag, targets.mag, options),
        max_mag_difference=options.max_mag_difference,
    )  # fmt: skip
    record: dict[str, object] = {
        "method": found.method, "reason": found.reason, "pairs": int(found.sources.size),
        "duplicates": int(found.duplicates.size), "median_radius_mas": float(np.median(radius)) if radius.size else None,
    }  # fmt: skip
    area_mas2 = np.pi * radius[found.sources] ** 2
    return PairSet.of(sources, targets, found.sources, found.targets, match_area=area_mas2), record
