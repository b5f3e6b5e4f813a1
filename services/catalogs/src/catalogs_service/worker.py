"""The catalogs service's worker."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from astro_shared.jobs.job_types import JobRun
from astro_shared.jobs.worker.run import ServiceWorker
from astro_shared.settings import settings_or_exit
from catalogs_service.adapters.gaia.remote_tiles import QUESTION, answer_tiles
from catalogs_service.adapters.identification_files import answer_to_json
from catalogs_service.config import CatalogsSettings
from catalogs_service.domain.questions import SkyField
from catalogs_service.domain.regions import Cone
from catalogs_service.errors import QueryError
from catalogs_service.factory import CatalogsParts
from catalogs_service.job_types import job_types


def build() -> ServiceWorker:
    """The worker, with settings from the environment."""
    return worker_of(CatalogsParts(settings_or_exit(CatalogsSettings)))


def worker_of(parts: CatalogsParts) -> ServiceWorker:
    """The worker of given parts."""
    answers, surveys = WorkerAnswers(parts), parts.catalogs_settings.surveys
    return ServiceWorker(
        service="catalogs",
        job_types=job_types(
            {
                "import_target": answers.import_target,
                "survey_target": answers.survey_target,
                "ask_catalogues": answers.ask_catalogues,
                QUESTION: answers.gaia_tiles,
            },
            surveys_memory_mb=surveys.workers * surveys.worker_memory_mb,
        ),
        engine=parts.engine,
        store=parts.store,
        concurrency=parts.catalogs_settings.worker_concurrency,
        token_source=parts.tokens.token,
        close=parts.close,
    )


class WorkerAnswers:
    """What the children ask: they have neither network nor keys."""

    def __init__(self, parts: CatalogsParts) -> None:
        self._parts = parts

    async def import_target(self, payload: dict[str, Any], run: JobRun) -> dict[str, Any]:
        """Where a list goes and whose it is: the job says so, not the request."""
        settings = self._parts.catalogs_settings
        return {
            "data_folder": str(settings.data_folder),
            "most_rows": settings.most_list_rows,
            "owner": owner_of(run),
        }

    async def survey_target(self, payload: dict[str, Any], run: JobRun) -> dict[str, Any]:
        """Where lists are, whose are seen, and what the cluster may use."""
        settings = self._parts.catalogs_settings
        return {
            "data_folder": str(settings.data_folder),
            "owner": owner_of(run),
            "cluster": settings.surveys.model_dump(),
        }

    async def ask_catalogues(self, payload: dict[str, Any], run: JobRun) -> dict[str, Any]:
        """All catalogues about one field; objects come as files in the workspace."""
        owner = owner_of(run)
        found = await self._parts.ask_catalogues.ask(
            payload["names"],
            SkyField(
                Cone(*payload["cone"]),
                payload["epoch_jyear"],
                _utc(payload["date_mid"]),
                payload["observatory"],
                payload["window_days"],
            ),
            owner=owner,
            release=payload["release"],
            key=self._parts.user_keys(owner).key,
        )
        written = [
            await asyncio.to_thread(answer_to_json, answer, run.workspace, place) for place, answer in enumerate(found)
        ]
        return {"answers": written}

    async def gaia_tiles(self, payload: dict[str, Any], run: JobRun) -> dict[str, Any]:
        """Whole tiles of Gaia, however long the archive takes; the stars come as a file in the workspace."""
        if self._parts.gaia is None:
            raise QueryError("The service works without the network.", cause="offline")
        return await answer_tiles(self._parts.gaia.patient(), payload, run.workspace)


def owner_of(run: JobRun) -> str | None:
    """The user whose job it is; None for a service's own."""
    owner = run.job.owner
    return None if owner.startswith("svc:") else owner


def _utc(text: str | None) -> datetime | None:
    """A time; one without a zone is UTC."""
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
