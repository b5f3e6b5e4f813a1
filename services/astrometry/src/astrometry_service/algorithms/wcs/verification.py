"""Does a given WCS put the detected stars where reference stars are?

The same test as for any other match (`matching.verification`), with the given mapping as its prediction, so that a
header's WCS, another program's answer and our own solution are all believed for the same reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from astro_shared.science.tangent_plane import project
from astrometry_service.algorithms.matching.tangent_plane import project_stars
from astrometry_service.algorithms.matching.verification import (
    ReferenceField,
    Verification,
    VerificationOptions,
    verify_prediction,
)
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.solving import NOT_A_MATCH, StartMatch
from astrometry_service.domain.star_lists import SkyStars, StarList

Floats = NDArray[np.float64]
PixelToSky = Callable[[Floats, Floats], tuple[Floats, Floats]]

__all__ = ["WcsCheck", "WcsCheckOptions", "verify_wcs"]

MIN_REFERENCE = 5


@dataclass(frozen=True)
class WcsCheckOptions:
    """What a WCS must show to be called valid (``docs/algorithms/solving.md``).

    Attributes
    ----------
    search_px : one sigma of the given positions; pairs are looked for within three of it
    min_log_odds, min_matched_fraction, max_rms_px : limits for ``valid``
        A start around a WCS that is off by some pixels meets the same limits after its own fit.
    verification : options of the test itself; its ``accept_log_odds`` is replaced by ``min_log_odds``
    """

    search_px: float = 5.0
    min_log_odds: float = 20.0
    min_matched_fraction: float = 0.3
    max_rms_px: float = 2.0
    verification: VerificationOptions = field(default_factory=VerificationOptions)


@dataclass(frozen=True)
class WcsCheck:
    """Outcome of `verify_wcs`.

    Attributes
    ----------
    valid : every limit was met
    reasons : what was not met; empty when valid
    start : the match found around the given WCS, also when the WCS itself is off by some pixels; None without one
    log_odds : of that match
    matched_fraction : of the bright stars that fall on the reference list, or of the reference stars if fewer
    rms_px : separation of the pairs under the given WCS, px
    offset_px : their median shift (x, y): reference minus given position
    """

    valid: bool
    reasons: tuple[str, ...]
    start: StartMatch | None
    log_odds: float = NOT_A_MATCH
    matched_fraction: float = 0.0
    rms_px: float = math.nan
    offset_px: tuple[float, float] = (math.nan, math.nan)


def verify_wcs(
    stars: StarList,
    reference: SkyStars,
    pixel_to_sky: PixelToSky,
    *,
    shape: tuple[int, int],
    reference_radius_deg: float | None = None,
    options: WcsCheckOptions | None = None,
) -> WcsCheck:
    """Hold a WCS against reference stars.

    Parameters
    ----------
    stars : detected stars
    reference : reference stars around the frame, at the epoch of the exposure
    pixel_to_sky : (x, y) in 0-based px -> (ra, dec) in deg; NaN where undefined
    shape : (ny, nx), px
    reference_radius_deg : the list covers the disc of this radius about the frame's centre
        Needed only when it does not cover the frame; stars outside are then not counted.

    Returns
    -------
    WcsCheck
        Never raises for a WCS that is merely wrong.
    """
    opts = options or WcsCheckOptions()
    geometry = _Geometry.measure(pixel_to_sky, shape)
    if geometry is None:
        return WcsCheck(False, ("the WCS gives no finite, single-valued scale at the centre of the frame",), None)
    bright = stars.brightest(opts.verification.stars)
    predicted = geometry.plane_px(*pixel_to_sky(bright.x, bright.y))
    finite = np.isfinite(predicted).all(axis=1)
    bright = StarList(bright.x[finite], bright.y[finite], bright.flux[finite], bright.origin[finite])
    predicted = predicted[finite]
    near, field_stars = _reference_under_frame(reference, geometry, shape, len(bright))
    if len(bright) < MIN_REFERENCE or near.size < MIN_REFERENCE:
        found = f"{len(bright)} usable stars and {near.size} reference stars on the frame"
        reason = f"{found}, need {MIN_REFERENCE} of each"
        return WcsCheck(False, (reason,), None)
    radius = reference_radius_deg / geometry.scale_deg if reference_radius_deg is not None else math.inf
    result = verify_prediction(
        bright.x, bright.y, predicted, np.full(len(bright), opts.search_px), field_stars, disc_radius=radius,
        options=_with_limit(opts),
    )  # fmt: skip
    return _judge(result, bright, reference, near, field_stars, predicted, geometry, opts)


@dataclass(frozen=True)
class _Geometry:
    """The tangent plane at the centre of the frame, in units of the local pixel."""

    ra_deg: float
    dec_deg: float
    scale_deg: float

    @classmethod
    def measure(cls, pixel_to_sky: PixelToSky, shape: tuple[int, int]) -> _Geometry | None:
        """Centre and scale from a small cross at the centre of the frame; None when they are not finite."""
        height, width = shape
        x, y = 0.5 * (width - 1), 0.5 * (height - 1)
        ra, dec = pixel_to_sky(np.array([x, x + 1.0, x]), np.array([y, y, y + 1.0]))
        if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
            return None
        xi, eta = project(ra, dec, ra0_deg=float(ra[0]), dec0_deg=float(dec[0]))
        determinant = float((xi[1] - xi[0]) * (eta[2] - eta[0]) - (xi[2] - xi[0]) * (eta[1] - eta[0]))
        if not math.isfinite(determinant) or determinant == 0.0:
            return None
        return cls(float(ra[0]), float(dec[0]), math.sqrt(abs(determinant)))

    def plane_px(self, ra_deg: Floats, dec_deg: Floats) -> Floats:
        """(n, 2) places on the plane, in pixels."""
        xi, eta = project(ra_deg, dec_deg, ra0_deg=self.ra_deg, dec0_deg=self.dec_deg)
        return np.column_stack([xi, eta]) / self.scale_deg


def _with_limit(opts: WcsCheckOptions) -> VerificationOptions:
    values = {**opts.verification.__dict__, "accept_log_odds": opts.min_log_odds, "axis_tolerance": 1.0}
    return VerificationOptions(**values)


def _reference_under_frame(
    reference: SkyStars, geometry: _Geometry, shape: tuple[int, int], stars: int
) -> tuple[NDArray[np.intp], ReferenceField]:
    """The brightest reference stars on the frame's circle, about twice as many as image stars."""
    reach = 0.55 * math.hypot(*shape) * geometry.scale_deg
    plane = project_stars(reference, geometry.ra_deg, geometry.dec_deg, radius_deg=min(1.1 * reach + 0.01, 89.0))
    disc_over_frame = math.pi * reach**2 / (shape[0] * shape[1] * geometry.scale_deg**2)
    count = max(int(2.0 * stars * disc_over_frame), 20)
    u, v = plane.xi_deg[:count] / geometry.scale_deg, plane.eta_deg[:count] / geometry.scale_deg
    if u.size < MIN_REFERENCE:
        u = v = np.zeros(MIN_REFERENCE)
        return plane.origin[:count], ReferenceField.build(u, v)
    return plane.origin[:count], ReferenceField.build(u, v)


