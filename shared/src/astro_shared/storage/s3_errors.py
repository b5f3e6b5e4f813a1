"""What an S3 service or the way to it says, in the words of the port: one line that names what to mend."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import urllib3.exceptions
from minio.error import InvalidResponseError, S3Error, ServerError

from astro_shared.errors import AlidadeError
from astro_shared.storage.errors import (
    ObjectMissingError,
    StorageFullError,
    StorageRefusedError,
    StorageUnavailableError,
)

_FULL = frozenset(
    {
        "QuotaExceeded",
        "ServiceQuotaExceeded",
        "TooManyBuckets",
        "XMinioStorageFull",
        "XMinioAdminBucketQuotaExceeded",
        "InsufficientCapacity",
        "StorageFull",
    }
)
_REFUSED = {
    "AccessDenied": "the access key may not use bucket {bucket}",
    "AllAccessDisabled": "the access key may not use bucket {bucket}",
    "AccountProblem": "the account of the access key is suspended",
    "UserSuspended": "the account of the access key is suspended",
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key",
    "RequestTimeTooSkewed": "the clocks of this machine and of the store differ by more than 15 minutes",
    "AuthorizationHeaderMalformed": "the region of the settings is not the store's",
    "InvalidBucketName": "{bucket} is not a name that a bucket can have",
    "BucketAlreadyExists": "bucket {bucket} belongs to somebody else",
}


@contextmanager
def working(endpoint: str, bucket: str, key: str) -> Iterator[None]:
    """Give errors of the client and of the connection the names of the port."""
    try:
        yield
    except S3Error as error:
        raise _refusal(error, endpoint, bucket, key) from None
    except ServerError as error:
        raise _failed(endpoint, f"it answered {error.status_code}", key) from None
    except InvalidResponseError:
        raise _failed(endpoint, "it does not answer like an S3 service", key) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _failed(endpoint, connection_problem(error), key) from error


def connection_problem(error: BaseException) -> str:
    """What keeps a connection from working, in a few words."""
    cause = _root(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message}); see s3_ca_file"
    if isinstance(cause, (ssl.SSLError, urllib3.exceptions.SSLError)):
        return "it does not speak TLS as expected; is the address http or https?"
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return "its name is not known"
    if isinstance(cause, urllib3.exceptions.NewConnectionError):  # a kind of TimeoutError, for the client
        return "nothing listens there"
    if isinstance(cause, urllib3.exceptions.TimeoutError):
        return "it does not answer in time"
    if isinstance(cause, (urllib3.exceptions.ProtocolError, ConnectionError)):
        return "the connection broke"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return type(cause).__name__


def _root(error: BaseException) -> BaseException:
    """The innermost reason that urllib3 wrapped."""
    seen: BaseException = error
    while True:
        inner = getattr(seen, "reason", None)
        if not isinstance(inner, BaseException):
            inner = seen.__cause__ if isinstance(seen, urllib3.exceptions.SSLError) else None
        if inner is None and isinstance(seen, urllib3.exceptions.SSLError):
            inner = next((item for item in seen.args if isinstance(item, BaseException)), None)
        if inner is None:
            return seen
        seen = inner


def _refusal(error: S3Error, endpoint: str, bucket: str, key: str) -> AlidadeError:
    code = error.code or ""
    if code == "NoSuchKey":
        return ObjectMissingError(f"there is no object {key}", key=key)
    if code == "NoSuchBucket":
        return _failed(endpoint, f"there is no bucket {bucket}", key, code)
    if code in _FULL or error.response.status == 507:
        return StorageFullError(f"storage at {endpoint}: bucket {bucket} is full ({code})", key=key)
    if code in _REFUSED:
        problem = _REFUSED[code].format(bucket=bucket)
        return StorageRefusedError(f"storage at {endpoint}: {problem} ({code})", key=key, reason=code)
    return _failed(endpoint, f"it refused with {code or error.response.status}", key)


def _failed(endpoint: str, problem: str, key: str, reason: str = "") -> StorageUnavailableError:
    return StorageUnavailableError(f"storage at {endpoint}: {problem}", key=key, reason=reason)
