"""Reductions in PostgreSQL: one row each, with its stages as one JSON document.

``due_at`` is queue and sweep in one: whoever has news of a reduction sets it to now and notifies; a worker claims due
rows by moving ``due_at`` a sweep interval ahead, so that a lost notification costs an interval and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, cast, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from astro_shared.contracts.gateway import ReductionPhase, StageName, StageState
from gateway_service.adapters.database import reductions
from gateway_service.domain.reductions import Reduction, Stage
from gateway_service.errors import IdempotencyConflictError, ReductionNotFoundError

CHANNEL = "gateway_reductions"
SWEEP = timedelta(seconds=10)


class PostgresReductionStore:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, reduction: Reduction, idempotency_key: str | None) -> Reduction:
        fingerprint = _fingerprint(reduction)
        row = _to_row(reduction) | {"idempotency_key": idempotency_key, "request_hash": fingerprint}
        new = (
            insert(reductions)
            .values(row | {"due_at": func.now()})
            .on_conflict_do_nothing(constraint="uq_reductions_owner_key")
            .returning(reductions.c.id)
        )
        async with self._engine.begin() as connection:
            if (await connection.execute(new)).first() is not None:
                await _notify(connection)
                return reduction
            query = select(reductions).where(
                reductions.c.owner == reduction.owner, reductions.c.idempotency_key == idempotency_key
            )
            known = (await connection.execute(query)).mappings().one()
        if known["request_hash"] != fingerprint:
            raise IdempotencyConflictError("This Idempotency-Key was used for another frame or other settings.")
        return _from_row(known)

    async def get(self, reduction_id: str, owner: str | None = None) -> Reduction:
        query = select(reductions).where(reductions.c.id == reduction_id)
        if owner is not None:
            query = query.where(reductions.c.owner == owner)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        return _found(row, reduction_id)

    async def newest(self, owner: str, *, limit: int, before: tuple[str, str] | None) -> list[Reduction]:
        query = select(reductions).where(reductions.c.owner == owner)
        if before is not None:
            moment, last = datetime.fromisoformat(before[0]), before[1]
            older = or_(
                reductions.c.created_at < moment, and_(reductions.c.created_at == moment, reductions.c.id < last)
            )
            query = query.where(older)
        query = query.order_by(reductions.c.created_at.desc(), reductions.c.id.desc()).limit(limit)
        async with self._engine.connect() as connection:
            return [_from_row(row) for row in (await connection.execute(query)).mappings()]

    async def ids_by_job(self, owner: str, job_ids: Collection[str]) -> dict[str, str]:
        """Reduction of each job that is one of its stages; jobs of removed reductions are not in it."""
        holds = [reductions.c.stages.contains(cast([{"job_id": job_id}], JSONB)) for job_id in job_ids]
        if not holds:
            return {}
        query = select(reductions.c.id, reductions.c.stages).where(reductions.c.owner == owner, or_(*holds))
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        asked = set(job_ids)
        return {stage["job_id"]: row.id for row in rows for stage in row.stages if stage["job_id"] in asked}

    async def request_abort(self, reduction_id: str, owner: str) -> Reduction:
        change = (
            update(reductions)
            .where(reductions.c.id == reduction_id, reductions.c.owner == owner, reductions.c.ended_at.is_(None))
            .values(abort_requested=True, due_at=func.now())
        )
        async with self._engine.begin() as connection:
            await connection.execute(change)
            await _notify(connection)
        return await self.get(reduction_id, owner)

    async def delete(self, reduction_id: str, owner: str) -> Reduction:
        gone = (
            delete(reductions)
            .where(reductions.c.id == reduction_id, reductions.c.owner == owner, reductions.c.ended_at.is_not(None))
            .returning(*reductions.c)
        )
        async with self._engine.begin() as connection:
            row = (await connection.execute(gone)).mappings().first()
        return _found(row, reduction_id)

    async def wake(self, reduction_id: str) -> None:
        await self._wake(reductions.c.id == reduction_id)

    async def wake_by_job(self, job_id: str) -> None:
        await self._wake(reductions.c.stages.contains(cast([{"job_id": job_id}], JSONB)))

    async def _wake(self, which: Any) -> None:
        change = update(reductions).where(which, reductions.c.ended_at.is_(None)).values(due_at=func.now())
        async with self._engine.begin() as connection:
            await connection.execute(change)
            await _notify(connection)

    async def claim_due(self, limit: int) -> list[str]:
        due = (
            select(reductions.c.id)
            .where(reductions.c.due_at <= func.now())
            .order_by(reductions.c.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        claim = (
            update(reductions)
            .where(reductions.c.id.in_(due.scalar_subquery()))
            .values(due_at=func.now() + SWEEP)
            .returning(reductions.c.id)
        )
        async with self._engine.begin() as connection:
            return list((await connection.execute(claim)).scalars())

    @asynccontextmanager
    async def locked(self, reduction_id: str) -> AsyncIterator[_Locked]:
        query = select(reductions).where(reductions.c.id == reduction_id).with_for_update()
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
            yield _Locked(connection, _found(row, reduction_id))
            await connection.commit()


@dataclass
class _Locked:
    connection: AsyncConnection
    reduction: Reduction

    async def save(self, reduction: Reduction) -> None:
        """Write and keep the lock. A stage that was started is known even when this process dies before the commit:
        its job is found again by its key."""
        values = {key: value for key, value in _to_row(reduction).items() if key not in ("id", "abort_requested")}
        if reduction.final:
            values["due_at"] = None
        await self.connection.execute(update(reductions).where(reductions.c.id == reduction.id).values(values))
        self.reduction = reduction


async def _notify(connection: AsyncConnection) -> None:
    await connection.execute(text(f"NOTIFY {CHANNEL}"))


def _found(row: Mapping[Any, Any] | None, reduction_id: str) -> Reduction:
    if row is None:
        raise ReductionNotFoundError(f"There is no reduction {reduction_id}.")
    return _from_row(row)


def _fingerprint(reduction: Reduction) -> str:
    what = {"frame": dict(reduction.frame), "name": reduction.frame_name, "settings": dict(reduction.settings)}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


_PLAIN = (
    "id", "owner", "frame_name", "frame", "settings", "settings_hash", "status", "reason", "abort_requested",
    "created_at", "started_at", "ended_at",
)  # fmt: skip


def _to_row(reduction: Reduction) -> dict[str, Any]:
    row = {name: getattr(reduction, name) for name in _PLAIN}
    return row | {"phase": str(reduction.phase), "stages": [_stage_to_json(stage) for stage in reduction.stages]}


def _from_row(row: Mapping[Any, Any]) -> Reduction:
    return Reduction(
        **{name: row[name] for name in _PLAIN},
        phase=ReductionPhase(row["phase"]),
        stages=tuple(_stage_from_json(stage) for stage in row["stages"]),
    )


def _stage_to_json(stage: Stage) -> dict[str, Any]:
    values = {name: getattr(stage, name) for name in Stage.__dataclass_fields__}
    for name in ("started_at", "ended_at"):
        values[name] = values[name].isoformat() if values[name] else None
    return values | {"name": str(stage.name), "state": str(stage.state)}


def _stage_from_json(values: Mapping[str, Any]) -> Stage:
    fields = dict(values) | {"name": StageName(values["name"]), "state": StageState(values["state"])}
    fields["superseded"] = tuple(fields.get("superseded", ()))
    for name in ("started_at", "ended_at"):
        fields[name] = datetime.fromisoformat(fields[name]) if fields[name] else None
    return Stage(**fields)
