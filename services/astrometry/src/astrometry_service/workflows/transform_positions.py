"""Lists of positions through the WCS of a header, with covariances."""

from __future__ import annotations

import math

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astro_shared.contracts.astrometry import TransformRequest, TransformResult
from astro_shared.fits import header_of_text
from astrometry_service.algorithms.sky_positions import transform_to_pixel, transform_to_sky
from astrometry_service.algorithms.wcs import validate_header
from astrometry_service.errors import WcsHeaderError

__all__ = ["transform_positions"]

Floats = NDArray[np.float64]


def transform_positions(request: TransformRequest) -> TransformResult:
    """Carry positions and their covariances.

    Raises
    ------
    WcsHeaderError
        The header has no usable WCS; the problems are in the message.
    """
    header = _header(request.header)
    found = validate_header(header, request.width_px, request.height_px)
    if found.transform is None:
        problems = "; ".join(found.problems) or "there are no celestial axes"
        raise WcsHeaderError(f"The WCS of the header cannot be used: {problems}", problems=list(found.problems))
    given, epoch_jyear = _matrices(request), _epoch(header)
    if request.pixels is not None:
        x, y = np.array(request.pixels, dtype=np.float64).reshape(-1, 2).T
        places = transform_to_sky(found.transform, x, y, given)
        three = np.stack([places.ra_err_mas**2, places.dec_err_mas**2, places.radec_cov_mas2], axis=1)
        return TransformResult(
            positions=_pairs(places.ra, places.dec),
            covariances=_triples(three, given),
            unit="deg",
            covariance_unit="mas2",
            epoch_jyear=epoch_jyear,
        )
    ra, dec = np.array(request.sky or (), dtype=np.float64).reshape(-1, 2).T
    x, y, covariance = transform_to_pixel(found.transform, ra, dec, given)
    three = np.stack([covariance[:, 0, 0], covariance[:, 1, 1], covariance[:, 0, 1]], axis=1)
    return TransformResult(
        positions=_pairs(x, y),
        covariances=_triples(three, given),
        unit="px",
        covariance_unit="px2",
        epoch_jyear=epoch_jyear,
    )


def _header(text: str) -> fits.Header:
    try:
        return header_of_text(text)
    except (ValueError, OSError, KeyError) as error:
        raise WcsHeaderError(f"The header cannot be read: {error}", problems=[]) from None


def _epoch(header: fits.Header) -> float | None:
    """Julian year of the positions, where the header has one that can be."""
    value = header.get("JEPOCH")
    return float(value) if isinstance(value, (int, float)) and 1800.0 <= value <= 2200.0 else None


def _matrices(request: TransformRequest) -> Floats | None:
    if request.covariances is None:
        return None
    three = np.array(request.covariances, dtype=np.float64).reshape(-1, 3)
    return np.ascontiguousarray(three[:, [0, 2, 2, 1]].reshape(-1, 2, 2))


def _pairs(first: Floats, second: Floats) -> tuple[tuple[float, float] | None, ...]:
    rows: list[list[float]] = np.stack([first, second], axis=1).tolist()
    return tuple((a, b) if math.isfinite(a) and math.isfinite(b) else None for a, b in rows)


def _triples(three: Floats, given: Floats | None) -> tuple[tuple[float, float, float] | None, ...] | None:
    if given is None:
        return None
    rows: list[list[float]] = three.tolist()
    return tuple((a, b, c) if math.isfinite(a) and math.isfinite(b) and math.isfinite(c) else None for a, b, c in rows)
