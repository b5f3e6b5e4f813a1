"""The folder store's own matters: signed addresses, and a disk that fails."""

from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astro_shared.settings import StorageSettings
from astro_shared.storage.errors import BadSignatureError, StorageUnavailableError
from astro_shared.storage.factory import make_store
from astro_shared.storage.folder import FolderStore
from astro_shared.storage.signing import SignedAccess, sign_url, verify_signed_url

SECRET = "s" * 32
BASE = "https://host/storage"


def parts(url: str) -> tuple[str, dict[str, str]]:
    split = urlsplit(url)
    return unquote(split.path.removeprefix("/storage/")), dict(parse_qsl(split.query, keep_blank_values=True))


def signed(access: SignedAccess) -> tuple[str, dict[str, str]]:
    return parts(sign_url(BASE, SECRET, access, expires_s=300, now=1000.0))


@given(
    method=st.sampled_from(["GET", "PUT"]),
    filename=st.none() | st.text(min_size=1, max_size=40),
    max_bytes=st.none() | st.integers(0, 1 << 40),
)
def test_a_signed_address_says_what_was_signed(method, filename, max_bytes):
    access = SignedAccess("a/b.fits", method, filename, "application/fits", max_bytes)
    key, query = signed(access)
    assert verify_signed_url(SECRET, method=method, key=key, query=query, now=1299.0) == access


@pytest.mark.parametrize(
    ("change", "method", "now"),
    [
        ({}, "GET", 1301.0),
        ({}, "PUT", 1000.0),
        ({}, "DELETE", 1000.0),
        ({"method": "PUT"}, "PUT", 1000.0),
        ({"exp": "9999999999"}, "GET", 1000.0),
        ({"exp": "soon"}, "GET", 1000.0),
        ({"exp": ""}, "GET", 1000.0),
        ({"sig": ""}, "GET", 1000.0),
        ({"sig": "ß"}, "GET", 1000.0),
        ({"max": "1"}, "GET", 1000.0),
        ({"name": "evil.html"}, "GET", 1000.0),
        ({"type": "text/html"}, "GET", 1000.0),
    ],
)
def test_a_changed_or_expired_address_is_refused(change, method, now):
    key, query = signed(SignedAccess("a/b", "GET", "b.fits"))
    with pytest.raises(BadSignatureError):
        verify_signed_url(SECRET, method=method, key=key, query={**query, **change}, now=now)


def test_another_key_or_secret_is_refused():
    key, query = signed(SignedAccess("a/b", "GET"))
    for secret, other in ((SECRET, "a/c"), (SECRET, "../a/b"), (SECRET, ""), ("t" * 32, key)):
        with pytest.raises(BadSignatureError):
            verify_signed_url(secret, method="GET", key=other, query=query, now=1000.0)


def test_fields_can_not_run_into_each_other():
    key, query = signed(SignedAccess("a/b", "GET", "x\n10:type=text/html"))
    forged = {**query, "name": "x", "type": "text/html"}
    with pytest.raises(BadSignatureError):
        verify_signed_url(SECRET, method="GET", key=key, query=forged, now=1000.0)


def test_head_passes_where_get_does():
    key, query = signed(SignedAccess("a/b", "GET"))
    assert verify_signed_url(SECRET, method="HEAD", key=key, query=query, now=1000.0).method == "GET"


def test_a_file_name_can_not_break_the_header():
    value = SignedAccess("a/b", "GET", 'M 31"\r\nX-Evil: ä.fits').content_disposition
    assert (
        value
        == "attachment; filename=\"M 31___X-Evil_ _.fits\"; filename*=UTF-8''M%2031%22%0D%0AX-Evil%3A%20%C3%A4.fits"
    )
    assert "\r" not in value and "\n" not in value


async def test_the_stores_own_addresses_verify(tmp_path):
    store = FolderStore(tmp_path, url_secret=SECRET, public_url=BASE)
    key, query = parts(await store.signed_url("a/b", method="PUT", max_bytes=10, media_type="application/fits"))
    access = verify_signed_url(SECRET, method="PUT", key=key, query=query)
    assert (access.key, access.max_bytes, access.media_type) == ("a/b", 10, "application/fits")


async def test_a_folder_that_can_not_be_written_is_unavailable(tmp_path):
    (tmp_path / "objects").write_text("a file is in the way")
    store = FolderStore(tmp_path / "objects", url_secret=SECRET, public_url=BASE)
    source = tmp_path / "in"
    source.write_bytes(b"x")
    with pytest.raises(StorageUnavailableError):
        await store.check()
    with pytest.raises(StorageUnavailableError):
        await store.put_file("a/b", source)


def test_a_full_disk_leaves_no_part(tmp_path, monkeypatch):
    import asyncio
    import errno

    from astro_shared.storage import folder

    def full(_source, _target):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(folder, "_copy", full)
    store = FolderStore(tmp_path / "objects", url_secret=SECRET, public_url=BASE)
    source = tmp_path / "in"
    source.write_bytes(b"x")
    with pytest.raises(StorageUnavailableError, match="No space left"):
        asyncio.run(store.put_file("a/b", source))
    assert [path for path in (tmp_path / "objects").rglob("*") if path.is_file()] == []


def test_the_factory_makes_what_the_settings_say(tmp_path):
    settings = StorageSettings(kind="folder", folder=tmp_path, url_secret=SECRET)
    store = make_store(settings, public_base_url="https://host")
    assert isinstance(store, FolderStore)
