"""What a service's worker consists of, and how workers run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from astro_shared.jobs.job_types import JobType
from astro_shared.jobs.ledger.claims import Timing
from astro_shared.jobs.worker.callbacks import TokenSource
from astro_shared.logs import LogFormat
from astro_shared.settings import DatabaseSettings
from astro_shared.storage.port import ObjectStore


@dataclass(frozen=True)
class ServiceWorker:
    """What a service's worker consists of.

    Attributes
    ----------
    service
        Name, also of the queue.
    job_types
        What it can do.
    engine
        Of the service's database.
    store
        Object storage.
    concurrency
        Jobs at the same time.
    preload
        Modules that the fork server loads; those of the tasks are added by themselves.
    token_source
        Gives the service token for callbacks.
    background
        Coroutine functions that run as long as the worker (the gateway's state machine, for example).
    close
        Called at the end, to release what the answers and handlers hold.
    """

    service: str
    job_types: Sequence[JobType]
    engine: AsyncEngine
    store: ObjectStore
    concurrency: int = 1
    preload: Sequence[str] = ()
    token_source: TokenSource | None = None
    background: Sequence[Callable[[], Awaitable[None]]] = ()
    close: Callable[[], Awaitable[None]] | None = None

    @property
    def modules(self) -> list[str]:
        """What the fork server loads for this worker."""
        tasks = [kind.task.partition(":")[0] for kind in self.job_types if kind.task is not None]
        models = [kind.request_model.__module__ for kind in self.job_types if kind.task is not None]
        return list(dict.fromkeys([*self.preload, *models, *tasks]))


@dataclass(frozen=True)
class WorkerOptions:
    """How workers run.

    Attributes
    ----------
    timing
        Leases and sweeps.
    grace_s : s
        How long a stopping worker lets its attempts finish before it hands them back.
    exclusive
        No other worker can exist (the embedded platform holds a lock): take over at once what a killed one left.
    database
        For the connections of the queue.
    """

    timing: Timing = field(default_factory=Timing)
    grace_s: float = 20.0
    exclusive: bool = False
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    log_format: LogFormat = "json"
