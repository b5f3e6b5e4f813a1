"""The types of jobs that a service offers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from astro_shared.contracts.jobs import JobView
from astro_shared.contracts.objects import ObjectRef
from astro_shared.errors import InvalidRequestError
from astro_shared.jobs.errors import UnknownKindError
from astro_shared.jobs.sandbox.limits import Limits
from astro_shared.jobs.task import TaskOutput
from astro_shared.storage.port import ObjectStore


class JobRun(Protocol):
    """What code in the worker process knows of the execution it serves."""

    @property
    def job(self) -> JobView:
        """The job when this attempt began."""
        ...

    @property
    def workspace(self) -> Path:
        """Scratch folder, shared with the child."""
        ...

    @property
    def store(self) -> ObjectStore:
        """Object storage."""
        ...

    def input(self, ref: ObjectRef) -> Path:
        """Local, verified copy of an object named in the request."""
        ...

    async def progress(self, fraction: float, step: str, message: str = "") -> None:
        """Report how far the work is."""
        ...


Answer = Callable[[dict[str, Any], JobRun], Awaitable[dict[str, Any]]]
"""Answers a question of a child: ``async def reference_stars(payload, run) -> dict``."""

Handler = Callable[[Any, JobRun], Awaitable[TaskOutput]]
"""Work that only waits (network), in the worker's own event loop: ``async def identify(request, run)``."""


@dataclass(frozen=True)
class JobType:
    """One kind of job.

    Attributes
    ----------
    name
        What callers ask for.
    request_model
        Pydantic model of the request; every `ObjectRef` in it is fetched and verified before the work starts.
    task
        ``package.module:function`` that runs in a child. Either this or ``handler``.
    handler
        Coroutine function that runs in the worker process; for work that waits, never for work that computes.
    answers
        What the child may ask, by question.
    wall_limit_s, memory_limit_mb, file_limit_mb, address_space_mb
        See `Limits`.
    """

    name: str
    request_model: type[BaseModel]
    task: str | None = None
    handler: Handler | None = None
    answers: Mapping[str, Answer] = field(default_factory=dict)
    wall_limit_s: float = 1800.0
    memory_limit_mb: int = 2500
    file_limit_mb: int = 4096
    address_space_mb: int | None = None

    def __post_init__(self) -> None:
        if (self.task is None) == (self.handler is None):
            raise ValueError(f"job kind {self.name} needs either a task or a handler")

    @property
    def limits(self) -> Limits:
        """Bounds of one execution."""
        return Limits(
            wall_s=self.wall_limit_s,
            memory_mb=self.memory_limit_mb,
            file_mb=self.file_limit_mb,
            address_space_mb=self.address_space_mb,
        )

    def parse(self, request: dict[str, Any]) -> BaseModel:
        """Validate a request; InvalidRequestError names every field that is wrong."""
        try:
            return self.request_model.model_validate(request)
        except ValidationError as error:
            problems = [
                {
                    "pointer": "/body/request/" + "/".join(map(str, item["loc"])),
                    "code": item["type"],
                    "message": item["msg"],
                }
                for item in error.errors(include_input=False, include_url=False, include_context=False)
            ]
            shown = "; ".join(
                f"{item['pointer'].removeprefix('/body/request/')}: {item['message']}" for item in problems
            )
            raise InvalidRequestError(
                f"the request of a {self.name} job is not valid: {shown}", errors=problems
            ) from None


def job_type_named(job_types: Sequence[JobType], name: str) -> JobType:
    """Find a kind; UnknownKindError lists what there is."""
    for kind in job_types:
        if kind.name == name:
            return kind
    raise UnknownKindError(f"no job kind {name!r} here; there is {', '.join(sorted(k.name for k in job_types))}")


def object_refs(value: Any) -> Iterator[ObjectRef]:
    """Yield every object reference inside a request, however deep."""
    if isinstance(value, ObjectRef):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from object_refs(getattr(value, name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from object_refs(item)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from object_refs(item)
