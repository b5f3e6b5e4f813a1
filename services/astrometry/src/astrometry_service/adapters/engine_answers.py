"""What the adapters of solving engines share: TAN headers to mappings, frames to index choices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits

from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.solving import SolveHints
from astrometry_service.domain.star_lists import StarList

__all__ = ["UNKNOWN_SCALE_ARCSEC", "plane_from_cards", "scale_limits_arcsec", "write_star_table"]

# Field widths from 0.1 to 180 degrees are looked for when nothing is known (specs, section 10).
UNKNOWN_SCALE_ARCSEC = (0.1 * 3600, 180.0 * 3600)


def plane_from_cards(cards: Mapping[str, float]) -> PlaneAffine | None:
    """The linear mapping of a FITS header with CRVAL, CRPIX (counted from 1) and CD; None where it is not usable."""
    try:
        cd = np.array([[float(cards[f"CD{i}_{j}"]) for j in (1, 2)] for i in (1, 2)])
        ra, dec = float(cards["CRVAL1"]), float(cards["CRVAL2"])
        reference = np.array([float(cards["CRPIX1"]) - 1.0, float(cards["CRPIX2"]) - 1.0])
    except (KeyError, TypeError, ValueError):
        return None
    if not (np.isfinite(cd).all() and np.isfinite([ra, dec, *reference]).all()) or np.linalg.det(cd) == 0.0:
        return None
    return PlaneAffine(np.column_stack([cd, -cd @ reference]), ra % 360.0, dec)


def scale_limits_arcsec(hints: SolveHints, shape: tuple[int, int]) -> tuple[float, float]:
    """Limits of the scale in arcsec per pixel: the hint, or all field widths from 0.1 to 180 degrees."""
    known = hints.scale_range_arcsec
    if known is not None:
        return known
    width = max(shape)
    return UNKNOWN_SCALE_ARCSEC[0] / width, UNKNOWN_SCALE_ARCSEC[1] / width


def write_star_table(stars: StarList, path: Path) -> None:
    """A FITS table X, Y (pixels counted from 1), FLUX, brightest first."""
    columns = [
        fits.Column("X", "D", array=stars.x + 1.0),
        fits.Column("Y", "D", array=stars.y + 1.0),
        fits.Column("FLUX", "D", array=np.nan_to_num(stars.flux)),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(path, overwrite=True)
