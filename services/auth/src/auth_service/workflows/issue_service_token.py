"""Tokens for services, for themselves or on behalf of a user."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from auth_service.domain.accounts import Origin
from auth_service.domain.secret_texts import digest, same_digest
from auth_service.domain.sessions import IssuedAccess
from auth_service.errors import BadClientError, ScopeNotAllowedError
from auth_service.ports import Clock, OpenUnit, TokenSigner, audit_record
from auth_service.workflows.accounts import active_account
from auth_service.workflows.guard_attempts import GuardAttempts


@dataclass(frozen=True)
class ServiceClient:
    """A service that may ask for tokens.

    Parameters
    ----------
    secret_digest : SHA-256 of its secret
    scopes : all that it may ask for
    acts_for_users : whether it may name a user
    """

    secret_digest: bytes
    scopes: frozenset[str]
    acts_for_users: bool = True


_NOBODY = ServiceClient(secret_digest=bytes(32), scopes=frozenset(), acts_for_users=False)


class IssueServiceToken:
    """Swaps client credentials for a token with the scopes asked for, no more."""

    def __init__(
        self,
        open_unit: OpenUnit,
        guard: GuardAttempts,
        signer: TokenSigner,
        clock: Clock,
        *,
        clients: Mapping[str, ServiceClient],
    ) -> None:
        self._open_unit = open_unit
        self._guard = guard
        self._signer = signer
        self._clock = clock
        self._clients = clients

    async def __call__(
        self, client_id: str, secret: str, scopes: Collection[str], on_behalf_of: str | None, origin: Origin
    ) -> IssuedAccess:
        """Return a token with ``sub=svc:<client_id>``.

        Raises
        ------
        BadClientError
            Unknown service or wrong secret.
        ScopeNotAllowedError
            It may not ask for one of the scopes, or not act for users.
        UnknownAccountError
            The user is not there or not active.
        """
        client = self._clients.get(client_id, _NOBODY)
        if not same_digest(client.secret_digest, digest(secret)):
            await self._refuse(client_id, "secret", origin)
            await self._guard.after_failed_exchange(origin.source)
            raise BadClientError("The credentials of the service are wrong.")
        wanted = frozenset(scopes)
        if wanted - client.scopes or (on_behalf_of is not None and not client.acts_for_users):
            await self._refuse(client_id, "scope", origin)
            beyond = ", ".join(sorted(wanted - client.scopes)) or "to act for a user"
            raise ScopeNotAllowedError(f"{client_id} may not ask for {beyond}.")
        if on_behalf_of is not None:
            async with self._open_unit() as unit:
                await active_account(unit, on_behalf_of)
        access_token = await self._signer.sign(subject=f"svc:{client_id}", scopes=wanted, on_behalf_of=on_behalf_of)
        return IssuedAccess(access_token, self._signer.lifetime_s, wanted)

    async def _refuse(self, client_id: str, reason: str, origin: Origin) -> None:
        async with self._open_unit() as unit:
            record = audit_record(
                self._clock(), "service_token", origin, outcome="refused", actor=f"svc:{client_id}", reason=reason
            )
            await unit.audit.add(record)
