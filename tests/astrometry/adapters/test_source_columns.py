import numpy as np
import pytest
from astropy.io import fits

from astrometry_service.adapters.source_columns import canonical_sources
from astrometry_service.adapters.source_input import read_source_list
from astrometry_service.domain.sources import SourceList
from astrometry_service.errors import SourceListError

X, Y, FLUX = np.array([1.0, 20.5, 300.25]), np.array([4.0, 5.5, 6.75]), np.array([900.0, 400.0, 100.0])


@pytest.mark.parametrize(
    ("x", "y", "flux", "first"),
    [
        ("x", "y", "flux", 0),
        ("X", "Y", "FLUX", 1),
        ("XWIN_IMAGE", "YWIN_IMAGE", "FLUX_AUTO", 1),
        ("X_IMAGE", "Y_IMAGE", "FLUX_ISO", 1),
        ("xcentroid", "ycentroid", "segment_flux", 0),
        ("x_fit", "y_fit", "flux_fit", 0),
        ("xwin_image", "ywin_image", "flux_auto", 1),
        ("XMODEL_IMAGE", "YMODEL_IMAGE", "FLUX_MODEL", 1),
        ("x_centroid", "y_centroid", "kron_flux", 0),
        ("xcenter", "ycenter", "aperture_sum", 0),
        ("XCENTER", "YCENTER", "FLUX", 1),
        ("pixel_centroid_x", "pixel_centroid_y", "auto_flux", 1),
        ("base_SdssCentroid_x", "base_SdssCentroid_y", "base_PsfFlux_instFlux", 0),
        ("X_coordinate", "Y_coordinate", "Aper_flux_3", 1),
    ],
)
def test_pixels_are_counted_as_the_program_counts_them(x, y, flux, first):
    found = canonical_sources({x: X + first, y: Y + first, flux: FLUX}).columns
    np.testing.assert_array_equal(found["x"], X)
    np.testing.assert_array_equal(found["y"], Y)
    np.testing.assert_array_equal(SourceList.from_columns(found).flux, FLUX)


def test_windowed_places_come_before_isophotal_ones_and_bring_their_errors():
    names = {"X_IMAGE": X + 3, "Y_IMAGE": Y + 3, "XWIN_IMAGE": X + 1, "YWIN_IMAGE": Y + 1}
    errors = {"ERRX2WIN_IMAGE": X / 1e4, "ERRY2WIN_IMAGE": Y / 1e4, "ERRXYWIN_IMAGE": 0 * X}
    fluxes = {"FLUX_APER": np.stack([FLUX, 2 * FLUX], axis=1), "FLUXERR_APER": np.stack([0.1 * FLUX, FLUX], axis=1)}
    sources = SourceList.from_columns(canonical_sources(names | errors | fluxes).columns)
    np.testing.assert_array_equal(sources.x, X)
    np.testing.assert_array_equal(sources.covariance[:, 0, 0], X / 1e4)
    np.testing.assert_allclose(sources.snr, 10.0)
    assert sources.covariance_known


def test_magnitudes_stand_for_fluxes():
    found = canonical_sources({"X_IMAGE": X + 1, "Y_IMAGE": Y + 1, "MAG_AUTO": -2.5 * np.log10(FLUX)}).columns
    np.testing.assert_allclose(found["flux"], FLUX)


def test_an_ldac_file_is_read_behind_its_header(tmp_path):
    head = fits.BinTableHDU.from_columns(
        [fits.Column("Field Header Card", "80A", array=["SIMPLE  = T"])], name="LDAC_IMHEAD"
    )
    columns = [
        fits.Column(n, "D", array=v) for n, v in (("XWIN_IMAGE", X + 1), ("YWIN_IMAGE", Y + 1), ("FLUX_AUTO", FLUX))
    ]
    objects = fits.BinTableHDU.from_columns(columns, name="LDAC_OBJECTS")
    fits.HDUList([fits.PrimaryHDU(), head, objects]).writeto(tmp_path / "list.cat")
    found = read_source_list(tmp_path / "list.cat").columns
    np.testing.assert_array_equal(found["x"], X)
    assert found["id"].tolist() == [1, 2, 3]


