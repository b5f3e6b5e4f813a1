"""What replicas share: tiles in object storage, and locks in the database."""

import asyncio
import hashlib
import json
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import text

from astro_shared.database.engine import make_engine
from astro_shared.database.migrations import upgrade
from astro_shared.storage.errors import StorageUnavailableError
from astro_shared.storage.folder import FolderStore
from catalogs_service.adapters.gaia.single_flight import DatabaseSingleFlight, FolderSingleFlight
from catalogs_service.adapters.gaia.tile_objects import PREFIX, TileObjects
from catalogs_service.domain.gaia import GaiaTile

TILE = GaiaTile(6, 1234)
REPLICA = Path(__file__).parents[2] / "support" / "gaia_replica.py"


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "objects", url_secret="x" * 32, public_url="http://127.0.0.1/storage")


@pytest.fixture
def tile_file(tmp_path):
    """Makes a file that stands for a tile; returns it with its hash."""

    def make(content):
        path = tmp_path / "tile.parquet"
        path.write_bytes(content)
        return path, hashlib.sha256(content).hexdigest()

    return make


def objects_of(store, *, age_s=3600.0, limit=1 << 20):
    return TileObjects(store, longest_age_s=age_s, limit_bytes=limit)


async def keys(store):
    return [stat.key async for stat in store.list(PREFIX)]


async def test_a_tile_comes_back_with_its_age_and_serves_shallower_questions(store, tile_file, tmp_path):
    objects = objects_of(store)
    await objects.keep("dr3", TILE, 19.0, *tile_file(b"stars"))
    path, depth = await objects.bring("dr3", TILE, 17.0, tmp_path)
    assert (path.read_bytes(), depth) == (b"stars", 19.0)
    assert abs(path.stat().st_mtime - time.time()) < 60
    for release, tile, asked in (("dr4", TILE, 17.0), ("dr3", GaiaTile(6, 123), 17.0), ("dr3", TILE, 21.0)):
        assert await objects.bring(release, tile, asked, tmp_path) is None


async def test_a_new_tile_replaces_the_old_one(store, tile_file, tmp_path):
    objects = objects_of(store)
    for content in (b"old", b"new", b"new"):
        await objects.keep("dr3", TILE, 19.0, *tile_file(content))
    assert len(await keys(store)) == 1
    path, _ = await objects.bring("dr3", TILE, 19.0, tmp_path)
    assert path.read_bytes() == b"new"


async def test_old_tiles_are_neither_used_nor_kept(store, tile_file, tmp_path):
    await objects_of(store).keep("dr3", TILE, 19.0, *tile_file(b"stars"))
    aged = objects_of(store, age_s=0.0)
    assert await aged.bring("dr3", TILE, 19.0, tmp_path) is None
    await aged.evict()
    assert await keys(store) == []


async def test_the_oldest_leave_a_full_store(store, tile_file):
    objects = objects_of(store, limit=25)
    for pixel in (1, 2, 3):
        await objects.keep("dr3", GaiaTile(6, pixel), 19.0, *tile_file(b"0123456789"))
        await asyncio.sleep(0.02)
    await objects.evict()
    assert [key.split("/")[-1].split(".")[0] for key in await keys(store)] == ["6-2", "6-3"]


async def test_a_damaged_object_is_no_tile(store, tile_file, tmp_path):
    path, _ = tile_file(b"something else")
    await store.put_file(f"{PREFIX}dr3/g19/6-1234.{'0' * 64}", path)
    assert await objects_of(store).bring("dr3", TILE, 19.0, tmp_path / "new") is None
    assert list((tmp_path / "new").iterdir()) == []


async def test_storage_that_is_away_is_no_tile_and_no_error(tile_file, tmp_path):
    class Away:
        async def list(self, prefix):
            raise StorageUnavailableError("away")
            yield

    objects = objects_of(Away())
    assert await objects.bring("dr3", TILE, 19.0, tmp_path) is None
    await objects.keep("dr3", TILE, 19.0, *tile_file(b"stars"))
    await objects.evict()


@pytest.fixture(params=["folder", "database"])
async def two_flights(request, tmp_path, database):
    """Locks as two processes would have them."""
    if request.param == "folder":
        yield FolderSingleFlight(tmp_path), FolderSingleFlight(tmp_path)
        return
    engines = make_engine(database), make_engine(database)
    yield tuple(map(DatabaseSingleFlight, engines))
    for engine in engines:
        await engine.dispose()


async def test_of_two_only_one_flies_and_neither_waits_for_ever(two_flights):
    flying, most = 0, 0

    async def fly(single_flight, names):
        nonlocal flying, most
        async with single_flight.only(names):
            flying += 1
            most = max(most, flying)
            await asyncio.sleep(0.05)
            flying -= 1

    one, other = two_flights
    crossing = [fly(one, ["a", "b"]), fly(other, ["b", "a"]), fly(one, ["b"]), fly(other, ["b", "c"])]
    async with asyncio.timeout(20):
        await asyncio.gather(*crossing)
    assert most == 1


async def test_other_names_fly_at_the_same_time(two_flights):
    one, other = two_flights
    async with asyncio.timeout(20), one.only(["a"]), other.only(["b"]):
        pass


async def test_a_failed_flight_gives_its_locks_back(two_flights):
    one, other = two_flights
    with pytest.raises(RuntimeError):
        async with one.only(["a"]):
            raise RuntimeError
    async with asyncio.timeout(20), other.only(["a"]):
        pass


async def test_a_connection_that_dies_ends_no_flight_and_leaves_no_lock(database):
    one, other = make_engine(database, application="dying"), make_engine(database)
    kill = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dying'")
    async with asyncio.timeout(20):
        async with DatabaseSingleFlight(one).only(["a"]), other.connect() as connection:
            await connection.execute(kill)
        async with DatabaseSingleFlight(other).only(["a"]):
            pass
        async with DatabaseSingleFlight(one).only(["a"]):
            pass
    await one.dispose()
    await other.dispose()


async def test_without_the_database_everybody_flies():
    engine = make_engine("postgresql://nobody@127.0.0.1:1/none")
    async with asyncio.timeout(20), DatabaseSingleFlight(engine).only(["a"]), DatabaseSingleFlight(engine).only(["a"]):
        pass
    await engine.dispose()


async def test_a_thousand_frames_at_two_replicas_cost_five_queries_at_most(remote, load_support, database, tmp_path):
    upgrade(database, "catalogs_service.migrations")
    support = load_support("gaia_archive")
    archive = support.GaiaArchive(support.sky())
    remote.plays(archive.play)

    async def replica(number):
        given = {
            "data_folder": str(tmp_path / f"replica-{number}"), "objects": str(tmp_path / "objects"),
            "database_url": database, "gaia_url": f"{remote.url}/tap", "frames": 500, "seed": number,
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(REPLICA), json.dumps(given), stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await process.communicate()
        assert process.returncode == 0
        return Counter(json.loads(printed.splitlines()[-1]))

    layers = sum(await asyncio.gather(replica(1), replica(2)), Counter())
    assert layers.total() == 1000
    assert set(layers) == {"archive", "cache"}
    assert len(archive.queries) <= 5, archive.queries
