"""Take a frame that was uploaded and begin its reduction."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from astro_shared.contracts.gateway import ReductionPhase
from astro_shared.contracts.settings import ProcessingSettings, resolve
from gateway_service.domain.reductions import MASTERS, STAGES, Reduction, Stage
from gateway_service.errors import SettingsInvalidError, UnknownPresetError
from gateway_service.ports import ReductionStore, UserSettings
from gateway_service.workflows.find_file import FindFile, reference

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fast": {
        "detection": {"residual_rounds": 0},
        "identification": {"catalogues": ()},
        "products": {"plots": False, "maps": False},
    },
    "classic": {
        "detection": {"detector": "dao"},
        "psf": {"kind": "epsf_builder", "order": 0},
        "psf_photometry": {"engine": "photutils"},
        "cosmic_rays": {"engine": "astroscrappy", "medians": "separable"},
        "zero_point": {"mode": "classic"},
    },
}
"""``fast`` leaves out what costs most; ``classic`` is the chain of the observers' application."""


class CreateReduction:
    def __init__(self, files: FindFile, reductions: ReductionStore, user_settings: UserSettings) -> None:
        self._files = files
        self._reductions = reductions
        self._user_settings = user_settings

    async def __call__(
        self,
        owner: str,
        upload_id: str,
        *,
        settings: Mapping[str, Any],
        preset: str | None = None,
        idempotency_key: str | None = None,
        masters: Mapping[str, str | None] | None = None,
    ) -> Reduction:
        """Resolve the settings once, keep them with the reduction, and wake a worker.

        ``masters`` names the master ``bias``, ``dark`` and ``flat``: completed uploads, or finished master work.

        Raises
        ------
        UploadNotFoundError, UploadIncompleteError, MasterNotFinishedError
            There is no such frame or master, or it is not all there.
        SettingsInvalidError, UnknownPresetError
            A setting is unknown or out of range.
        IdempotencyConflictError
            The key was used for another request.
        """
        upload = await self._files.upload(upload_id, owner)
        frame = reference(upload)
        held = {kind: await self._files.master(key, owner) for kind, key in (masters or {}).items() if key}
        if held:
            frame[MASTERS] = held
        if preset is not None and preset not in PRESETS:
            raise UnknownPresetError(f"There is no preset {preset!r}; there are {', '.join(sorted(PRESETS))}.")
        saved = await self._user_settings.overrides(owner)
        full = resolved_settings(saved, PRESETS.get(preset or "", {}), settings)
        reduction = Reduction(
            id=str(uuid.uuid4()),
            owner=owner,
            frame_name=upload.filename,
            frame=frame,
            settings=full.model_dump(mode="json"),
            settings_hash=full.settings_hash(),
            phase=ReductionPhase.QUEUED,
            created_at=datetime.now(UTC),
            stages=tuple(Stage(name) for name in STAGES),
        )
        return await self._reductions.add(reduction, idempotency_key)


def resolved_settings(*layers: Mapping[str, Any]) -> ProcessingSettings:
    """Full settings of layers, later ones winning; raises SettingsInvalidError with every problem."""
    try:
        return resolve(*layers)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, item['loc'])) or 'settings'}: {item['msg']}" for item in error.errors()]
        raise SettingsInvalidError("Settings are not valid: " + "; ".join(problems) + ".") from None
