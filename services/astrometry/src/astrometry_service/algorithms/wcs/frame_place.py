"""Where a frame lies on the sky, how large it is and how it is turned: from the tangent plane, so also at the poles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astro_shared.science.sky_time import separation_deg
from astro_shared.science.tangent_plane import project
from astrometry_service.algorithms.wcs.fits_transform import FitsTransform
from astrometry_service.algorithms.wcs.tpv import TpvTransform
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.solution import SkyTransform
from astrometry_service.domain.sources import FrameGeometry

__all__ = ["FramePlace", "frame_place", "plane_steps", "reference_ra_deg"]

Floats = NDArray[np.float64]

_STEP_PX = 0.5
# Nearer to the pole than this the direction of north at the centre hangs on the errors of the solution.
POLE_PX = 2.0
_ARC_POINTS = 65


@dataclass(frozen=True)
class FramePlace:
    """A frame on the sky.

    Attributes
    ----------
    ra_deg, dec_deg : deg, ICRS, of its centre
    scale_arcsec : arcsec / pixel, at the centre
    rotation_deg : position angle of +y at the centre, north through east
        Within two pixels of a pole: from the meridian of the map's reference point.
    parity : -1 sky as seen, +1 mirrored
    width_deg, height_deg : deg, along the middle row and the middle column
    """

    ra_deg: float
    dec_deg: float
    scale_arcsec: float
    rotation_deg: float
    parity: int
    width_deg: float
    height_deg: float


def frame_place(transform: SkyTransform, geometry: FrameGeometry) -> FramePlace:
    """Centre, scale, rotation, parity and extent of a frame.

    Parameters
    ----------
    transform : with a sky position at every pixel of the frame
    geometry : its size
    """
    x, y = geometry.centre_px
    ra, dec = (float(v[0]) for v in transform.pixel_to_sky(np.array([x]), np.array([y])))
    steps = plane_steps(transform, np.array([x]), np.array([y]))[0]
    scale_deg = math.sqrt(abs(float(np.linalg.det(steps))))
    own = reference_ra_deg(transform)
    if own is not None and 90.0 - abs(dec) < POLE_PX * scale_deg:
        steps = plane_steps(transform, np.array([x]), np.array([y]), meridian_deg=own)[0]
    middle_x, middle_y = np.full(_ARC_POINTS, x), np.full(_ARC_POINTS, y)
    return FramePlace(
        ra_deg=ra % 360.0,
        dec_deg=dec,
        scale_arcsec=3600.0 * scale_deg,
        rotation_deg=math.degrees(math.atan2(steps[0, 1], steps[1, 1])),
        parity=1 if np.linalg.det(steps) > 0 else -1,
        width_deg=_length(transform, np.linspace(-0.5, geometry.nx - 0.5, _ARC_POINTS), middle_y),
        height_deg=_length(transform, middle_x, np.linspace(-0.5, geometry.ny - 0.5, _ARC_POINTS)),
    )


def plane_steps(transform: SkyTransform, x: Floats, y: Floats, *, meridian_deg: float | None = None) -> Floats:
    """d(east, north) / d(x, y), shape (n, 2, 2), deg / pixel, on the plane that touches the sky at each pixel.

    Parameters
    ----------
    transform : any map
    x, y : (n,), pixel, 0-based
    meridian_deg : north is the direction of this meridian; by default of the one through each pixel

    Notes
    -----
    Central differences of half a pixel. On its own plane a pixel at the pole is a pixel like any other.
    """
    ra, dec = transform.pixel_to_sky(x, y)
    ra0 = np.full_like(ra, meridian_deg) if meridian_deg is not None else ra
    columns = []
    for dx, dy in ((_STEP_PX, 0.0), (0.0, _STEP_PX)):
        ahead = _on_planes(*transform.pixel_to_sky(x + dx, y + dy), ra0, dec)
        behind = _on_planes(*transform.pixel_to_sky(x - dx, y - dy), ra0, dec)
        columns.append((ahead - behind) / (2.0 * _STEP_PX))
    return np.stack(columns, axis=-1)


def _on_planes(ra: Floats, dec: Floats, ra0: Floats, dec0: Floats) -> Floats:
    return np.stack(project(ra, dec, ra0_deg=ra0, dec0_deg=dec0), axis=-1)


def _length(transform: SkyTransform, x: Floats, y: Floats) -> float:
    """Length of a line of pixels on the sky, deg."""
    ra, dec = transform.pixel_to_sky(x, y)
    return float(np.nansum(separation_deg(ra[1:], dec[1:], ra[:-1], dec[:-1])))


def reference_ra_deg(transform: SkyTransform) -> float | None:
    """Right ascension of the reference point of a map, deg; None where it has none."""
    if isinstance(transform, TpvTransform):
        return transform.crval_deg[0]
    if isinstance(transform, FitsTransform):
        return transform.north_meridian_deg
    return transform.ra0_deg if isinstance(transform, PlaneAffine) else None
