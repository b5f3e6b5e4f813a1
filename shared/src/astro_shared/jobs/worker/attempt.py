"""One attempt in the worker process: fetch inputs, run the task, store outputs."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from astro_shared.contracts.jobs import JobUsage, JobView
from astro_shared.contracts.objects import ObjectRef
from astro_shared.database.errors import DatabaseUnavailableError
from astro_shared.errors import AlidadeError, InternalError
from astro_shared.jobs.errors import TaskOutputError, TimeLimitError
from astro_shared.jobs.job_types import Handler, JobType, object_refs
from astro_shared.jobs.ledger.claims import Attempts, Claim
from astro_shared.jobs.sandbox.execution import Outcome, TaskCall, run_task
from astro_shared.jobs.sandbox.fork_client import ForkClient
from astro_shared.jobs.task import TaskOutput
from astro_shared.storage.errors import ObjectMissingError, StorageUnavailableError
from astro_shared.storage.port import ObjectStore

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,99})?")
_PROGRESS_INTERVAL_S = 0.5


class AttemptRun:
    """A `JobRun`: what handlers and answers know of the execution they serve.

    Parameters
    ----------
    claim
        The attempt.
    workspace
        Its scratch folder.
    """

    def __init__(self, claim: Claim, workspace: Path, store: ObjectStore, attempts: Attempts) -> None:
        self._claim = claim
        self._workspace = workspace
        self._store = store
        self._attempts = attempts
        self._inputs: dict[str, Path] = {}
        self._last = (0.0, "")

    @property
    def job(self) -> JobView:
        """The job when this attempt began."""
        return self._claim.job

    @property
    def workspace(self) -> Path:
        """Scratch folder, shared with the child."""
        return self._workspace

    @property
    def store(self) -> ObjectStore:
        """Object storage."""
        return self._store

    @property
    def inputs(self) -> dict[str, Path]:
        """Local copies by key."""
        return self._inputs

    def input(self, ref: ObjectRef) -> Path:
        """Local, verified copy of an object named in the request."""
        try:
            return self._inputs[ref.key]
        except KeyError:
            raise ObjectMissingError(f"object {ref.key} is not an input of this job", key=ref.key) from None

    async def progress(self, fraction: float, step: str, message: str = "") -> None:
        """Write progress; within a step at most twice a second."""
        written, last_step = self._last
        now = time.monotonic()
        if step == last_step and now - written < _PROGRESS_INTERVAL_S:
            return
        self._last = (now, step)
        # Work goes on while the database is away; only the end of the attempt must be written.
        with contextlib.suppress(DatabaseUnavailableError):
            await self._attempts.progress(self._claim, fraction, step, message)

    async def fetch_inputs(self, request: BaseModel) -> dict[str, Path]:
        """Copy the objects that a request names into the workspace, verified."""
        folder = self._workspace / "inputs"
        folder.mkdir()
        for number, ref in enumerate(dict.fromkeys(object_refs(request))):
            if ref.key not in self._inputs:
                path = folder / f"{number}-{ref.key.rpartition('/')[2]}"
                await self._store.get_to_path(ref, path)
                self._inputs[ref.key] = path
        return self._inputs

    async def put_outputs(self, output: TaskOutput, prefix: str) -> dict[str, ObjectRef]:
        """Store the files of an output below ``prefix``, which holds the number of the attempt."""
        refs = {}
        for name, file in output.files.items():
            if not (_NAME.fullmatch(name) and _NAME.fullmatch(file.path.name)):
                raise TaskOutputError(f"an output has a name that storage does not take: {name[:100]!r}")
            refs[name] = await self._store.put_file(f"{prefix}{name}/{file.path.name}", file.path, file.media_type)
        return refs


class AttemptRunner:
    """Runs attempts of the job types of one service.

    Parameters
    ----------
    server
        Forks the children; may serve several services.
    scratch
        Folder for workspaces, removed after each attempt.
    """

    def __init__(self, attempts: Attempts, store: ObjectStore, server: ForkClient, scratch: Path) -> None:
        self._attempts = attempts
        self._store = store
        self._server = server
        self._scratch = scratch

    async def run(self, kind: JobType, claim: Claim) -> tuple[dict[str, Any], Mapping[str, ObjectRef], JobUsage]:
        """Run an attempt up to its stored outputs.

        Raises
        ------
        FailedRunError
            The attempt failed; with error and usage.
        """
        request = kind.parse(claim.request)
        workspace = self._scratch / f"{claim.job.id}-{claim.job.attempt}-{uuid.uuid4().hex[:8]}"
        try:
            workspace.mkdir(parents=True)
        except OSError as error:
            raise StorageUnavailableError(f"no scratch space: {error.strerror}") from error
        try:
            run = AttemptRun(claim, workspace, self._store, self._attempts)
            await run.fetch_inputs(request)
            if kind.handler is None:
                outcome = await self._in_child(kind, claim, run)
            else:
                outcome = await self._handled(kind, kind.handler, request, run)
            if outcome.error is not None or outcome.output is None:
                raise FailedRunError(outcome.error or InternalError("no output"), outcome.usage)
            refs = await run.put_outputs(outcome.output, self.prefix(claim))
            return outcome.output.result, refs, outcome.usage
        finally:
            await asyncio.to_thread(shutil.rmtree, workspace, ignore_errors=True)

    def prefix(self, claim: Claim) -> str:
        """Where the outputs of an attempt are kept."""
        return f"jobs/{claim.job.service}/{claim.job.id}/{claim.job.attempt}/"

    async def sweep_outputs(self, job: JobView, *, winner: int | None) -> None:
        """Remove the outputs of all attempts of a job except the winner's."""
        prefix = f"jobs/{job.service}/{job.id}/"
        async for stat in self._store.list(prefix):
            if stat.key.removeprefix(prefix).partition("/")[0] != str(winner):
                await self._store.delete(stat.key)

    async def drop_outputs(self, claim: Claim) -> None:
        """Remove what a lost attempt stored."""
        async for stat in self._store.list(self.prefix(claim)):
            await self._store.delete(stat.key)

    async def _in_child(self, kind: JobType, claim: Claim, run: AttemptRun) -> Outcome:
        model = kind.request_model
        call = TaskCall(
            entry=str(kind.task),
            request_model=f"{model.__module__}:{model.__qualname__}",
            request=claim.request,
            inputs=run.inputs,
            workspace=run.workspace,
            limits=kind.limits,
            job_id=claim.job.id,
        )

        async def answer(question: str, payload: dict[str, Any]) -> dict[str, Any]:
            if question not in kind.answers:
                raise InternalError(f"nobody answers {question!r} for {kind.name} jobs")
            return await kind.answers[question](payload, run)

        return await run_task(self._server, call, on_progress=run.progress, on_ask=answer)

    async def _handled(self, kind: JobType, handler: Handler, request: BaseModel, run: AttemptRun) -> Outcome:
        began = time.monotonic()
        output: TaskOutput | None = None
        error: AlidadeError | None = None
        try:
            async with asyncio.timeout(kind.wall_limit_s) as deadline:
                output = await handler(request, run)
        except TimeoutError:
            if not deadline.expired():
                raise
            error = TimeLimitError(f"the job took longer than the {kind.wall_limit_s:g} s it may")
        except AlidadeError as raised:
            error = raised
        usage = JobUsage(seconds=round(time.monotonic() - began, 3), cpu_seconds=0.0, peak_mb=0.0)
        return Outcome(usage, output=output, error=error)


class FailedRunError(AlidadeError):
    """An attempt that failed, with what it cost."""

    code = "run_failed"

    def __init__(self, error: AlidadeError, usage: JobUsage) -> None:
        super().__init__(error.message)
        self.error = error
        self.usage = usage
