"""Cuts on reference stars; a cut whose column is missing is skipped and said so."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from catalogs_service.algorithms.epoch import propagated
from catalogs_service.algorithms.sphere import unit_vectors, within_cone, within_polygon
from catalogs_service.domain.columns import band_column
from catalogs_service.domain.regions import Cone, Region
from catalogs_service.domain.stars import Selection, Stars

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


def select_stars(stars: Stars, region: Region, selection: Selection) -> tuple[Stars, int, tuple[str, ...]]:
    """Apply membership at the epoch, cuts and the row cap.

    Parameters
    ----------
    stars : rows found around the region, at their catalogue positions
    region : where, at ``selection.epoch_jyear`` if given
    selection : cuts; those with None do nothing

    Returns
    -------
    stars, found, skipped
        ``found`` counts rows before ``max_rows``. With ``max_rows`` the brightest are kept, brightest first, rows
        without a magnitude last; otherwise rows keep their order. ``skipped`` has a sentence per cut left out.
    """
    skipped: list[str] = []
    keep = _quality(stars, selection, skipped)
    band = band_column(selection.mag_band, stars.names)
    if selection.mag_limit is not None:
        if band is None:
            skipped.append(f"magnitude: no band {selection.mag_band or 'at all'} in the list")
        else:
            keep &= stars[band] <= selection.mag_limit
    chosen = stars if keep.all() else stars.take(keep)
    if selection.epoch_jyear is not None:
        chosen = _at_epoch(chosen, region, selection.epoch_jyear, keep_moved=selection.propagate)
    found = len(chosen)
    if selection.max_rows is not None:
        chosen = _brightest(chosen, band, selection.max_rows, skipped)
    return chosen, found, tuple(skipped)


def _at_epoch(stars: Stars, region: Region, epoch_jyear: float, *, keep_moved: bool) -> Stars:
    moved = propagated(stars, epoch_jyear)
    return (moved if keep_moved else stars).take(_members(moved, region))


def inside(stars: Stars, region: Region) -> Stars:
    """Rows whose positions, as they are, lie in a region."""
    return stars.take(_members(stars, region))


def _members(stars: Stars, region: Region) -> Mask:
    vectors = unit_vectors(stars["ra"], stars["dec"])
    if isinstance(region, Cone):
        return within_cone(vectors, region.ra_deg, region.dec_deg, region.radius_deg)
    return within_polygon(vectors, region.vertices)


def _quality(stars: Stars, selection: Selection, skipped: list[str]) -> Mask:
    keep = np.ones(len(stars), bool)
    if selection.max_ruwe is not None:
        if "ruwe" in stars:
            # a star without the number has no five-parameter solution; it is not known to be bad
            keep &= ~(stars["ruwe"] > selection.max_ruwe)
        else:
            skipped.append("ruwe: no column ruwe in the list")
    if selection.drop_duplicated:
        if "duplicated_source" in stars:
            keep &= ~stars["duplicated_source"].astype(bool)
        else:
            skipped.append("duplicated: no column duplicated_source in the list")
    if selection.drop_variable:
        if "phot_variable_flag" in stars:
            keep &= stars["phot_variable_flag"].astype("S") != b"VARIABLE"
        else:
            skipped.append("variable: no column phot_variable_flag in the list")
    if selection.min_flux_over_error is not None:
        if "phot_g_mean_flux_over_error" in stars:
            keep &= stars["phot_g_mean_flux_over_error"] >= selection.min_flux_over_error
        else:
            skipped.append("flux over error: no column phot_g_mean_flux_over_error in the list")
    if selection.max_excess_sigma is not None:
        keep &= _normal_excess(stars, selection.max_excess_sigma, skipped)
    if selection.color_range is not None:
        keep &= _in_color_range(stars, selection.color_range, skipped)
    return keep


def _normal_excess(stars: Stars, limit: float, skipped: list[str]) -> Mask:
    needed = ("phot_bp_rp_excess_factor", "phot_bp_mean_mag", "phot_rp_mean_mag", "phot_g_mean_mag")
    lacking = [name for name in needed if name not in stars]
    if lacking:
        skipped.append(f"flux excess: no column {lacking[0]} in the list")
        return np.ones(len(stars), bool)
    color = stars["phot_bp_mean_mag"] - stars["phot_rp_mean_mag"]
    excess = excess_in_sigma(stars["phot_bp_rp_excess_factor"], color, stars["phot_g_mean_mag"])
    # a star without BP or RP has no excess to be judged by
    return np.asarray(~(np.abs(excess) > limit))


def excess_in_sigma(factor: Floats, bp_rp: Floats, g_mag: Floats) -> Floats:
    """Corrected flux excess C* over its scatter for well-behaved stars of that magnitude; NaN where something is NaN.

    Parameters
    ----------
    factor : (n,), BP plus RP flux over G flux
    bp_rp, g_mag : (n,), mag

    References
    ----------
    Riello et al. 2021, A&A 649, A3, table 2 (C* = C - f(BP-RP)) and equation 18 (its scatter).
    """
    x = np.asarray(bp_rp, float)
    blue = 1.154360 + x * (0.033772 + x * 0.032277)
    middle = 1.162004 + x * (0.011464 + x * (0.049255 - x * 0.005879))
    red = 1.057572 + x * 0.140537
    expected = np.where(x < 0.5, blue, np.where(x < 4.0, middle, red))
    sigma = 0.0059898 + 8.817481e-12 * np.asarray(g_mag, float) ** 7.618399
    return np.asarray((np.asarray(factor, float) - expected) / sigma)


def _in_color_range(stars: Stars, limits: tuple[float, float], skipped: list[str]) -> Mask:
    if "phot_bp_mean_mag" not in stars or "phot_rp_mean_mag" not in stars:
        skipped.append("colour: no columns phot_bp_mean_mag and phot_rp_mean_mag in the list")
        return np.ones(len(stars), bool)
    color = stars["phot_bp_mean_mag"] - stars["phot_rp_mean_mag"]
    return np.asarray((color >= limits[0]) & (color <= limits[1]))


def _brightest(stars: Stars, band: str | None, most: int, skipped: list[str]) -> Stars:
    if band is None:
        skipped.append("brightest first: no magnitudes in the list")
        return stars.take(np.arange(min(most, len(stars))))
    magnitude = np.where(np.isfinite(stars[band]), stars[band], np.inf)
    if len(stars) > most:
        faintest = np.partition(magnitude, most - 1)[most - 1]
        rows = np.flatnonzero(magnitude <= faintest)
    else:
        rows = np.arange(len(stars))
    return stars.take(rows[np.argsort(magnitude[rows], kind="stable")][:most])
