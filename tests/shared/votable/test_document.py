"""VOTables that lie, lead elsewhere or are damaged."""

import base64
import struct

import numpy as np
import pytest
from astropy.table import Table

from astro_shared.votable import VotableError, parse_votable, read_votable
from astro_shared.votable import document as votable


def document(body, fields='<FIELD name="a" datatype="double"/>', table="<TABLE>", info=""):
    inner = f"{info}{table}{fields}<DATA>{body}</DATA></TABLE>"
    return f'<?xml version="1.0"?><VOTABLE><RESOURCE>{inner}</RESOURCE></VOTABLE>'.encode()


def rows(*values):
    cells = "".join(f"<TR><TD>{value}</TD></TR>" for value in values)
    return f"<TABLEDATA>{cells}</TABLEDATA>"


def column(datatype, *values, extra=""):
    data = document(rows(*values), fields=f'<FIELD name="a" datatype="{datatype}" {extra}/>')
    return parse_votable(data).tables[0].columns["a"]


def test_numbers_text_and_flags():
    assert column("double", "1.5", "", "NaN").tolist()[0] == 1.5
    assert np.isnan(column("double", "1.5", "", "NaN")[1:]).all()
    assert column("long", "9223372036854775807").tolist() == [9223372036854775807]
    assert column("boolean", "T", "false", "1").tolist() == [True, False, True]
    assert column("char", " x ", "", extra='arraysize="*"').tolist() == ["x", ""]


def test_missing_integers_do_not_round_others():
    assert column("long", "6636090334814214529", "").tolist() == [6636090334814214529, 0]
    assert np.isnan(column("int", "7", "")[1])


def test_a_declared_null_is_missing():
    data = document(rows("-99", "3"), fields='<FIELD name="a" datatype="int"><VALUES null="-99"/></FIELD>')
    values = parse_votable(data).tables[0].columns["a"]
    assert np.isnan(values[0])
    assert values[1] == 3


@pytest.mark.parametrize(("datatype", "value"), [("short", "999999"), ("unsignedByte", "-1"), ("int", "3000000000")])
def test_integers_beyond_their_type_are_errors(datatype, value):
    with pytest.raises(VotableError, match="beyond its type"):
        column(datatype, value)


@pytest.mark.parametrize(("datatype", "value"), [("double", "abc"), ("int", "1.5"), ("float", "12,5")])
def test_unreadable_numbers_are_errors_not_gaps(datatype, value):
    with pytest.raises(VotableError):
        column(datatype, value)


@pytest.mark.parametrize("href", ["file:///etc/passwd", "http://127.0.0.1/x", "https://example.org/x"])
def test_streams_elsewhere_are_not_followed(href):
    with pytest.raises(VotableError, match="not followed"):
        parse_votable(document(f'<BINARY><STREAM href="{href}"/></BINARY>'))


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE VOTABLE SYSTEM "http://us-vo.org/xml/VOTable.dtd">',
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_document_types_and_entities_are_refused(head):
    with pytest.raises(VotableError, match=r"document type|entity"):
        parse_votable(f'<?xml version="1.0"?>{head}<VOTABLE/>'.encode())


def test_depth_rows_size_and_announced_rows_are_bounded(monkeypatch):
    with pytest.raises(VotableError, match="nested deeper"):
        parse_votable(("<VOTABLE>" + "<RESOURCE>" * 60 + "</RESOURCE>" * 60 + "</VOTABLE>").encode())
    with pytest.raises(VotableError, match="announces 10000000 rows"):
        parse_votable(document(rows("1"), table='<TABLE nrows="10000000">'))
    with pytest.raises(VotableError, match="announces -1 rows"):
        parse_votable(document(rows("1"), table='<TABLE nrows="-1">'))
    monkeypatch.setattr(votable, "MOST_ROWS", 3)
    with pytest.raises(VotableError, match="more than 3 rows"):
        parse_votable(document(rows(1, 2, 3, 4)))
    monkeypatch.setattr(votable, "MOST_BYTES", 10)
    with pytest.raises(VotableError, match="at most 10"):
        parse_votable(document(rows(1)))


@pytest.mark.parametrize("content", [b"", b"<html><body>x</body></html>", b"not xml", b"{}", document(rows("1"))[:-30]])
def test_what_is_no_votable_is_refused(content):
    with pytest.raises(VotableError):
        parse_votable(content)


def test_rows_with_a_wrong_number_of_cells_are_refused():
    with pytest.raises(VotableError, match="2 cells, not 1"):
        parse_votable(document("<TABLEDATA><TR><TD>1</TD><TD>2</TD></TR></TABLEDATA>"))