def _judge(
    result: Verification,
    bright: StarList,
    reference: SkyStars,
    near: NDArray[np.intp],
    stars: ReferenceField,
    predicted: Floats,
    geometry: _Geometry,
    opts: WcsCheckOptions,
) -> WcsCheck:
    """Compare what was found with the limits."""
    if result.affine is None:
        return WcsCheck(False, (result.refused,), None, result.log_odds)
    image, sky = result.pairs[:, 0], result.pairs[:, 1]
    shift = np.column_stack([stars.u[sky], stars.v[sky]]) - predicted[image]
    rms = float(np.sqrt(np.mean((shift**2).sum(axis=1))))
    inverse = np.linalg.inv(result.affine[:, :2])
    offset = np.median(shift, axis=0) @ inverse.T
    answerable = min(result.tested, near.size)
    fraction = len(image) / answerable if answerable else 0.0
    reasons = [result.refused] if result.refused else []
    if fraction < opts.min_matched_fraction:
        least = 100 * opts.min_matched_fraction
        reasons.append(f"{100 * fraction:.0f} % of the bright stars matched, need {least:.0f} %")
    if rms > opts.max_rms_px:
        reasons.append(
            f"matched stars are {rms:.1f} px (rms) from where the WCS puts them, allowed {opts.max_rms_px:g};"
            f" median shift ({offset[0]:+.1f}, {offset[1]:+.1f}) px"
        )
    start = None
    if not result.refused and fraction >= opts.min_matched_fraction and result.rms_px <= opts.max_rms_px:
        affine = result.affine * geometry.scale_deg
        pairs = np.column_stack([bright.origin[image], near[sky]])
        plane = PlaneAffine(affine, geometry.ra_deg, geometry.dec_deg)
        start = StartMatch(plane, result.log_odds, pairs, result.rms_px, result.tested, attempt="given WCS")
    return WcsCheck(
        not reasons, tuple(reasons), start, result.log_odds, fraction, rms, (float(offset[0]), float(offset[1]))
    )
