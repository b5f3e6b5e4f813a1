"""Columns of files made canonical: names, units, ranges, identifiers, epochs."""

import numpy as np
import pytest

from astro_shared.science.column_names import epoch_of_description, find_bands
from catalogs_service.algorithms.canonical import canonical_stars, choose_columns
from catalogs_service.domain.raw_table import TableHeader
from catalogs_service.errors import BadValuesError, EmptyCatalogueError, MissingColumnsError


def stars_of(columns, units=None, descriptions=None, overrides=None, ref_epoch=None):
    raw = {name: np.array(values, object if isinstance(values[0], str) else None) for name, values in columns.items()}
    header = TableHeader(tuple(raw), units or {}, descriptions or {})
    return canonical_stars(raw, choose_columns(header, overrides), header, ref_epoch=ref_epoch)


def test_vizier_names_become_gaia_names():
    stars, _ = stars_of(
        {
            "RA_ICRS": [10.0],
            "DE_ICRS": [20.0],
            "Source": [7],
            "pmRA": [1.0],
            "e_pmRA": [0.1],
            "Gmag": [12.0],
            "gmag": [13.0],
        }
    )
    assert stars["ra"][0] == 10.0
    assert (stars["pmra"][0], stars["source_id"][0]) == (1.0, 7)
    assert (stars["phot_g_mean_mag"][0], stars["g_mag"][0]) == (12.0, 13.0)


def test_sloan_g_is_never_taken_for_gaia_g():
    stars, _ = stars_of({"ra": [10.0], "dec": [20.0], "gmag": [13.0]})
    assert "phot_g_mean_mag" not in stars
    assert stars["g_mag"][0] == 13.0


@pytest.mark.parametrize(
    ("name", "canonical"),
    [("vt_mag", "vt_mag"), ("Vmag", "V_mag"), ("g'mag", "g_mag"), ("MAG_AUTO", "AUTO_mag"), ("mag_r", "r_mag")],
)
def test_every_form_of_a_magnitude_is_a_band(name, canonical):
    assert find_bands((name, "ra", "dec")) == {canonical: name}


def test_errors_of_bands_come_along_and_never_alone():
    assert find_bands(("Vmag", "e_Vmag", "e_Bmag")) == {"V_mag": "Vmag", "V_mag_error": "e_Vmag"}


def test_units_of_the_file_are_converted():
    stars, notes = stars_of(
        {"ra": [1.0], "dec": [20.0], "ra_error": [0.5], "pmra": [0.01]},
        units={"ra": "hourangle", "ra_error": "arcsec", "pmra": "arcsec/yr"},
    )
    assert stars["ra"][0] == pytest.approx(15.0)
    assert stars["ra_error"][0] == pytest.approx(500.0)
    assert stars["pmra"][0] == pytest.approx(10.0)
    assert any("from arcsec to mas" in note for note in notes)


def test_a_unit_in_the_name_counts():
    stars, _ = stars_of({"ra_deg": [10.0], "dec_deg": [20.0], "ra_err_mas": [3.0]})
    assert (stars["ra"][0], stars["ra_error"][0]) == (10.0, 3.0)


def test_a_unit_that_cannot_be_converted_is_an_error():
    with pytest.raises(BadValuesError, match="mag, which is not convertible to mas"):
        stars_of({"ra": [10.0], "dec": [20.0], "ra_error": [1.0]}, units={"ra_error": "mag"})


def test_missing_positions_name_the_columns_that_are_there():
    with pytest.raises(MissingColumnsError, match=r"no column for dec.*ra, flux"):
        stars_of({"ra": [1.0], "flux": [2.0]})


def test_an_override_wins_and_must_exist():
    stars, _ = stars_of({"ra": [1.0], "my_ra": [5.0], "dec": [0.0]}, overrides={"ra": "my_ra"})
    assert stars["ra"][0] == 5.0
    with pytest.raises(MissingColumnsError, match="no column 'nowhere'"):
        stars_of({"ra": [1.0], "dec": [0.0]}, overrides={"ra": "nowhere"})


def test_text_in_a_number_names_its_row():
    with pytest.raises(BadValuesError, match="'abc' in row 2"):
        stars_of({"ra": ["1.0", "abc"], "dec": ["2.0", "3.0"]})


