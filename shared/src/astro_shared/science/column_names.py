"""Names under which catalogues call Gaia's columns, most trusted first.

Exact names are looked for before names that differ only in case, and ``Gmag`` (Gaia) is never ``gmag`` (Sloan): what is
ambiguous without its case is only in the exact table.
"""

from __future__ import annotations

import re

_POSITION = {
    "ra": ("ra", "RA_ICRS", "RAICRS", "ra_deg", "RAdeg", "ALPHA_J2000", "ALPHAWIN_J2000", "RAJ2000", "_RAJ2000", "_RA.icrs",
           "ra_icrs", "ra_j2000", "raj2000_deg", "right_ascension", "alpha", "_RA", "RA"),
    "dec": ("dec", "DE_ICRS", "DEICRS", "dec_deg", "DEdeg", "DECdeg", "DELTA_J2000", "DELTAWIN_J2000", "DEJ2000", "_DEJ2000",
            "_DECJ2000",
            "_DE.icrs", "dec_icrs", "dec_j2000", "declination", "decl", "delta", "_DE", "DE", "DEC", "Dec"),
    "ra_error": ("ra_error", "e_RA_ICRS", "e_RAJ2000", "e_RAdeg", "ra_err_mas", "ra_error_mas", "ra_err", "raErr", "e_ra",
                 "sigma_ra", "err_ra"),
    "dec_error": ("dec_error", "e_DE_ICRS", "e_DEJ2000", "e_DEdeg", "dec_err_mas", "dec_error_mas", "dec_err", "decErr",
                  "e_dec", "sigma_dec", "err_dec"),
    "pmra": ("pmra", "pmRA", "pmRA_mas_yr", "pmra_mas_yr", "pmra_masyr", "pm_ra", "mu_alpha", "pmra_cosdec", "pm_ra_cosdec"),
    "pmdec": ("pmdec", "pmDE", "pmDEC", "pmdec_mas_yr", "pmdec_masyr", "pm_dec", "mu_delta", "pm_de"),
    "pmra_error": ("pmra_error", "e_pmRA", "pmra_err", "pm_ra_err", "e_pmra", "pmra_error_mas_yr", "pmra_err_mas_yr"),
    "pmdec_error": ("pmdec_error", "e_pmDE", "pmdec_err", "pm_dec_err", "e_pmdec", "pmdec_error_mas_yr", "pmdec_err_mas_yr"),
    "parallax": ("parallax", "Plx", "plx", "parallax_mas"),
    "parallax_error": ("parallax_error", "e_Plx", "e_plx", "parallax_err"),
    "ref_epoch": ("ref_epoch", "refEpoch", "epoch_jyear", "ref_epoch_jyear", "Epoch", "epoch", "EpRA"),
}  # fmt: skip

_PROPERTIES = {
    "source_id": ("source_id", "SOURCE_ID", "Source", "gaia_id", "gaia_source_id", "objid", "objID", "OID", "id", "ID",
                  "star_id", "NUMBER", "index", "GaiaDR3", "GaiaDR2"),
    "name": ("name", "Name", "designation", "DESIGNATION", "main_id", "MAIN_ID", "2MASS", "star_name"),
    "phot_g_mean_mag": ("phot_g_mean_mag", "Gmag", "G_mag", "gaia_g_mag", "g_gaia_mag"),
    "phot_bp_mean_mag": ("phot_bp_mean_mag", "BPmag", "BP_mag", "bp_mag"),
    "phot_rp_mean_mag": ("phot_rp_mean_mag", "RPmag", "RP_mag", "rp_mag"),
    "phot_g_mean_flux_over_error": ("phot_g_mean_flux_over_error", "RFG"),
    "phot_bp_mean_flux_over_error": ("phot_bp_mean_flux_over_error", "RFBP"),
    "phot_rp_mean_flux_over_error": ("phot_rp_mean_flux_over_error", "RFRP"),
    "phot_bp_rp_excess_factor": ("phot_bp_rp_excess_factor", "E(BP/RP)", "E_BP_RP_"),
    "ruwe": ("ruwe", "RUWE"),
    "astrometric_excess_noise": ("astrometric_excess_noise", "epsi"),
    "astrometric_excess_noise_sig": ("astrometric_excess_noise_sig", "sepsi"),
    "astrometric_params_solved": ("astrometric_params_solved", "Solved"),
    "duplicated_source": ("duplicated_source", "Dup"),
    "phot_variable_flag": ("phot_variable_flag", "VarFlag"),
    "radial_velocity": ("radial_velocity", "RV", "RVDR2"),
    "radial_velocity_error": ("radial_velocity_error", "e_RV", "e_RVDR2"),
    "ra_dec_corr": ("ra_dec_corr", "RADEcor"),
    "ra_parallax_corr": ("ra_parallax_corr", "RAPlxcor"),
    "ra_pmra_corr": ("ra_pmra_corr", "RApmRAcor"),
    "ra_pmdec_corr": ("ra_pmdec_corr", "RApmDEcor"),
    "dec_parallax_corr": ("dec_parallax_corr", "DEPlxcor"),
    "dec_pmra_corr": ("dec_pmra_corr", "DEpmRAcor"),
    "dec_pmdec_corr": ("dec_pmdec_corr", "DEpmDEcor"),
    "parallax_pmra_corr": ("parallax_pmra_corr", "PlxpmRAcor"),
    "parallax_pmdec_corr": ("parallax_pmdec_corr", "PlxpmDEcor"),
    "pmra_pmdec_corr": ("pmra_pmdec_corr", "pmRApmDEcor"),
}  # fmt: skip

