"""The astrometry service's worker."""

from __future__ import annotations

from astro_shared.clients.user_keys import key_opener
from astro_shared.contracts.auth import Scope
from astro_shared.jobs.job_types import Answer
from astro_shared.jobs.service import JobServiceParts
from astro_shared.jobs.worker.run import ServiceWorker
from astro_shared.settings import settings_or_exit
from astrometry_service.adapters.catalogs import CatalogsClient
from astrometry_service.adapters.distortion_store import ASK_DISTORTIONS, KEEP_DISTORTION, DistortionStore
from astrometry_service.adapters.engine_settings import ENGINE_SETTINGS, engine_settings
from astrometry_service.adapters.footprint_store import KEEP_FOOTPRINT, FootprintStore
from astrometry_service.adapters.nova_relay import NovaRelay
from astrometry_service.adapters.relayed_engine import SOLVE_REMOTE
from astrometry_service.adapters.sky_maker import SKY_PATTERNS, SkyMaker
from astrometry_service.config import AstrometrySettings
from astrometry_service.job_types import job_types


def build() -> ServiceWorker:
    """The worker, with settings from the environment."""
    settings = settings_or_exit(AstrometrySettings)
    parts = JobServiceParts("astrometry", settings, scopes=(Scope.JOBS_CALLBACK, Scope.CATALOGS_READ))
    return ServiceWorker(
        service="astrometry",
        job_types=job_types(_answers(settings, parts)),
        engine=parts.engine,
        store=parts.store,
        concurrency=settings.worker_concurrency,
        token_source=parts.tokens.token,
        close=parts.close,
    )


def _answers(settings: AstrometrySettings, parts: JobServiceParts) -> dict[str, Answer]:
    """What the children ask: they have neither network nor keys, and do not know the operator's folders."""
    catalogs = CatalogsClient(settings.catalogs_url, tokens=parts.tokens, http=parts.http)
    nova, earlier = make_nova_relay(settings, parts), DistortionStore(parts.engine)
    return {
        ASK_DISTORTIONS: earlier.ask,
        KEEP_DISTORTION: earlier.keep,
        KEEP_FOOTPRINT: FootprintStore(parts.engine).keep,
        "reference_stars": catalogs.answer,
        ENGINE_SETTINGS: engine_settings(settings.index_folders, nova),
        SKY_PATTERNS: SkyMaker(settings.sky_folder, settings.index_folders).answer,
        SOLVE_REMOTE: nova.answer,
    }


def make_nova_relay(settings: AstrometrySettings, parts: JobServiceParts) -> NovaRelay:
    """The way to nova.astrometry.net, with the users' own keys."""
    ring = settings.key_ring()
    open_key = None if ring is None else key_opener(
        ring, auth_url=settings.auth_url, http=parts.http, client_id=parts.name, client_secret=settings.client_secret
    )  # fmt: skip
    nova = settings.nova
    return NovaRelay(
        open_key, online=nova.mode == "online", url=nova.url, poll_s=nova.poll_s, proxy=nova.proxy, ca_file=nova.ca_file
    )
