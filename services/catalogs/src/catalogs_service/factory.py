"""Builds adapters and workflows from settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import httpx

from astro_shared.clients.user_keys import OpenKey, key_opener
from astro_shared.contracts.auth import Scope
from astro_shared.jobs.service import JobServiceParts
from catalogs_service.adapters.catalogues.registry import CatalogueRegistry
from catalogs_service.adapters.gaia.gaia_tiles import GaiaPlace, GaiaTiles
from catalogs_service.adapters.gaia.places import archive_table, vizier_table
from catalogs_service.adapters.gaia.single_flight import DatabaseSingleFlight, FolderSingleFlight, SingleFlight
from catalogs_service.adapters.gaia.tap import GaiaTap
from catalogs_service.adapters.gaia.tile_cache import TileCache
from catalogs_service.adapters.gaia.tile_objects import TileObjects
from catalogs_service.adapters.lsdb_matcher import ClusterLimits, LsdbMatcher
from catalogs_service.adapters.margin_writer import write_margin
from catalogs_service.adapters.partition_cache import PartitionCache
from catalogs_service.adapters.reference_store import ReferenceStore
from catalogs_service.adapters.tables.catalogue_file import open_catalogue
from catalogs_service.adapters.upstream.answer_cache import AnswerCache
from catalogs_service.adapters.upstream.breaker_store import BreakerStore, DatabaseBreakerStore
from catalogs_service.adapters.upstream.client import Deadlines, UpstreamClient
from catalogs_service.adapters.upstream.gate import UpstreamGate
from catalogs_service.config import VERSION, CatalogsSettings, UpstreamSettings
from catalogs_service.domain.upstream_state import Limits
from catalogs_service.workflows.ask_catalogues import AskCatalogues
from catalogs_service.workflows.crossmatch import CrossmatchTables
from catalogs_service.workflows.find_reference_stars import FindReferenceStars
from catalogs_service.workflows.import_reference import ImportReference
from catalogs_service.workflows.match_surveys import MatchSurveys
from catalogs_service.workflows.user_keys import UserKeys

# Below the 30 s after which callers give up; the fetch goes on.
GAIA_WAIT_S = 20.0
UPSTREAM_LIMITS = {
    # SIMBAD locks out who asks more often than about six times a second
    "simbad": Limits(requests_per_s=5.0, concurrency=3, title="SIMBAD"),
    "vizier": Limits(requests_per_s=3.0, concurrency=3, title="VizieR"),
    "skybot": Limits(requests_per_s=2.0, concurrency=2, title="SkyBoT"),
    "astro_colibri": Limits(requests_per_s=0.5, concurrency=1, title="Astro-COLIBRI"),
    "gaia": Limits(requests_per_s=2.0, concurrency=2, title="The Gaia archive"),
}


class CatalogsParts(JobServiceParts):
    """What a process of the service holds."""

    def __init__(self, settings: CatalogsSettings) -> None:
        super().__init__("catalogs", settings, scopes=(Scope.JOBS_CALLBACK,))
        self.catalogs_settings = settings
        self.lists = make_lists(settings.data_folder, settings.memory_cache_mb)
        self.outside = make_outside_http(settings.upstream)
        self.upstreams = make_upstreams(settings.upstream, self.outside, DatabaseBreakerStore(self.engine))
        online = settings.upstream.mode == "online"
        tiles = self._gaia()
        self.gaia = tiles if online else None
        self.find_stars_at_hand = FindReferenceStars(self.lists, tiles.at_hand(), asks_outside=False)
        self.find_stars = FindReferenceStars(self.lists, tiles) if online else self.find_stars_at_hand
        answers = AnswerCache(
            settings.data_folder / "answers",
            longest_age_s=settings.answer_age_h * 3600.0,
            limit_bytes=(settings.disk_cache_mb << 20) // 4,
        )
        askers = self.upstreams if online else {}
        self.ask_catalogues = AskCatalogues(make_registry(settings.upstream), askers, answers, self.find_stars)
        self._open_key = self._key_opener(settings)

    def user_keys(self, user: str | None) -> UserKeys:
        """The keys of a user."""
        return UserKeys(self._open_key, user)

    async def close(self) -> None:
        """Release the connections."""
        await self.outside.aclose()
        await super().close()

    def _gaia(self) -> GaiaTiles:
        settings = self.catalogs_settings
        objects = TileObjects(
            self.store,
            longest_age_s=settings.tile_age_days * 86_400.0,
            limit_bytes=settings.object_cache_mb << 20,
        )
        return make_gaia(
            settings,
            self.upstreams,
            single_flight=DatabaseSingleFlight(self.engine),
            objects=objects if settings.object_cache_mb else None,
        )

    def _key_opener(self, settings: CatalogsSettings) -> OpenKey | None:
        ring = settings.key_ring()
        if ring is None:
            return None
        return key_opener(
            ring,
            auth_url=settings.auth_url,
            http=self.http,
            client_id=self.name,
            client_secret=settings.client_secret,
        )


def make_lists(data_folder: Path, memory_cache_mb: int = 64) -> ReferenceStore:
    """Reference lists below the data folder."""
    return ReferenceStore(data_folder / "lists", cache_bytes=memory_cache_mb << 20)


def make_import(data_folder: Path, most_rows: int) -> ImportReference:
    """The import of catalogue files."""
    return ImportReference(make_lists(data_folder), open_catalogue, most_rows=most_rows)


def make_crossmatch(most_rows: int) -> CrossmatchTables:
    """The cross-match of any two tables."""
    return CrossmatchTables(open_catalogue, most_rows=most_rows)


def make_survey_match(data_folder: Path, limits: ClusterLimits, scratch: Path) -> MatchSurveys:
    """The match of lists at hand on a Dask cluster."""
    return MatchSurveys(make_lists(data_folder), write_margin, LsdbMatcher(limits, scratch))


def make_registry(settings: UpstreamSettings) -> CatalogueRegistry:
    """The catalogues that can be asked."""
    return CatalogueRegistry(
        simbad=settings.simbad_url,
        vizier=settings.vizier_url,
        vizier_tables=settings.vizier_tables_url,
        skybot=settings.skybot_url,
        astro_colibri=settings.astro_colibri_url,
        most_rows=settings.most_rows,
    )


def make_gaia(
    settings: CatalogsSettings,
    askers: Mapping[str, UpstreamClient],
    *,
    single_flight: SingleFlight | None = None,
    objects: TileObjects | None = None,
    wait_s: float = GAIA_WAIT_S,
) -> GaiaTiles:
    """Gaia from the tile cache, object storage, the ESA archive and VizieR; without ``single_flight`` files are locked."""
    folder = settings.data_folder / "tiles"
    cache = TileCache(
        folder,
        longest_age_s=settings.tile_age_days * 86_400.0,
        limit_bytes=(settings.disk_cache_mb << 20) * 3 // 4,
        memory=PartitionCache((settings.memory_cache_mb << 20) // 2),
    )
    given = settings.upstream
    archive = GaiaTap(
        "the Gaia archive",
        askers["gaia"],
        sync_url=f"{given.gaia_url}/sync",
        async_url=f"{given.gaia_url}/async",
        job_limit_s=given.gaia_total_s,
    )
    vizier = GaiaTap("VizieR", askers["vizier"], sync_url=given.vizier_url)
    places = (GaiaPlace("archive", archive, archive_table), GaiaPlace("vizier", vizier, vizier_table))
    single_flight = single_flight or FolderSingleFlight(folder / "locks")
    return GaiaTiles(cache, places, single_flight=single_flight, objects=objects, wait_s=wait_s)


def make_outside_http(settings: UpstreamSettings) -> httpx.AsyncClient:
    """The client for everything that leaves the house; it takes no proxy from the environment."""
    verify = str(settings.ca_file) if settings.ca_file is not None else True
    return httpx.AsyncClient(trust_env=False, proxy=settings.proxy, verify=verify, follow_redirects=False)


def make_upstreams(given: UpstreamSettings, http: httpx.AsyncClient, memory: BreakerStore) -> dict[str, UpstreamClient]:
    """One guarded client per upstream."""
    contact = f"; {given.contact}" if given.contact else ""
    made = {}
    for name, limits in UPSTREAM_LIMITS.items():
        deadlines = Deadlines(
            connect_s=given.connect_s,
            read_s=given.read_s,
            total_s=given.gaia_total_s if name == "gaia" else given.total_s,
            most_bytes=given.most_bytes,
        )
        gate = UpstreamGate(memory, name, limits)
        made[name] = UpstreamClient(http, gate, deadlines, user_agent=f"alidade/{VERSION} (catalogs{contact})")
    return made
