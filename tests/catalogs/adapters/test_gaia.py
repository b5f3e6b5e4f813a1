"""Gaia by tiles: nothing cut, nothing asked twice, the second source where the first fails."""

import asyncio
import itertools
import json
import os
from pathlib import Path

import astropy.units as u
import httpx
import numpy as np
import pytest
from astropy.table import Table

from astro_shared.testing.real_data import MISSING, find_real_data
from catalogs_service.adapters.gaia.gaia_tiles import GaiaPlace, GaiaTiles
from catalogs_service.adapters.gaia.places import archive_table, vizier_table
from catalogs_service.adapters.gaia.single_flight import FolderSingleFlight
from catalogs_service.adapters.gaia.tap import GaiaTap
from catalogs_service.adapters.gaia.tile_cache import TileCache
from catalogs_service.adapters.partition_cache import PartitionCache
from catalogs_service.adapters.reference_store import ReferenceStore
from catalogs_service.adapters.upstream.breaker_store import LocalBreakerStore
from catalogs_service.adapters.upstream.client import Deadlines, UpstreamClient
from catalogs_service.adapters.upstream.gate import UpstreamGate
from catalogs_service.algorithms.sphere import separation_deg
from catalogs_service.domain.columns import BY_NAME, GAIA_COLUMNS
from catalogs_service.domain.gaia import GaiaTile, checked_release, depth_for
from catalogs_service.domain.regions import Cone, Polygon
from catalogs_service.domain.stars import Selection
from catalogs_service.domain.upstream_state import Limits
from catalogs_service.errors import QueryError, ReferenceUnavailableError
from catalogs_service.workflows.find_reference_stars import FindReferenceStars

CONE = Cone(120.0, 30.0, 0.3)
DATA = find_real_data()


@pytest.fixture
def archive(remote, load_support):
    support = load_support("gaia_archive")
    made = support.GaiaArchive(support.sky())
    remote.plays(made.play)
    return made


@pytest.fixture
async def make(tmp_path, remote):
    memory = LocalBreakerStore()
    async with httpx.AsyncClient(trust_env=False) as http:

        def build(*, rows_per_query=10_000, first="archive", second=True, wait_s=10.0, process=0):
            def asker(name):
                gate = UpstreamGate(memory, name, Limits(1000.0, 4))
                return UpstreamClient(http, gate, Deadlines(1.0, 1.0, 5.0), user_agent="alidade/test")

            main = GaiaTap(
                "the Gaia archive", asker("gaia"), sync_url=f"{remote.url}/tap/sync", async_url=f"{remote.url}/tap/async",
                rows_per_query=rows_per_query,
            )  # fmt: skip
            other = GaiaTap(
                "VizieR", asker("vizier"), sync_url=f"{remote.url}/vizier/sync", rows_per_query=rows_per_query
            )
            places = [GaiaPlace("archive", main, archive_table)]
            places += [GaiaPlace("vizier", other, vizier_table)] if second else []
            cache = TileCache(
                tmp_path / "tiles", longest_age_s=3600, limit_bytes=1 << 30, memory=PartitionCache(64 << 20)
            )
            return GaiaTiles(cache, places, single_flight=FolderSingleFlight(tmp_path / "locks"), wait_s=wait_s)

        yield build


def expected(rows, cone, limit):
    centre = cone.ra_deg, cone.dec_deg
    inside = [row for row in rows if separation_deg(*centre, row["ra"], row["dec"]) <= cone.radius_deg]
    return sorted(row["source_id"] for row in inside if row["phot_g_mean_mag"] < limit)


async def cone_of(tiles, tmp_path, cone=CONE, **selection):
    chain = FindReferenceStars(ReferenceStore(tmp_path / "lists"), tiles)
    return await chain.find("gaia", cone, Selection(**({"mag_limit": 19.0} | selection)), owner=None)


def test_a_tile_is_one_range_of_identifiers():
    low, high = GaiaTile(6, 100).id_range()
    assert low == 100 * 4**6 * 2**35
    assert (low >> 47, high >> 47, (high + 1) >> 47) == (100, 100, 101)
    children = [child.id_range() for child in GaiaTile(6, 100).children()]
    assert (children[0][0], children[-1][1]) == (low, high)
    assert all(a[1] + 1 == b[0] for a, b in itertools.pairwise(children))


@pytest.mark.parametrize(
    ("limit", "radius", "depth"),
    [(12.0, 1.0, 17.0), (17.0, 1.0, 17.0), (17.1, 1.0, 19.0), (22.0, 1.0, 21.0), (None, 0.3, 21.0), (None, 3.0, 17.0)],
)
def test_depth_layers(limit, radius, depth):
    assert depth_for(limit, radius) == depth


@pytest.mark.parametrize("release", ["dr3; DROP", "DR3", "", "dr333", "gaiadr3"])
def test_a_release_is_a_word_of_ours(release):
    with pytest.raises(QueryError):
        checked_release(release)


