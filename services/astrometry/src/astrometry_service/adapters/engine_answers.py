"""What the adapters of solving engines share: TAN headers to mappings, frames to index choices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits

from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.solving import SolveHints, all_scales_arcsec
from astrometry_service.domain.star_lists import StarList

__all__ = ["plane_from_cards", "scale_limits_arcsec", "write_star_table"]


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
    """Limits of the scale, arcsec / px: the hint's, or those of every field width that is looked for."""
    return hints.scale_range_arcsec or all_scales_arcsec(shape)


def write_star_table(stars: StarList, path: Path) -> None:
    """A FITS table X, Y (pixels counted from 1), FLUX, brightest first."""
    columns = [
        fits.Column("X", "D", array=stars.x + 1.0),
        fits.Column("Y", "D", array=stars.y + 1.0),
        fits.Column("FLUX", "D", array=np.nan_to_num(stars.flux)),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(path, overwrite=True)
