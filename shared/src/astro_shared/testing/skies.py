"""Synthetic skies: stars with true positions, motions, magnitudes and colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.coordinates import get_body_barycentric
from astropy.time import Time
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

MAS_PER_RADIAN = 180.0 / np.pi * 3.6e6


@dataclass(frozen=True)
class SkyModel:
    """True stars of a field.

    Attributes
    ----------
    ra_deg, dec_deg
        Centre of the field, degrees, ICRS.
    ra, dec : (n,), degrees, ICRS at ``ref_epoch``
    pmra, pmdec : (n,), mas / yr
        ``pmra`` includes cos(dec).
    parallax : (n,), mas
    g_mag, bp_rp : (n,), mag
    ref_epoch
        Julian year of the positions.
    """

    ra_deg: float
    dec_deg: float
    ra: FloatArray
    dec: FloatArray
    pmra: FloatArray
    pmdec: FloatArray
    parallax: FloatArray
    g_mag: FloatArray
    bp_rp: FloatArray
    ref_epoch: float = 2016.0

    def __len__(self) -> int:
        return int(self.ra.size)

    def at_epoch(self, epoch: float) -> tuple[FloatArray, FloatArray]:
        """Places seen from the Earth's centre at a Julian year: proper motion and parallax applied; degrees, ICRS."""
        return propagate(
            self.ra,
            self.dec,
            pmra=self.pmra,
            pmdec=self.pmdec,
            parallax=self.parallax,
            years=epoch - self.ref_epoch,
            observer_au=earth_au(epoch),
        )


@dataclass(frozen=True)
class StarCounts:
    """How many stars there are at each magnitude: dN/dm ~ 10^(slope m) from ``bright`` to ``faint``."""

    bright_mag: float = 10.5
    faint_mag: float = 20.8
    slope: float = 0.25

    def sample(self, rng: np.random.Generator, n: int) -> FloatArray:
        """(n,) magnitudes."""
        least = 10 ** (-self.slope * (self.faint_mag - self.bright_mag))
        return self.faint_mag + np.log10(rng.uniform(least, 1.0, n)) / self.slope


def make_sky(
    rng: np.random.Generator,
    ra_deg: float,
    dec_deg: float,
    *,
    radius_deg: float,
    stars_per_square_deg: float,
    counts: StarCounts | None = None,
    high_motion_fraction: float = 0.02,
) -> SkyModel:
    """Scatter stars uniformly over a disc on the sky.

    Colours are bluest at G = 12 and redden towards faint stars with a red tail; proper motions are a few
    mas/yr, ``high_motion_fraction`` of the stars move by 30 to 300 mas/yr; parallaxes are log-normal.

    Returns
    -------
    A sky of a Poisson number of stars, brightest first.
    """
    area = 2 * np.pi * (1 - np.cos(np.radians(radius_deg))) * np.degrees(1.0) ** 2
    n = int(rng.poisson(stars_per_square_deg * area))
    ra, dec = _uniform_disc(rng, ra_deg, dec_deg, radius_deg, n)
    g_mag = np.sort((counts or StarCounts()).sample(rng, n))
    bp_rp = np.clip(0.75 + 0.03 * (g_mag - 12.0) + 0.22 * rng.normal(size=n) + rng.gamma(1.5, 0.18, n), -0.3, 4.0)
    motion = np.where(rng.random(n) < high_motion_fraction, np.exp(rng.uniform(np.log(30), np.log(300), n)), 0.0)
    angle = rng.uniform(0, 2 * np.pi, n)
    return SkyModel(
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        ra=ra,
        dec=dec,
        pmra=rng.normal(-1.5, 5.0, n) + motion * np.sin(angle),
        pmdec=rng.normal(-2.5, 5.0, n) + motion * np.cos(angle),
        parallax=1.2 * 10 ** (-0.1 * (g_mag - 15.0)) * np.exp(rng.normal(0, 0.6, n)) + 0.01 * motion,
        g_mag=g_mag,
        bp_rp=bp_rp,
    )


def earth_au(epoch: float) -> FloatArray:
    """(3,) barycentric place of the Earth at a Julian year, au, ICRS axes (built-in ephemeris, no download)."""
    place = get_body_barycentric("earth", Time(epoch, format="jyear", scale="tdb"), ephemeris="builtin")
    return np.asarray(place.xyz.to_value(u.au), dtype=np.float64)


def propagate(
    ra: FloatArray,
    dec: FloatArray,
    *,
    pmra: FloatArray,
    pmdec: FloatArray,
    parallax: FloatArray,
    years: float | FloatArray,
    observer_au: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Move catalogue places through time along their tangent vectors (radial velocities taken as zero).

    Notes
    -----
    u = normalise(r0 + (e pmra + n pmdec) years - parallax b), with e and n the east and north unit vectors at r0
    and b the observer's barycentric place in au (Lindegren et al. 2012, A&A 538, A78, equation 4, without the
    radial term).
    """
    a, d = np.radians(ra), np.radians(dec)
    east = np.stack([-np.sin(a), np.cos(a), np.zeros_like(a)])
    north = np.stack([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
    place = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    shift = (east * pmra + north * pmdec) * years - np.outer(observer_au, parallax)
    x, y, z = place + shift / MAS_PER_RADIAN
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def _uniform_disc(
    rng: np.random.Generator, ra_deg: float, dec_deg: float, radius_deg: float, n: int
) -> tuple[FloatArray, FloatArray]:
    """Points of equal density per solid angle within ``radius_deg`` of the centre."""
    cos_r = rng.uniform(np.cos(np.radians(radius_deg)), 1.0, n)
    sin_r, angle = np.sqrt(1 - cos_r**2), rng.uniform(0, 2 * np.pi, n)
    a, d = np.radians(ra_deg), np.radians(dec_deg)
    centre = np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    east = np.array([-np.sin(a), np.cos(a), 0.0])
    north = np.array([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
    x, y, z = np.outer(centre, cos_r) + np.outer(east, sin_r * np.sin(angle)) + np.outer(north, sin_r * np.cos(angle))
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))
