"""A refined astrometric solution and everything that is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astro_shared.frame_warnings import FrameWarning
from astrometry_service.domain.distortion import DistortionSample
from astrometry_service.domain.wcs_state import WcsState

__all__ = ["AstrometricSolution", "Pairs", "SkyPositions", "SkyTransform"]

Floats = NDArray[np.float64]


class SkyTransform(Protocol):
    """Pixels (0-based) to ICRS degrees and back; NaN where there is no image."""

    def pixel_to_sky(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """Right ascension and declination of pixel positions."""
        ...

    def sky_to_pixel(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> tuple[Floats, Floats]:
        """Pixel positions of right ascensions and declinations."""
        ...


@dataclass(frozen=True)
class SkyPositions:
    """Places of sources on the sky with one-sigma errors.

    Attributes
    ----------
    ra, dec : (n,), deg, ICRS at the epoch of the exposure
    ra_err_mas, dec_err_mas : (n,), mas; right ascension times cos(dec)
    radec_cov_mas2 : (n,), mas^2
    """

    ra: Floats
    dec: Floats
    ra_err_mas: Floats
    dec_err_mas: Floats
    radec_cov_mas2: Floats


@dataclass(frozen=True)
class Pairs:
    """Matched pairs of sources and reference stars, one entry per pair.

    Attributes
    ----------
    source, reference : rows of the two input lists
    source_id : identifier of the reference star
    x, y : pixel
    ra, dec : deg, the reference star at the epoch of the exposure
    mag, colour : mag, of the reference star
    snr : of the source
    dx_mas, dy_mas : reference minus fit in the tangent plane (east, north), mas
    sigma_x_mas, sigma_y_mas : one sigma of these under the error model
    distance2 : d^2 = r^T C^-1 r
    fitted : offered to the fit (usable source, good and unblended reference star)
    kept : survived both clippings
    """

    source: NDArray[np.intp]
    reference: NDArray[np.intp]
    source_id: NDArray[Any]
    x: Floats
    y: Floats
    ra: Floats
    dec: Floats
    mag: Floats
    colour: Floats
    snr: Floats
    dx_mas: Floats
    dy_mas: Floats
    sigma_x_mas: Floats
    sigma_y_mas: Floats
    distance2: Floats
    fitted: NDArray[np.bool_]
    kept: NDArray[np.bool_]

    def columns(self) -> dict[str, NDArray[Any]]:
        """All columns by name, for a table."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class AstrometricSolution:
    """Result of a refinement.

    Attributes
    ----------
    state : ``calibrated``, or ``valid`` where the start was kept or the error model does not hold
    transform : pixels to the sky and back
    wcs_cards : cards of the FITS header, in order; empty where the start was kept and is not ours to write
    improved : False where the start was at least as good and was kept
    reasons : why the state is no better, in words
    epoch_jyear : epoch of the positions
    positions : of every source, in the order of the input
    pairs : matched pairs
    report : every count, threshold and duration, ready for JSON
    products : intermediate lists, only with ``debug``
    distortion : what the frame showed of its camera; None where the start was kept
    notes : what a reader of the figures should know, in words
    """

    state: WcsState
    transform: SkyTransform
    wcs_cards: Mapping[str, Any]
    improved: bool
    reasons: tuple[str, ...]
    epoch_jyear: float
    positions: SkyPositions
    pairs: Pairs
    report: Mapping[str, Any]
    products: Mapping[str, Any] = field(default_factory=dict)
    distortion: DistortionSample | None = None
    notes: tuple[FrameWarning, ...] = ()
