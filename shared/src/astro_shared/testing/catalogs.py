"""Reference catalogues of synthetic skies, in the columns, units and errors of Gaia DR3."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from astro_shared.testing.skies import SkyModel

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class CatalogQuality:
    """How good the synthetic reference catalogue is.

    Attributes
    ----------
    faint_mag
        Stars fainter than this are not in it.
    missing_fraction
        Share of the stars left out at random.
    two_parameter_fraction
        Share without proper motion and parallax (NaN).
    bad_ruwe_fraction
        Share with ruwe above 1.4 and positions worse by the same factor.
    error_scale
        Multiplies all errors; 0 gives exact values with (tiny) quoted errors.
    """

    faint_mag: float = 21.0
    missing_fraction: float = 0.0
    two_parameter_fraction: float = 0.01
    bad_ruwe_fraction: float = 0.02
    error_scale: float = 1.0


def gaia_parallax_error_mas(g_mag: FloatArray) -> FloatArray:
    """Typical parallax error of DR3 by magnitude, mas.

    Notes
    -----
    sqrt(400 + 750 z + 24 z^2) microarcsec, z = 10^(0.4 (max(G, 13) - 15)): the form used by the mission, with numbers
    that give the published medians: 0.02-0.03 mas at G < 15, 0.07 at 17, 0.5 at 20, 1.3 at 21 (Lindegren et al. 2021,
    A&A 649, A2). Position errors are 0.8 and proper motion errors (per year) 1.03 times this.
    """
    z = 10 ** (0.4 * (np.maximum(g_mag, 13.0) - 15.0))
    return np.asarray(np.sqrt(400 + 750 * z + 24 * z**2) / 1000, dtype=np.float64)


def make_catalog(rng: np.random.Generator, sky: SkyModel, quality: CatalogQuality | None = None) -> Table:
    """Observe a sky the way Gaia would.

    Returns
    -------
    One row per star, brightest first, Gaia column names: positions at epoch 2016.0, proper motions, parallaxes and
    magnitudes scattered by their own errors (positions with the quoted correlation). ``meta["truth_index"]`` gives
    each row's index in ``sky``.
    """
    quality = quality or CatalogQuality()
    kept = np.flatnonzero((sky.g_mag < quality.faint_mag) & (rng.random(len(sky)) >= quality.missing_fraction))
    n, g = kept.size, sky.g_mag[kept]
    typical = gaia_parallax_error_mas(g) * np.exp(rng.normal(0, 0.15, n)) * quality.error_scale
    ruwe = np.clip(rng.normal(1.0, 0.04, n), 0.8, 1.3)
    bad = rng.random(n) < quality.bad_ruwe_fraction
    ruwe[bad] = rng.uniform(1.5, 5.0, bad.sum())
    # the quoted errors of a source with a bad solution are too small by its ruwe
    real = typical * np.where(bad, ruwe, 1.0)
    correlation = np.clip(rng.normal(0, 0.2, n), -0.8, 0.8)
    first, second = rng.normal(size=(2, n))
    east_mas = 0.8 * real * first
    north_mas = 0.8 * real * (correlation * first + np.sqrt(1 - correlation**2) * second)
    table = Table()
    table["source_id"] = np.sort(rng.choice(2**40, n, replace=False)).astype(np.int64) + 4_000_000_000_000_000
    table["ra"] = (sky.ra[kept] + east_mas / 3.6e6 / np.cos(np.radians(sky.dec[kept]))) % 360.0
    table["dec"] = sky.dec[kept] + north_mas / 3.6e6
    least = 1e-4
    table["ra_error"] = table["dec_error"] = np.maximum(0.8 * typical, least)
    table["ra_dec_corr"] = correlation
    table["ref_epoch"] = np.full(n, sky.ref_epoch)
    for name, truth, factor in (("parallax", sky.parallax, 1.0), ("pmra", sky.pmra, 1.03), ("pmdec", sky.pmdec, 1.03)):
        table[name] = truth[kept] + factor * real * rng.normal(size=n)
        table[f"{name}_error"] = np.maximum(factor * typical, least)
    two = rng.random(n) < quality.two_parameter_fraction
    for name in ("parallax", "parallax_error", "pmra", "pmra_error", "pmdec", "pmdec_error"):
        table[name][two] = np.nan
    _add_photometry(rng, table, g, sky.bp_rp[kept], quality.error_scale)
    table["ruwe"] = np.where(two, np.nan, ruwe)
    table["astrometric_excess_noise"] = np.where(bad, 0.5 * ruwe, 0.0)
    table["astrometric_excess_noise_sig"] = np.where(bad, 10 * ruwe, 0.0)
    table["duplicated_source"] = np.zeros(n, dtype=bool)
    table["phot_variable_flag"] = np.full(n, "NOT_AVAILABLE")
    for name, unit in _UNITS.items():
        table[name].unit = unit
    table.meta["truth_index"] = kept
    return table


_UNITS = {
    "ra": "deg",
    "dec": "deg",
    "ra_error": "mas",
    "dec_error": "mas",
    "parallax": "mas",
    "parallax_error": "mas",
    "pmra": "mas / yr",
    "pmra_error": "mas / yr",
    "pmdec": "mas / yr",
    "pmdec_error": "mas / yr",
    "phot_g_mean_mag": "mag",
    "phot_bp_mean_mag": "mag",
    "phot_rp_mean_mag": "mag",
    "bp_rp": "mag",
    "ref_epoch": "yr",
}


def _add_photometry(rng: np.random.Generator, table: Table, g: FloatArray, bp_rp: FloatArray, scale: float) -> None:
    """Magnitudes with errors and the flux S/N columns; the colour is split about G as a plain star's would be."""
    magnitudes = {"g": g, "bp": g + 0.42 * bp_rp, "rp": g - 0.58 * bp_rp}
    floors = {"g": 0.0005, "bp": 0.003, "rp": 0.003}
    faint = {"g": 0.006, "bp": 0.08, "rp": 0.05}
    for band, truth in magnitudes.items():
        error = scale * np.hypot(floors[band], faint[band] * 10 ** (0.3 * (g - 20.0)))
        table[f"phot_{band}_mean_mag"] = truth + error * rng.normal(size=g.size)
        table[f"phot_{band}_mean_flux_over_error"] = 1.085736 / np.maximum(error, 1e-5)
    table["bp_rp"] = table["phot_bp_mean_mag"] - table["phot_rp_mean_mag"]
    # the mean excess factor of Riello et al. 2021 grows with colour; this line keeps C* near zero
    table["phot_bp_rp_excess_factor"] = 1.154360 + 0.033772 * bp_rp + 0.032277 * bp_rp**2
