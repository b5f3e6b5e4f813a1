"""Reference stars at the epoch of the exposure: proper motion, parallax, covariances, quality cuts.

    u(t) = normalise( r0 (1 + zeta dt) + (e mu_alpha* + n mu_delta) dt - parallax b(t) )

References
----------
Lindegren et al. 2012, A&A 538, A78, equation 4; Lindegren et al. 2021, A&A 649, A2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astro_shared.science.sky_time import barycentric_earth_au, local_triad, position_from_vectors
from astrometry_service.domain.reference import ReferencePositions, ReferenceStars

__all__ = ["ReferenceCuts", "covariances_at_epoch", "positions_at_epoch", "propagate"]

Floats = NDArray[np.float64]

MAS_PER_RADIAN = 180.0 / np.pi * 3.6e6
# Astronomical unit in km yr / s: turns a radial velocity times a parallax into a relative rate of distance.
AU_KM_YEAR_PER_S = 4.740470446
# Proper motion error per axis where a star has none, mas / yr: the spread of field stars at G = 20.
UNKNOWN_PROPER_MOTION_MAS_YR = 10.0


@dataclass(frozen=True)
class ReferenceCuts:
    """Which reference stars may carry a fit; a cut whose column is missing is skipped and reported.

    Attributes
    ----------
    max_ruwe : 1.4, Lindegren 2018 (GAIA-C3-TN-LU-LL-124)
    max_excess_noise_sig : significance of the excess noise
    bright_mag, faint_mag : mag
    """

    max_ruwe: float = 1.4
    max_excess_noise_sig: float = 5.0
    bright_mag: float = 6.0
    faint_mag: float = 99.0


def positions_at_epoch(
    stars: ReferenceStars, epoch_jyear: float | None, *, cuts: ReferenceCuts | None = None, parallax: bool = True
) -> ReferencePositions:
    """Carry reference stars to the epoch of an exposure.

    Parameters
    ----------
    stars : at their own epochs
    epoch_jyear : yr; None leaves every star at its own epoch
    cuts : quality limits
    parallax : apply it, for an observer at the Earth's centre (the Earth's radius is 4e-5 au)

    Returns
    -------
    ReferencePositions
        Rows in the order of ``stars``; stars that fail a cut stay, with ``good`` False.
    """
    skipped = [] if parallax and "parallax" in stars.columns else ["parallax"]
    if epoch_jyear is None:
        ra, dec, years = stars.ra.copy(), stars.dec.copy(), np.zeros(len(stars))
        skipped += ["epoch"]
        epoch = float(np.median(stars.ref_epoch))
    else:
        epoch, years = epoch_jyear, epoch_jyear - stars.ref_epoch
        observer = barycentric_earth_au(epoch_jyear) if parallax else None
        ra, dec = propagate(stars, years, observer_au=observer)
    if "pmra" not in stars.columns:
        skipped.append("proper_motion")
    good, applied, uncut = _quality(stars, cuts or ReferenceCuts())
    good &= np.isfinite(ra) & np.isfinite(dec)
    return ReferencePositions(ra, dec, covariances_at_epoch(stars, years), good, epoch, applied, tuple(skipped + uncut))


def propagate(stars: ReferenceStars, years: Floats, *, observer_au: Floats | None = None) -> tuple[Floats, Floats]:
    """Places after ``years`` (n,), seen from a barycentric place in au (None: from the barycentre); degrees.

    Unknown proper motions and parallaxes count as zero.
    """
    toward, east, north = local_triad(stars.ra, stars.dec)
    pmra, pmdec, parallax, velocity = (
        np.nan_to_num(stars.column(name)) for name in ("pmra", "pmdec", "parallax", "radial_velocity")
    )
    # Negative parallaxes stay: noise that is cut on one side would shift the frame.
    approach = velocity * np.maximum(parallax, 0.0) / MAS_PER_RADIAN / AU_KM_YEAR_PER_S
    shift = (east * pmra[:, None] + north * pmdec[:, None]) * years[:, None]
    if observer_au is not None:
        shift = shift - parallax[:, None] * observer_au
    return position_from_vectors(toward * (1.0 + approach * years)[:, None] + shift / MAS_PER_RADIAN)


def covariances_at_epoch(stars: ReferenceStars, years: Floats) -> Floats:
    """Covariances (n, 2, 2) in mas^2, local east and north: C_rr + dt (C_rm + C_rm^T) + dt^2 C_mm.

    Unknown position errors count as zero (they go into sigma_sys), unknown correlations too. A star without a proper
    motion in a list that has them gets ``UNKNOWN_PROPER_MOTION_MAS_YR`` per axis; a list without any gets nothing, since
    all of its stars have moved alike, and sigma_sys measures by how much.
    """
    known = np.isfinite(stars.column("pmra")) & np.isfinite(stars.column("pmdec"))
    assumed = UNKNOWN_PROPER_MOTION_MAS_YR if known.any() else 0.0
    sigma = {
        "ra": np.nan_to_num(stars.column("ra_error")),
        "dec": np.nan_to_num(stars.column("dec_error")),
        "pmra": np.where(known, np.nan_to_num(stars.column("pmra_error")), assumed),
        "pmdec": np.where(known, np.nan_to_num(stars.column("pmdec_error")), assumed),
    }
    out = np.zeros((len(stars), 2, 2))
    for i, (position, motion) in enumerate((("ra", "pmra"), ("dec", "pmdec"))):
        cross = _covariance(stars, sigma, position, motion)
        out[:, i, i] = sigma[position] ** 2 + 2 * years * cross + years**2 * sigma[motion] ** 2
    mixed = _covariance(stars, sigma, "ra", "pmdec") + _covariance(stars, sigma, "dec", "pmra")
    off = _covariance(stars, sigma, "ra", "dec") + years * mixed
    out[:, 0, 1] = out[:, 1, 0] = off + years**2 * _covariance(stars, sigma, "pmra", "pmdec")
    return out


def _covariance(stars: ReferenceStars, sigma: dict[str, Floats], first: str, second: str) -> Floats:
    correlation = np.nan_to_num(stars.column(f"{first}_{second}_corr"))
    return np.asarray(correlation * sigma[first] * sigma[second], dtype=np.float64)


def _quality(stars: ReferenceStars, cuts: ReferenceCuts) -> tuple[NDArray[np.bool_], dict[str, int], list[str]]:
    """Stars within the cuts, how many each cut took out, and the cuts that could not be made."""
    good = np.ones(len(stars), bool)
    applied: dict[str, int] = {}
    skipped: list[str] = []
    limits = {"ruwe": cuts.max_ruwe, "astrometric_excess_noise_sig": cuts.max_excess_noise_sig}
    for name, limit in limits.items():
        if name not in stars.columns:
            skipped.append(name)
            continue
        over = stars.columns[name] > limit
        applied[name] = int(over.sum())
        good &= ~over
    for name, out in (
        ("duplicated_source", stars.duplicated),
        ("bright_mag", stars.mag < cuts.bright_mag),
        ("faint_mag", stars.mag > cuts.faint_mag),
    ):
        if name in stars.missing:
            skipped.append(name)
            continue
        applied[name] = int(out.sum())
        good &= ~out
    return good, applied, skipped
