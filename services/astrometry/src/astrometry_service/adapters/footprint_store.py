"""Outlines of solved frames in PostgreSQL, found by the HEALPix cells that cover them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Float, MetaData, String, Table, func, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from astro_shared.contracts.frames import FrameFootprint
from astro_shared.database.engine import transaction
from astro_shared.jobs.job_types import JobRun

__all__ = ["KEEP_FOOTPRINT", "FootprintStore"]

KEEP_FOOTPRINT = "keep_footprint"
MOST_FRAMES = 1000

footprints = Table(
    "footprints",
    MetaData(),
    Column("job_id", String(64), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("frame_name", String(255), nullable=False),
    Column("epoch_jyear", Float),
    Column("scale_arcsec_px", Float, nullable=False),
    Column("outline_deg", JSONB, nullable=False),
    Column("cells", ARRAY(BigInteger), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)


class FootprintStore:
    """The owner is always the job's, whatever the child says."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def keep(self, payload: dict[str, Any], run: JobRun) -> dict[str, Any]:
        """Answer ``keep_footprint``; a job that is tried again replaces what it said before."""
        names = ("frame_name", "epoch_jyear", "scale_arcsec_px", "outline_deg", "cells")
        values = {name: payload[name] for name in names}
        whose = {"job_id": run.job.id, "owner": run.job.owner, "kind": run.job.kind}
        new = insert(footprints).values(whose | values)
        async with transaction(self._engine) as connection:
            await connection.execute(new.on_conflict_do_update(index_elements=["job_id"], set_=values))
        return {}

    async def touching(self, owner: str, cells: Sequence[int]) -> list[FrameFootprint]:
        """Frames of a user that one of the cells belongs to, newest first."""
        shown = [footprints.c[name] for name in FrameFootprint.model_fields]
        query = (
            select(*shown)
            .where(footprints.c.owner == owner, footprints.c.cells.overlap(list(cells)))
            .order_by(footprints.c.created_at.desc(), footprints.c.job_id)
            .limit(MOST_FRAMES)
        )
        async with transaction(self._engine) as connection:
            return [FrameFootprint(**row) for row in (await connection.execute(query)).mappings()]
