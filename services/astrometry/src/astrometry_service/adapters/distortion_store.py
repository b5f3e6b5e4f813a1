"""Distortions of earlier frames: kept by the worker, asked for by the task's child.

A row is never changed, and its number is the version of the prior that it is the newest row of. So an older version can
be had again, and a reduction that names it comes out the same.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, String, Table, func, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from astro_shared.database.engine import transaction
from astro_shared.jobs.job_types import JobRun

__all__ = ["ASK_DISTORTIONS", "KEEP_DISTORTION", "LATEST_FRAMES", "DistortionStore"]

ASK_DISTORTIONS, KEEP_DISTORTION = "ask_distortions", "keep_distortion"
# Optics are taken apart and put together again: only so many frames back count.
LATEST_FRAMES = 50

distortions = Table(
    "distortions",
    MetaData(),
    Column("version", BigInteger, primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("instrument", String(200), nullable=False),
    Column("nx", Integer, nullable=False),
    Column("ny", Integer, nullable=False),
    Column("job_id", String(64), nullable=False, unique=True),
    Column("terms_px", JSONB, nullable=False),
    Column("covariance_px2", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)


class DistortionStore:
    """In PostgreSQL; the owner is always the job's, whatever the child says."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def ask(self, payload: dict[str, Any], run: JobRun) -> dict[str, Any]:
        """Distortions of a camera up to a version (default: the newest), oldest first."""
        query = (
            select(distortions.c.version, distortions.c.terms_px, distortions.c.covariance_px2)
            .where(distortions.c.owner == run.job.owner)
            .where(*(distortions.c[name] == payload[name] for name in ("instrument", "nx", "ny")))
            .order_by(distortions.c.version.desc())
            .limit(LATEST_FRAMES)
        )
        if payload["version"] is not None:
            query = query.where(distortions.c.version <= payload["version"])
        async with transaction(self._engine) as connection:
            rows = [dict(row) for row in (await connection.execute(query)).mappings()]
        return {"rows": rows[::-1]}

    async def keep(self, payload: dict[str, Any], run: JobRun) -> dict[str, Any]:
        """Keep what a frame showed; once per job, however often it is tried."""
        names = ("instrument", "nx", "ny", "terms_px", "covariance_px2")
        values = {"owner": run.job.owner, "job_id": run.job.id} | {name: payload[name] for name in names}
        new = insert(distortions).values(values).on_conflict_do_nothing(index_elements=["job_id"])
        async with transaction(self._engine) as connection:
            await connection.execute(new)
        return {}
