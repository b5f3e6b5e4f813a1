"""The store that the settings name."""

from __future__ import annotations

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
    raise SettingsError(f"storage of kind {settings.kind} is not part of this release; use folder")
