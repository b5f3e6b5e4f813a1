"""Builds adapters and workflows from settings."""

from __future__ import annotations

from pathlib import Path

from astro_shared.contracts.auth import Scope
from astro_shared.jobs.service import JobServiceParts
from catalogs_service.adapters.reference_store import ReferenceStore
from catalogs_service.adapters.tables.catalogue_file import open_catalogue
from catalogs_service.config import CatalogsSettings
from catalogs_service.workflows.find_reference_stars import FindReferenceStars
from catalogs_service.workflows.import_reference import ImportReference


class CatalogsParts(JobServiceParts):
    """What a process of the service holds."""

    def __init__(self, settings: CatalogsSettings) -> None:
        super().__init__("catalogs", settings, scopes=(Scope.JOBS_CALLBACK,))
        self.lists = make_lists(settings.data_folder, settings.memory_cache_mb)
        self.find_stars = FindReferenceStars(self.lists)


def make_lists(data_folder: Path, memory_cache_mb: int = 64) -> ReferenceStore:
    """Reference lists below the data folder."""
    return ReferenceStore(data_folder / "lists", cache_bytes=memory_cache_mb << 20)


def make_import(data_folder: Path, most_rows: int) -> ImportReference:
    """The import of catalogue files."""
    return ImportReference(make_lists(data_folder), open_catalogue, most_rows=most_rows)
