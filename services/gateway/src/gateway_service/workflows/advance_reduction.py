"""Move a reduction as far as it can go now.

Called by whoever wakes it: creation, a callback, or the sweep. Every step is safe to repeat: jobs are started with a key
made of reduction, stage and settings hash, and a stage that ended is never looked at again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog

from astro_shared.contracts.gateway import ReductionPhase, ReductionStatus, StageName, StageState
from astro_shared.contracts.jobs import JobPhase, JobView
from astro_shared.errors import AlidadeError
from gateway_service.domain.reductions import Reduction, Stage, reason_to_skip
from gateway_service.ports import ReductionStore, StageRunner
from gateway_service.workflows.stage_requests import stage_request

log = structlog.get_logger()


class AdvanceReduction:
    def __init__(self, reductions: ReductionStore, stages: StageRunner) -> None:
        self._reductions = reductions
        self._stages = stages

    async def __call__(self, reduction_id: str) -> Reduction:
        """Take every step that is possible without waiting and return the reduction as it stands then."""
        async with self._reductions.locked(reduction_id) as held:
            while True:
                before = held.reduction
                after = await self._step(before)
                if after == before:
                    return after
                await held.save(after)

    async def _step(self, reduction: Reduction) -> Reduction:
        if reduction.final:
            return reduction
        stage = reduction.current()
        # what has results cannot be stopped any more, only be completed
        if reduction.abort_requested and not reduction.completing:
            return await self._abort(reduction, stage)
        if stage is None:
            return _finish(reduction)
        if stage.state is StageState.RUNNING:
            return await self._look(reduction, stage)
        reason = reason_to_skip(reduction, stage.name)
        if reason is not None:
            return _with(reduction, replace(stage, state=StageState.SKIPPED, reason=reason))
        return await self._start(reduction, stage)

    async def _start(self, reduction: Reduction, stage: Stage) -> Reduction:
        key = f"{reduction.id}:{stage.name}:{reduction.settings_hash[:16]}" + (f":{stage.round}" if stage.round else "")
        now = datetime.now(UTC)
        try:
            job = await self._stages.start(
                stage.name, key=key, owner=reduction.owner, request=stage_request(reduction, stage.name)
            )
        except AlidadeError as error:
            if error.retryable:
                log.warning("stage_not_started", reduction=reduction.id, stage=stage.name, error=str(error))
                return reduction
            return _with(reduction, _failed(stage, error.message, error.code, now))
        started = replace(stage, state=StageState.RUNNING, job_id=job.id, started_at=now)
        return replace(
            _with(reduction, started), phase=ReductionPhase.EXECUTING, started_at=reduction.started_at or now
        )

    async def _look(self, reduction: Reduction, stage: Stage) -> Reduction:
        try:
            job = await self._stages.look(stage.name, job_id=stage.job_id or "", owner=reduction.owner)
        except AlidadeError as error:
            if error.retryable:
                return reduction
            return _with(reduction, _failed(stage, error.message, error.code, datetime.now(UTC)))
        return _with(reduction, _ended(stage, job)) if job.is_final else reduction

    async def _abort(self, reduction: Reduction, stage: Stage | None) -> Reduction:
        now = datetime.now(UTC)
        if stage is not None and stage.state is StageState.RUNNING and stage.job_id:
            try:
                await self._stages.abort(stage.name, job_id=stage.job_id, owner=reduction.owner)
            except AlidadeError as error:
                if error.retryable:
                    return reduction
        stages = tuple(s if s.final else replace(s, state=StageState.ABORTED, ended_at=now) for s in reduction.stages)
        return replace(
            reduction, stages=stages, phase=ReductionPhase.ABORTED, ended_at=now, reason="aborted on request"
        )


def _with(reduction: Reduction, stage: Stage) -> Reduction:
    stages = tuple(stage if s.name is stage.name else s for s in reduction.stages)
    return replace(reduction, stages=stages)


def _ended(stage: Stage, job: JobView) -> Stage:
    state = {JobPhase.COMPLETED: StageState.DONE, JobPhase.ABORTED: StageState.ABORTED}.get(
        job.phase, StageState.FAILED
    )
    if stage.round and state is not StageState.DONE:
        message, code = (job.error.message, job.error.code) if job.error else ("it was stopped", None)
        return _failed(stage, message, code, job.ended_at or datetime.now(UTC))
    return replace(
        stage,
        state=state,
        ended_at=job.ended_at or datetime.now(UTC),
        result=job.result,
        files={name: ref.model_dump() for name, ref in job.files.items()},
        superseded=(*stage.superseded, *(str(ref["key"]) for ref in stage.files.values())),
        usage=job.usage.model_dump() if job.usage else None,
        reason=job.error.message if job.error else None,
        code=job.error.code if job.error else None,
    )


def _failed(stage: Stage, reason: str, code: str | None, at: datetime) -> Stage:
    """The stage without an outcome; a later round leaves that of an earlier one in force, and says why it is not new."""
    if not stage.round or stage.result is None:
        return replace(stage, state=StageState.FAILED, reason=reason, code=code, ended_at=at)
    return replace(stage, state=StageState.DONE, reason=f"not done again: {reason}", code=code, ended_at=at)


def _finish(reduction: Reduction) -> Reduction:
    """All stages ended: take the outcome from ``collect``, or say what kept it from being written."""
    collect = reduction.stage(StageName.COLLECT)
    outcome: dict[str, Any] = dict(collect.result or {})
    status: ReductionStatus = outcome.get("status", "failed")
    reason = outcome.get("reason") if collect.state is StageState.DONE else collect.reason
    failed = status == "failed" or collect.state is not StageState.DONE
    return replace(
        reduction,
        phase=ReductionPhase.ERROR if failed else ReductionPhase.COMPLETED,
        status="failed" if failed else status,
        reason=reason,
        ended_at=datetime.now(UTC),
    )
