"""Cross-matching tables: rows are named by their place, nothing lost or doubled."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from astro_shared.contracts.catalogs import CrossmatchRequest
from astro_shared.contracts.objects import ObjectRef
from astro_shared.jobs.task import LocalLink, TaskContext
from catalogs_service.algorithms.sphere import separation_deg
from catalogs_service.domain.stars import Stars
from catalogs_service.errors import ReferenceListNotFoundError, TooManyRowsError
from catalogs_service.factory import make_lists
from catalogs_service.tasks import crossmatch


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
