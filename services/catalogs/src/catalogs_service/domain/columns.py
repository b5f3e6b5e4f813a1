"""Canonical columns of reference stars: Gaia's names and units."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One canonical column. ``dtype`` is numpy's name, ``str`` for text."""

    name: str
    dtype: str
    unit: str = ""
    ucd: str = ""
    description: str = ""


def _c(name: str, dtype: str, unit: str, ucd: str, description: str) -> ColumnSpec:
    return ColumnSpec(name, dtype, unit, ucd, description)


_CORRELATIONS = tuple(
    _c(f"{first}_{second}_corr", "float32", "", "stat.correlation", f"Correlation of {first} and {second}")
    for first, second in (
        ("ra", "dec"), ("ra", "parallax"), ("ra", "pmra"), ("ra", "pmdec"), ("dec", "parallax"), ("dec", "pmra"),
        ("dec", "pmdec"), ("parallax", "pmra"), ("parallax", "pmdec"), ("pmra", "pmdec"),
    )
)  # fmt: skip

CANONICAL: tuple[ColumnSpec, ...] = (
    _c("source_id", "int64", "", "meta.id;meta.main", "Identifier in the list"),
    _c("name", "str", "", "meta.id", "Textual identifier in the list"),
    _c("ra", "float64", "deg", "pos.eq.ra;meta.main", "Right ascension, ICRS, at ref_epoch"),
    _c("dec", "float64", "deg", "pos.eq.dec;meta.main", "Declination, ICRS, at ref_epoch"),
    _c("ra_error", "float32", "mas", "stat.error;pos.eq.ra", "Error of ra cos(dec)"),
    _c("dec_error", "float32", "mas", "stat.error;pos.eq.dec", "Error of dec"),
    _c("parallax", "float64", "mas", "pos.parallax.trig", "Parallax"),
    _c("parallax_error", "float32", "mas", "stat.error;pos.parallax.trig", "Error of parallax"),
    _c("pmra", "float64", "mas/yr", "pos.pm;pos.eq.ra", "Proper motion in right ascension, times cos(dec)"),
    _c("pmdec", "float64", "mas/yr", "pos.pm;pos.eq.dec", "Proper motion in declination"),
    _c("pmra_error", "float32", "mas/yr", "stat.error;pos.pm;pos.eq.ra", "Error of pmra"),
    _c("pmdec_error", "float32", "mas/yr", "stat.error;pos.pm;pos.eq.dec", "Error of pmdec"),
    *_CORRELATIONS,
    _c("ref_epoch", "float64", "yr", "meta.ref;time.epoch", "Epoch of ra and dec, Julian year"),
    _c("phot_g_mean_mag", "float32", "mag", "phot.mag;em.opt", "G magnitude"),
    _c("phot_bp_mean_mag", "float32", "mag", "phot.mag;em.opt.B", "BP magnitude"),
    _c("phot_rp_mean_mag", "float32", "mag", "phot.mag;em.opt.R", "RP magnitude"),
    _c("phot_g_mean_flux_over_error", "float32", "", "stat.snr", "G flux over its error"),
    _c("phot_bp_mean_flux_over_error", "float32", "", "stat.snr", "BP flux over its error"),
    _c("phot_rp_mean_flux_over_error", "float32", "", "stat.snr", "RP flux over its error"),
    _c("phot_bp_rp_excess_factor", "float32", "", "", "BP and RP flux over G flux"),
    _c("ruwe", "float32", "", "stat.error", "Renormalised unit weight error"),
    _c("astrometric_excess_noise", "float32", "mas", "stat.value", "Excess noise of the astrometric fit"),
    _c("astrometric_excess_noise_sig", "float32", "", "stat.value", "Its significance"),
    _c("astrometric_params_solved", "int16", "", "meta.number", "Which parameters were solved"),
    _c("duplicated_source", "bool", "", "meta.code.status", "Found twice by Gaia"),
    _c("phot_variable_flag", "str", "", "meta.code;src.var", "VARIABLE, CONSTANT or NOT_AVAILABLE"),
    _c("radial_velocity", "float32", "km/s", "spect.dopplerVeloc.opt", "Radial velocity"),
    _c("radial_velocity_error", "float32", "km/s", "stat.error;spect.dopplerVeloc.opt", "Its error"),
)
BY_NAME: dict[str, ColumnSpec] = {spec.name: spec for spec in CANONICAL}

# A list without these still serves; cuts and errors that need them are skipped and reported.
EXPECTED = (
    "ra_error", "dec_error", "pmra", "pmdec", "pmra_error", "pmdec_error", "parallax",
    "phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag", "ruwe", "duplicated_source", "phot_variable_flag",
)  # fmt: skip

# What is fetched of Gaia: all but the textual name.
GAIA_COLUMNS = tuple(spec.name for spec in CANONICAL if spec.name != "name")

GAIA_BANDS = ("phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag")
_BAND = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,30}_mag$")
_BAND_ERROR = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,30}_mag_error$")
_SHORT_BANDS = {"G": "phot_g_mean_mag", "BP": "phot_bp_mean_mag", "RP": "phot_rp_mean_mag"}


def is_band(name: str) -> bool:
    """A column with magnitudes: ``phot_g_mean_mag`` or any ``<band>_mag``."""
    return bool(_BAND.match(name))


def column_spec(name: str) -> ColumnSpec | None:
    """The canonical column, or one made for a band's magnitude or error; None for any other name."""
    if name in BY_NAME:
        return BY_NAME[name]
    if is_band(name):
        return ColumnSpec(name, "float32", "mag", "phot.mag", f"{name.removesuffix('_mag')} magnitude")
    if _BAND_ERROR.match(name):
        return ColumnSpec(name, "float32", "mag", "stat.error;phot.mag", f"Error of {name.removesuffix('_error')}")
    return None


def band_column(band: str | None, names: tuple[str, ...]) -> str | None:
    """Column of a band given as ``G``, ``vt`` or ``vt_mag``; no band: G, else the first of the list; or None."""
    if band is None:
        return next((name for name in ("phot_g_mean_mag", *names) if name in names and is_band(name)), None)
    for candidate in (band, _SHORT_BANDS.get(band, ""), f"{band}_mag", f"{band.lower()}_mag"):
        if candidate in names:
            return candidate
    return None
