"""Lists matched with a margin of the second one, by a matcher that only remembers what it is asked."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs_service.adapters.hats_product import PairCount, count_pairs, packed
from catalogs_service.adapters.margin_writer import write_margin
from catalogs_service.adapters.mirror import Mirror
from catalogs_service.adapters.mirror_writer import partition_path, write_mirror
from catalogs_service.adapters.partition_cache import PartitionCache
from catalogs_service.algorithms.healpix import cells
from catalogs_service.domain.stars import Stars
from catalogs_service.errors import ReferenceListNotFoundError, ReferenceReplacedError
from catalogs_service.workflows.match_surveys import MatchSurveys


class Lists(dict):
    def find(self, name, owner):
        return self.get(name)


class Remembers:
    def match(self, left, right, margin, out, *, report, **options):
        self.asked = (left, right, margin, out, options)
        report(0.5)


@pytest.fixture
def make_list(tmp_path):
    def make(name, ra, dec, threshold=50):
        stars = Stars({"source_id": np.arange(len(ra)), "ra": ra, "dec": dec})
        (tmp_path / name).mkdir()
        write_mirror(tmp_path / name, stars, name=name, created_at=datetime.now(UTC), facts={}, threshold=threshold)
        return Mirror(tmp_path / name, PartitionCache(1 << 20))

    return make


@pytest.fixture
def field(make_list):
    """A list around 0h that has several partitions."""
    rng = np.random.default_rng(9)
    return make_list("field", rng.uniform(-1, 1, 2000) % 360, rng.uniform(-1, 1, 2000))


def run(lists, out, **options):
    matcher, heard = Remembers(), []
    given = {"radius_arcsec": 5.0, "neighbours": 2, "all_columns": False} | options
    workflow = MatchSurveys(lists, write_margin, matcher)
    made = workflow.run("left", "right", "ann", out, report=lambda *said: heard.append(said), **given)
    return made, matcher.asked, heard


def test_the_second_list_is_given_its_margin(field, make_list, tmp_path):
    alone = make_list("alone", np.array([10.0]), np.array([20.0]))
    out = tmp_path / "matched"
    made, asked, heard = run(Lists(left=alone, right=field), out)
    assert (made.left_rows, made.right_rows) == (1, 2000)
    assert 20 < made.margin_rows < 2000
    assert asked[:4] == (alone.folder, field.folder, tmp_path / "matched_margin", out)
    assert asked[4] == {"radius_arcsec": 5.0, "neighbours": 2, "all_columns": False}
    fractions = [fraction for fraction, _, _ in heard]
    assert fractions == sorted(fractions)
    assert {step for _, step, _ in heard} == {"margin", "match"}


def test_a_margin_is_a_hats_catalogue_of_rows_beside_its_cells(field, tmp_path):
    rows = write_margin(field, tmp_path / "margin", radius_arcsec=5.0)
    lines = (tmp_path / "margin" / "partition_info.csv").read_text().splitlines()[1:]
    seen = 0
    for order, pixel in (map(int, line.split(",")) for line in lines):
        table = pq.read_table(tmp_path / "margin" / partition_path(order, pixel))
        inside = cells(table["ra"].to_numpy(), table["dec"].to_numpy(), order) == pixel
        assert not inside.any()
        assert table["_healpix_29"].to_pylist() == sorted(table["_healpix_29"].to_pylist())
        seen += len(table)
    assert seen == rows
    said = (tmp_path / "margin" / "hats.properties").read_text()
    for line in (
        "dataproduct_type=margin",
        "hats_primary_table_url=field",
        "hats_margin_threshold=5.0",
        f"hats_nrows={rows}",
    ):
        assert line in said.splitlines()


def test_a_list_far_from_any_border_has_no_margin(make_list, tmp_path):
    alone = make_list("alone", np.array([10.0]), np.array([20.0]))
    made, asked, _ = run(Lists(left=alone, right=alone), tmp_path / "matched")
    assert (made.margin_rows, asked[2]) == (0, None)
    assert not (tmp_path / "matched_margin").exists()


@pytest.mark.parametrize("missing", ["left", "right"])
def test_a_list_that_is_not_there_is_named(field, tmp_path, missing):
    lists = Lists(left=field, right=field)
    del lists[missing]
    with pytest.raises(ReferenceListNotFoundError, match=f"no reference list {missing}"):
        run(lists, tmp_path / "matched")


def test_a_list_that_is_replaced_meanwhile_is_begun_anew(field, make_list, tmp_path):
    lists = Lists(left=field, right=field)
    newer = make_list("newer", np.array([10.0]), np.array([20.0]))

    class Replaces:
        def match(self, *given, **options):
            lists["right"] = newer
            raise FileNotFoundError("Npix=3.parquet")

    given = {"radius_arcsec": 5.0, "neighbours": 1, "all_columns": False}
    with pytest.raises(ReferenceReplacedError, match="list right was replaced") as caught:
        MatchSurveys(lists, write_margin, Replaces()).run("left", "right", None, tmp_path / "matched", **given)
    assert caught.value.retryable


def test_pairs_are_counted_and_packed(tmp_path):
    folder = tmp_path / "matched"
    for pixel, ids in ((3, [1, 1, 2]), (5, [7])):
        path = folder / partition_path(2, pixel)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"source_id_left": ids}), path)
    assert count_pairs(folder) == PairCount(pairs=4, matched=3, partitions=2)
    assert packed(folder, tmp_path / "matched.tar").stat().st_size > 1000
