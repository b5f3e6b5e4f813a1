"""The store that the settings name."""

from __future__ import annotations

import ssl

from astro_shared.settings import SettingsError, StorageSettings
from astro_shared.storage.folder import FolderStore
from astro_shared.storage.port import ObjectStore


def make_store(settings: StorageSettings, *, public_base_url: str) -> ObjectStore:
    """Build the object store of a process.

    Parameters
    ----------
    settings
        The ``storage`` section of the service's settings.
    public_base_url
        Address of the platform; the folder store is served below it unless ``settings.public_url`` says otherwise.
    """
    if settings.kind == "folder" and settings.folder is not None and settings.url_secret is not None:
        return FolderStore(
            settings.folder,
            url_secret=settings.url_secret.get_secret_value(),
            public_url=settings.public_url or f"{public_base_url}/storage",
        )
    return _s3_store(settings)


def _s3_store(settings: StorageSettings) -> ObjectStore:
    # the client is loaded only where there is S3
    from astro_shared.storage.s3 import S3Place, S3Store
    from astro_shared.storage.s3_signing import S3Credentials

    if settings.s3_endpoint is None or settings.s3_access_key is None or settings.s3_secret_key is None:
        raise SettingsError("an s3 store needs s3_endpoint and s3_access_key and s3_secret_key")
    credentials = S3Credentials(
        settings.s3_access_key.get_secret_value(), settings.s3_secret_key.get_secret_value(), settings.s3_region
    )
    public = settings.public_url or settings.s3_endpoint
    try:
        return S3Store(S3Place(settings.s3_endpoint, public, settings.s3_bucket, credentials, settings.s3_ca_file))
    except (ssl.SSLError, OSError):
        raise SettingsError(f"storage: {settings.s3_ca_file} holds no certificate that can be read") from None
