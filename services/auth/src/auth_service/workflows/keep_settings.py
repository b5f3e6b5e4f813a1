"""Save a user's processing settings, so that two tabs never overwrite each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auth_service.domain.accounts import Origin
from auth_service.errors import SettingsChangedError
from auth_service.ports import Clock, OpenUnit, SettingsCheck, StoredSettings, audit_record
from auth_service.workflows.accounts import active_account


class KeepSettings:
    """Reads and saves overrides of the processing settings."""

    def __init__(self, open_unit: OpenUnit, check: SettingsCheck, clock: Clock) -> None:
        self._open_unit = open_unit
        self._check = check
        self._clock = clock

    async def read(self, user_id: str) -> StoredSettings:
        """Return what the user saved; version 0 where nothing was."""
        async with self._open_unit() as unit:
            return await unit.settings.get(user_id)

    async def save(
        self, user_id: str, sections: Mapping[str, Mapping[str, Any]], *, version: int, origin: Origin
    ) -> StoredSettings:
        """Replace the saved settings if they are still at ``version``.

        Raises
        ------
        BadSettingsError
            A section, a name or a value does not fit.
        SettingsChangedError
            They are at another version.
        """
        self._check.check(sections)
        kept = {section: dict(values) for section, values in sections.items() if values}
        now = self._clock()
        async with self._open_unit() as unit:
            await active_account(unit, user_id)
            if not await unit.settings.put(user_id, kept, version=version, at=now):
                raise SettingsChangedError("The settings were changed since you read them; read them again.")
            record = audit_record(now, "settings_saved", origin, actor=user_id, sections=",".join(sorted(kept)))
            await unit.audit.add(record)
        return StoredSettings(kept, version + 1)
