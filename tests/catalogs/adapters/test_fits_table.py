"""FITS tables written byte by byte, read by astropy."""

import io

import numpy as np
import pytest
from astropy.io import fits

from catalogs_service.adapters.fits_table import card, table_bytes


def read(data):
    hdus = fits.open(io.BytesIO(data))
    hdus.verify("exception")
    return hdus[1]


def test_every_type_comes_back_exactly():
    columns = {
        "source_id": np.array([2**62 + 1, -5]),
        "ra": np.array([1 / 3, np.nan]),
        "ra_error": np.array([0.1, np.inf], np.float32),
        "astrometric_params_solved": np.array([31, 3], np.int16),
        "duplicated_source": np.array([True, False]),
        "name": np.array(["Barnard's", "é"], object),
        "phot_variable_flag": np.array([b"VARIABLE", b""]),
    }
    table = read(table_bytes(columns, name="REFERENCE"))
    assert table.data["source_id"].tolist() == [2**62 + 1, -5]
    assert np.array_equal(table.data["ra"], columns["ra"], equal_nan=True)
    assert np.array_equal(table.data["ra_error"], columns["ra_error"])
    assert table.data["duplicated_source"].tolist() == [True, False]
    assert table.data["name"].tolist() == ["Barnard's", "?"]
    assert table.data["phot_variable_flag"].tolist() == ["VARIABLE", ""]
    assert table.columns["ra"].unit == "deg"
    assert table.header["TUCD2"] == "pos.eq.ra;meta.main"


@pytest.mark.parametrize(
    "value",
    [True, 7, -2.5, 1e-30, 2026.0, "short", "it's", "x" * 90, "ends with quote'", "'" * 60, "new\nline\x1b[31mé", ""],
)
def test_cards_read_back(value):
    table = read(table_bytes({"a": np.arange(2)}, name="T", cards={"KEY": value}))
    if isinstance(value, str):
        clean = "".join(c if " " <= c <= "~" else "?" for c in value)
        assert clean.startswith(table.header["KEY"])
        assert len(table.header["KEY"]) >= min(len(clean), 30)
    else:
        assert table.header["KEY"] == value


def test_missing_cards_are_left_out():
    assert "KEY" not in read(table_bytes({"a": np.arange(2)}, name="T", cards={"KEY": None})).header


def test_empty_tables_are_valid():
    table = read(table_bytes({"ra": np.empty(0), "name": np.empty(0, object)}, name="T"))
    assert len(table.data) == 0
    assert table.columns.names == ["ra", "name"]


def test_a_card_is_80_bytes_whatever_is_in_it():
    assert {len(card("KEY", value, "a comment " * 20)) for value in (1, 1.5, "x" * 200, True)} == {80}
