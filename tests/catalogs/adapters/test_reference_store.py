"""Lists on disk: searches equal a brute force, replacement and removal leave nothing behind."""

import json
from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq
import pytest

from catalogs_service.adapters.mirror import Mirror
from catalogs_service.adapters.mirror_writer import write_mirror
from catalogs_service.adapters.partition_cache import PartitionCache
from catalogs_service.adapters.reference_store import ReferenceStore
from catalogs_service.algorithms.sphere import separation_deg, unit_vectors, within_polygon
from catalogs_service.domain.regions import Cone, Polygon
from catalogs_service.domain.stars import Stars
from catalogs_service.errors import MirrorDamagedError, ReferenceListNotFoundError


def sky(n=60_000, seed=1):
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    # a crowded field across RA 0 and both poles, so that partitions of several orders arise
    ra[:20_000], dec[:20_000] = rng.uniform(358, 362, 20_000) % 360, rng.uniform(-2, 2, 20_000)
    ra[20_000:20_002], dec[20_000:20_002] = 0.0, [90.0, -90.0]
    return Stars(
        {
            "source_id": np.arange(n),
            "ra": ra,
            "dec": dec,
            "ref_epoch": np.full(n, 2016.0),
            "phot_g_mean_mag": rng.uniform(5, 20, n).astype(np.float32),
            "pmra": rng.normal(0, 20, n),
            "pmdec": rng.normal(0, 20, n),
            "phot_variable_flag": np.array(["VARIABLE", "CONSTANT"] * (n // 2), object),
        }
    )


@pytest.fixture(scope="module")
def stars():
    return sky()


@pytest.fixture(scope="module")
def mirror(tmp_path_factory, stars):
    folder = tmp_path_factory.mktemp("mirror")
    write_mirror(folder, stars, name="sky", created_at=datetime.now(UTC), facts={"source": "test"}, threshold=2000)
    return Mirror(folder, PartitionCache(64 << 20))


@pytest.mark.parametrize(
    ("ra", "dec", "radius"),
    [(0.0, 0.0, 1.0), (359.9, 1.9, 0.3), (120.0, 90.0, 5.0), (10.0, -90.0, 2.0), (200.0, 30.0, 20.0), (5.0, 5.0, 180.0),
     (0.0, 0.0, 0.001), (90.0, 0.0, 89.0)],
)  # fmt: skip
def test_a_cone_holds_what_a_brute_force_finds(mirror, stars, ra, dec, radius):
    found = mirror.search(Cone(ra, dec, radius))
    expected = stars["source_id"][separation_deg(ra, dec, stars["ra"], stars["dec"]) <= radius]
    assert sorted(found["source_id"].tolist()) == sorted(expected.tolist())


@pytest.mark.parametrize(
    "vertices",
    [
        ((359, -1), (1, -1.5), (1.5, 1), (359.5, 1.2)),
        ((0, 80), (90, 80), (180, 80), (270, 80)),
        ((100, 0), (140, 0), (120, 30)),
    ],
)
def test_a_polygon_holds_what_a_brute_force_finds(mirror, stars, vertices):
    found = mirror.search(Polygon(vertices))
    expected = stars["source_id"][within_polygon(unit_vectors(stars["ra"], stars["dec"]), vertices)]
    assert len(expected) > 0
    assert sorted(found["source_id"].tolist()) == sorted(expected.tolist())


def test_columns_come_back_as_they_went_in(mirror, stars):
    found = mirror.search(Cone(0.0, 0.0, 0.5))
    rows = found["source_id"]
    for name in ("ra", "dec", "phot_g_mean_mag", "pmra"):
        assert found[name].dtype == stars[name].dtype
        assert np.array_equal(found[name], stars[name][rows])
    assert found["phot_variable_flag"].astype(str).tolist() == stars["phot_variable_flag"][rows].tolist()


def test_nothing_found_still_has_the_columns(tmp_path):
    store = ReferenceStore(tmp_path)
    one = Stars({"source_id": np.array([1]), "ra": np.array([10.0]), "dec": np.array([10.0])})
    found = store.save(one, name="one", scope="global", owner=None, facts={}).search(Cone(200.0, 0.0, 1.0))
    assert len(found) == 0
    assert found.names == ("source_id", "ra", "dec")


def test_layout_is_that_of_hats(mirror, stars):
    dataset = mirror.folder / "dataset"
    partitions = [tuple(part) for part in mirror.facts["partitions"]]
    info = (mirror.folder / "partition_info.csv").read_text().splitlines()
    assert info[0] == "Norder,Npix"
    assert len(info) == len(partitions) + 1
    assert len({order for order, _, _ in partitions}) > 1
    assert sum(rows for *_, rows in partitions) == len(stars)
    order, pixel, rows = partitions[0]
    table = pq.read_table(
        dataset / f"Norder={order}/Dir={pixel // 10000 * 10000}/Npix={pixel}.parquet", partitioning=None
    )
    assert table.num_rows == rows
    index = table.column("_healpix_29").to_numpy()
    assert np.all(np.diff(index) >= 0)
    assert np.all(index >> (2 * (29 - order)) == pixel)
    properties = dict(line.split("=", 1) for line in (mirror.folder / "hats.properties").read_text().splitlines())
    assert properties["hats_nrows"] == str(len(stars))
    assert properties["hats_col_healpix"] == "_healpix_29"
    assert pq.read_schema(dataset / "_common_metadata").names == table.column_names


def test_facts_describe_the_list(mirror, stars):
    facts = json.loads((mirror.folder / "mirror.json").read_text())
    assert facts["rows"] == len(stars)
    assert facts["bands"][0]["name"] == "phot_g_mean_mag"
    assert facts["ref_epoch_min"] == facts["ref_epoch_max"] == 2016.0
    assert mirror.padding_deg(2026.0) == pytest.approx(np.max(np.hypot(stars["pmra"], stars["pmdec"])) * 10 / 3.6e6)
    assert mirror.padding_deg(None) == 0.0


def small(value):
    return Stars({"source_id": np.array([value]), "ra": np.array([10.0]), "dec": np.array([10.0])})


def test_a_list_is_replaced_as_a_whole_and_the_old_generation_goes(tmp_path):
    store = ReferenceStore(tmp_path)
    store.save(small(1), name="mine", scope="user", owner="u1", facts={})
    other_process = ReferenceStore(tmp_path)
    assert other_process.find("mine", "u1").search(Cone(10, 10, 1))["source_id"].tolist() == [1]
    store.save(small(2), name="mine", scope="user", owner="u1", facts={})
    assert other_process.find("mine", "u1").search(Cone(10, 10, 1))["source_id"].tolist() == [2]
    assert len(list(tmp_path.rglob("mirror.json"))) == 1


def test_own_lists_come_before_global_ones_and_are_nobody_elses(tmp_path):
    store = ReferenceStore(tmp_path)
    store.save(small(1), name="stars", scope="global", owner=None, facts={})
    store.save(small(2), name="stars", scope="user", owner="u1", facts={})
    store.save(small(3), name="secret", scope="user", owner="../u1", facts={})
    assert store.find("stars", "u1").facts["scope"] == "user"
    assert store.find("stars", "u2").facts["scope"] == "global"
    assert store.find("stars", None).facts["scope"] == "global"
    assert store.find("secret", "u1") is None
    assert [item.facts["name"] for item in store.list("u1")] == ["stars", "stars"]
    assert [item.facts["name"] for item in store.list(None)] == ["stars"]


def test_a_removed_list_is_gone_from_disk_and_memory(tmp_path):
    store = ReferenceStore(tmp_path)
    store.save(small(1), name="mine", scope="user", owner="u1", facts={}).search(Cone(10, 10, 1))
    store.delete("mine", scope="user", owner="u1")
    assert store.find("mine", "u1") is None
    assert not list(tmp_path.rglob("*.parquet"))
    with pytest.raises(ReferenceListNotFoundError):
        store.delete("mine", scope="user", owner="u1")


def test_an_interrupted_import_leaves_the_old_list(tmp_path, monkeypatch):
    store = ReferenceStore(tmp_path)
    store.save(small(1), name="mine", scope="user", owner="u1", facts={})

    def fail(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr("catalogs_service.adapters.mirror_writer.write_partition", fail)
    with pytest.raises(OSError, match="No space"):
        store.save(small(2), name="mine", scope="user", owner="u1", facts={})
    assert store.find("mine", "u1").search(Cone(10, 10, 1))["source_id"].tolist() == [1]
    assert len(list(tmp_path.rglob("Npix=*.parquet"))) == 1


def test_a_damaged_partition_is_said_to_be_so(tmp_path):
    store = ReferenceStore(tmp_path)
    mirror = store.save(small(1), name="mine", scope="global", owner=None, facts={})
    next(mirror.folder.rglob("Npix=*.parquet")).write_bytes(b"nothing")
    with pytest.raises(MirrorDamagedError):
        mirror.search(Cone(10, 10, 1))


def test_memory_stays_within_its_limit(tmp_path, stars):
    store = ReferenceStore(tmp_path, cache_bytes=3 << 20)
    mirror = store.save(stars, name="sky", scope="global", owner=None, facts={})
    for ra in range(0, 360, 20):
        mirror.search(Cone(float(ra), 0.0, 5.0))
    assert store._cache._size <= 3 << 20 or len(store._cache._held) == 1
