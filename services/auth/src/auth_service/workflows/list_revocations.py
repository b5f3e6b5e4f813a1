"""What other services must no longer accept."""

from __future__ import annotations

from datetime import timedelta

from auth_service.domain.sessions import Revocations
from auth_service.ports import Clock, OpenUnit

CLOCK_MARGIN = timedelta(minutes=2)


class ListRevocations:
    """Lists what was ended within the life of an access token; older tokens have expired by themselves."""

    def __init__(self, open_unit: OpenUnit, clock: Clock, *, lifetime_s: int) -> None:
        self._open_unit = open_unit
        self._clock = clock
        self._window = timedelta(seconds=lifetime_s) + CLOCK_MARGIN

    async def __call__(self) -> Revocations:
        """Return ended sessions, revoked personal tokens and disabled users."""
        now = self._clock()
        async with self._open_unit() as unit:
            return await unit.revocations(now - self._window, now)
