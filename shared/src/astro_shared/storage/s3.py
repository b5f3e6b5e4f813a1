"""Objects in a bucket of an S3-compatible service (Ceph RGW, SeaweedFS, Garage, a cloud's)."""

from __future__ import annotations

import asyncio
import hashlib
import io
import ssl
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.datatypes import PostPolicy
from minio.error import S3Error
from minio.lifecycleconfig import AbortIncompleteMultipartUpload, LifecycleConfig, Rule

from astro_shared.contracts.objects import ObjectRef
from astro_shared.storage.errors import ObjectMissingError, StorageCorruptError, StorageUnavailableError
from astro_shared.storage.port import CHUNK_BYTES, OCTETS, ObjectStat, UploadForm, checked_key, checked_prefix
from astro_shared.storage.s3_errors import working
from astro_shared.storage.s3_signing import S3Credentials, presigned_url
from astro_shared.storage.s3_streams import HashedReader, StreamReader
from astro_shared.storage.signing import SignedAccess

PART_BYTES = 8 << 20
_CHECK_KEY = ".alidade-check"
_READ_TRIES = 4
_TIMEOUT = urllib3.Timeout(connect=5.0, read=60.0)
_RETRY = urllib3.Retry(total=3, backoff_factor=0.3, status_forcelist=(500, 502, 503, 504), raise_on_status=False)
_BROKEN = (urllib3.exceptions.HTTPError, OSError)


@dataclass(frozen=True)
class S3Place:
    """Where a bucket is, and as whom it is used.

    ``endpoint`` is what the services reach, ``public_endpoint`` what browsers and programs outside reach: both
    ``http(s)://host[:port]``. ``ca_file`` holds the certificates by which the endpoint's is trusted; the system's
    unless given.
    """

    endpoint: str
    public_endpoint: str
    bucket: str
    credentials: S3Credentials
    ca_file: Path | None = None