def test_status_of_a_query():
    error = '<INFO name="QUERY_STATUS" value="ERROR">no such table</INFO>'
    assert parse_votable(document(rows("1"), info=error)).status == "ERROR"
    assert parse_votable(document(rows("1"), info=error)).message == "no such table"
    # an overflow is announced after the table, with OK before it
    text = document(rows("1"), info='<INFO name="QUERY_STATUS" value="OK"/>').decode()
    late = text.replace("</TABLE>", '</TABLE><INFO name="QUERY_STATUS" value="OVERFLOW"/>')
    parsed = parse_votable(late.encode())
    assert parsed.overflow
    assert len(parsed.tables[0]) == 1


def test_prefixed_elements_are_understood():
    text = document(rows("1.5")).decode().replace("<", "<vot:").replace("<vot:/", "</vot:").replace("<vot:?", "<?")
    assert parse_votable(text.encode()).tables[0].columns["a"].tolist() == [1.5]


def test_the_null_mask_of_binary2_marks_cells_row_by_row_and_column_by_column():
    """Ten columns: two bytes of mask, the first bit of a byte is its highest."""
    count, lost = 10, {(0, 0), (0, 8), (1, 7), (2, 9)}
    stream = b""
    for row in range(4):
        bits = "".join("1" if (row, column) in lost else "0" for column in range(count)).ljust(16, "0")
        stream += int(bits, 2).to_bytes(2, "big")
        stream += struct.pack(f">{count}i", *(100 * row + column for column in range(count)))
    encoded = base64.b64encode(stream).decode()
    fields = "".join(f'<FIELD name="c{column}" datatype="int"/>' for column in range(count))
    body = f'<BINARY2><STREAM encoding="base64">{encoded}</STREAM></BINARY2>'
    columns = parse_votable(document(body, fields=fields)).tables[0].columns
    values = np.array([columns[f"c{column}"] for column in range(count)], float).T
    truth = np.array([[100.0 * row + column for column in range(count)] for row in range(4)])
    assert {tuple(place) for place in np.argwhere(np.isnan(values)).tolist()} == lost
    assert np.array_equal(values[~np.isnan(values)], truth[~np.isnan(values)])


def test_a_binary_stream_that_ends_inside_a_row_is_refused():
    stream = base64.b64encode(struct.pack(">d", 1.0) + b"abc").decode()
    with pytest.raises(VotableError, match="ends inside a row"):
        parse_votable(document(f'<BINARY><STREAM encoding="base64">{stream}</STREAM></BINARY>'))


def test_a_binary_cell_that_claims_gigabytes_is_refused():
    stream = base64.b64encode(struct.pack(">I", 2**31)).decode()
    fields = '<FIELD name="a" datatype="char" arraysize="*"/>'
    with pytest.raises(VotableError, match="claims"):
        parse_votable(document(f'<BINARY><STREAM encoding="base64">{stream}</STREAM></BINARY>', fields=fields))


def test_the_first_table_with_rows_is_that_of_a_file(tmp_path):
    table = '<TABLE><FIELD name="a" datatype="int"/>{}</TABLE>'
    full = table.format(f"<DATA>{rows(1, 2)}</DATA>")
    (tmp_path / "two.vot").write_text(f"<VOTABLE><RESOURCE>{table.format('')}{full}</RESOURCE></VOTABLE>")
    assert read_votable(tmp_path / "two.vot").columns["a"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<VOTABLE/>", "holds no table"),
        ('<VOTABLE><RESOURCE><INFO name="QUERY_STATUS" value="ERROR">no</INFO></RESOURCE></VOTABLE>', "an error: no"),
    ],
)
def test_a_file_without_a_table_is_refused(tmp_path, content, message):
    (tmp_path / "stars.vot").write_text(content)
    with pytest.raises(VotableError, match=message):
        read_votable(tmp_path / "stars.vot")


def test_a_file_beyond_the_limit_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(votable, "MOST_BYTES", 10)
    (tmp_path / "stars.vot").write_bytes(document(rows("1")))
    with pytest.raises(VotableError, match="Use FITS or Parquet"):
        read_votable(tmp_path / "stars.vot")


@pytest.mark.parametrize("form", ["tabledata", "binary", "binary2"])
def test_astropy_reads_the_same(tmp_path, form):
    """An independent reader, on what a well-meaning writer wrote."""
    rng = np.random.default_rng(3)
    table = Table(
        {
            "long": rng.integers(-(2**62), 2**62, 50),
            "short": rng.integers(-100, 100, 50).astype("i2"),
            "double": rng.normal(size=50),
            "float": rng.normal(size=50).astype("f4"),
            "flag": rng.random(50) > 0.5,
            "text": np.array([f"star {row}" for row in range(50)]),
        }
    )
    table.write(tmp_path / "table.vot", format="votable", tabledata_format=form)
    ours, theirs = read_votable(tmp_path / "table.vot").columns, Table.read(tmp_path / "table.vot", format="votable")
    for name in table.colnames:
        kind = table[name].dtype
        assert ours[name].astype(kind).tolist() == theirs[name].tolist() == table[name].tolist()
