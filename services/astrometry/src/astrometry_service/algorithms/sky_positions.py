"""Lists of positions through a solution, with covariances, and the footprint of a frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astro_shared.science.tangent_plane import deproject, sky_jacobian
from astrometry_service.algorithms.error_model.covariances import carry
from astrometry_service.algorithms.error_model.likelihood import ErrorModel
from astrometry_service.algorithms.wcs.frame_place import plane_steps
from astrometry_service.algorithms.wcs.plane_fit import PlaneFit
from astrometry_service.domain.solution import SkyPositions, SkyTransform
from astrometry_service.domain.sources import FrameGeometry, SourceList

__all__ = [
    "footprint",
    "positions_of_fit",
    "positions_of_transform",
    "sky_covariances",
    "sky_derivatives",
    "transform_to_pixel",
    "transform_to_sky",
]

Floats = NDArray[np.float64]


def sky_derivatives(transform: SkyTransform, x: ArrayLike, y: ArrayLike) -> Floats:
    """d(ra cos dec, dec) / d(x, y), shape (n, 2, 2), mas / pixel; right at the poles too."""
    px, py = np.ravel(np.asarray(x, float)), np.ravel(np.asarray(y, float))
    return 3.6e6 * plane_steps(transform, px, py)


def sky_covariances(transform: SkyTransform, x: ArrayLike, y: ArrayLike, covariance_px2: Floats) -> Floats:
    """Pixel covariances (n, 2, 2) carried to local east and north, mas^2."""
    return carry(sky_derivatives(transform, x, y), covariance_px2)


def pixel_scales_mas(transform: SkyTransform, x: float, y: float) -> float:
    """Mean length of a pixel at one place, mas."""
    derivatives = sky_derivatives(transform, np.array([x]), np.array([y]))
    return float(np.sqrt(abs(np.linalg.det(derivatives[0]))))


def transform_to_sky(
    transform: SkyTransform, x: ArrayLike, y: ArrayLike, covariance_px2: Floats | None = None
) -> SkyPositions:
    """Pixels to the sky; errors NaN where no covariances are given, positions NaN where there is no sky."""
    px, py = np.ravel(np.asarray(x, float)), np.ravel(np.asarray(y, float))
    ra, dec = transform.pixel_to_sky(px, py)
    if covariance_px2 is None:
        covariance_px2 = np.full((px.size, 2, 2), np.nan)
    return _positions(ra, dec, sky_covariances(transform, px, py, covariance_px2))


def transform_to_pixel(
    transform: SkyTransform, ra_deg: ArrayLike, dec_deg: ArrayLike, covariance_mas2: Floats | None = None
) -> tuple[Floats, Floats, Floats]:
    """The sky to pixels: x, y (n,) and covariances (n, 2, 2) in pixel^2 (NaN where none are given)."""
    ra, dec = np.ravel(np.asarray(ra_deg, float)), np.ravel(np.asarray(dec_deg, float))
    x, y = transform.sky_to_pixel(ra, dec)
    if covariance_mas2 is None:
        return x, y, np.full((x.size, 2, 2), np.nan)
    inverse = np.full((x.size, 2, 2), np.nan)
    found = np.isfinite(x) & np.isfinite(y)
    if found.any():
        inverse[found] = np.linalg.inv(sky_derivatives(transform, x[found], y[found]))
    return x, y, carry(inverse, covariance_mas2)


def positions_of_fit(fit: PlaneFit, sources: SourceList, model: ErrorModel) -> SkyPositions:
    """Places of all sources through a fitted map.

    The covariance is alpha^2 J C J^T + (sigma_sys^2 + s^2(x, y)) I, with s the error of the map at the source.
    """
    polynomial = fit.polynomial
    real = np.isfinite(sources.x) & np.isfinite(sources.y)
    x, y = np.where(real, sources.x, 0.0), np.where(real, sources.y, 0.0)
    design = polynomial.frame.design(x, y, polynomial.degree)
    plane = design @ polynomial.coefficients.T
    tangent = {"ra0_deg": polynomial.ra0_deg, "dec0_deg": polynomial.dec0_deg}
    covariance = model.alpha_at_most**2 * carry(polynomial.jacobian(x, y) * 3.6e6, sources.covariance)
    covariance += (model.sigma_sys_mas**2 + fit.variance_mas2(design))[:, None, None] * np.eye(2)
    covariance = carry(sky_jacobian(plane[:, 0], plane[:, 1], **tangent), covariance)
    ra, dec = deproject(plane[:, 0], plane[:, 1], **tangent)
    return _positions(np.where(real, ra, np.nan), np.where(real, dec, np.nan), covariance)


def positions_of_transform(transform: SkyTransform, sources: SourceList, model: ErrorModel | None) -> SkyPositions:
    """Places of all sources through any map; without an error model the centroid errors alone."""
    ra, dec = transform.pixel_to_sky(sources.x, sources.y)
    alpha2 = model.alpha_at_most**2 if model else 1.0
    covariance = alpha2 * sky_covariances(transform, sources.x, sources.y, sources.covariance)
    if model:
        covariance = covariance + model.sigma_sys_mas**2 * np.eye(2)
    return _positions(ra, dec, covariance)


def footprint(transform: SkyTransform, geometry: FrameGeometry, *, per_side: int = 8) -> Floats:
    """Outline of a frame: (4 per_side, 2) right ascensions and declinations in degrees, counter-clockwise in x, y.

    Points with no sky are left out.
    """
    corners = geometry.corners_px
    parts = []
    for k in range(4):
        t = np.arange(per_side)[:, None] / per_side
        parts.append(corners[k] * (1.0 - t) + corners[(k + 1) % 4] * t)
    edge = np.concatenate(parts)
    ra, dec = transform.pixel_to_sky(edge[:, 0], edge[:, 1])
    out = np.stack([ra, dec], axis=1)
    return out[np.isfinite(out).all(axis=1)]


def _positions(ra: Floats, dec: Floats, covariance: Floats) -> SkyPositions:
    return SkyPositions(ra, dec, np.sqrt(covariance[:, 0, 0]), np.sqrt(covariance[:, 1, 1]), covariance[:, 0, 1].copy())
