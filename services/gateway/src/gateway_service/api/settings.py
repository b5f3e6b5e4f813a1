"""What can be set: schema, defaults and presets, for forms."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from astro_shared.contracts.settings import ProcessingSettings
from gateway_service.workflows.create_reduction import PRESETS

router = APIRouter(prefix="/api/v1/settings", tags=["settings"])


class SettingsDescription(BaseModel):
    """JSON Schema with ranges, units and descriptions; the defaults; the presets as partial overrides."""

    json_schema: dict[str, Any]
    defaults: ProcessingSettings
    presets: dict[str, dict[str, Any]]


@router.get("", summary="Schema, defaults and presets")
async def describe() -> SettingsDescription:
    return SettingsDescription(
        json_schema=ProcessingSettings.model_json_schema(),
        defaults=ProcessingSettings(),
        presets={name: dict(preset) for name, preset in PRESETS.items()},
    )
