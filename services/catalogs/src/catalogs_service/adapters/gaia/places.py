"""Where Gaia's releases are: the ESA archive, and VizieR as the second source."""

from __future__ import annotations

from catalogs_service.adapters.catalogues.tap import quoted
from catalogs_service.adapters.gaia.tap import GaiaTable
from catalogs_service.domain.columns import GAIA_COLUMNS
from catalogs_service.domain.gaia import checked_release
from catalogs_service.errors import QueryError

# VizieR's tables: name and epoch of the positions.
_VIZIER = {"dr3": ("I/355/gaiadr3", 2016.0)}
_VIZIER_COLUMNS = {
    "source_id": "Source", "ra": "RA_ICRS", "dec": "DE_ICRS", "ra_error": "e_RA_ICRS", "dec_error": "e_DE_ICRS",
    "parallax": "Plx", "parallax_error": "e_Plx", "pmra": "pmRA", "pmdec": "pmDE", "pmra_error": "e_pmRA",
    "pmdec_error": "e_pmDE", "ra_dec_corr": "RADEcor", "ra_parallax_corr": "RAPlxcor", "ra_pmra_corr": "RApmRAcor",
    "ra_pmdec_corr": "RApmDEcor", "dec_parallax_corr": "DEPlxcor", "dec_pmra_corr": "DEpmRAcor",
    "dec_pmdec_corr": "DEpmDEcor", "parallax_pmra_corr": "PlxpmRAcor", "parallax_pmdec_corr": "PlxpmDEcor",
    "pmra_pmdec_corr": "pmRApmDEcor", "phot_g_mean_mag": "Gmag", "phot_bp_mean_mag": "BPmag",
    "phot_rp_mean_mag": "RPmag", "phot_g_mean_flux_over_error": "RFG", "phot_bp_mean_flux_over_error": "RFBP",
    "phot_rp_mean_flux_over_error": "RFRP", "ruwe": "RUWE", "astrometric_excess_noise": "epsi",
    "astrometric_excess_noise_sig": "sepsi", "duplicated_source": "Dup", "phot_variable_flag": "VarFlag",
    "radial_velocity": "RV", "radial_velocity_error": "e_RV",
}  # fmt: skip


def archive_table(release: str) -> GaiaTable:
    """A release in the ESA archive; ``ref_epoch`` is read per row."""
    return GaiaTable(f"gaia{checked_release(release)}.gaia_source", {name: name for name in GAIA_COLUMNS})


def vizier_table(release: str) -> GaiaTable:
    """A release in VizieR.

    Raises
    ------
    QueryError
        VizieR's table of that release is not known here.
    """
    if release not in _VIZIER:
        raise QueryError(f"VizieR's table of Gaia {checked_release(release)} is not known.", cause="refused")
    table, epoch = _VIZIER[release]
    return GaiaTable(quoted(table), _VIZIER_COLUMNS, ref_epoch=epoch)
