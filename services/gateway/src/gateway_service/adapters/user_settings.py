"""What users saved at auth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from astro_shared.clients.auth import AuthClient


class AuthUserSettings:
    """`UserSettings` through auth's internal interface."""

    def __init__(self, auth: AuthClient) -> None:
        self._auth = auth

    async def overrides(self, user: str) -> Mapping[str, Any]:
        return (await self._auth.user_settings(user)).sections