def test_a_csv_list_of_another_program_is_known(tmp_path):
    (tmp_path / "list.csv").write_text("X_IMAGE,Y_IMAGE,FLUX_AUTO\n2,3,100\n")
    assert read_source_list(tmp_path / "list.csv").columns["x"].tolist() == [1.0]


def test_a_list_without_places_is_refused_with_the_names_that_are_known(tmp_path):
    (tmp_path / "list.csv").write_text("column,row,flux\n2,3,100\n")
    with pytest.raises(SourceListError, match="XWIN_IMAGE"):
        read_source_list(tmp_path / "list.csv")


# One source 0.03 by 0.01 pixel, its long axis 30 degrees from x towards y.
VARIANCE = 0.03**2 * 0.75 + 0.01**2 * 0.25, 0.03**2 * 0.25 + 0.01**2 * 0.75, (0.03**2 - 0.01**2) * np.sqrt(3) / 4


@pytest.mark.parametrize(
    ("places", "errors"),
    [
        (("x", "y"), ("errx2", "erry2", "errxy")),
        (("x", "y"), ("ERRX2_WIN", "ERRY2_WIN", "ERRXY_WIN")),
        (("x", "y"), ("x_var", "y_var", "xy_cov")),
        (("X", "Y"), ("errx2", "erry2", "errxy")),
        (("XWIN_IMAGE", "YWIN_IMAGE"), ("ERRX2WIN_IMAGE", "ERRY2WIN_IMAGE", "ERRXYWIN_IMAGE")),
        (("XWIN_IMAGE", "YWIN_IMAGE"), ("ERRX2_WIN", "ERRY2_WIN", "ERRXY_WIN")),
        (("xwin_image", "ywin_image"), ("errx2win_image", "erry2win_image", "errxywin_image")),
        (("X_IMAGE", "Y_IMAGE"), ("ERRX2_IMAGE", "ERRY2_IMAGE", "ERRXY_IMAGE")),
        (("XPSF_IMAGE", "YPSF_IMAGE"), ("ERRX2PSF_IMAGE", "ERRY2PSF_IMAGE", "ERRXYPSF_IMAGE")),
        (("XMODEL_IMAGE", "YMODEL_IMAGE"), ("ERRX2MODEL_IMAGE", "ERRY2MODEL_IMAGE", "ERRXYMODEL_IMAGE")),
    ],
)
def test_covariances_of_every_program_are_read(places, errors):
    given = dict(zip(places, (X, Y), strict=True)) | {"flux": FLUX}
    given |= {name: np.full(3, value) for name, value in zip(errors, VARIANCE, strict=True)}
    found = canonical_sources(given)
    assert found.note == ""
    sources = SourceList.from_columns(found.columns)
    assert sources.covariance_known
    np.testing.assert_allclose(sources.covariance[0], [[VARIANCE[0], VARIANCE[2]], [VARIANCE[2], VARIANCE[1]]])


@pytest.mark.parametrize(
    ("places", "errors"),
    [
        (("XWIN_IMAGE", "YWIN_IMAGE"), ("ERRAWIN_IMAGE", "ERRBWIN_IMAGE", "ERRTHETAWIN_IMAGE")),
        (("X_IMAGE", "Y_IMAGE"), ("ERRA_IMAGE", "ERRB_IMAGE", "ERRTHETA_IMAGE")),
        (("x", "y"), ("ERRAWIN", "ERRBWIN", "ERRTHETAWIN")),
    ],
)
def test_error_ellipses_become_covariances(places, errors):
    given = dict(zip(places, (X, Y), strict=True)) | {"FLUX_AUTO": FLUX}
    given |= {name: np.full(3, value) for name, value in zip(errors, (0.03, 0.01, 30.0), strict=True)}
    covariance = SourceList.from_columns(canonical_sources(given).columns).covariance[0]
    np.testing.assert_allclose(covariance, [[VARIANCE[0], VARIANCE[2]], [VARIANCE[2], VARIANCE[1]]])


