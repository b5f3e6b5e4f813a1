"""Names and tables that nobody should send, and answers that nobody should give, in sizes that hurt."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from astro_shared.contracts.settings import IdentificationSettings
from catalogs_service.adapters.catalogues.registry import CatalogueRegistry
from catalogs_service.adapters.catalogues.vsx import Vsx
from catalogs_service.adapters.reference_store import ReferenceStore
from catalogs_service.adapters.tables.catalogue_file import open_catalogue
from catalogs_service.domain.questions import Reply, SkyField
from catalogs_service.domain.regions import Cone
from catalogs_service.errors import BadValuesError, EmptyCatalogueError, TooManyRowsError
from catalogs_service.workflows.import_reference import ImportReference

NAMES = ["it's", 'a"b', "a;DROP TABLE b", "a\nb", "a\r\nX: y", "x" * 10_000, "", " ", "\x00", "ä", "../../etc/passwd"]


@pytest.mark.parametrize("name", NAMES)
def test_no_strange_name_is_a_catalogue(name):
    with pytest.raises(ValidationError):
        IdentificationSettings(catalogues=(name,))
    urls = dict.fromkeys(("simbad", "vizier", "vizier_tables", "skybot", "astro_colibri"), "http://127.0.0.1:9/")
    assert CatalogueRegistry(**urls, most_rows=1).find(name) is None


def test_names_of_vizier_tables_are_settings():
    names = ("simbad", "I/239/hip_main", "J/A+A/600/L12/table1", "II/246/out")
    assert IdentificationSettings(catalogues=names).catalogues == names


@pytest.fixture
def import_table(tmp_path):
    lists = ReferenceStore(tmp_path / "lists")

    def go(columns, *, most_rows=10_000_000):
        path = tmp_path / "table.parquet"
        pq.write_table(pa.table(columns), path)
        workflow = ImportReference(lists, open_catalogue, most_rows=most_rows)
        return workflow.run(path, name="x", source="x", scope="global", owner=None)

    return go


def test_a_file_without_rows_is_refused_and_leaves_the_old_list(import_table):
    import_table({"ra": [1.0], "dec": [2.0]})
    with pytest.raises(EmptyCatalogueError):
        import_table({"ra": np.empty(0), "dec": np.empty(0)})
    assert import_table({"ra": [1.0], "dec": [2.0]}).facts["rows"] == 1


@pytest.mark.parametrize(("ra", "dec"), [(361.0, 0.0), (-181.0, 0.0), (10.0, 90.5), (10.0, -91.0)])
def test_positions_off_the_sky_are_refused(import_table, ra, dec):
    with pytest.raises(BadValuesError, match="off the sky"):
        import_table({"ra": [1.0, ra], "dec": [2.0, dec]})


def test_one_row_too_many_is_refused(import_table):
    with pytest.raises(TooManyRowsError, match="3 rows; a list takes at most 2"):
        import_table({"ra": [1.0, 2.0, 3.0], "dec": [1.0, 2.0, 3.0]}, most_rows=2)


def test_duplicated_rows_are_counted_and_shared_identifiers_said(import_table):
    made = import_table({"source_id": [5, 5, 5, 6], "ra": [1.0, 1.0, 2.0, 3.0], "dec": [1.0, 1.0, 2.0, 3.0]})
    assert made.facts["rows"] == 3
    assert any("1 repeated rows were left out" in note for note in made.facts["notes"])
    assert any("1 rows share an identifier" in note for note in made.facts["notes"])


@pytest.mark.slow
def test_ten_million_rows_become_a_list_in_which_nothing_is_lost(import_table):
    n = 10_000_000
    rng = np.random.default_rng(7)
    ra, dec = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    made = import_table({"source_id": np.arange(n), "ra": ra, "dec": dec})
    assert made.facts["rows"] == n
    cone = Cone(120.0, 45.0, 1.0)
    found = made.search(cone)
    near = np.flatnonzero((np.abs(ra - 120.0) < 3) & (np.abs(dec - 45.0) < 1.1))
    a, b = np.radians(ra[near] - 120.0), np.radians(dec[near])
    cosine = np.sin(b) * np.sin(np.radians(45)) + np.cos(b) * np.cos(np.radians(45)) * np.cos(a)
    assert sorted(found["source_id"]) == near[cosine >= np.cos(np.radians(1.0))].tolist()


@pytest.mark.slow
def test_a_million_rows_of_an_upstream_are_an_overflow():
    rows = "".join(f"<TR><TD>V{k}</TD><TD>E</TD><TD>10.5</TD><TD>20.5</TD></TR>" for k in range(1_000_000))
    fields = (
        '<FIELD name="Name" datatype="char" arraysize="*"/><FIELD name="Type" datatype="char" arraysize="*"/>'
        '<FIELD name="RAJ2000" datatype="double" unit="deg"/><FIELD name="DEJ2000" datatype="double" unit="deg"/>'
    )
    table = f"<TABLE>{fields}<DATA><TABLEDATA>{rows}</TABLEDATA></DATA></TABLE>"
    document = f"<VOTABLE><RESOURCE>{table}</RESOURCE></VOTABLE>"
    found = Vsx("http://127.0.0.1:9/", most_rows=50_000).read(
        Reply(200, document.encode()), SkyField(Cone(10.5, 20.5, 1.0))
    )
    assert found.overflow
    assert len(found) == 50_000
