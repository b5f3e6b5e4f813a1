"""The S3 store's own matters, against a real Ceph RADOS gateway."""

import hashlib
import uuid
from datetime import timedelta

import httpx
import minio.api
import minio.time
import pytest

from astro_shared.storage.errors import (
    ObjectMissingError,
    StorageCorruptError,
    StorageFullError,
    StorageRefusedError,
    StorageUnavailableError,
)
from astro_shared.testing.ceph import S3Account, s3_store

pytestmark = pytest.mark.integration


async def chunks(*parts: bytes):
    for part in parts:
        yield part


@pytest.fixture
def bucket() -> str:
    return f"b-{uuid.uuid4()}"


@pytest.fixture
async def store(ceph, bucket):
    made = s3_store(ceph, bucket=bucket)
    await made.prepare()
    return made


def one_line(error: Exception) -> str:
    text = str(error)
    assert "\n" not in text and len(text) < 250
    return text


async def test_a_program_puts_exactly_what_was_announced(store):
    url = await store.signed_url("up/1", method="PUT", max_bytes=5)
    async with httpx.AsyncClient(trust_env=False) as http:
        for wrong in (b"123456", b"1234", b""):
            assert (await http.put(url, content=wrong)).status_code == 403
        with pytest.raises(ObjectMissingError):
            await store.stat("up/1")
        assert (await http.put(url, content=b"12345")).status_code == 200
        assert (await http.get(url)).status_code == 403
    assert (await store.stat("up/1")).size == 5


async def test_a_download_has_the_name_and_type_that_were_signed(store):
    await store.put_stream("a/b", chunks(b"12345"), "application/fits")
    url = await store.signed_url("a/b", filename="M 31 é.csv", media_type="text/csv")
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(url)
        assert (answer.status_code, answer.content) == (200, b"12345")
        assert answer.headers["content-type"] == "text/csv"
        assert "filename*=UTF-8''M%2031%20%C3%A9.csv" in answer.headers["content-disposition"]
        assert (await http.get(url.replace("a/b", "a/c"))).status_code == 403
        assert (await http.get(url.replace("text%2Fcsv", "text%2Fhtml"))).status_code == 403


async def test_an_address_expires(store):
    import asyncio

    await store.put_stream("a/b", chunks(b"12345"))
    url = await store.signed_url("a/b", expires_s=1)
    await asyncio.sleep(2.1)
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(url)).status_code == 403


async def test_a_browser_sends_a_form_of_bounded_size(store):
    form = await store.upload_form("up/2", max_bytes=10)
    async with httpx.AsyncClient(trust_env=False) as http:
        too_much = await http.post(form.url, data=form.fields, files={"file": ("x", b"12345678901")})
        assert too_much.status_code in (400, 403)
        other = await http.post(form.url, data={**form.fields, "key": "up/3"}, files={"file": ("x", b"1")})
        assert other.status_code == 403
        right = await http.post(form.url, data=form.fields, files={"file": ("x", b"1234567890")})
        assert right.status_code == 204
    assert [stat.key async for stat in store.list("")] == ["up/2"]


async def test_signed_addresses_name_the_public_endpoint(ceph, store, bucket):
    other = s3_store(ceph, bucket=bucket, public_endpoint="https://objects.example.org")
    assert (await other.signed_url("a/b")).startswith(f"https://objects.example.org/{bucket}/a/b?")
    assert (await other.upload_form("a/b", max_bytes=1)).url == f"https://objects.example.org/{bucket}"
    outside = s3_store(ceph, bucket=bucket, public_endpoint=f"http://localhost:{ceph.port}")
    await outside.put_stream("a/b", chunks(b"x"))
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(await outside.signed_url("a/b"))).content == b"x"


async def test_tls_with_a_private_authority(ceph, bucket):
    store = s3_store(ceph, bucket=bucket, endpoint=ceph.tls_endpoint, ca_file=ceph.folder / "ca.pem")
    await store.prepare()
    ref = await store.put_stream("a/b", chunks(*[bytes(3 << 20)] * 4))
    assert (await store.stat("a/b")).size == ref.size == 12 << 20


async def test_a_wrong_authority_is_one_line(ceph, bucket, tmp_path):
    import trustme

    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    for ca_file in (tmp_path / "other.pem", None):
        store = s3_store(ceph, bucket=bucket, endpoint=ceph.tls_endpoint, ca_file=ca_file)
        with pytest.raises(StorageUnavailableError, match="certificate is not trusted") as raised:
            await store.check()
        assert "s3_ca_file" in one_line(raised.value)


async def test_http_where_https_is_spoken_is_one_line(ceph, bucket):
    store = s3_store(ceph, bucket=bucket, endpoint=f"https://127.0.0.1:{ceph.port}", ca_file=ceph.folder / "ca.pem")
    with pytest.raises(StorageUnavailableError, match="http or https") as raised:
        await store.check()
    one_line(raised.value)