def test_numbers_as_text_are_read():
    stars, _ = stars_of({"ra": ["1.5", "--"], "dec": ["2.0", "3.0"]})
    assert stars["ra"].tolist() == [1.5]


@pytest.mark.parametrize(("ra", "dec"), [(361.0, 0.0), (10.0, 90.1), (-181.0, 0.0)])
def test_positions_off_the_sky_are_errors(ra, dec):
    with pytest.raises(BadValuesError, match="off the sky"):
        stars_of({"ra": [1.0, ra], "dec": [0.0, dec]})


def test_negative_right_ascensions_are_wrapped_and_said_so():
    stars, notes = stars_of({"ra": [-10.0, 360.0], "dec": [0.0, 1.0]})
    assert stars["ra"].tolist() == [350.0, 0.0]
    assert any("wrapped" in note for note in notes)


def test_sexagesimal_text_is_hours_in_ra_and_degrees_in_dec():
    stars, _ = stars_of({"ra": ["05 25 12.7657"], "dec": ["-00 29 25.081"]})
    assert stars["ra"][0] == pytest.approx(81.3031904, abs=1e-7)
    assert stars["dec"][0] == pytest.approx(-0.4903003, abs=1e-7)


def test_rows_without_position_are_left_out_and_counted():
    stars, notes = stars_of({"ra": [1.0, np.nan, 3.0], "dec": [0.0, 0.0, np.inf]})
    assert len(stars) == 1
    assert any("2 of 3 rows" in note for note in notes)


def test_no_position_at_all_is_an_empty_catalogue():
    with pytest.raises(EmptyCatalogueError):
        stars_of({"ra": [np.nan], "dec": [0.0]})


def test_identifiers_keep_all_64_bits():
    stars, _ = stars_of({"ra": [1.0], "dec": [0.0], "source_id": [6636090334814214528 + 1]})
    assert stars["source_id"][0] == 6636090334814214529
    stars, _ = stars_of({"ra": [1.0], "dec": [0.0], "source_id": ["6636090334814214529"]})
    assert stars["source_id"][0] == 6636090334814214529


def test_textual_identifiers_become_names_and_rows_are_numbered():
    stars, notes = stars_of({"ra": [1.0, 2.0], "dec": [0.0, 0.0], "id": ["HD 1", "HD 2"]})
    assert stars["name"].tolist() == ["HD 1", "HD 2"]
    assert stars["source_id"].tolist() == [1, 2]
    assert any("numbered" in note for note in notes)


def test_repeated_rows_are_dropped_and_shared_identifiers_reported():
    stars, notes = stars_of({"ra": [1.0, 1.0, 2.0], "dec": [0.0, 0.0, 0.0], "source_id": [5, 5, 5]})
    assert len(stars) == 2
    assert any("1 repeated rows" in note for note in notes)
    assert any("share an identifier" in note for note in notes)


def test_epoch_is_asked_then_column_then_description_then_2000():
    columns = {"ra": [1.0, 2.0], "dec": [0.0, 0.0]}
    assert stars_of(columns)[0]["ref_epoch"].tolist() == [2000.0, 2000.0]
    assert stars_of(columns, ref_epoch=2015.5)[0]["ref_epoch"].tolist() == [2015.5, 2015.5]
    described = stars_of(columns, descriptions={"ra": "Right ascension (ICRS) at Ep=2016.0"})[0]
    assert described["ref_epoch"].tolist() == [2016.0, 2016.0]
    with_column = stars_of({**columns, "ref_epoch": [2010.0, np.nan]}, ref_epoch=2016.0)[0]
    assert with_column["ref_epoch"].tolist() == [2010.0, 2016.0]


@pytest.mark.parametrize(
    ("text", "epoch"),
    [("from Gaia DR2 (ICRS), epoch 2015.5 (RA)", 2015.5), ("at Ep=2016.0", 2016.0), ("Right ascension (J2000)", None)],
)
def test_epochs_in_descriptions(text, epoch):
    assert epoch_of_description(text) == epoch


def test_fillers_of_magnitudes_count_as_missing():
    stars, notes = stars_of({"ra": [1.0, 2.0], "dec": [0.0, 0.0], "Vmag": [99.99, 12.0]})
    assert np.isnan(stars["V_mag"][0])
    assert any("count as missing" in note for note in notes)