@pytest.mark.parametrize(
    ("places", "errors"),
    [
        (("x", "y"), ("x_err", "y_err")),
        (("x", "y"), ("xerr", "yerr")),
        (("x_fit", "y_fit"), ("x_err", "y_err")),
        (("x_fit", "y_fit"), ("x_0_unc", "y_0_unc")),
        (("XCENTER", "YCENTER"), ("XERR", "YERR")),
        (("base_SdssCentroid_x", "base_SdssCentroid_y"), ("base_SdssCentroid_xErr", "base_SdssCentroid_yErr")),
        (("X_coordinate", "Y_coordinate"), ("X_coordinate_err", "Y_coordinate_err")),
    ],
)
def test_sigmas_per_axis_become_variances(places, errors):
    given = dict(zip(places, (X, Y), strict=True)) | {"flux": FLUX, "mag": FLUX}
    given |= {name: np.full(3, value) for name, value in zip(errors, (0.03, 0.01), strict=True)}
    found = canonical_sources(given).columns
    np.testing.assert_allclose([found["x_var"][0], found["y_var"][0], found["xy_cov"][0]], [9e-4, 1e-4, 0.0])


def test_errors_of_other_places_are_not_taken_and_what_is_ignored_is_named():
    given = {"XWIN_IMAGE": X, "YWIN_IMAGE": Y, "FLUX_AUTO": FLUX, "ERRX2_IMAGE": X, "ERRY2_IMAGE": Y, "ELONGATION": X}
    found = canonical_sources(given)
    assert "x_var" not in found.columns and "no errors of position" in found.note
    assert found.note.endswith("not used: ERRX2_IMAGE, ERRY2_IMAGE, ELONGATION") and "counted from 1" in found.note
    of_sky = {"XWIN_IMAGE": X, "YWIN_IMAGE": Y, "FLUX_AUTO": FLUX, "ERRX2WIN_WORLD": X, "ERRY2WIN_WORLD": Y}
    assert "x_var" not in canonical_sources(of_sky).columns


def test_errors_that_are_all_zero_are_none():
    """SEP writes them where it was given no noise."""
    given = {"x": X, "y": Y, "flux": FLUX, "errx2": 0 * X, "erry2": 0 * X, "errxy": 0 * X}
    found = canonical_sources(given)
    assert not SourceList.from_columns(found.columns).covariance_known and "errx2" in found.note


@pytest.mark.parametrize(
    ("flux", "error"),
    [("flux", "fluxerr"), ("segment_flux", "segment_fluxerr"), ("FLUX_AUTO", "FLUXERR_AUTO"), ("flux_fit", "flux_err"),
     ("aperture_sum", "aperture_sum_err"), ("flux_psf", "flux_psf_err"), ("kron_flux", "kron_flux_err")],
)  # fmt: skip
def test_errors_of_fluxes_give_the_signal_to_noise(flux, error):
    found = canonical_sources({"x": X, "y": Y, flux: FLUX, error: FLUX / 8})
    np.testing.assert_allclose(SourceList.from_columns(found.columns).snr, 8.0)


def test_a_list_of_daophot_is_known_by_its_magnitudes():
    given = {
        "ID": X,
        "X": X + 1,
        "Y": Y + 1,
        "MERR": np.full(3, 0.02),
        "MAG": -2.5 * np.log10(FLUX),
        "CHI": X,
        "SHARP": X,
    }
    found = canonical_sources(given)
    sources = SourceList.from_columns(found.columns)
    np.testing.assert_allclose(sources.flux, FLUX)
    np.testing.assert_allclose(sources.snr, 1.0857362 / 0.02)
    np.testing.assert_array_equal(sources.x, X)
    assert "CHI, SHARP" in found.note


def test_alidades_own_table_is_read_without_a_word():
    own = {"id": X, "x": X, "y": Y, "x_var": X, "y_var": Y, "xy_cov": 0 * X, "position_kind": np.array(["psf"] * 3)}
    found = canonical_sources(own | {"flux_psf": FLUX, "flux_psf_err": FLUX, "sharpness": X})
    assert found.note == "" and found.columns["x_var"] is not None


@pytest.mark.parametrize(("text", "wanted"), [("a", 1), ("1.5", 1), ("", 1), ("7", 7)])
def test_identifiers_that_are_no_numbers_are_replaced(tmp_path, text, wanted):
    (tmp_path / "list.csv").write_text(f"id,x,y,flux\n{text},2,3,100\n")
    assert read_source_list(tmp_path / "list.csv").columns["id"].tolist() == [wanted]