ALIASES: dict[str, tuple[str, ...]] = _POSITION | _PROPERTIES

# Without its case a band's name is another band's.
_CASE_MATTERS = frozenset({"phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag"})

# Units that a name states by itself; other columns are taken in the canonical unit.
_NAME_UNITS = (
    (re.compile(r"_mas_?yr$"), "mas/yr"),
    (re.compile(r"_mas$"), "mas"),
    (re.compile(r"_arcsec$"), "arcsec"),
    (re.compile(r"(_deg|deg)$"), "deg"),
    (re.compile(r"_hours?$"), "hourangle"),
)

_BAND_FORMS = (
    re.compile(r"^(?P<band>[A-Za-z][A-Za-z0-9_]{0,30}?)_mag$"),
    re.compile(r"^(?P<band>[A-Za-z][A-Za-z0-9_]{0,15}'?)mag$"),
    re.compile(r"^MAG_(?P<band>[A-Za-z][A-Za-z0-9_]{0,15})$"),
    re.compile(r"^mag_(?P<band>[A-Za-z][A-Za-z0-9]{0,15})$"),
)
_BAND_ERROR_FORMS = (
    re.compile(r"^(?P<band>[A-Za-z][A-Za-z0-9_]{0,30}?)_mag_(error|err|e)$"),
    re.compile(r"^e_(?P<band>[A-Za-z][A-Za-z0-9_]{0,15}'?)mag$"),
    re.compile(r"^(?P<band>[A-Za-z][A-Za-z0-9_]{0,15})magerr$"),
    re.compile(r"^(?P<band>[A-Za-z][A-Za-z0-9]{0,15})_mag_?err$"),
)
# Magnitudes that are no one's brightness in a band.
_NOT_BANDS = frozenset({"phot_g_mean", "phot_bp_mean", "phot_rp_mean", "MAG", "D", "delta", "error", "err"})


def find_column(canonical: str, names: tuple[str, ...]) -> str | None:
    """The file's column for a canonical one, or None."""
    aliases = ALIASES.get(canonical, (canonical,))
    for alias in aliases:
        if alias in names:
            return alias
    if canonical in _CASE_MATTERS:
        return None
    lowered = {name.lower(): name for name in reversed(names)}
    return next((lowered[alias.lower()] for alias in aliases if alias.lower() in lowered), None)


def _band(name: str, forms: tuple[re.Pattern[str], ...]) -> str | None:
    for form in forms:
        match = form.match(name)
        if match and match["band"] not in _NOT_BANDS:
            return match["band"].replace("'", "")
    return None


def find_bands(names: tuple[str, ...]) -> dict[str, str]:
    """Columns ``<band>_mag`` and ``<band>_mag_error`` that the file has besides Gaia's, canonical name to file's name."""
    taken = {alias for name in _CASE_MATTERS for alias in ALIASES[name]}
    found: dict[str, str] = {}
    for name in names:
        band, error = _band(name, _BAND_FORMS), _band(name, _BAND_ERROR_FORMS)
        if error is not None:
            found.setdefault(f"{error}_mag_error", name)
        elif band is not None and name not in taken and not name.startswith(("e_", "u_", "l_", "n_", "f_")):
            found.setdefault(f"{band}_mag", name)
    return {
        key: name for key, name in found.items() if not key.endswith("_error") or key.removesuffix("_error") in found
    }


def unit_of_name(name: str) -> str | None:
    """The unit that a column's name ends in, or None."""
    return next((unit for pattern, unit in _NAME_UNITS if pattern.search(name)), None)


def epoch_of_description(text: str) -> float | None:
    """Julian year in a text such as ``(ICRS) at Ep=2016.0`` or ``epoch 2015.5``; None without one."""
    match = re.search(r"\b[Ee]p(?:och)?\.?\s*=?\s*J?((?:19|20)\d\d(?:\.\d+)?)", text)
    return float(match[1]) if match else None