async def test_the_archive_is_asked_once_for_whole_tiles(make, archive, remote, tmp_path):
    tiles = make()
    found = await cone_of(tiles, tmp_path)
    assert found.layer == "archive"
    assert sorted(found.stars["source_id"].tolist()) == expected(archive.rows, CONE, 19.0)
    assert found.stars["source_id"].dtype == np.int64
    assert found.stars.names == GAIA_COLUMNS
    assert np.isnan(found.stars["pmra"]).any()
    assert len(archive.queries) == 2
    again = await cone_of(make(), tmp_path, Cone(120.05, 30.05, 0.2))
    assert again.layer == "cache"
    assert sorted(again.stars["source_id"].tolist()) == expected(archive.rows, Cone(120.05, 30.05, 0.2), 19.0)
    assert len(archive.queries) == 2


async def test_a_deep_tile_serves_a_bright_question(make, archive, tmp_path):
    await cone_of(make(), tmp_path, mag_limit=20.5)
    bright = await cone_of(make(), tmp_path, mag_limit=15.0)
    assert bright.layer == "cache"
    assert sorted(bright.stars["source_id"].tolist()) == expected(archive.rows, CONE, 15.0)
    assert len(archive.queries) == 2


async def test_long_answers_come_by_an_asynchronous_job_that_is_removed(make, archive, remote, tmp_path, monkeypatch):
    monkeypatch.setattr("catalogs_service.adapters.gaia.tap._SYNC_ROWS", 10)
    monkeypatch.setattr("catalogs_service.adapters.gaia.tap._FIRST_POLL_S", 0.01)
    found = await cone_of(make(), tmp_path)
    assert sorted(found.stars["source_id"].tolist()) == expected(archive.rows, CONE, 19.0)
    assert archive.removed == ["1O"]
    # the job's address pointed to another host and was not followed
    assert all("elsewhere" not in heard.target for heard in remote.heard)


async def test_a_failed_job_is_said_and_the_second_source_asked(make, archive, tmp_path, monkeypatch):
    monkeypatch.setattr("catalogs_service.adapters.gaia.tap._SYNC_ROWS", 10)
    monkeypatch.setattr("catalogs_service.adapters.gaia.tap._FIRST_POLL_S", 0.01)
    archive.phases = ["EXECUTING", "ERROR"]
    found = await cone_of(make(), tmp_path)
    assert found.layer == "vizier"
    assert sorted(found.stars["source_id"].tolist()) == expected(archive.rows, CONE, 19.0)
    assert found.stars.names == GAIA_COLUMNS


async def test_tiles_with_too_many_stars_are_split(make, archive, tmp_path):
    found = await cone_of(make(rows_per_query=100), tmp_path)
    assert sorted(found.stars["source_id"].tolist()) == expected(archive.rows, CONE, 19.0)
    assert len(archive.queries) > 4


async def test_an_answer_that_was_cut_is_never_believed(make, archive, tmp_path):
    archive.lose = 1
    with pytest.raises(ReferenceUnavailableError, match="the answer was cut") as caught:
        await cone_of(make(), tmp_path)
    assert set(caught.value.layers) == {"mirror", "cache", "archive", "vizier"}
    assert not list((tmp_path / "tiles").rglob("*.parquet"))
    archive.lose = 0
    assert (await cone_of(make(), tmp_path)).layer == "archive"


@pytest.mark.parametrize("content", ["<html>down</html>", "source_id,ra\n1,abc\n", "", "nothing,of,this\n1,2,3\n"])
async def test_nonsense_is_malformed_and_not_kept(make, remote, play, tmp_path, content):
    remote.plays(play.answers(content, media_type="text/csv"))
    with pytest.raises(ReferenceUnavailableError) as caught:
        await cone_of(make(), tmp_path)
    assert {"archive", "vizier"} <= set(caught.value.layers)
    assert not list((tmp_path / "tiles").rglob("*.parquet"))


async def test_a_refusal_of_the_service_is_passed_on(make, remote, play, tmp_path):
    refusal = (
        '<VOTABLE><RESOURCE><INFO name="QUERY_STATUS" value="ERROR">Cannot parse query</INFO></RESOURCE></VOTABLE>'
    )
    remote.plays(play.answers(refusal))
    with pytest.raises(ReferenceUnavailableError, match="Cannot parse query"):
        await cone_of(make(), tmp_path)


async def test_a_thousand_frames_of_one_field_cost_five_queries_at_most(make, archive, tmp_path):
    processes = [make() for _ in range(4)]
    rng = np.random.default_rng(1)
    # fifty at a time from each of four processes; the rest would come from the cache like these
    jobs = [
        cone_of(tiles, tmp_path, Cone(120 + dx, 30 + dy, 0.2))
        for tiles in processes for dx, dy in rng.uniform(-0.02, 0.02, (25, 2))
    ]  # fmt: skip
    found = await asyncio.gather(*jobs)
    assert len(found) == 100
    assert len(archive.queries) <= 5


