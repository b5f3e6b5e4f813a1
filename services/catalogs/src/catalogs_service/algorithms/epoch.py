"""Positions and their errors moved to another epoch.

u(t) = normalise(r + (e mu_alpha* + n mu_delta) dt), with r the unit vector at the reference epoch and e, n its east and
north directions: motion in a straight line in space, seen from the barycentre, without parallax and perspective
acceleration. Errors grow as C(t) = C_rr + dt (C_rm + C_rm^T) + dt^2 C_mm.

References
----------
Hipparcos and Tycho Catalogues, ESA SP-1200 (1997), vol. 1, 1.2.8 and 1.5.5.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from catalogs_service.algorithms.sphere import positions, unit_vectors
from catalogs_service.domain.stars import Stars

MAS_PER_RAD = 180 * 3600 * 1000 / np.pi
# Spread of the motions of field stars, taken where a star of a list with motions has none of its own.
UNKNOWN_MOTION_MAS_YR = 10.0

Floats = NDArray[np.float64]


def moved(
    ra_deg: Floats, dec_deg: Floats, pmra_mas_yr: Floats, pmdec_mas_yr: Floats, dt_yr: Floats
) -> tuple[Floats, Floats]:
    """Positions (n,) deg after ``dt_yr`` years; motions mas/yr, pmra times cos(dec); NaN counts as no motion."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    sin_ra, cos_ra, sin_dec, cos_dec = np.sin(ra), np.cos(ra), np.sin(dec), np.cos(dec)
    east = np.stack([-sin_ra, cos_ra, np.zeros_like(ra)], axis=-1)
    north = np.stack([-sin_dec * cos_ra, -sin_dec * sin_ra, cos_dec], axis=-1)
    to_rad = (dt_yr / MAS_PER_RAD)[..., None]
    motion = east * np.nan_to_num(pmra_mas_yr)[..., None] + north * np.nan_to_num(pmdec_mas_yr)[..., None]
    return positions(unit_vectors(ra_deg, dec_deg) + motion * to_rad)


def _grown(error: Floats, motion_error: Floats, correlation: Floats, dt: Floats) -> Floats:
    """One axis of C(t)."""
    known = np.where(np.isfinite(motion_error), motion_error, UNKNOWN_MOTION_MAS_YR)
    mixed = np.nan_to_num(correlation) * np.where(np.isfinite(motion_error), error * known, 0.0)
    return np.sqrt(np.maximum(error**2 + 2 * dt * mixed + (dt * known) ** 2, 0.0))


def propagated(stars: Stars, epoch_jyear: float) -> Stars:
    """Stars at another epoch: ``ra, dec, ra_error, dec_error, ref_epoch`` are changed, the rest stays.

    Rows without ``ref_epoch`` are taken at J2000. A star without a motion of its own in a list that has motions stays
    where it is and its errors grow by 10 mas/yr; a list without motions gets no growth, since nothing is known.
    """
    epoch = stars["ref_epoch"] if "ref_epoch" in stars else np.full(len(stars), 2000.0)
    dt = epoch_jyear - np.nan_to_num(np.asarray(epoch, float), nan=2000.0)
    changes: dict[str, Floats] = {"ref_epoch": np.full(len(stars), float(epoch_jyear))}
    if "pmra" in stars and "pmdec" in stars:
        changes["ra"], changes["dec"] = moved(stars["ra"], stars["dec"], stars["pmra"], stars["pmdec"], dt)
        for axis, motion in (("ra", "pmra"), ("dec", "pmdec")):
            if f"{axis}_error" in stars:
                changes[f"{axis}_error"] = _grown(
                    np.asarray(stars[f"{axis}_error"], float),
                    _optional(stars, f"{motion}_error", stars[motion]),
                    np.asarray(stars[f"{axis}_{motion}_corr"], float)
                    if f"{axis}_{motion}_corr" in stars
                    else np.zeros(len(stars)),
                    dt,
                ).astype(stars[f"{axis}_error"].dtype)
    return stars.replaced(changes)


def _optional(stars: Stars, name: str, motion: Floats) -> Floats:
    """Errors of motion: the column's, zero where the list gives motions but no errors, NaN without a motion."""
    if name in stars:
        return np.asarray(stars[name], float)
    return np.where(np.isfinite(motion), 0.0, np.nan)


def fastest_motion_deg(stars: Stars, epoch_jyear: float) -> float:
    """How far the fastest star moves between its own epoch and another, deg; for padding searches."""
    if "pmra" not in stars or "pmdec" not in stars or len(stars) == 0:
        return 0.0
    epoch = stars["ref_epoch"] if "ref_epoch" in stars else np.full(len(stars), 2000.0)
    shift = np.hypot(stars["pmra"], stars["pmdec"]) * np.abs(epoch_jyear - np.nan_to_num(epoch, nan=2000.0))
    return float(np.max(np.nan_to_num(shift), initial=0.0)) / 3.6e6
