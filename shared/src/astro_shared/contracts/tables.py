"""The columns of every table that passes between services or reaches a person: one definition, one order.

dtype names are numpy's; ``str`` columns are written as fixed-width text in FITS. Units are FITS/VOUnits strings, ``ucd``
is IVOA UCD1+. Fluxes are electrons, positions zero-based pixels with integers at pixel centres, sky positions ICRS at
the epoch of the exposure, errors one sigma.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    dtype: str
    unit: str = ""
    ucd: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class TableSchema:
    name: str
    columns: tuple[Column, ...]

    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


def _c(name: str, dtype: str, unit: str, ucd: str, description: str) -> Column:
    return Column(name, dtype, unit, ucd, description)


_APERTURES = tuple(
    column
    for n in range(1, 5)
    for column in (
        _c(f"flux_aper_{n}", "float64", "electron", "phot.count;em.opt", f"Flux in aperture {n}, sky subtracted"),
        _c(f"flux_aper_err_{n}", "float64", "electron", "stat.error;phot.count;em.opt", f"Error of flux_aper_{n}"),
    )
)

_POSITION = (
    _c("id", "int64", "", "meta.id;meta.main", "Number in this frame, 1 is the brightest"),
    _c("x", "float64", "pix", "pos.cartesian.x;instr.det", "Column, zero-based, integer at the pixel centre"),
    _c("y", "float64", "pix", "pos.cartesian.y;instr.det", "Row, zero-based, integer at the pixel centre"),
    _c("x_var", "float64", "pix2", "stat.variance;pos.cartesian.x", "Variance of x"),
    _c("y_var", "float64", "pix2", "stat.variance;pos.cartesian.y", "Variance of y"),
    _c("xy_cov", "float64", "pix2", "stat.covariance", "Covariance of x and y"),
    _c("position_kind", "str", "", "meta.code", "psf, windowed or isophotal"),
)

_MEASUREMENT = (
    _c(
        "flux_psf",
        "float64",
        "electron",
        "phot.count;em.opt",
        "Flux of the profile fit; signed; null where saturation left too little",
    ),
    _c("flux_psf_err", "float64", "electron", "stat.error;phot.count;em.opt", "Error of flux_psf, sandwich covariance"),
    *_APERTURES,
    _c("sky", "float64", "electron/pix", "instr.background", "Sky per pixel at the source"),
    _c("sky_err", "float64", "electron/pix", "stat.error;instr.background", "Error of sky"),
    _c("snr", "float64", "", "stat.snr", "Signal to noise of the flux used for magnitudes"),
    _c("peak", "float64", "electron", "phot.count;stat.max", "Highest pixel above the sky in the core"),
    _c("fwhm", "float64", "pix", "phys.angSize;src", "Width of the PSF at the source"),
    _c("sharpness", "float64", "", "src.morph.param", "DAOFIND sharpness"),
    _c("roundness1", "float64", "", "src.morph.param", "DAOFIND roundness from symmetry"),
    _c("roundness2", "float64", "", "src.morph.param", "DAOFIND roundness from marginals"),
    _c("chi2_red", "float64", "", "stat.fit.chi2", "Reduced chi-square of the profile fit"),
    _c("qfit", "float64", "", "stat.fit.goodness", "Sum of absolute residuals over flux"),
    _c("cfit", "float64", "", "stat.fit.goodness", "Central residual over flux"),
    _c("flags", "int32", "", "meta.code.qual", "Bits of docs/conventions.md, flags"),
    _c("mag_inst", "float64", "mag", "phot.mag;em.opt", "-2.5 log10(flux / exposure), of the flux named in flux_kind"),
    _c("mag_inst_err", "float64", "mag", "stat.error;phot.mag;em.opt", "Error of mag_inst"),
)

_SKY = (
    _c("ra", "float64", "deg", "pos.eq.ra;meta.main", "ICRS, at the epoch of the exposure"),
    _c("dec", "float64", "deg", "pos.eq.dec;meta.main", "ICRS, at the epoch of the exposure"),
    _c(
        "ra_err_mas",
        "float64",
        "mas",
        "stat.error;pos.eq.ra",
        "Error of ra cos(dec), centroid, systematic and solution",
    ),
    _c("dec_err_mas", "float64", "mas", "stat.error;pos.eq.dec", "Error of dec"),
    _c("radec_cov_mas2", "float64", "mas2", "stat.covariance", "Covariance of ra cos(dec) and dec"),
)

_MAGNITUDES = (
    _c("mag_cal_psf", "float64", "mag", "phot.mag;em.opt", "Calibrated magnitude of the profile fit"),
    _c("mag_cal_psf_err_stat", "float64", "mag", "stat.error;phot.mag", "Error from the counts"),
    _c(
        "mag_cal_psf_err_total",
        "float64",
        "mag",
        "stat.error;phot.mag",
        "With zero point, aperture correction, scatter",
    ),
    _c("mag_cal_aper", "float64", "mag", "phot.mag;em.opt", "Calibrated magnitude of the corrected aperture"),
    _c("mag_cal_aper_err_stat", "float64", "mag", "stat.error;phot.mag", "Error from the counts"),
    _c(
        "mag_cal_aper_err_total",
        "float64",
        "mag",
        "stat.error;phot.mag",
        "With zero point, aperture correction, scatter",
    ),
)

SOURCES = TableSchema("sources", _POSITION + _MEASUREMENT)
POSITIONS = TableSchema("positions", (_POSITION[0], *_SKY))
CALIBRATED = TableSchema("calibrated", (_POSITION[0], *_MAGNITUDES, SOURCES["flags"]))

CALIBRATORS = TableSchema(
    "calibrators",
    (
        _c("source_id", "str", "", "meta.id", "Identifier in the reference list"),
        _c("id", "int64", "", "meta.id", "Source of this frame, 0 when there is none"),
        _c("ra", "float64", "deg", "pos.eq.ra", "Reference position at the epoch of the exposure"),
        _c("dec", "float64", "deg", "pos.eq.dec", "Reference position at the epoch of the exposure"),
        _c("x", "float64", "pix", "pos.cartesian.x", "Column of the source"),
        _c("y", "float64", "pix", "pos.cartesian.y", "Row of the source"),
        _c("sep_arcsec", "float64", "arcsec", "pos.angDistance", "Separation of source and reference star"),
        _c("mag_ref", "float64", "mag", "phot.mag", "Reference magnitude in the calibration band"),
        _c("mag_ref_err", "float64", "mag", "stat.error;phot.mag", "Its error"),
        _c("color_ref", "float64", "mag", "phot.color", "Reference colour"),
        _c("mag_inst", "float64", "mag", "phot.mag", "Instrumental magnitude of the source"),
        _c("mag_inst_err", "float64", "mag", "stat.error;phot.mag", "Its error"),
        _c("residual_mag", "float64", "mag", "", "Reference minus calibrated magnitude"),
        _c("used", "bool", "", "meta.code", "Used in the fit"),
        _c("reason", "str", "", "meta.note", "Why it was not used; empty when used"),
    ),
)

PAIRS = TableSchema(
    "astrometry_pairs",
    (
        _c("id", "int64", "", "meta.id", "Source of this frame"),
        _c("source_id", "str", "", "meta.id", "Identifier in the reference list"),
        _c("x", "float64", "pix", "pos.cartesian.x", "Column"),
        _c("y", "float64", "pix", "pos.cartesian.y", "Row"),
        _c("ra_ref", "float64", "deg", "pos.eq.ra", "Reference position at the epoch of the exposure"),
        _c("dec_ref", "float64", "deg", "pos.eq.dec", "Reference position at the epoch of the exposure"),
        _c("dxi_mas", "float64", "mas", "", "Reference minus fit along xi (east)"),
        _c("deta_mas", "float64", "mas", "", "Reference minus fit along eta (north)"),
        _c("xi_err_mas", "float64", "mas", "stat.error", "Modelled error of dxi"),
        _c("eta_err_mas", "float64", "mas", "stat.error", "Modelled error of deta"),
        _c("chi2", "float64", "", "stat.fit.chi2", "Squared normalised residual, two degrees of freedom"),
        _c("mag_ref", "float64", "mag", "phot.mag", "Reference magnitude"),
        _c("color_ref", "float64", "mag", "phot.color", "Reference colour"),
        _c("snr", "float64", "", "stat.snr", "Signal to noise of the source"),
        _c("used", "bool", "", "meta.code", "Used in the fit"),
        _c("reason", "str", "", "meta.note", "Why it was not used; empty when used"),
    ),
)

MATCHES = TableSchema(
    "matches",
    (
        _c("id", "int64", "", "meta.id", "Source of this frame"),
        _c("catalogue", "str", "", "meta.table", "Which catalogue"),
        _c("object_id", "str", "", "meta.id", "Identifier there"),
        _c("object_type", "str", "", "src.class", "Type there"),
        _c("ra", "float64", "deg", "pos.eq.ra", "Position there at the epoch of the exposure"),
        _c("dec", "float64", "deg", "pos.eq.dec", "Position there at the epoch of the exposure"),
        _c("sep_arcsec", "float64", "arcsec", "pos.angDistance", "Separation"),
        _c("sep_sigma", "float64", "", "", "Separation in combined errors"),
        _c("p_chance", "float64", "", "stat.probability", "Probability that an unrelated object lies this near"),
        _c("best", "bool", "", "meta.code", "The one-to-one match"),
        _c("details", "str", "", "meta.note", "Other columns of the row, as JSON"),
    ),
)


def identification_columns(catalogue: str) -> tuple[Column, ...]:
    """The four columns that a catalogue adds to the final table."""
    return (
        _c(f"{catalogue}_id", "str", "", "meta.id.cross", f"Best match in {catalogue}"),
        _c(f"{catalogue}_sep_arcsec", "float64", "arcsec", "pos.angDistance", f"Its separation in {catalogue}"),
        _c(f"{catalogue}_type", "str", "", "src.class", f"Its type in {catalogue}"),
        _c(f"{catalogue}_p_chance", "float64", "", "stat.probability", "Probability of a chance alignment"),
    )


def catalog_schema(catalogues: tuple[str, ...]) -> TableSchema:
    """The final catalogue: source, sky, magnitudes, then one group per catalogue that was asked."""
    groups = tuple(column for name in catalogues for column in identification_columns(name))
    errors = (
        _c("x_err", "float64", "pix", "stat.error;pos.cartesian.x", "Error of x"),
        _c("y_err", "float64", "pix", "stat.error;pos.cartesian.y", "Error of y"),
    )
    return TableSchema("catalog", _POSITION + errors + _SKY + _MAGNITUDES + _MEASUREMENT + groups)
