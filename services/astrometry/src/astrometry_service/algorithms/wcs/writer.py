"""The one writer of solved headers: the cards of a frame hold exactly the map that its positions were made with.

Whatever the map came from (a refinement, a matcher, a header in any projection, frame or dialect), it is written as TAN
or TPV in ICRS with every default spelled out, which astropy, SCAMP, SWarp and DS9 read alike. `writable` turns a map into
one that can be written so, where a polynomial of degree 7 can follow it, and what it returns is to be used from there on;
the few that it cannot (all-sky projections) are written in their own projection with the cards that they were read from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_shared.science.sky_time import separation_deg
from astro_shared.science.tangent_plane import project
from astrometry_service.algorithms.wcs.fits_transform import FitsTransform
from astrometry_service.algorithms.wcs.header import tpv_cards
from astrometry_service.algorithms.wcs.plane_fit import PixelFrame, fit_plane
from astrometry_service.algorithms.wcs.tpv import MAX_DEGREE, TpvTransform
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.solution import SkyTransform

__all__ = ["map_cards", "writable"]

Floats = NDArray[np.float64]

# Largest difference that turning a map into TPV may make anywhere on the frame.
TOLERANCE_PX = 1e-4
_FIT_POINTS, _CHECK_POINTS = 25, 37


def writable(transform: SkyTransform, nx: int, ny: int) -> SkyTransform:
    """The map as TAN or TPV in ICRS where that is the same within `TOLERANCE_PX` over the frame; else the map itself.

    Parameters
    ----------
    transform : any map with a sky position at every pixel of the frame
    nx, ny : pixel, size of the frame

    Notes
    -----
    SIP, TNX and plates are polynomials about their own reference point, which is tried first: the result is then exact
    and of the same degree. Other projections are followed about the centre of the frame.
    """
    if isinstance(transform, PlaneAffine):
        return _of_plane(transform)
    if isinstance(transform, TpvTransform) and np.array_equal(transform.pv[:, :3], [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]):
        return transform
    for ra0, dec0 in _tangent_points(transform, nx, ny):
        found = _followed(transform, nx, ny, ra0, dec0)
        if found is not None:
            return found
    return transform


def map_cards(transform: SkyTransform) -> dict[str, Any]:
    """FITS cards of a map, in writing order; nothing of any other header is among them."""
    if isinstance(transform, PlaneAffine):
        transform = _of_plane(transform)
    if isinstance(transform, TpvTransform):
        return tpv_cards(transform)
    if isinstance(transform, FitsTransform):
        return dict(transform.cards)
    raise TypeError(f"no cards are known for a {type(transform).__name__}")


def _of_plane(plane: PlaneAffine) -> TpvTransform:
    crpix = np.asarray(np.linalg.solve(plane.linear, -plane.matrix[:, 2]), np.float64)
    return TpvTransform.linear((plane.ra0_deg % 360.0, plane.dec0_deg), crpix, plane.linear)


def _tangent_points(transform: SkyTransform, nx: int, ny: int) -> Iterator[tuple[float, float]]:
    """Where the plane may touch the sky: at the map's own reference point where that is near the frame, at its centre."""
    centre = np.array([(nx - 1) / 2.0]), np.array([(ny - 1) / 2.0])
    ra0, dec0 = (float(v[0]) for v in transform.pixel_to_sky(*centre))
    corner_ra, corner_dec = transform.pixel_to_sky(np.array([-0.5]), np.array([-0.5]))
    own = _reference_point(transform)
    if own is not None and separation_deg(*own, ra0, dec0) < 4.0 * separation_deg(
        corner_ra[0], corner_dec[0], ra0, dec0
    ):
        yield own
    yield ra0, dec0


def _reference_point(transform: SkyTransform) -> tuple[float, float] | None:
    if isinstance(transform, TpvTransform):
        return transform.crval_deg
    if not isinstance(transform, FitsTransform) or transform.reference_deg is None:
        return None
    meridian, (ra, dec) = transform.north_meridian_deg, transform.reference_deg
    return (ra if meridian is None else meridian), dec


def _followed(transform: SkyTransform, nx: int, ny: int, ra0: float, dec0: float) -> TpvTransform | None:
    """The polynomial of least degree that follows the map; None where degree 7 does not."""
    frame = PixelFrame.of(nx, ny)
    x, y = _grid(nx, ny, _FIT_POINTS)
    target = np.stack(project(*transform.pixel_to_sky(x, y), ra0_deg=ra0, dec0_deg=dec0), axis=1)
    check_x, check_y = _grid(nx, ny, _CHECK_POINTS)
    wanted = project(*transform.pixel_to_sky(check_x, check_y), ra0_deg=ra0, dec0_deg=dec0)
    if not (np.all(np.isfinite(target)) and np.all(np.isfinite(wanted))):
        return None
    for degree in range(1, MAX_DEGREE + 1):
        try:
            design = frame.design(x, y, degree)
            plane = fit_plane(frame, design, target, np.ones(x.size), ra0_deg=ra0, dec0_deg=dec0).polynomial
            found = plane.to_tpv()
        except np.linalg.LinAlgError:
            return None
        scale = np.sqrt(abs(np.linalg.det(plane.jacobian(*(np.array([v]) for v in (frame.x0, frame.y0)))[0])))
        xi, eta = found.pixel_to_plane(check_x, check_y)
        if np.max(np.hypot(xi - wanted[0], eta - wanted[1])) < TOLERANCE_PX * scale:
            return found
    return None


def _grid(nx: int, ny: int, points: int) -> tuple[Floats, Floats]:
    """Pixels over the frame to its outer edges, denser toward them as in Chebyshev's choice."""
    t = 0.5 - 0.5 * np.cos(np.pi * (np.arange(points) + 0.5) / points)
    t = (t - t[0]) / (t[-1] - t[0])
    x, y = np.meshgrid(t * nx - 0.5, t * ny - 0.5)
    return x.ravel(), y.ravel()
