"""Reductions, uploads and stores for the tests of the gateway."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from astro_shared.contracts.gateway import ReductionPhase, StageName, StageState
from astro_shared.contracts.settings import ProcessingSettings
from astro_shared.database.engine import make_engine
from astro_shared.database.migrations import upgrade
from gateway_service.domain.reductions import STAGES, Reduction, Stage

MakeReduction = Callable[..., Reduction]


def reference(name: str) -> dict[str, Any]:
    return {"key": f"jobs/{name}", "sha256": "0" * 64, "size": 3, "media_type": "application/fits"}


@pytest.fixture
def make_reduction() -> MakeReduction:
    def make(owner: str = "ann", **changes: Any) -> Reduction:
        settings = ProcessingSettings()
        plain = Reduction(
            id=str(uuid.uuid4()), owner=owner, frame_name="sky.fits", frame=reference("sky"),
            settings=settings.model_dump(mode="json"), settings_hash=settings.settings_hash(),
            phase=ReductionPhase.QUEUED, created_at=datetime.now(UTC), stages=tuple(Stage(name) for name in STAGES),
        )  # fmt: skip
        return replace(plain, **changes)

    return make


def with_stage(reduction: Reduction, name: StageName, state: StageState, **changes: Any) -> Reduction:
    stages = tuple(replace(s, state=state, **changes) if s.name is name else s for s in reduction.stages)
    return replace(reduction, stages=stages)


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    """A migrated database of the gateway."""
    upgrade(database, "gateway_service.migrations")
    made = make_engine(database, application="test")
    yield made
    await made.dispose()
