"""Whether a world coordinate system can be what it says: checks that need no stars, and the states that stars add.

States: ``missing``, ``malformed``, ``unverified`` (all checks passed), ``valid`` (confirmed by stars), ``calibrated``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_shared.science.sky_time import separation_deg
from astro_shared.science.tangent_plane import project
from astrometry_service.algorithms.wcs.cards import CleanCards, clean_cards
from astrometry_service.algorithms.wcs.fits_transform import FitsTransform
from astrometry_service.algorithms.wcs.header import transform_from_cards
from astrometry_service.algorithms.wcs.tpv import TpvTransform
from astrometry_service.domain.solution import SkyTransform
from astrometry_service.domain.wcs_state import WcsState

__all__ = ["StarEvidence", "WcsLimits", "WcsValidation", "check_transform", "state_with_stars", "validate_header"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class WcsLimits:
    """Limits of the checks.

    Attributes
    ----------
    scale_low_arcsec, scale_high_arcsec : arcsec / pixel
    max_skew, max_axis_ratio : of the linear part, relative; above them a map is doubtful (Hubble's are)
    absurd_shape : ... and above this it is malformed
    round_trip_px : pixel -> sky -> pixel, on a grid
    grid : points per side of that grid
    matched_fraction, log_odds, rms_px : what stars must show for ``valid``
    """

    scale_low_arcsec: float = 0.01
    scale_high_arcsec: float = 300.0
    max_skew: float = 0.05
    max_axis_ratio: float = 0.05
    absurd_shape: float = 0.3
    round_trip_px: float = 1e-3
    grid: int = 20
    matched_fraction: float = 0.3
    log_odds: float = 20.0
    rms_px: float = 2.0


@dataclass(frozen=True)
class WcsValidation:
    """What a header says and whether it can be so.

    Attributes
    ----------
    state : ``missing``, ``malformed`` or ``unverified``
    transform : the map, None unless ``unverified``
    kind : projection or dialect
    frame : celestial frame of the header
    problems : why it is malformed
    repairs : what was mended
    doubts : what is unusual and may be true
    ra_deg, dec_deg : deg, ICRS, centre of the frame
    scale_arcsec : arcsec / pixel, at the centre
    rotation_deg : position angle of +y, north through east
    parity : -1 sky as seen, +1 mirrored
    round_trip_px : largest error of the round trip, pixel
    """

    state: WcsState
    transform: SkyTransform | None = None
    kind: str = ""
    frame: str = ""
    problems: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()
    ra_deg: float = float("nan")
    dec_deg: float = float("nan")
    scale_arcsec: float = float("nan")
    rotation_deg: float = float("nan")
    parity: int = 0
    round_trip_px: float = float("nan")
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class StarEvidence:
    """What a comparison with stars showed: share of the bright list matched, log-odds against chance, rms in pixels."""

    matched_fraction: float
    log_odds: float
    rms_px: float


def validate_header(
    header: Mapping[str, Any],
    nx: int,
    ny: int,
    *,
    limits: WcsLimits | None = None,
    pointing: tuple[float, float] | None = None,
    pointing_error_deg: float | None = None,
) -> WcsValidation:
    """Read and check the WCS of a header.

    Parameters
    ----------
    header : cards, possibly hostile
    nx, ny : pixel, size of the image that it belongs to
    limits : of the checks
    pointing, pointing_error_deg : where the telescope believes it looked, if known

    Returns
    -------
    WcsValidation
        Never raises for what is in the header.
    """
    clean = clean_cards(header, (nx, ny))
    if not clean.kind:
        found = [k for k in ("CTYPE1", "CRVAL1", "CD1_1", "CDELT1") if k in header]
        if not found and not clean.problems:
            return WcsValidation(WcsState.MISSING, repairs=clean.repairs)
        reason = clean.problems or ("no celestial pair of axes",)
        state = WcsState.MALFORMED if "CTYPE1" in header or clean.problems else WcsState.MISSING
        return WcsValidation(state, problems=reason, repairs=clean.repairs)
    if clean.problems:
        return WcsValidation(WcsState.MALFORMED, kind=clean.kind, problems=clean.problems, repairs=clean.repairs)
    try:
        transform, frame = _build(clean)
    except (ValueError, KeyError, ArithmeticError, np.linalg.LinAlgError) as error:
        return WcsValidation(WcsState.MALFORMED, kind=clean.kind, problems=(str(error),), repairs=clean.repairs)
    return check_transform(
        transform, nx, ny, limits=limits, pointing=pointing, pointing_error_deg=pointing_error_deg,
        kind=clean.kind, frame=frame, repairs=clean.repairs,
    )  # fmt: skip


def check_transform(
    transform: SkyTransform,
    nx: int,
    ny: int,
    *,
    limits: WcsLimits | None = None,
    pointing: tuple[float, float] | None = None,
    pointing_error_deg: float | None = None,
    kind: str = "",
    frame: str = "icrs",
    repairs: tuple[str, ...] = (),
) -> WcsValidation:
    """Check any map over a frame: finite, one-to-one, square pixels of a possible scale, near its pointing."""
    limits = limits or WcsLimits()
    xc, yc = (nx - 1) / 2.0, (ny - 1) / 2.0
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, nx - 1, limits.grid), np.linspace(0, ny - 1, limits.grid)))
    ra, dec = transform.pixel_to_sky(x, y)
    ra0, dec0 = (float(v[0]) for v in transform.pixel_to_sky(np.array([xc]), np.array([yc])))
    problems: list[str] = []
    doubts: list[str] = []
    if not (np.isfinite(ra0 + dec0) and np.all(np.isfinite(ra + dec))):
        problems.append("no sky position at some pixels of the frame")
        return WcsValidation(WcsState.MALFORMED, None, kind, frame, tuple(problems), repairs, ra0, dec0)
    jacobian = _jacobians(transform, x, y, ra0, dec0)
    centre = _jacobians(transform, np.array([xc]), np.array([yc]), ra0, dec0)[0]
    scale, rotation, parity = _shape_problems(centre, jacobian, limits, problems, doubts)
    x2, y2 = transform.sky_to_pixel(ra, dec)
    away = np.hypot(x2 - x, y2 - y)
    worst = float(np.max(np.where(np.isfinite(away), away, np.inf)))
    if not worst < limits.round_trip_px:
        problems.append(f"round trip misses by {worst:.2g} pixels")
    if pointing is not None and pointing_error_deg is not None:
        off = float(separation_deg(ra0, dec0, *pointing))
        if off > pointing_error_deg:
            problems.append(f"centre is {off:.2f} deg from the pointing, allowed {pointing_error_deg:.2f}")
    state = WcsState.MALFORMED if problems else WcsState.UNVERIFIED
    return WcsValidation(
        state, None if problems else transform, kind, frame, tuple(problems), repairs, ra0, dec0, scale, rotation,
        parity, worst, tuple(doubts),
    )  # fmt: skip


def state_with_stars(validation: WcsValidation, evidence: StarEvidence, limits: WcsLimits | None = None) -> WcsState:
    """``valid`` where stars confirm an ``unverified`` map, otherwise the state as it was."""
    limits = limits or WcsLimits()
    confirmed = (
        evidence.matched_fraction >= limits.matched_fraction
        and evidence.log_odds > limits.log_odds
        and evidence.rms_px < limits.rms_px
    )
    return WcsState.VALID if validation.state is WcsState.UNVERIFIED and confirmed else validation.state


def _build(clean: CleanCards) -> tuple[SkyTransform, str]:
    """Our own transform for plain TAN and TPV in ICRS; wcslib for the rest."""
    own = clean.kind in ("TAN", "TPV") and (clean.longitude, clean.latitude) == (1, 2) and "CD1_1" in clean.cards
    # the default of LONPOLE is 180 degrees except at the north pole, where it is 0
    pole = 0.0 if clean.cards.get("CRVAL2") == 90.0 else 180.0
    if (
        own
        and clean.cards.get("LONPOLE", pole) == 180.0
        and str(clean.cards.get("RADESYS", "")).upper() == "ICRS"
        and str(clean.cards["CTYPE1"])[:2] == "RA"
    ):
        cards = {f"CD{i}_{j}": 0.0 for i in (1, 2) for j in (1, 2)} | dict(clean.cards)
        matrix = np.array([[cards["CD1_1"], cards["CD1_2"]], [cards["CD2_1"], cards["CD2_2"]]])
        if not abs(np.linalg.det(matrix)) > 0.0:
            raise ValueError("the CD matrix is singular")
        try:
            transform: TpvTransform = transform_from_cards(cards)
        except ValueError:
            pass
        else:
            return transform, "icrs"
    wcslib = FitsTransform(clean.cards)
    return wcslib, wcslib.frame_name


def _jacobians(transform: SkyTransform, x: Floats, y: Floats, ra0: float, dec0: float) -> Floats:
    """d(xi, eta) / d(x, y) about the centre, (n, 2, 2), arcsec / pixel, by differences of half a pixel."""
    columns = []
    for dx, dy in ((0.5, 0.0), (0.0, 0.5)):
        ahead = project(*transform.pixel_to_sky(x + dx, y + dy), ra0_deg=ra0, dec0_deg=dec0)
        behind = project(*transform.pixel_to_sky(x - dx, y - dy), ra0_deg=ra0, dec0_deg=dec0)
        columns.append(np.stack([ahead[0] - behind[0], ahead[1] - behind[1]], axis=-1) * 3600.0)
    return np.stack(columns, axis=-1)


def _shape_problems(
    centre: Floats, jacobian: Floats, limits: WcsLimits, problems: list[str], doubts: list[str]
) -> tuple[float, float, int]:
    """Scale, rotation and parity of the linear part; adds what is wrong or unusual with it."""
    if not (np.all(np.isfinite(centre)) and np.all(np.isfinite(jacobian))):
        problems.append("no sky position beside some pixels of the frame")
        return float("nan"), float("nan"), 0
    det = float(np.linalg.det(centre))
    scale = float(np.sqrt(abs(det)))
    if not np.isfinite(det) or scale == 0.0:
        problems.append("the linear part is singular")
        return scale, float("nan"), 0
    parity = 1 if det > 0 else -1
    if not limits.scale_low_arcsec <= scale <= limits.scale_high_arcsec:
        problems.append(
            f"scale {scale:.4g} arcsec/pixel is outside {limits.scale_low_arcsec:g} to {limits.scale_high_arcsec:g}"
        )
    # Lengths of the steps in x and y, and the cosine of the angle between them.
    lengths = np.hypot(centre[0], centre[1])
    ratio = float(lengths.max() / lengths.min()) - 1.0
    if ratio > limits.max_axis_ratio:
        where = problems if ratio > limits.absurd_shape else doubts
        where.append(f"pixels are not square: {lengths[0]:.4g} x {lengths[1]:.4g} arcsec")
    skew = abs(float(centre[:, 0] @ centre[:, 1])) / float(np.prod(lengths))
    if skew > limits.max_skew:
        where = problems if skew > limits.absurd_shape else doubts
        where.append(f"axes are skewed by {np.degrees(np.arcsin(min(skew, 1.0))):.1f} deg")
    dets = np.linalg.det(jacobian)
    if not np.all(dets * det > 0):
        problems.append("the map folds over within the frame")
    # +y points to position angle atan2(east, north).
    rotation = float(np.degrees(np.arctan2(centre[0, 1], centre[1, 1])))
    return scale, rotation, parity
