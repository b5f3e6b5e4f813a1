"""Master frames travel from their uploads to the request of the measure stage."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from astro_shared.contracts.gateway import StageName
from astro_shared.contracts.photometry import MeasureRequest
from gateway_service.domain.reductions import Reduction
from gateway_service.domain.uploads import Upload
from gateway_service.errors import UploadIncompleteError
from gateway_service.workflows.create_reduction import CreateReduction
from gateway_service.workflows.stage_requests import stage_request


def upload(name: str) -> Upload:
    return Upload(
        id=name, owner="ann", key=f"uploads/ann/{name}", filename=f"{name}.fits", size=10, purpose="frame",
        sha256="0" * 64, complete=True, created_at=datetime.now(UTC),
    )  # fmt: skip


class Uploads:
    def __init__(self, *uploads: Upload) -> None:
        self.held = {item.id: item for item in uploads}

    async def get(self, upload_id: str, owner: str) -> Upload:
        return self.held[upload_id]


class Reductions:
    async def add(self, reduction: Reduction, key: str | None) -> Reduction:
        return reduction


class Settings:
    async def overrides(self, owner: str) -> dict[str, Any]:
        return {}


def workflow(*uploads: Upload) -> CreateReduction:
    return CreateReduction(Uploads(*uploads), Reductions(), Settings())  # type: ignore[arg-type]


async def test_masters_reach_the_measure_stage_and_not_the_others() -> None:
    create = workflow(upload("frame"), upload("b"), upload("f"))
    reduction = await create("ann", "frame", settings={}, masters={"bias": "b", "dark": None, "flat": "f"})
    request = MeasureRequest.model_validate(stage_request(reduction, StageName.MEASURE))
    assert request.bias is not None and request.bias.key == "uploads/ann/b"
    assert request.flat is not None and request.flat.key == "uploads/ann/f"
    assert request.dark is None
    assert set(reduction.frame_reference) == set((await create("ann", "frame", settings={})).frame)


async def test_unfinished_master_is_refused() -> None:
    unfinished = replace(upload("b"), complete=False)
    with pytest.raises(UploadIncompleteError, match="upload b"):
        await workflow(upload("frame"), unfinished)("ann", "frame", settings={}, masters={"bias": "b"})
