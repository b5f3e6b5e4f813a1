"""What every object store must do; run over each adapter."""

import asyncio
import hashlib
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from astro_shared.contracts.objects import ObjectRef
from astro_shared.storage.errors import (
    InvalidKeyError,
    ObjectMissingError,
    ObjectTooLargeError,
    StorageCorruptError,
    StorageUnavailableError,
)
from astro_shared.storage.folder import FolderStore


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.integration)])
async def store(request, tmp_path):
    if request.param == "folder":
        return FolderStore(tmp_path / "objects", url_secret="s" * 32, public_url="http://localhost/storage")
    from astro_shared.testing.ceph import s3_store

    made = s3_store(request.getfixturevalue("ceph"), bucket=f"b-{uuid.uuid4()}")
    await made.prepare()
    return made


async def chunks(*parts: bytes):
    for part in parts:
        yield part


async def content(store, key: str, **span) -> bytes:
    return b"".join([chunk async for chunk in store.open(key, **span)])


async def keys(store, prefix: str) -> list[str]:
    return [stat.key async for stat in store.list(prefix)]


async def test_a_file_comes_back_as_it_was(store, tmp_path):
    data = bytes(range(256)) * 9000
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(data)
    ref = await store.put_file("uploads/ada/1", source, "application/fits")
    assert ref == ObjectRef(
        key="uploads/ada/1", sha256=hashlib.sha256(data).hexdigest(), size=len(data), media_type="application/fits"
    )
    await store.get_to_path(ref, target)
    assert target.read_bytes() == data == await content(store, ref.key)


async def test_a_stream_is_hashed_and_counted(store):
    ref = await store.put_stream("a/b", chunks(b"one ", b"", b"two"), "text/plain")
    assert (ref.size, ref.sha256) == (7, hashlib.sha256(b"one two").hexdigest())
    assert await content(store, "a/b", offset=4) == b"two"
    assert await content(store, "a/b", offset=2, length=3) == b"e t"
    empty = await store.put_stream("a/empty", chunks())
    assert empty.size == 0 and await content(store, "a/empty") == b""


async def test_too_much_leaves_nothing(store):
    with pytest.raises(ObjectTooLargeError):
        await store.put_stream("a/b", chunks(b"12345", b"67890"), max_bytes=9)
    assert await keys(store, "") == []
    assert (await store.put_stream("a/b", chunks(b"12345", b"67890"), max_bytes=10)).size == 10


async def test_a_broken_upload_leaves_what_was_there(store):
    async def broken():
        yield b"new"
        raise RuntimeError("the client went away")

    await store.put_stream("a/b", chunks(b"old"))
    with pytest.raises(RuntimeError):
        await store.put_stream("a/b", broken())
    assert await content(store, "a/b") == b"old"
    assert await keys(store, "") == ["a/b"]


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"size": 4}])
async def test_content_that_differs_from_its_reference_is_refused(store, tmp_path, change):
    ref = await store.put_stream("a/b", chunks(b"truth"))
    with pytest.raises(StorageCorruptError):
        await store.get_to_path(ref.model_copy(update=change), tmp_path / "out")
    assert not (tmp_path / "out").exists()


async def test_what_is_not_there_is_missing(store, tmp_path):
    await store.put_stream("a/b/c", chunks(b"x"))
    for key in ("a/x", "a/b", "a/b/c/d", "z"):
        ref = ObjectRef(key=key, sha256="0" * 64, size=0)
        with pytest.raises(ObjectMissingError):
            await store.stat(key)
        with pytest.raises(ObjectMissingError):
            await content(store, key)
        with pytest.raises(ObjectMissingError):
            await store.get_to_path(ref, tmp_path / "out")
        await store.delete(key)
    assert await keys(store, "") == ["a/b/c"]


async def test_stat_tells_size_and_time(store):
    await store.put_stream("a/b", chunks(b"12345"))
    stat = await store.stat("a/b")
    assert (stat.key, stat.size) == ("a/b", 5)
    assert abs(datetime.now(UTC) - stat.modified_at) < timedelta(seconds=60)


