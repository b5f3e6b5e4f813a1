"""The final tables: every format gives back what was written."""

from __future__ import annotations

import csv
import shutil
import subprocess
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io.votable import parse, parse_single_table
from astropy.table import Table
from astropy.units import Unit

from astro_shared.contracts.tables import catalog_schema
from astro_shared.testing.components import leave_out
from astro_shared.votable import vounit
from gateway_service.adapters import table_files
from gateway_service.adapters.archive import write_archive

SCHEMA = catalog_schema(("simbad",))


@pytest.fixture
def columns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    n = 40
    values = {column.name: rng.normal(0, 10.0 ** rng.integers(-6, 7), n) for column in SCHEMA.columns}
    values |= {"id": np.arange(n), "simbad_id": np.array(["", "=cmd()", "@x", "-1.5", "V* RR Lyr"] * 8)}
    given = {name: value for name, value in values.items() if np.asarray(value).dtype.kind in "fU" or name == "id"}
    table = table_files.conform(given, SCHEMA, n)
    for name, array in table.items():
        if array.dtype.kind == "f":
            array[3] = np.nan
        assert len(array) == n, name
    return table


def read_csv(path: Path) -> dict[str, list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_csv_gives_back_every_float_of_its_precision(tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    table_files.write_csv(tmp_path / "a.csv", columns)
    back = read_csv(tmp_path / "a.csv")
    assert list(back) == list(SCHEMA.names())
    for name, values in columns.items():
        if values.dtype.kind == "f":
            read = np.array([float(cell or "nan") for cell in back[name]]).astype(values.dtype)
            np.testing.assert_array_equal(read, values, err_msg=name)
            assert back[name][3] == ""


def test_csv_cells_are_never_formulas(tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    table_files.write_csv(tmp_path / "a.csv", columns)
    cells = read_csv(tmp_path / "a.csv")["simbad_id"][:5]
    assert cells == ["", "'=cmd()", "'@x", "-1.5", "V* RR Lyr"]


def test_equal_tables_give_equal_files(tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    for name in "ab":
        table_files.write_csv(tmp_path / f"{name}.csv", columns)
        table_files.write_parquet(tmp_path / f"{name}.parquet", columns, SCHEMA, {})
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_parquet_holds_units_and_nulls(tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    table_files.write_parquet(tmp_path / "a.parquet", columns, SCHEMA, {})
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.column_names == list(SCHEMA.names())
    assert table.schema.field("x").metadata[b"unit"] == b"pix"
    assert table.schema.field("ra").metadata[b"ucd"].startswith(b"pos.eq.ra")
    assert table["x"][3].as_py() is None and table["x"].null_count == 1
    assert table["simbad_id"][0].as_py() == ""
    np.testing.assert_array_equal(table["ra"].to_numpy(), columns["ra"])


def test_ecsv_and_votable_hold_units_and_values(tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    table_files.write_ecsv(tmp_path / "a.ecsv", columns, SCHEMA, {"frame": "a.fits"})
    table_files.write_votable(tmp_path / "a.vot", columns, SCHEMA, {"frame": "a.fits"})
    ecsv = Table.read(tmp_path / "a.ecsv", format="ascii.ecsv")
    votable = parse_single_table(tmp_path / "a.vot")
    assert ecsv.colnames == [field.name for field in votable.fields] == list(SCHEMA.names())
    assert str(ecsv["x"].unit) == "pix" and ecsv.meta["frame"] == "a.fits"
    field = next(field for field in votable.fields if field.name == "ra")
    assert str(field.unit) == "deg" and field.ucd.startswith("pos.eq.ra")
    np.testing.assert_array_equal(np.asarray(ecsv["flux_psf"], float), columns["flux_psf"])
    np.testing.assert_array_equal(np.ma.filled(votable.array["flux_psf"], np.nan), columns["flux_psf"])


def test_a_table_without_rows_has_its_header_line(tmp_path: Path) -> None:
    empty = table_files.conform({}, SCHEMA, 0)
    table_files.write_csv(tmp_path / "a.csv", empty)
    table_files.write_parquet(tmp_path / "a.parquet", empty, SCHEMA, {})
    assert (tmp_path / "a.csv").read_text().strip().split(",") == list(SCHEMA.names())
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 0


def test_equal_files_give_an_equal_archive(tmp_path: Path) -> None:
    picture, text = tmp_path / "p", tmp_path / "t"
    picture.write_bytes(bytes(5000))
    text.write_bytes(b"a" * 5000)
    for name, files in (("1", {"b.png": picture, "a.txt": text}), ("2", {"a.txt": text, "b.png": picture})):
        write_archive(tmp_path / f"{name}.zip", files)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        assert archive.namelist() == ["a.txt", "b.png"]
        assert archive.getinfo("b.png").compress_type == zipfile.ZIP_STORED
        assert archive.getinfo("a.txt").compress_size < 200
        assert archive.read("a.txt") == b"a" * 5000


def test_astropy_reads_the_parquet_file_back(tmp_path: Path) -> None:
    schema = catalog_schema(("gaia",))
    rows = table_files.conform({"id": np.arange(2), "gaia_id": np.array(["a", ""])}, schema, 2)
    table_files.write_parquet(tmp_path / "catalog.parquet", rows, schema, {})
    assert Table.read(tmp_path / "catalog.parquet")["gaia_id"].tolist() == ["a", ""]


def test_facts_about_the_table_are_in_every_format_that_has_a_place_for_them(tmp_path):
    columns = {column.name: np.zeros(2, column.dtype if column.dtype != "str" else "U3") for column in SCHEMA.columns}
    meta = {"date_mid": "2025-03-01T02:00:30.000Z", "bjd_tdb_mid": 2460735.58765432, "exposure_s": 60.0, "filter": "r"}
    table_files.write_parquet(tmp_path / "a.parquet", columns, SCHEMA, meta)
    table_files.write_ecsv(tmp_path / "a.ecsv", columns, SCHEMA, meta)
    table_files.write_votable(tmp_path / "a.vot", columns, SCHEMA, meta)
    assert pq.read_schema(tmp_path / "a.parquet").metadata[b"bjd_tdb_mid"] == b"2460735.58765432"
    assert dict(Table.read(tmp_path / "a.ecsv").meta) == meta
    params = {p.name: p.value for p in parse_single_table(tmp_path / "a.vot").params}
    assert {name: params[name] for name in meta} == meta


TEXTS = ["", "é Car", "\U0001d54f star", 'a "b", c', "tab\tnew\nline"]


def text_table(rows: int) -> dict[str, np.ndarray]:
    names = np.array(TEXTS)
    given = {"id": np.arange(rows), "simbad_id": names[np.arange(rows) % 5], "x": np.linspace(-1.0, 1.0, rows)}
    return table_files.conform(given, SCHEMA, rows)


@pytest.mark.parametrize("rows", [0, 1, 5, 2 * table_files.BATCH_ROWS + 7])
def test_text_of_every_kind_comes_back_from_every_format(tmp_path: Path, rows: int) -> None:
    columns = text_table(rows)
    wanted = columns["simbad_id"].tolist()
    table_files.write_csv(tmp_path / "a.csv", columns)
    table_files.write_ecsv(tmp_path / "a.ecsv", columns, SCHEMA, {})
    table_files.write_votable(tmp_path / "a.vot", columns, SCHEMA, {})
    assert (read_csv(tmp_path / "a.csv")["simbad_id"] if rows else []) == wanted
    ecsv = Table.read(tmp_path / "a.ecsv", format="ascii.ecsv").filled("")
    assert list(ecsv["simbad_id"]) == wanted and list(ecsv["id"]) == list(range(rows))
    votable = parse_single_table(tmp_path / "a.vot").array
    assert list(votable["simbad_id"]) == [text.replace("\U0001d54f", "\ufffd") for text in wanted]
    np.testing.assert_array_equal(np.asarray(votable["x"]), columns["x"])


def test_ecsv_has_the_head_that_astropy_writes_and_reads_as_it_would(tmp_path: Path, columns) -> None:
    meta = {"frame": "a.fits", "exposure_s": 60.0}
    table_files.write_ecsv(tmp_path / "ours.ecsv", columns, SCHEMA, meta)
    ours = Table.read(tmp_path / "ours.ecsv", format="ascii.ecsv")
    ours.write(tmp_path / "theirs.ecsv", format="ascii.ecsv")
    again = Table.read(tmp_path / "theirs.ecsv", format="ascii.ecsv")
    assert ours.colnames == again.colnames and dict(ours.meta) == meta
    for name in ours.colnames:
        assert ours[name].dtype == again[name].dtype and ours[name].unit == again[name].unit, name
        assert ours[name].meta == again[name].meta and ours[name].description == again[name].description, name
        np.testing.assert_array_equal(np.ma.filled(ours[name], ""), np.ma.filled(again[name], ""), err_msg=name)


def test_every_unit_of_a_votable_is_one_of_the_standard(tmp_path: Path, columns) -> None:
    """VOUnits 1.0: known units, powers by `**`, others in quotes."""
    for column in SCHEMA.columns:
        made = Unit(vounit(column.unit), format="vounit")
        if "electron" not in column.unit:
            assert made == Unit(column.unit, format="fits"), column.name
    assert vounit("electron/pix") == "'electron'/pix" and vounit("pix2") == "pix**2"
    table_files.write_votable(tmp_path / "a.vot", columns, SCHEMA, {"epoch": "J2025.200000"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        votable = parse(tmp_path / "a.vot", verify="exception")
    (frame,) = votable.resources[0].coordinate_systems
    assert (frame.system, frame.epoch) == ("ICRS", "J2025.200000")
    assert votable.get_first_table().get_field_by_id_or_name("ra").ref == frame.ID


def test_stilts_finds_the_votable_valid(tmp_path: Path, columns) -> None:
    stilts = shutil.which("stilts")
    if stilts is None:
        leave_out("stilts is not installed")
    table_files.write_votable(tmp_path / "a.vot", columns, SCHEMA, {"frame": "a & b.fits", "exposure_s": 60.0})
    said = subprocess.run([stilts, "votlint", str(tmp_path / "a.vot")], capture_output=True, text=True, check=True)
    assert said.stdout + said.stderr == ""