class S3Store:
    """An `ObjectStore` in a bucket.

    Objects beyond 8 MiB go up in parts, and a key shows its new content only when all of them are there. The sync
    client runs in threads; one transfer holds at most two parts in memory.
    """

    def __init__(self, place: S3Place) -> None:
        self._place = place
        self._bucket = place.bucket
        self._client = _client(place, place.endpoint)
        self._public = _client(place, place.public_endpoint)

    async def put_file(self, key: str, path: Path, media_type: str = OCTETS) -> ObjectRef:
        return await asyncio.to_thread(self._put_file, checked_key(key), path, media_type)

    async def put_stream(
        self, key: str, chunks: AsyncIterator[bytes], media_type: str = OCTETS, *, max_bytes: int | None = None
    ) -> ObjectRef:
        checked_key(key)
        reader = StreamReader(chunks, asyncio.get_running_loop(), max_bytes=max_bytes)
        sending = asyncio.create_task(asyncio.to_thread(self._put, key, reader, -1, media_type))
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            reader.stop()
            await asyncio.wait([sending])
            raise
        return ObjectRef(key=key, sha256=reader.sha256, size=reader.size, media_type=media_type)

    async def get_to_path(self, ref: ObjectRef, path: Path) -> None:
        await asyncio.to_thread(self._get_to_path, ref, path)

    async def open(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        chunks = self._read(checked_key(key), offset, length)
        try:
            while chunk := await asyncio.to_thread(next, chunks, b""):
                yield chunk
        finally:
            await asyncio.to_thread(chunks.close)

    async def stat(self, key: str) -> ObjectStat:
        return await asyncio.to_thread(self._stat, checked_key(key))

    async def list(self, prefix: str) -> AsyncIterator[ObjectStat]:
        objects = self._list(checked_prefix(prefix))
        while (stat := await asyncio.to_thread(next, objects, None)) is not None:
            yield stat

    async def delete(self, key: str) -> None:
        checked_key(key)
        with self._working(key):
            await asyncio.to_thread(self._client.remove_object, self._bucket, key)

    async def signed_url(
        self,
        key: str,
        *,
        method: Literal["GET", "PUT"] = "GET",
        expires_s: int = 300,
        filename: str | None = None,
        media_type: str | None = None,
        max_bytes: int | None = None,
    ) -> str:
        access = SignedAccess(checked_key(key), method, filename, media_type or OCTETS, max_bytes)
        query = {}
        if method == "GET":
            query = {
                "response-content-disposition": access.content_disposition,
                "response-content-type": access.media_type,
            }
        headers = {} if max_bytes is None else {"content-length": str(max_bytes)}
        return presigned_url(
            self._public_address(key),
            self._place.credentials,
            method=method,
            expires_s=expires_s,
            query=query,
            headers=headers,
        )

    async def upload_form(self, key: str, *, max_bytes: int, expires_s: int = 300) -> UploadForm | None:
        policy = PostPolicy(self._bucket, datetime.now(UTC) + timedelta(seconds=expires_s))
        policy.add_equals_condition("key", checked_key(key))
        policy.add_content_length_range_condition(1, max_bytes)
        fields = {"key": key, **self._public.presigned_post_policy(policy)}
        return UploadForm(self._public_address(key).removesuffix(f"/{key}"), fields)

    async def check(self) -> None:
        await asyncio.to_thread(self._look)

    async def prepare(self) -> None:
        await asyncio.to_thread(self._prepare)

    def _put_file(self, key: str, path: Path, media_type: str) -> ObjectRef:
        with path.open("rb") as file:
            reader = HashedReader(file)
            self._put(key, reader, path.stat().st_size, media_type)
        return ObjectRef(key=key, sha256=reader.sha256, size=reader.size, media_type=media_type)

    def _put(self, key: str, reader: HashedReader | StreamReader, size: int, media_type: str) -> None:
        with self._working(key):
            self._client.put_object(
                self._bucket,
                key,
                reader,  # type: ignore[arg-type]  # the client only reads
                size,
                content_type=media_type,
                part_size=PART_BYTES,
                num_parallel_uploads=1,  # its thread pool is not ended when a part fails
            )

    def _get_to_path(self, ref: ObjectRef, path: Path) -> None:
        chunks = self._read(checked_key(ref.key), 0, None)
        first = next(chunks, b"")
        digest, size = hashlib.sha256(), 0
        with _local(path), path.open("xb") as target:
            try:
                while first:
                    digest.update(first)
                    size += len(first)
                    target.write(first)
                    first = next(chunks, b"")
                if (digest.hexdigest(), size) != (ref.sha256, ref.size):
                    raise StorageCorruptError(
                        f"object {ref.key} is not what its reference says ({size} bytes, expected {ref.size})",
                        key=ref.key,
                    )
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            finally:
                chunks.close()

    def _read(self, key: str, offset: int, length: int | None) -> Generator[bytes, None, None]:
        """Content in chunks; where the connection breaks it goes on from there, if the object is still the same."""
        end = None if length is None else offset + length
        etag: str | None = None
        failures = 0
        while end is None or offset < end:
            with self._working(key):
                try:
                    response = self._client.get_object(
                        self._bucket,
                        key,
                        offset=offset,
                        length=0 if end is None else end - offset,
                        request_headers={"If-Match": etag} if etag else None,
                    )
                except S3Error as error:
                    if error.code == "InvalidRange":
                        return
                    raise
            etag = response.headers.get("etag")
            try:
                while chunk := response.read(CHUNK_BYTES):
                    offset += len(chunk)
                    yield chunk
                return
            except _BROKEN:
                failures += 1
                if failures == _READ_TRIES:
                    with self._working(key):
                        raise
            finally:
                response.close()
                response.release_conn()

    def _stat(self, key: str) -> ObjectStat:
        try:
            with self._working(key):
                found = self._client.stat_object(self._bucket, key)
        except (ObjectMissingError, StorageUnavailableError):
            self._look()  # an answer to HEAD has no text: this one says if it is the bucket or the credentials
            raise
        return ObjectStat(key, found.size or 0, found.last_modified or datetime.now(UTC))

    def _list(self, prefix: str) -> Iterator[ObjectStat]:
        with self._working(prefix):
            for item in self._client.list_objects(self._bucket, prefix=prefix or None, recursive=True):
                name = item.object_name or ""
                if not name.startswith("."):
                    yield ObjectStat(name, item.size or 0, item.last_modified or datetime.now(UTC))

    def _look(self) -> None:
        """One small question whose answer tells what is wrong."""
        with self._working(""):
            for _ in self._client.list_objects(self._bucket, prefix=_CHECK_KEY):
                return

    def _prepare(self) -> None:
        with self._working(_CHECK_KEY):
            try:
                self._look()
            except StorageUnavailableError as error:
                if error.details.get("reason") != "NoSuchBucket":
                    raise
                self._make_bucket()
            self._client.put_object(self._bucket, _CHECK_KEY, io.BytesIO(b"ok"), 2)
            self._client.remove_object(self._bucket, _CHECK_KEY)

    def _make_bucket(self) -> None:
        """Make the bucket; the rests of uploads that broke off are removed after a day."""
        try:
            self._client.make_bucket(self._bucket)
        except S3Error as error:
            if error.code != "BucketAlreadyOwnedByYou":  # another process made it just now
                raise
        rule = Rule(
            ENABLED,
            rule_filter=Filter(prefix=""),
            rule_id="broken-uploads",
            abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(days_after_initiation=1),
        )
        self._client.set_bucket_lifecycle(self._bucket, LifecycleConfig([rule]))

    def _public_address(self, key: str) -> str:
        address = self._public.get_presigned_url("GET", self._bucket, key)
        return address.partition("?")[0]

    @contextmanager
    def _working(self, key: str) -> Iterator[None]:
        with working(self._place.endpoint, self._bucket, key):
            yield


def _client(place: S3Place, endpoint: str) -> Minio:
    parts = urlsplit(endpoint)
    secure = parts.scheme == "https"
    trusted = ssl.create_default_context(cafile=place.ca_file) if secure else None
    return Minio(
        parts.netloc,
        access_key=place.credentials.access_key,
        secret_key=place.credentials.secret_key,
        secure=secure,
        region=place.credentials.region,
        http_client=urllib3.PoolManager(timeout=_TIMEOUT, retries=_RETRY, maxsize=16, ssl_context=trusted),
    )


@contextmanager
def _local(path: Path) -> Iterator[None]:
    """Give errors of the file that is written the name of the port."""
    try:
        yield
    except OSError as error:
        raise StorageUnavailableError(f"storage failed: {error.strerror} ({path.name})") from error
