"""Each catalogue: what is asked, how good and bad answers are read."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from astro_shared.testing.real_data import MISSING, find_real_data
from catalogs_service.adapters.catalogues.astro_colibri import AstroColibri
from catalogs_service.adapters.catalogues.milliquas import Milliquas
from catalogs_service.adapters.catalogues.registry import CatalogueRegistry
from catalogs_service.adapters.catalogues.simbad import Simbad
from catalogs_service.adapters.catalogues.skybot import Skybot
from catalogs_service.adapters.catalogues.tap import number, quoted
from catalogs_service.adapters.catalogues.vizier import VizierTable, is_vizier_table
from catalogs_service.adapters.catalogues.vsx import Vsx
from catalogs_service.domain.questions import Reply, SkyField
from catalogs_service.domain.regions import Cone
from catalogs_service.errors import QueryError

DATA = find_real_data()
recorded = pytest.mark.skipif(DATA is None, reason=MISSING)
FIELD = SkyField(Cone(81.2833, 4.49278, 0.2), 2025.0, datetime(2025, 1, 2, tzinfo=UTC), "500", window_days=5.0)
SIMBAD_FIELDS = "".join(
    f'<FIELD name="{name}" datatype="{kind}" {extra}/>'
    for name, kind, extra in (
        ("oid", "long", ""), ("main_id", "char", 'arraysize="*"'), ("otype", "char", 'arraysize="*"'),
        ("ra", "double", 'unit="deg"'), ("dec", "double", 'unit="deg"'), ("coo_err_maj", "float", 'unit="mas"'),
        ("coo_err_min", "float", 'unit="mas"'), ("pmra", "double", 'unit="mas.yr-1"'), ("pmdec", "double", ""),
        ("plx_value", "double", ""), ("B", "float", ""), ("V", "float", ""), ("ids", "char", 'arraysize="*"'),
    )
)  # fmt: skip
VIZIER_FIELDS = "".join(
    f'<FIELD name="{name}" datatype="{kind}" {extra}/>'
    for name, kind, extra in (
        ("OID", "int", ""), ("Name", "char", 'arraysize="30"'), ("V", "unsignedByte", ""), ("Type", "char", 'arraysize="30"'),
        ("max", "float", 'unit="mag"'), ("min", "float", 'unit="mag"'), ("Period", "double", 'unit="d"'),
        ("RAJ2000", "double", 'unit="deg"'), ("DEJ2000", "double", 'unit="deg"'), ("z", "float", ""),
    )
)  # fmt: skip
SIMBAD_ROW = (1, "HD 35000", "Star", 81.28, 4.49, 0.05, 0.04, -2.5, 11.0, 3.2, 10.1, 9.7, "HD 35000|BD+04 900")


def reply(content, status=200):
    return Reply(status, content.encode() if isinstance(content, str) else content)


def simbad(most_rows=10):
    return Simbad("https://simbad/tap", most_rows=most_rows)


def test_simbad_is_asked_by_our_own_adql_for_one_row_more_than_wanted():
    question = simbad().question(FIELD)
    assert question.form["MAXREC"] == "11"
    assert question.form["FORMAT"] == "votable/td"
    assert "CIRCLE('ICRS', 81.28330000, 4.49278000, 0.20000000)" in question.form["QUERY"]
    assert question.text == question.form["QUERY"]


def test_simbad_objects(play):
    found = simbad().read(reply(play.votable([SIMBAD_ROW], SIMBAD_FIELDS)), FIELD)
    assert (found.identifier[0], found.kind[0], found.ra[0], found.pmra[0]) == ("HD 35000", "Star", 81.28, -2.5)
    assert found.error_arcsec[0] == pytest.approx(5e-5)
    assert found.epoch[0] == 2000.0
    assert json.loads(found.details[0])["V"] == pytest.approx(9.7)
    assert not found.overflow


def test_an_empty_table_means_nothing_known(play):
    found = simbad().read(reply(play.votable([], SIMBAD_FIELDS)), FIELD)
    assert len(found) == 0
    assert not found.overflow


def test_one_row_too_many_is_an_overflow_and_left_out(play):
    found = simbad(most_rows=2).read(reply(play.votable([SIMBAD_ROW] * 3, SIMBAD_FIELDS)), FIELD)
    assert len(found) == 2
    assert found.overflow


def test_an_announced_overflow_is_one(play):
    tail = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>'
    assert simbad().read(reply(play.votable([SIMBAD_ROW], SIMBAD_FIELDS, tail=tail)), FIELD).overflow


BAD = {
    "html": ("<html><body>Service unavailable</body></html>", "malformed"),
    "empty": ("", "malformed"),
    "json": ('{"error": 1}', "malformed"),
    "error": (
        '<VOTABLE><RESOURCE><INFO name="QUERY_STATUS" value="ERROR">no &lt;b&gt;</INFO></RESOURCE></VOTABLE>',
        "refused",
    ),
    "no table": ("<VOTABLE><RESOURCE/></VOTABLE>", "malformed"),
}


@pytest.mark.parametrize("name", sorted(BAD))
@pytest.mark.parametrize("catalogue", [Simbad, Vsx, Milliquas])
def test_bad_answers_are_never_read_as_no_match(catalogue, name):
    content, cause = BAD[name]
    with pytest.raises(QueryError) as caught:
        catalogue("https://x/", most_rows=10).read(reply(content), FIELD)
    assert caught.value.cause == cause


def test_a_cut_votable_is_malformed(play):
    with pytest.raises(QueryError, match="cut off"):
        simbad().read(reply(play.votable([SIMBAD_ROW], SIMBAD_FIELDS)[:-40]), FIELD)


def test_a_changed_column_is_malformed_and_named(play):
    changed = SIMBAD_FIELDS.replace('name="main_id"', 'name="designation"')
    with pytest.raises(QueryError, match="column main_id is missing"):
        simbad().read(reply(play.votable([SIMBAD_ROW], changed)), FIELD)


def test_a_wrong_unit_is_malformed(play):
    changed = SIMBAD_FIELDS.replace('name="ra" datatype="double" unit="deg"', 'name="ra" datatype="double" unit="h"')
    with pytest.raises(QueryError, match="not in degrees but in h"):
        simbad().read(reply(play.votable([SIMBAD_ROW], changed)), FIELD)


def test_positions_off_the_sky_are_malformed(play):
    row = (*SIMBAD_ROW[:3], 500.0, *SIMBAD_ROW[4:])
    with pytest.raises(QueryError, match="not on the sky"):
        simbad().read(reply(play.votable([row], SIMBAD_FIELDS)), FIELD)


def test_a_stream_elsewhere_is_not_followed(remote, play):
    remote.plays(play.answers(b"secret"))
    data = f"<DATA><BINARY><STREAM href='{remote.url}/x'/></BINARY></DATA>"
    body = f"<VOTABLE><RESOURCE><TABLE>{SIMBAD_FIELDS}{data}</TABLE></RESOURCE></VOTABLE>"
    with pytest.raises(QueryError, match="not followed"):
        simbad().read(reply(body), FIELD)
    assert remote.heard == []


def test_names_of_strangers_become_one_printable_line(play):
    row = (1, "V* A\nB\x07&lt;script&gt;", *SIMBAD_ROW[2:])
    row = tuple(value.replace("\x07", "") if isinstance(value, str) else value for value in row)
    found = simbad().read(reply(play.votable([row], SIMBAD_FIELDS)), FIELD)
    assert found.identifier[0] == "V* A B<script>"


@pytest.mark.parametrize(("catalogue", "table"), [(Vsx, '"B/vsx/vsx"'), (Milliquas, '"VII/294/catalog"')])
def test_vizier_tables_are_asked_and_read(catalogue, table, play):
    made = catalogue("https://vizier/tap", most_rows=10)
    assert f"FROM {table} WHERE" in made.question(FIELD).form["QUERY"]
    rows = [(7, "RR Lyr", 0, "RRAB", 7.06, 8.12, 0.5668, 81.1, 4.4, 0.1)]
    found = made.read(reply(play.votable(rows, VIZIER_FIELDS)), FIELD)
    assert (found.identifier[0], found.kind[0], found.ra[0]) == ("RR Lyr", "RRAB", 81.1)


def test_milliquas_keeps_the_redshift(play):
    rows = [(7, "3C 273", 0, "QRX", 7.06, 8.12, 0.5668, 81.1, 4.4, 0.158)]
    found = Milliquas("https://x/", most_rows=10).read(reply(play.votable(rows, VIZIER_FIELDS)), FIELD)
    assert json.loads(found.details[0])["z"] == pytest.approx(0.158)


@pytest.mark.parametrize("name", ["I/239/hip_main", "B/vsx/vsx", "J/ApJ/867/105/refcat2", "II/246/out"])
def test_names_of_vizier_tables(name):
    assert is_vizier_table(name)


@pytest.mark.parametrize(
    "name", ["simbad", "I", "I/239; DROP", "I/239 -out.max=9", "../etc", "I/" + "x" * 10_000, "I/2\n3", ""]
)
def test_what_is_no_vizier_table(name):
    assert not is_vizier_table(name)
    with pytest.raises(QueryError):
        VizierTable(name, "https://x/", most_rows=10)


def test_any_vizier_table_is_asked_for_computed_positions(play):
    table = VizierTable("I/239/hip_main", "https://vizier/votable", most_rows=10)
    question = table.question(FIELD)
    assert question.parameters["-source"] == "I/239/hip_main"
    assert question.parameters["-out.add"] == "_RAJ,_DEJ"
    fields = (
        '<FIELD name="_RAJ2000" datatype="double" unit="deg"/><FIELD name="_DEJ2000" datatype="double" unit="deg"/>'
        '<FIELD name="HIP" ucd="meta.id;meta.main" datatype="int"/><FIELD name="pmRA" datatype="double"/>'
    )
    found = table.read(reply(play.votable([(81.1, 4.4, 25336, -8.75)], fields)), FIELD)
    assert (found.identifier[0], found.pmra[0]) == ("25336", -8.75)


@recorded
def test_a_recorded_vizier_error_is_a_refusal():
    content = (Path(str(DATA)) / "catalogs/responses/vizier__no_server_error.xml").read_bytes()
    with pytest.raises(QueryError) as caught:
        Vsx("https://x/", most_rows=10).read(reply(content), FIELD)
    assert caught.value.cause == "refused"
    assert "not currently reachable" in caught.value.message


def test_skybot_is_asked_for_the_middle_of_the_exposure_in_utc():
    time = datetime(2025, 1, 2, 3, 0, 0, 250000, tzinfo=timezone(timedelta(hours=3)))
    field = SkyField(FIELD.cone, 2025.0, time, "J13")
    parameters = Skybot("https://skybot/", most_rows=10).question(field).parameters
    assert parameters["-ep"] == "2025-01-02T00:00:00.250"
    assert (parameters["-observer"], parameters["-rd"]) == ("J13", "0.20000000")


def test_without_a_time_moving_objects_are_not_asked_for():
    for catalogue in (Skybot("https://x/", most_rows=1), AstroColibri("https://x/", most_rows=1)):
        with pytest.raises(QueryError) as caught:
            catalogue.question(SkyField(FIELD.cone), "key")
        assert caught.value.cause == "no_epoch"


@pytest.mark.parametrize("answer", [Reply(204, b""), Reply(200, b""), Reply(200, b"  \n")])
def test_skybot_says_none_by_saying_nothing(answer):
    assert len(Skybot("https://x/", most_rows=10).read(answer, FIELD)) == 0


@recorded
def test_a_recorded_skybot_answer():
    content = (Path(str(DATA)) / "catalogs/responses/imcce__skybot_query.vot").read_bytes()
    found = Skybot("https://x/", most_rows=10).read(reply(content), FIELD)
    assert found.identifier.tolist() == ["(229762) G!kun||'homdima", "(523748) 2014 UP224", "2019 RB21", "2007 TE366"]
    assert found.kind[2] == "MB>Middle"
    assert (found.ra[0], found.dec[0]) == pytest.approx((81.303190599627357, 4.4903001723284355))
    assert found.error_arcsec.tolist() == pytest.approx([0.025, 0.070, 0.077, 0.148])
    assert json.loads(found.details[2])["rate_ra_cosdec_arcsec_h"] == pytest.approx(-28.383)


@recorded
def test_skybot_without_its_hidden_columns_is_read_from_the_sexagesimal_ones():
    content = (Path(str(DATA)) / "catalogs/responses/imcce__skybot_query.vot").read_text()
    content = content.replace('ID="_raj2000" name="_RAJ2000"', 'ID="x1" name="x1"')
    content = content.replace('ID="_decj2000" name="_DECJ2000"', 'ID="x2" name="x2"')
    found = Skybot("https://x/", most_rows=10).read(reply(content), FIELD)
    assert (found.ra[0], found.dec[0]) == pytest.approx((81.3031906, 4.4903001), abs=1e-6)


def colibri():
    return AstroColibri("https://colibri/cone_search", most_rows=10)


def test_astro_colibri_is_asked_with_the_users_key_which_is_nowhere_else():
    question = colibri().question(FIELD, "the-key")
    assert question.json["uid"] == "the-key"
    assert "the-key" not in question.text
    assert question.json["filter"]["type"] == "TrueSpecification"
    assert question.json["time_range"] == {"min": "2024-12-28T00:00:00+00:00", "max": "2025-01-07T00:00:00+00:00"}
    assert question.json["properties"]["radius"] == 0.2
    assert question.json["return_format"] == "json"
    assert not question.repeatable


def test_astro_colibri_without_a_key_is_not_asked():
    with pytest.raises(QueryError) as caught:
        colibri().question(FIELD, None)
    assert caught.value.cause == "no_key"


def test_astro_colibri_events():
    event = {"source_name": "SN 2025abc", "type": "ot_sn", "classification": "SN Ia", "ra": 81.2, "dec": 4.5, "err": 0.0001,
             "trigger_id": "TNS1", "timestamp": 1735776000000}  # fmt: skip
    content = json.dumps({"voevents": [event, {"source_name": "no position"}, "junk"], "sources": []})
    found = colibri().read(reply(content), FIELD)
    assert (found.identifier.tolist(), found.kind.tolist()) == (["SN 2025abc"], ["SN Ia"])
    assert found.error_arcsec[0] == pytest.approx(0.36)
    assert json.loads(found.details[0])["trigger_id"] == "TNS1"


def test_astro_colibri_without_events():
    assert len(colibri().read(reply('{"voevents": [], "sources": []}'), FIELD)) == 0


@pytest.mark.parametrize(
    "content",
    ["<html/>", "[1, 2]", '{"message": "quota exceeded"}', '{"voevents": null}', '{"voevents": [{"ra": NaN, "dec": 1}]}',
     "[" * 100_000],
)  # fmt: skip
def test_bad_answers_of_astro_colibri(content):
    with pytest.raises(QueryError) as caught:
        colibri().read(reply(content), FIELD)
    assert caught.value.cause == "malformed"


@pytest.mark.parametrize("value", [0.0, 1e-30, -89.999999999, 359.99999])
def test_numbers_in_queries_have_no_exponent(value):
    assert "e" not in number(value)
    assert float(number(value)) == pytest.approx(value, abs=1e-8)


@pytest.mark.parametrize("name", ["x'y", 'x"; DROP TABLE t --', "a\nb", "%", "é"])
def test_names_in_queries_are_quoted(name):
    inside = quoted(name)[1:-1]
    assert inside.replace('""', "").count('"') == 0


def test_the_registry_knows_its_names_and_nothing_else():
    registry = CatalogueRegistry(simbad="a", vizier="b", vizier_tables="c", skybot="d", astro_colibri="e", most_rows=10)
    assert registry.names == ("simbad", "vsx", "milliquas", "skybot", "astro_colibri")
    assert registry.find("I/239/hip_main").name == "I/239/hip_main"
    assert registry.find("nonsense") is None
