"""Argon2id, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from passlib.context import CryptContext

from auth_service.domain.passwords import normalise_password
from auth_service.errors import BusyError

Result = TypeVar("Result")


@dataclass(frozen=True)
class HashCost:
    """Cost of one Argon2id hash.

    Parameters
    ----------
    memory_kib : KiB, at least 19456 (19 MiB)
    time_cost : passes, at least 2
    """

    memory_kib: int = 32768
    time_cost: int = 2


class Argon2Hasher:
    """`auth_service.ports.PasswordHasher`.

    Notes
    -----
    Hashing takes tens of milliseconds of one core and tens of megabytes, so it runs in a pool of few threads and
    refuses to queue more than ``most_waiting``: a flood of logins must not starve everything else.
    """

    def __init__(self, cost: HashCost, *, threads: int = 2, most_waiting: int = 64) -> None:
        self._context = CryptContext(
            schemes=["argon2"],
            argon2__type="ID",
            argon2__memory_cost=cost.memory_kib,
            argon2__time_cost=cost.time_cost,
            argon2__parallelism=1,
        )
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="argon2")
        self._most_waiting = most_waiting
        self._waiting = 0
        self._nobodys_hash = self._context.hash("the password of nobody")

    async def hash(self, password: str) -> str:
        """Return the PHC string of a password."""
        return await self._run(self._hash, normalise_password(password))

    async def verify(self, password: str, password_hash: str | None) -> tuple[bool, str | None]:
        """Check a password; without a hash check against nobody's, which takes as long."""
        good, new_hash = await self._run(
            self._verify, normalise_password(password), password_hash or self._nobodys_hash
        )
        return (good, new_hash) if password_hash is not None else (False, None)

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _hash(self, password: str) -> str:
        return str(self._context.hash(password))

    def _verify(self, password: str, password_hash: str) -> tuple[bool, str | None]:
        good, new_hash = self._context.verify_and_update(password, password_hash)
        return bool(good), new_hash

    async def _run(self, call: Callable[..., Result], *arguments: str) -> Result:
        if self._waiting >= self._most_waiting:
            raise BusyError("Too many logins at once; try again in a moment.", retry_after_s=2)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call, *arguments)
        finally:
            self._waiting -= 1
