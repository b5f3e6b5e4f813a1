"""Slow guessers down without locking owners out."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass

from auth_service.errors import TooManyAttemptsError
from auth_service.ports import Counters


@dataclass(frozen=True)
class AttemptLimits:
    """Failures allowed within ``window_s`` seconds.

    Parameters
    ----------
    per_pair : one name from one source
    per_name : one name from all sources that never logged in with it
    per_source : all names from one source
    registrations_per_source : accounts opened, or tried to, from one source
    recoveries_per_source : requests for a new password from one source
    recoveries_per_name : letters that such requests for one name or address may cause
    one_more_after_s : where a limit of logins is used up, one more login is looked at after so many seconds
        60 s after 10 failures leave at most 100 guesses an hour at one name from one source.
    """

    window_s: int = 900
    one_more_after_s: int = 60
    per_pair: int = 10
    per_name: int = 30
    per_source: int = 100
    registrations_per_source: int = 30
    recoveries_per_source: int = 30
    recoveries_per_name: int = 5


class GuardAttempts:
    """Counts attempts before they are checked, so that a volley in parallel counts in full.

    Notes
    -----
    Three windows stand against three attacks: one name from one source, one name from many sources, many names
    from one source. A source from which a name once logged in is familiar: what strangers do to that name from
    elsewhere, or to other names from there, does not hold the owner up. A limit that is used up never locks anybody
    out to the end of its window: one login more is looked at now and then, so the owner waits a minute at most once
    the guessing stops. A secret of 256 bits cannot be guessed: it is checked first, and a good one is never refused.
    """

    def __init__(self, counters: Counters, limits: AttemptLimits) -> None:
        self._counters = counters
        self._limits = limits

    async def before_login(self, username: str, source: str | None) -> float:
        """Count a login; return seconds by which to delay the answer if it fails.

        Raises
        ------
        TooManyAttemptsError
            A limit is used up.
        """
        limits = self._limits
        place = _place(source)
        familiar = await self._counters.is_familiar(_bucket("known", username, place))
        in_pair = await self._count_login("pair", (username, place), limits.per_pair)
        if not familiar:
            await self._count_login("source", (place,), limits.per_source)
            await self._count_login("name", (username,), limits.per_name)
        return 0.0 if in_pair <= 3 else min(2.0, 0.125 * 2.0 ** (in_pair - 3))

    async def after_login(self, username: str, source: str | None) -> None:
        """Take back what a login that went well has counted, and remember where it came from."""
        place = _place(source)
        window_s = self._limits.window_s
        familiar = _bucket("known", username, place)
        await self._counters.clear(_bucket("pair", username, place))
        if not await self._counters.is_familiar(familiar):
            for bucket in (_bucket("source", place), _bucket("name", username)):
                await self._counters.add(bucket, window_s=window_s, amount=-1)
            await self._counters.remember(familiar)

    async def before_registration(self, source: str | None) -> None:
        """Count an account being opened."""
        await self._count(_bucket("register", _place(source)), self._limits.registrations_per_source)

    async def before_recovery(self, account: str, source: str | None) -> bool:
        """Count a request for a new password; return whether a letter may be written.

        Too many for one account are no error: the answer must be the same for all, and the owner has letters then.

        Raises
        ------
        TooManyAttemptsError
            Too many from this source.
        """
        await self._count(_bucket("recover", _place(source)), self._limits.recoveries_per_source)
        count, _ = await self._counters.add(_bucket("recover-name", account), window_s=self._limits.window_s)
        return count <= self._limits.recoveries_per_name

    async def after_failed_exchange(self, source: str | None) -> None:
        """Count a personal token, client credentials or the token of a mailed link that were wrong."""
        await self._count(_bucket("exchange", _place(source)), self._limits.per_source)

    async def _count_login(self, kind: str, parts: tuple[str, ...], limit: int) -> int:
        """Count against a limit; beyond it one is let through after every pause."""
        count, left_s = await self._counters.add(_bucket(kind, *parts), window_s=self._limits.window_s)
        if count >= limit:
            pause = _bucket(f"{kind}-pause", *parts)
            taken, pause_left_s = await self._counters.add(pause, window_s=self._limits.one_more_after_s)
            if count > limit and taken > 1:
                left_s = min(left_s, pause_left_s)
                raise TooManyAttemptsError("Too many attempts; wait before the next one.", retry_after_s=left_s)
        return count

    async def _count(self, bucket: str, limit: int) -> int:
        count, left_s = await self._counters.add(bucket, window_s=self._limits.window_s)
        if count > limit:
            raise TooManyAttemptsError("Too many attempts; wait before the next one.", retry_after_s=left_s)
        return count


def _place(source: str | None) -> str:
    """Return the network that one party usually holds: an IPv4 address, an IPv6 /64."""
    try:
        address = ipaddress.ip_address(source or "")
    except ValueError:
        return "unknown"
    if address.version == 6:
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return str(address)


def _bucket(kind: str, *parts: str) -> str:
    """Name a bucket; what people typed is hashed, so that the table is no list of names and addresses."""
    return f"{kind}:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:40]}"
