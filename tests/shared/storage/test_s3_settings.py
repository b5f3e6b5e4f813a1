"""S3 settings and a service that is not there: no S3 needed."""

import socket

import pytest
from pydantic import ValidationError

from astro_shared.settings import SettingsError, StorageSettings
from astro_shared.storage.errors import StorageUnavailableError
from astro_shared.storage.factory import make_store
from astro_shared.storage.s3 import S3Store

GIVEN = {"kind": "s3", "s3_endpoint": "https://s3.example.org", "s3_access_key": "a", "s3_secret_key": "b"}


def test_the_factory_makes_an_s3_store():
    assert isinstance(make_store(StorageSettings(**GIVEN), public_base_url="https://host"), S3Store)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"s3_secret_key": None}, "s3_secret_key"),
        ({"s3_endpoint": "s3.example.org"}, "s3_endpoint"),
        ({"s3_endpoint": "https://s3.example.org/path"}, "s3_endpoint"),
        ({"public_url": "https://objects.example.org/alidade"}, "public_url"),
        ({"s3_ca_file": "/nowhere/ca.pem"}, "there is no file /nowhere/ca.pem"),
        ({"s3_bucket": "No_Bucket"}, "s3_bucket"),
    ],
)
def test_settings_that_can_not_work_are_refused_by_name(change, word):
    with pytest.raises(ValidationError, match=word):
        StorageSettings(**(GIVEN | change))


def test_an_authority_that_is_no_certificate_is_one_line(tmp_path):
    (tmp_path / "ca.pem").write_text("not a certificate")
    settings = StorageSettings(**(GIVEN | {"s3_ca_file": tmp_path / "ca.pem"}))
    with pytest.raises(SettingsError, match=r"ca\.pem holds no certificate"):
        make_store(settings, public_base_url="https://host")


async def test_nothing_that_listens_is_one_line():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        settings = StorageSettings(**(GIVEN | {"s3_endpoint": f"http://127.0.0.1:{unused.getsockname()[1]}"}))
        with pytest.raises(StorageUnavailableError, match="nothing listens there") as raised:
            await make_store(settings, public_base_url="https://host").check()
    assert "\n" not in str(raised.value)
