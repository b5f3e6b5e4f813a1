"""Builds the gateway's adapters and workflows from its settings."""

from __future__ import annotations

import time

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from astro_shared.clients.auth import AuthClient, ServiceTokens, remote_authenticator
from astro_shared.contracts.auth import Scope
from astro_shared.contracts.jobs import JobView
from astro_shared.database.engine import make_engine
from astro_shared.errors import AlidadeError, NotFoundError
from astro_shared.jobs.ledger.rows import JobLedger
from astro_shared.storage.factory import make_store
from astro_shared.web import Authenticator
from gateway_service.adapters.astrometry import AstrometryClient
from gateway_service.adapters.catalogs import CatalogsClient
from gateway_service.adapters.reduction_store import PostgresReductionStore
from gateway_service.adapters.stage_runner import HttpStageRunner
from gateway_service.adapters.upload_store import PostgresUploadStore
from gateway_service.adapters.user_settings import AuthUserSettings
from gateway_service.config import SERVICES, GatewaySettings
from gateway_service.domain.reductions import Reduction
from gateway_service.workflows.advance_reduction import AdvanceReduction
from gateway_service.workflows.complete_identification import CompleteIdentification
from gateway_service.workflows.create_reduction import CreateReduction
from gateway_service.workflows.find_file import FindFile
from gateway_service.workflows.follow_work import FollowWork
from gateway_service.workflows.receive_upload import ReceiveUpload
from gateway_service.workflows.remove_reduction import RemoveReduction
from gateway_service.workflows.start_solution import StartSolution
from gateway_service.workflows.start_work import StartWork

SCOPES = (Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.USER_SETTINGS_READ, Scope.CATALOGS_READ, Scope.JOBS_CALLBACK)
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_LIVE_FOR_S = 0.3
_LIVE_KEPT = 2000


class GatewayFactory:
    """One per process; holds the connections."""

    def __init__(self, settings: GatewaySettings, *, http: httpx.AsyncClient | None = None) -> None:
        self.settings = settings
        self.engine: AsyncEngine = make_engine(settings.database_url, settings.database, application="gateway")
        self.store = make_store(settings.storage, public_base_url=settings.public_base_url)
        self.http = http or httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False)
        self.auth = AuthClient(settings.auth_url, http=self.http)
        self.tokens = ServiceTokens(self.auth, client_id="gateway", client_secret=settings.client_secret, scopes=SCOPES)
        self.uploads = PostgresUploadStore(self.engine)
        self.reductions = PostgresReductionStore(self.engine)
        self.ledger = JobLedger(self.engine, "gateway")
        self.astrometry = AstrometryClient(settings.astrometry_url, tokens=self.tokens, http=self.http)
        self.catalogs = CatalogsClient(settings.catalogs_url, tokens=self.tokens, http=self.http)
        urls = {name: settings.service_url(name) for name in SERVICES} | {"gateway": settings.gateway_url}
        callback_url = f"{settings.gateway_url}/v1/callbacks/jobs"
        self.stages = HttpStageRunner(urls, self.tokens, self.http, callback_url=callback_url)
        self._live: dict[str, tuple[float, JobView]] = {}

    def authenticator(self) -> Authenticator:
        return remote_authenticator(self.settings.auth_url, issuer=self.settings.public_base_url, http=self.http)

    def storage_secret(self) -> str:
        """Key of signed addresses; raises NotFoundError where storage is not a folder and signs its own."""
        secret = self.settings.storage.url_secret
        if self.settings.storage.kind != "folder" or secret is None:
            raise NotFoundError("This platform keeps its objects elsewhere.")
        return secret.get_secret_value()

    def receive_upload(self) -> ReceiveUpload:
        return ReceiveUpload(self.uploads, self.store, max_bytes=self.settings.max_upload_bytes)

    def create_reduction(self) -> CreateReduction:
        return CreateReduction(self.find_file(), self.reductions, self.user_settings())

    def start_solution(self, owner: str) -> StartSolution:
        jobs = self.stages.client("astrometry", owner)
        return StartSolution(owner, self.find_file(), self.user_settings(), jobs)

    def user_settings(self) -> AuthUserSettings:
        return AuthUserSettings(AuthClient(self.settings.auth_url, tokens=self.tokens, http=self.http))

    def advance_reduction(self) -> AdvanceReduction:
        return AdvanceReduction(self.reductions, self.stages)

    def complete_identification(self) -> CompleteIdentification:
        return CompleteIdentification(self.reductions)

    def remove_reduction(self) -> RemoveReduction:
        return RemoveReduction(self.reductions, self.store)

    def start_work(self, owner: str) -> StartWork:
        return StartWork(owner, self.find_file(), self.reductions, self.stages.client("photometry", owner))

    def follow_work(self, owner: str) -> FollowWork:
        return FollowWork(lambda service: self.stages.client(service, owner))

    def find_file(self) -> FindFile:
        return FindFile(self.uploads, self.follow_work)

    async def live_job(self, reduction: Reduction) -> JobView | None:
        """The job of the stage that runs, at most 0.3 s old; None where there is none or its service is away."""
        stage = reduction.current()
        if reduction.final or stage is None or stage.job_id is None:
            return None
        known = self._live.get(stage.job_id)
        if known is not None and time.monotonic() - known[0] < _LIVE_FOR_S:
            return known[1]
        try:
            job = await self.stages.look(stage.name, job_id=stage.job_id, owner=reduction.owner)
        except AlidadeError:
            return known[1] if known else None
        if len(self._live) > _LIVE_KEPT:
            self._live.clear()
        self._live[stage.job_id] = (time.monotonic(), job)
        return job

    async def close(self) -> None:
        await self.http.aclose()
        await self.engine.dispose()