async def test_a_bucket_that_is_missing_is_one_line(ceph, bucket, tmp_path):
    store = s3_store(ceph, bucket=bucket)
    (tmp_path / "in").write_bytes(b"x")
    for attempt in (
        store.check(),
        store.stat("a/b"),
        store.put_file("a/b", tmp_path / "in"),
        store.put_stream("a/b", chunks(b"x")),
        store.delete("a/b"),
    ):
        with pytest.raises(StorageUnavailableError, match=f"there is no bucket {bucket}") as raised:
            await attempt
        one_line(raised.value)


async def test_a_wrong_secret_is_one_line(ceph, store, bucket):
    await store.put_stream("a/b", chunks(b"x"))
    for account, word in (
        (S3Account("x", ceph.account.access_key, "wrong"), "secret key"),
        (S3Account("x", "nobody", "wrong"), "access key is not known"),
    ):
        other = s3_store(ceph, bucket=bucket, account=account)
        for attempt in (other.check(), other.stat("a/b"), other.put_stream("a/c", chunks(b"x"))):
            with pytest.raises(StorageRefusedError, match=word) as raised:
                await attempt
            assert "wrong" not in one_line(raised.value)


async def test_somebody_elses_bucket_is_one_line(ceph, store, bucket):
    name = uuid.uuid4().hex[:8]
    account = ceph.make_account(S3Account(name, f"{name}-key", f"{name}-secret"))
    other = s3_store(ceph, bucket=bucket, account=account)
    for attempt in (other.check(), other.prepare(), other.put_stream("a/b", chunks(b"x")), other.stat("a/b")):
        with pytest.raises(StorageRefusedError, match=f"may not use bucket {bucket}") as raised:
            await attempt
        one_line(raised.value)


async def test_a_full_bucket_is_one_line_and_leaves_nothing(ceph, store, bucket):
    await store.put_stream("a/b", chunks(b"x" * 5000))
    ceph.admin("quota", "set", "--quota-scope=bucket", f"--bucket={bucket}", "--max-size=1M")
    ceph.admin("quota", "enable", "--quota-scope=bucket", f"--bucket={bucket}")
    for parts in ([bytes(2 << 20)], [bytes(1 << 20)] * 20):
        with pytest.raises(StorageFullError, match=f"bucket {bucket} is full") as raised:
            await store.put_stream("a/c", chunks(*parts))
        one_line(raised.value)
    assert [stat.key async for stat in store.list("")] == ["a/b"]


async def test_a_clock_that_is_wrong_is_one_line(store, monkeypatch):
    now = minio.time.utcnow
    monkeypatch.setattr(minio.time, "utcnow", lambda: now() - timedelta(hours=2))
    for attempt in (store.check(), store.put_stream("a/b", chunks(b"x"))):
        with pytest.raises(StorageRefusedError, match="clocks") as raised:
            await attempt
        one_line(raised.value)


async def test_a_lying_hash_is_one_line(store, tmp_path):
    ref = await store.put_stream("a/b", chunks(b"truth"))
    lie = ref.model_copy(update={"sha256": hashlib.sha256(b"lie").hexdigest()})
    with pytest.raises(StorageCorruptError) as raised:
        await store.get_to_path(lie, tmp_path / "out")
    one_line(raised.value)
    assert not (tmp_path / "out").exists()


async def test_what_breaks_off_leaves_no_parts(store, bucket):
    async def broken():
        for _ in range(20):
            yield bytes(1 << 20)
        raise RuntimeError("the client went away")

    with pytest.raises(RuntimeError):
        await store.put_stream("a/b", broken())
    assert store._client._list_multipart_uploads(bucket).uploads == []


async def test_reading_goes_on_where_the_connection_broke(store, tmp_path, monkeypatch):
    data = hashlib.sha256(b"seed").digest() * 200_000
    ref = await store.put_stream("a/b", chunks(data))
    get, calls = store._client.get_object, []

    def breaking(*args, **options):
        response = get(*args, **options)
        calls.append(options["offset"])
        if len(calls) <= 2:
            read, count = response.read, iter(range(10))

            def short(size):
                if next(count) == 2:
                    raise minio.api.urllib3.exceptions.ProtocolError("connection reset")
                return read(size)

            monkeypatch.setattr(response, "read", short)
        return response

    monkeypatch.setattr(store._client, "get_object", breaking)
    await store.get_to_path(ref, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data
    assert calls == [0, 2 << 20, 4 << 20]


async def test_an_object_that_changes_while_it_is_read_is_not_mixed(store, monkeypatch):
    await store.put_stream("a/b", chunks(b"a" * (3 << 20)))
    get = store._client.get_object

    def breaking(*args, **options):
        response = get(*args, **options)
        read, count = response.read, iter(range(10))

        def short(size):
            if next(count) == 1:
                raise minio.api.urllib3.exceptions.ProtocolError("connection reset")
            return read(size)

        monkeypatch.setattr(response, "read", short)
        return response

    monkeypatch.setattr(store._client, "get_object", breaking)
    seen = bytearray()
    with pytest.raises(StorageUnavailableError, match="PreconditionFailed"):
        async for chunk in store.open("a/b"):
            seen += chunk
            await store.put_stream("a/b", chunks(b"b" * (3 << 20)))
    assert set(seen) == {ord("a")}
