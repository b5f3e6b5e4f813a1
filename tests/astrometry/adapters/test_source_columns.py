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
    ],
)
def test_pixels_are_counted_as_the_program_counts_them(x, y, flux, first):
    found = canonical_sources({x: X + first, y: Y + first, flux: FLUX})
    np.testing.assert_array_equal(found["x"], X)
    np.testing.assert_array_equal(found["y"], Y)
    np.testing.assert_array_equal(found["flux"], FLUX)


def test_windowed_places_come_before_isophotal_ones_and_bring_their_errors():
    names = {"X_IMAGE": X + 3, "Y_IMAGE": Y + 3, "XWIN_IMAGE": X + 1, "YWIN_IMAGE": Y + 1}
    errors = {"ERRX2WIN_IMAGE": X / 1e4, "ERRY2WIN_IMAGE": Y / 1e4, "ERRXYWIN_IMAGE": 0 * X}
    fluxes = {"FLUX_APER": np.stack([FLUX, 2 * FLUX], axis=1), "FLUXERR_APER": np.stack([0.1 * FLUX, FLUX], axis=1)}
    sources = SourceList.from_columns(canonical_sources(names | errors | fluxes))
    np.testing.assert_array_equal(sources.x, X)
    np.testing.assert_array_equal(sources.covariance[:, 0, 0], X / 1e4)
    np.testing.assert_allclose(sources.snr, 10.0)
    assert sources.covariance_known


def test_magnitudes_stand_for_fluxes():
    found = canonical_sources({"X_IMAGE": X + 1, "Y_IMAGE": Y + 1, "MAG_AUTO": -2.5 * np.log10(FLUX)})
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
    found = read_source_list(tmp_path / "list.cat")
    np.testing.assert_array_equal(found["x"], X)
    assert found["id"].tolist() == [1, 2, 3]


def test_a_csv_list_of_another_program_is_known(tmp_path):
    (tmp_path / "list.csv").write_text("X_IMAGE,Y_IMAGE,FLUX_AUTO\n2,3,100\n")
    assert read_source_list(tmp_path / "list.csv")["x"].tolist() == [1.0]


def test_a_list_without_places_is_refused_with_the_names_that_are_known(tmp_path):
    (tmp_path / "list.csv").write_text("column,row,flux\n2,3,100\n")
    with pytest.raises(SourceListError, match="XWIN_IMAGE"):
        read_source_list(tmp_path / "list.csv")
