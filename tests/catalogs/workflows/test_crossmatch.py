"""Cross-matching tables: rows are named by their place, nothing lost or doubled."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from astro_shared.contracts.catalogs import CrossmatchRequest
from astro_shared.contracts.objects import ObjectRef
from astro_shared.jobs.task import LocalLink, TaskContext
from catalogs_service.adapters.tables.catalogue_file import open_catalogue
from catalogs_service.algorithms.sky_match import MatchRadius
from catalogs_service.algorithms.sphere import separation_deg
from catalogs_service.domain.stars import Stars
from catalogs_service.errors import BadValuesError, EmptyCatalogueError, ReferenceListNotFoundError, TooManyRowsError
from catalogs_service.factory import make_lists
from catalogs_service.tasks import crossmatch
from catalogs_service.workflows.crossmatch import CrossmatchTables


@pytest.fixture
def run(tmp_path):
    def ref(name, columns):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table(columns), path)
        content = path.read_bytes()
        return path, ObjectRef(key=f"u/{name}", sha256=hashlib.sha256(content).hexdigest(), size=len(content))

    def go(left, right=None, most_rows=10_000_000, **options):
        (tmp_path / "work").mkdir(exist_ok=True)
        path, first = ref("left", left)
        inputs = {first.key: path}
        if right is not None:
            path, second = ref("right", right)
            inputs[second.key] = path
            options["right"] = second
        target = {"data_folder": str(tmp_path / "data"), "most_rows": most_rows, "owner": "user-1"}
        context = TaskContext(tmp_path / "work", inputs, LocalLink({"import_target": lambda _: target}))
        output = crossmatch(CrossmatchRequest(left=first, **options), context)
        return output.result, pq.read_table(output.files["crossmatch.parquet"].path).to_pandas()

    return go


def test_all_pairs_equal_a_brute_force_and_rows_are_those_of_the_files(run):
    rng = np.random.default_rng(1)
    left = {"ra": rng.uniform(359.9, 360.1, 400) % 360, "dec": rng.uniform(-0.1, 0.1, 400)}
    left["ra"][7] = np.nan
    right = {"ra": rng.uniform(359.9, 360.1, 600) % 360, "dec": rng.uniform(-0.1, 0.1, 600)}
    result, pairs = run(left, right, pairs="all", radius_floor_arcsec=20.0)
    sep = separation_deg(left["ra"][:, None], left["dec"][:, None], right["ra"][None], right["dec"][None]) * 3600
    expected = {tuple(pair) for pair in np.argwhere(np.nan_to_num(sep, nan=1e9) <= 20.0).tolist()}
    assert set(zip(pairs.left_row, pairs.right_row, strict=True)) == expected
    assert (result["left_rows"], result["right_rows"], result["pairs"]) == (400, 600, len(expected))


@pytest.mark.parametrize("every_pair", [False, True])
@pytest.mark.parametrize("file_format", ["parquet", "csv"])
def test_pieces_give_what_the_whole_gives(tmp_path, every_pair, file_format):
    """Rivals for one partner stand in different pieces, across 0h and at both poles."""
    rng = np.random.default_rng(6)
    tables = {}
    for name, n in (("left", 700), ("right", 500)):
        ra = np.concatenate([rng.uniform(359.95, 360.05, n) % 360, rng.uniform(0, 360, 2 * n)])
        dec = np.concatenate([rng.uniform(-0.05, 0.05, n), rng.uniform(89.95, 90, n), rng.uniform(-90, -89.95, n)])
        table = pa.table({"id": np.arange(3 * n) + 7, "ra": ra, "dec": dec, "ra_error": np.full(3 * n, 500.0),
                          "dec_error": rng.uniform(100, 900, 3 * n)})  # fmt: skip
        tables[name] = tmp_path / f"{name}.{file_format}"
        (pq.write_table if file_format == "parquet" else pacsv.write_csv)(table, tables[name])

    def run(**pieces):
        found = []
        made = CrossmatchTables(open_catalogue, most_rows=10_000, **pieces).run(
            tables["left"], tables["right"], radius=MatchRadius(3.0, 10.0, 60.0), every_pair=every_pair,
            epoch_jyear=None, write=found.append,
        )  # fmt: skip
        return made, {name: np.concatenate([piece[name] for piece in found]) for name in found[0]}

    whole, expected = run()
    pieced, columns = run(rows_read=97, rows_matched=211)
    assert (whole.left_rows, whole.right_rows) == (2100, 1500)
    assert whole.matched > 500
    assert pieced == whole
    for name in expected:
        # the density around a source at the edge of the list is bounded by a mean over the piece
        tolerance = {"rtol": 1.0} if name == "p_chance" else {"rtol": 0.0}
        np.testing.assert_allclose(columns[name], expected[name], **tolerance)
    if not every_pair:
        assert len(set(columns["right_row"])) == len(columns["right_row"]) == whole.matched


def test_a_bad_value_in_a_later_piece_says_where(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"ra": np.zeros(100), "dec": np.r_[np.zeros(90), 95.0, np.zeros(9)]}), path)
    workflow = CrossmatchTables(open_catalogue, most_rows=1000, rows_read=40)
    with pytest.raises(BadValuesError, match=r"After row 80: Column dec holds 95 in row 11"):
        workflow.run(path, path, radius=MatchRadius(), every_pair=False, epoch_jyear=None, write=list)


def test_tables_without_a_position_or_a_row_are_refused(run):
    with pytest.raises(EmptyCatalogueError):
        run({"ra": [np.nan, np.nan], "dec": [0.0, 0.0]}, {"ra": [1.0], "dec": [0.0]})
    with pytest.raises(EmptyCatalogueError):
        run({"ra": [1.0], "dec": [0.0]}, {"ra": np.empty(0), "dec": np.empty(0)})


@pytest.mark.parametrize(
    ("ids", "seen"),
    [(["a", "b", "c"], [1, 2, 3]), (["5", "6", "7"], [5, 6, 7]), ([2**62, 2**62 + 1, 3], [2**62, 2**62 + 1, 3])],
)
def test_identifiers_are_integers_or_row_numbers(run, ids, seen):
    places = {"ra": [1.0, 2.0, 3.0], "dec": [0.0, 0.0, 0.0]}
    assert run({"id": ids, **places}, places)[1].left_id.tolist() == seen


def test_one_to_one_uses_nothing_twice(run):
    left = {"ra": [10.0, 10.0001], "dec": [0.0, 0.0], "id": [11, 12]}
    result, pairs = run(left, {"ra": [10.0], "dec": [0.0], "id": [21]})
    assert (pairs.left_id.tolist(), pairs.right_id.tolist()) == ([11], [21])
    assert result["matched"] == 1


def test_against_a_reference_list_at_an_epoch(run, tmp_path):
    stars = Stars(
        {
            "source_id": np.array([5]), "ra": np.array([10.0]), "dec": np.array([0.0]), "ref_epoch": np.array([2000.0]),
            "pmra": np.array([0.0]), "pmdec": np.array([1000.0]),
        }
    )  # fmt: skip
    make_lists(tmp_path / "data").save(stars, name="mine", scope="user", owner="user-1", facts={})
    left = {"ra": [10.0], "dec": [20.0 / 3600], "ref_epoch": [2020.0]}
    assert run(left, reference="mine", epoch_jyear=2020.0)[0]["matched"] == 1
    assert run(left, reference="mine")[0]["matched"] == 0
    with pytest.raises(ReferenceListNotFoundError):
        run(left, reference="nobodys")


def test_too_many_rows_are_refused(run):
    with pytest.raises(TooManyRowsError):
        run({"ra": [1.0, 2.0], "dec": [0.0, 0.0]}, {"ra": [1.0], "dec": [0.0]}, most_rows=1)


def test_a_request_needs_exactly_one_other_side():
    left = ObjectRef(key="a", sha256="0" * 64, size=1)
    for options in ({}, {"right": left, "reference": "x"}):
        with pytest.raises(ValidationError):
            CrossmatchRequest(left=left, **options)
