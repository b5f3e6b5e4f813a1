"""Reading catalogue files of every format, good and bad."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table

from astro_shared.fits import FitsError
from astro_shared.testing.real_data import MISSING, find_real_data
from catalogs_service.adapters.tables.catalogue_file import open_catalogue
from catalogs_service.algorithms.canonical import canonical_stars, choose_columns
from catalogs_service.errors import CatalogueFileError, EmptyCatalogueError


def stars_in(path, file_format="auto"):
    table = open_catalogue(path, file_format)
    choice = choose_columns(table.header)
    return canonical_stars(table.read(tuple(dict.fromkeys(choice.columns.values()))), choice, table.header)[0]


def example():
    return Table(
        {
            "source_id": np.array([6636090334814214528, 4583627001381815936, 3], np.int64),
            "ra": [280.0002534562339, 268.0676646661466, 0.5],
            "dec": [-60.00259557514462, 26.50748605871529, 89.9],
            "ra_error": np.array([0.25, 0.02, np.nan], np.float32),
            "phot_g_mean_mag": np.array([17.5, 9.25, 20.125], np.float32),
            "phot_variable_flag": ["VARIABLE", "NOT_AVAILABLE", "CONSTANT"],
        }
    )


def write(table, path):
    if path.suffix == ".parquet":
        pq.write_table(pa.table({name: np.asarray(table[name]) for name in table.colnames}), path)
    elif path.suffix == ".vot":
        table.write(path, format="votable")
    elif path.suffix == ".ecsv":
        table.write(path, format="ascii.ecsv")
    elif path.suffix == ".fits":
        table.write(path, format="fits")
    else:
        table.write(path, format="ascii.csv")


@pytest.mark.parametrize("suffix", [".csv", ".ecsv", ".fits", ".vot", ".parquet"])
def test_every_format_gives_the_same_stars(tmp_path, suffix):
    path = tmp_path / f"list{suffix}"
    write(example(), path)
    stars = stars_in(path)
    assert stars["source_id"].tolist() == example()["source_id"].tolist()
    assert stars["ra"].tolist() == example()["ra"].tolist()
    assert stars["phot_g_mean_mag"].tolist() == [17.5, 9.25, 20.125]
    assert stars["phot_variable_flag"].tolist() == ["VARIABLE", "NOT_AVAILABLE", "CONSTANT"]
    assert np.isnan(stars["ra_error"][2])
    assert stars["ra_error"].tolist()[:2] == pytest.approx([0.25, 0.02])


@pytest.mark.parametrize("form", ["binary", "binary2", "tabledata"])
def test_every_serialisation_of_a_votable(tmp_path, form):
    path = tmp_path / "list.vot"
    example().write(path, format="votable", tabledata_format=form)
    stars = stars_in(path)
    assert stars["source_id"][0] == 6636090334814214528
    assert stars["dec"].tolist() == example()["dec"].tolist()
    assert stars["phot_variable_flag"].tolist()[1] == "NOT_AVAILABLE"


@pytest.mark.parametrize(
    "text",
    [
        "ra,dec,vt_mag\n10.5,20.25,9.5\n",
        "# made by hand\n#ra,dec,vt_mag\n10.5,20.25,9.5\n",
        "ra;dec;vt_mag\n10.5;20.25;9.5\n",
        "ra\tdec\tvt_mag\n10.5\t20.25\t9.5\n",
        "  ra   dec  vt_mag\n 10.5  20.25    9.5\n",
        "\ufeffra,dec,vt_mag\r\n10.5,20.25,9.5\r\n",
        "RAJ2000|DEJ2000|vt_mag\n10.5|20.25|9.5\n",
    ],
)
def test_text_tables_of_many_habits(tmp_path, text):
    path = tmp_path / "list.txt"
    path.write_text(text, encoding="utf-8")
    stars = stars_in(path)
    assert (stars["ra"][0], stars["dec"][0], stars["vt_mag"][0]) == (10.5, 20.25, 9.5)


def test_missing_values_in_text_are_nan(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("source_id,ra,dec,pmra\n6636090334814214528,1,2,\n6636090334814214529,3,4,NULL\n5,5,6,1.5\n")
    stars = stars_in(path)
    assert stars["source_id"].tolist() == [6636090334814214528, 6636090334814214529, 5]
    assert np.isnan(stars["pmra"][:2]).all()


def test_ldac_and_image_hdus_are_passed_over(tmp_path):
    path = tmp_path / "list.fits"
    header_table = fits.BinTableHDU.from_columns(
        [fits.Column("Field Header Card", "80A", array=["x"])], name="LDAC_IMHEAD"
    )
    objects = fits.BinTableHDU.from_columns(
        [fits.Column("ALPHA_J2000", "D", array=[10.0]), fits.Column("DELTA_J2000", "D", array=[20.0])],
        name="LDAC_OBJECTS",
    )
    fits.HDUList([fits.PrimaryHDU(np.zeros((4, 4))), header_table, objects]).writeto(path)
    assert stars_in(path)["ra"].tolist() == [10.0]


BAD = {
    "empty.csv": (b"", EmptyCatalogueError, "empty"),
    "header_only.csv": (b"ra,dec\n", EmptyCatalogueError, "no row"),
    "no_names.csv": (b"1.0,2.0\n3.0,4.0\n", CatalogueFileError, "no column names"),
    "ragged.csv": (b"ra,dec\n1,2\n3\n", CatalogueFileError, "cannot be read"),
    "page.csv": (b"<!DOCTYPE html><html><body>503</body></html>", CatalogueFileError, "web page"),
    "packed.csv": (b"\x1f\x8b\x08\x00aaaa", CatalogueFileError, "gzip: unpack"),
    "packed.fits": (b"BZh91AY", CatalogueFileError, "bzip2: unpack"),
    "zeros.csv": (b"ra,dec\n\x00\x00\n", CatalogueFileError, "not text"),
    "cut.fits": (b"SIMPLE  =                    T" + b" " * 50, FitsError, None),
    "bad.parquet": (b"PAR1aaaaaaaaPAR1", CatalogueFileError, "Parquet"),
    "cut.vot": (b"<VOTABLE><RESOURCE><TABLE><FIELD name='ra' datatype='double'/>", CatalogueFileError, "cut off"),
    "broken.ecsv": (b"# %ECSV 1.0\n# ---\n# datatype: [\n", CatalogueFileError, "ECSV"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_files_are_refused_with_a_reason(tmp_path, name):
    content, error, match = BAD[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(error, match=match):
        stars_in(path)


def test_a_fits_file_without_table_is_refused(tmp_path):
    path = tmp_path / "image.fits"
    fits.PrimaryHDU(np.zeros((8, 8))).writeto(path)
    with pytest.raises(CatalogueFileError, match="no table"):
        stars_in(path)


def test_a_fits_table_that_claims_too_many_rows_is_refused(tmp_path):
    path = tmp_path / "list.fits"
    example().write(path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"NAXIS2  =                    3", b"NAXIS2  =           1000000000"))
    with pytest.raises(FitsError):
        stars_in(path)


DATA = find_real_data()


@pytest.mark.skipif(DATA is None, reason=MISSING)
@pytest.mark.parametrize(
    ("name", "rows", "band"),
    [
        ("tycho2_hatp32.csv", 249, "vt_mag"),
        ("all_refcat2_ey_uma.ecsv", 187, "phot_g_mean_mag"),
        ("all_apass_ey_uma.ecsv", 54, "V_mag"),
        ("gaia_decam_N6_r.fits", 894, "phot_g_mean_mag"),
        ("lco_cpt1m_refcat_matched.fits", 2752, "r_mag"),
        ("lco_ldac_catalog.fits", 974, "ISOCOR_mag"),
        ("responses/gaia__1710099405832VAL-result.vot", 2, "phot_g_mean_mag"),
        ("responses/gaia__1712337806100O-result.ecsv", 5, "phot_g_mean_mag"),
    ],
)
def test_real_catalogues_are_read(name, rows, band):
    stars = stars_in(Path(str(DATA)) / "catalogs" / name)
    assert len(stars) == rows
    assert np.isfinite(stars[band]).any()