async def test_list_is_by_prefix_and_in_order(store):
    for key in ("jobs/2/b", "jobs/10/a", "jobs/2/a", "jobsother", "x"):
        await store.put_stream(key, chunks(b"x"))
    assert await keys(store, "jobs/") == ["jobs/10/a", "jobs/2/a", "jobs/2/b"]
    assert await keys(store, "jobs/2") == ["jobs/2/a", "jobs/2/b"]
    assert await keys(store, "") == ["jobs/10/a", "jobs/2/a", "jobs/2/b", "jobsother", "x"]
    assert await keys(store, "none/") == []


async def test_delete_removes_one(store):
    await store.put_stream("a/b", chunks(b"x"))
    await store.put_stream("a/c", chunks(b"x"))
    await store.delete("a/b")
    await store.delete("a/b")
    assert await keys(store, "") == ["a/c"]


@pytest.mark.parametrize(
    "key",
    ["", "/a", "a//b", "a/", "../a", "a/../b", "a/./b", ".parts/x", "a/.hidden", "a b", "a\\b", "a\0b", "a\nb", "a%2fb",
     "ä", "x" * 201, "/".join("abcdefghijklmnopq")],
)  # fmt: skip
async def test_keys_that_could_leave_the_store_are_refused(store, tmp_path, key):
    source = tmp_path / "in"
    source.write_bytes(b"x")
    with pytest.raises(InvalidKeyError):
        await store.put_file(key, source)
    with pytest.raises(InvalidKeyError):
        await store.put_stream(key, chunks(b"x"))
    with pytest.raises(InvalidKeyError):
        await content(store, key)
    with pytest.raises(InvalidKeyError):
        await store.delete(key)
    with pytest.raises(InvalidKeyError):
        await store.signed_url(key)


async def test_a_working_store_passes_its_check(store):
    await store.check()
    assert await keys(store, "") == []


async def test_preparing_twice_changes_nothing(store):
    await store.put_stream("a/b", chunks(b"x"))
    await store.prepare()
    assert await keys(store, "") == ["a/b"]


async def test_a_large_stream_comes_back_as_it_was(store, tmp_path):
    block = bytes(range(256)) * 2731
    parts = [block[:-number] for number in range(1, 31)]
    ref = await store.put_stream("a/large", chunks(*parts))
    data = b"".join(parts)
    assert (ref.size, ref.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    await store.get_to_path(ref, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data
    assert await content(store, "a/large", offset=9_000_000, length=2_000_000) == data[9_000_000:11_000_000]


async def test_a_large_file_replaces_what_was_there(store, tmp_path):
    await store.put_stream("a/b", chunks(b"old"))
    data = hashlib.sha256(b"seed").digest() * 600_000
    (tmp_path / "in").write_bytes(data)
    ref = await store.put_file("a/b", tmp_path / "in")
    await store.get_to_path(ref, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data


async def test_a_range_beyond_the_end_is_empty(store):
    await store.put_stream("a/b", chunks(b"12345"))
    assert await content(store, "a/b", offset=5) == b""
    assert await content(store, "a/b", offset=3, length=10) == b"45"
    assert await content(store, "a/b", offset=0, length=0) == b""


async def test_too_much_of_a_large_stream_leaves_what_was_there(store):
    await store.put_stream("a/b", chunks(b"old"))
    with pytest.raises(ObjectTooLargeError):
        await store.put_stream("a/b", chunks(*[bytes(1 << 20)] * 20), max_bytes=19 << 20)
    assert await content(store, "a/b") == b"old"


async def test_an_upload_that_is_cancelled_leaves_nothing(store):
    async def endless():
        for _ in range(12):
            yield bytes(1 << 20)
        started.set()
        await asyncio.sleep(60)
        yield b"never"

    started = asyncio.Event()
    task = asyncio.create_task(store.put_stream("a/b", endless()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await keys(store, "") == []


async def test_a_file_that_is_in_the_way_stays(store, tmp_path):
    ref = await store.put_stream("a/b", chunks(b"new"))
    (tmp_path / "out").write_bytes(b"mine")
    with pytest.raises(StorageUnavailableError):
        await store.get_to_path(ref, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"mine"