async def test_a_slow_archive_is_fetched_behind_the_callers_back(make, archive, remote, tmp_path):
    async def slow(heard, writer):
        await asyncio.sleep(0.2)
        archive.play(heard, writer)

    remote.plays(slow)
    tiles = make(wait_s=0.05)
    with pytest.raises(ReferenceUnavailableError, match="ask again"):
        await cone_of(tiles, tmp_path)
    await tiles.settle()
    assert (await cone_of(tiles, tmp_path)).layer == "cache"


async def test_an_empty_field_is_known_to_be_empty(make, archive, tmp_path):
    nowhere = Cone(300.0, -60.0, 0.2)
    assert len((await cone_of(make(), tmp_path, nowhere)).stars) == 0
    assert (await cone_of(make(), tmp_path, nowhere)).layer == "cache"
    assert len(archive.queries) == 1


async def test_old_tiles_are_fetched_again(make, archive, tmp_path):
    await cone_of(make(), tmp_path)
    for path in (tmp_path / "tiles").rglob("*.parquet"):
        os.utime(path, (1, 1))
    assert (await cone_of(make(), tmp_path)).layer == "archive"


async def test_the_oldest_tiles_leave_a_full_cache(make, archive, tmp_path):
    await cone_of(make(), tmp_path)
    files = sorted((tmp_path / "tiles").rglob("*.parquet"))
    for age, path in enumerate(files):
        os.utime(path, (2e9 + age, 2e9 + age))
    limit = sum(path.stat().st_size for path in files) - 1
    TileCache(tmp_path / "tiles", longest_age_s=1, limit_bytes=limit, memory=PartitionCache(1 << 20)).evict()
    assert sorted((tmp_path / "tiles").rglob("*.parquet")) == files[1:]


async def test_polygons_and_epochs_reach_beyond_their_tiles(make, archive, tmp_path):
    polygon = Polygon(((119.8, 29.8), (120.2, 29.8), (120.2, 30.2), (119.8, 30.2)))
    found = await cone_of(make(), tmp_path, polygon)
    assert len(found.stars) > 20
    moved = await cone_of(make(), tmp_path, epoch_jyear=2025.0, propagate=True)
    assert moved.stars["ref_epoch"].tolist()[0] == 2025.0


async def test_a_whole_sky_is_not_fetched(make, archive, tmp_path):
    with pytest.raises(ReferenceUnavailableError, match="too large"):
        await cone_of(make(), tmp_path, Cone(0.0, 0.0, 60.0))
    assert archive.queries == []


@pytest.mark.skipif(DATA is None, reason=MISSING)
async def test_recorded_stars_are_the_same_under_the_names_of_either_source(make, remote, load_support, tmp_path):
    answer = json.loads((Path(str(DATA)) / "catalogs/responses/gaia__cone_search.json").read_text())
    names = [column["name"] for column in answer["metadata"]]
    rows = [dict(zip(names, row, strict=True)) for row in answer["data"]]
    remote.plays(load_support("gaia_archive").GaiaArchive(rows).play)
    cell = GaiaTile(6, rows[0]["source_id"] >> 47)
    tiles = make()
    ours, theirs = [
        (await place.tap.tiles(place.table("dr3"), [cell], 21.0))[cell] for place in tiles._places
    ]  # fmt: skip
    assert len(ours) > 5
    assert ours["source_id"].tolist() == theirs["source_id"].tolist()
    for name in ("ra", "dec", "pmra", "parallax", "phot_g_mean_mag", "ruwe", "ra_dec_corr"):
        assert np.array_equal(ours[name], theirs[name], equal_nan=True)
    assert ours["ref_epoch"].tolist() == theirs["ref_epoch"].tolist()


@pytest.mark.skipif(DATA is None, reason=MISSING)
def test_our_names_and_units_of_vizier_are_those_of_a_recorded_table():
    """Gaia's columns as VizieR wrote them into ATLAS-REFCAT2, read without any name of ours."""
    recorded = Table.read(Path(str(DATA)) / "catalogs" / "all_refcat2_ey_uma.ecsv")
    names = {ours: theirs for ours, theirs in vizier_table("dr3").columns.items() if theirs in recorded.colnames}
    assert set(names) >= {"ra", "dec", "parallax", "pmra", "pmdec", "pmra_error", "phot_g_mean_mag", "phot_bp_mean_mag"}
    for ours, theirs in names.items():
        assert recorded[theirs].unit == u.Unit(BY_NAME[ours].unit), theirs


@pytest.mark.skipif(DATA is None, reason=MISSING)
def test_every_column_that_we_ask_the_archive_for_is_in_its_recorded_answer():
    answer = json.loads((Path(str(DATA)) / "catalogs/responses/gaia__cone_search.json").read_text())
    units = {column["name"]: (column.get("unit") or "").replace(".yr**-1", "/yr").replace(".s**-1", "/s") for column in
             answer["metadata"]}  # fmt: skip
    for name in GAIA_COLUMNS:
        assert name in units
        assert u.Unit(units[name]) == u.Unit(BY_NAME[name].unit), name
