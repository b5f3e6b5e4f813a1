"""Barycentric dates: when light would have passed the centre of mass of the Solar system."""

from __future__ import annotations

import numpy as np
from astropy.constants import c
from astropy.coordinates import get_body_barycentric
from astropy.time import Time
from numpy.typing import ArrayLike, NDArray


def bjd_tdb(mjd_utc: float, ra_deg: ArrayLike, dec_deg: ArrayLike) -> NDArray[np.float64]:
    """Barycentric Julian dates (TDB) of a moment at the centre of the Earth, for places on the sky.

    Parameters
    ----------
    mjd_utc : modified Julian date, UTC
    ra_deg, dec_deg : (n,) or scalars, ICRS

    Notes
    -----
    Roemer's delay from the place of the Earth alone: the observatory's own place on it is left out (21 ms at most), as are
    parallax and Shapiro's delay (below 0.1 ms for stars). TDB is right to some microseconds.

    References
    ----------
    Eastman, Siverd & Gaudi 2010, PASP 122, 935.
    """
    time = Time(mjd_utc, format="mjd", scale="utc")
    earth = get_body_barycentric("earth", time).xyz.to_value("m")
    ra, dec = np.radians(np.asarray(ra_deg, np.float64)), np.radians(np.asarray(dec_deg, np.float64))
    star = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    delay_s = np.tensordot(earth, star, axes=1) / c.to_value("m/s")
    return np.asarray(time.tdb.jd + delay_s / 86400.0)
