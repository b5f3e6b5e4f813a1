"""Builds the adapters and workflows of auth from its settings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from astro_shared.contracts.auth import ADMIN_SCOPES, ALL_USER_SCOPES, PERSONAL_TOKEN_SCOPES
from astro_shared.contracts.settings import ProcessingSettings
from astro_shared.database.engine import check_connection, make_engine
from astro_shared.web.security import Authenticator, RevocationSnapshot
from astro_shared.web.tokens import TokenVerifier
from auth_service.adapters.database import DatabaseCounters, DatabaseUnits, utc_now
from auth_service.adapters.mailers import FolderMailer, Sender, SmtpMailer, SmtpServer
from auth_service.adapters.passwords import Argon2Hasher, HashCost
from auth_service.adapters.settings_schema import SettingsSchema
from auth_service.adapters.signing_keys import SigningKeyRing
from auth_service.config import DEFAULT_CLIENT_SCOPES, AuthSettings, MailSettings
from auth_service.domain.secret_texts import digest
from auth_service.ports import Clock, Counters, Mailer, OpenUnit, PasswordHasher
from auth_service.workflows.bootstrap_local import BootstrapLocal
from auth_service.workflows.change_account import ChangePassword, ChangeStatus, ReadAccount
from auth_service.workflows.check_password import CheckPassword
from auth_service.workflows.confirm_address import ChangeAddress, ConfirmAddress
from auth_service.workflows.guard_attempts import AttemptLimits, GuardAttempts
from auth_service.workflows.hold_session import LogIn, LogOut, RefreshSession
from auth_service.workflows.issue_service_token import IssueServiceToken, ServiceClient
from auth_service.workflows.keep_keys import KeepKeys
from auth_service.workflows.keep_settings import KeepSettings
from auth_service.workflows.list_revocations import ListRevocations
from auth_service.workflows.manage_personal_tokens import ExchangePersonalToken, ManagePersonalTokens
from auth_service.workflows.operate_mail import Invite, OperateMail
from auth_service.workflows.post_letters import PostLetters
from auth_service.workflows.recover_account import RequestRecovery, ResetPassword
from auth_service.workflows.register_account import RegisterAccount
from auth_service.workflows.send_letters import Places, SendLetters

SCOPES_BY_ROLE = {
    "user": frozenset(map(str, ALL_USER_SCOPES)),
    "admin": frozenset(map(str, ALL_USER_SCOPES | ADMIN_SCOPES)),
}
GRANTABLE_SCOPES = frozenset(map(str, PERSONAL_TOKEN_SCOPES))


@dataclass(frozen=True)
class Services:
    """Everything that routes and commands call."""

    settings: AuthSettings
    open_unit: OpenUnit
    signing_keys: SigningKeyRing
    authenticator: Authenticator
    register: RegisterAccount
    log_in: LogIn
    refresh: RefreshSession
    log_out: LogOut
    read_account: ReadAccount
    change_password: ChangePassword
    change_status: ChangeStatus
    request_recovery: RequestRecovery
    reset_password: ResetPassword
    change_address: ChangeAddress
    confirm_address: ConfirmAddress
    send_letters: SendLetters | None
    operate_mail: OperateMail
    invite: Invite
    personal_tokens: ManagePersonalTokens
    exchange: ExchangePersonalToken
    service_token: IssueServiceToken
    keep_settings: KeepSettings
    keep_keys: KeepKeys
    revocations: ListRevocations
    bootstrap_local: BootstrapLocal
    check_database: Callable[[], Awaitable[None]]


class OwnRevocations:
    """Revocations straight from the database, for the requests that auth itself serves."""

    def __init__(self, revocations: ListRevocations) -> None:
        self._revocations = revocations

    async def snapshot(self) -> RevocationSnapshot:
        """Return the present state; an error of the database is the request's."""
        asked_at_s = time.monotonic()
        present = await self._revocations()
        return RevocationSnapshot(sessions=present.sessions, subjects=present.subjects, fetched_at_s=asked_at_s)


@asynccontextmanager
async def open_services(settings: AuthSettings) -> AsyncIterator[Services]:
    """Build everything on the real database, and close it in the end."""
    engine = make_engine(settings.database_url, settings.database, application="auth")
    hasher = Argon2Hasher(HashCost(settings.argon2_memory_kib, settings.argon2_time_cost))

    async def check_database() -> None:
        await check_connection(engine)

    try:
        yield build_services(
            settings,
            open_unit=DatabaseUnits(engine),
            counters=DatabaseCounters(engine),
            hasher=hasher,
            check_database=check_database,
            mailer=make_mailer(settings.mail),
        )
    finally:
        hasher.close()
        await engine.dispose()


def build_services(
    settings: AuthSettings,
    *,
    open_unit: OpenUnit,
    counters: Counters,
    hasher: PasswordHasher,
    check_database: Callable[[], Awaitable[None]],
    mailer: Mailer | None = None,
    clock: Clock = utc_now,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Services:
    """Build the workflows on any storage (tests bring their own)."""
    keys = SigningKeyRing(
        open_unit,
        settings.signing_ring(),
        clock,
        issuer=settings.issuer,
        audience=settings.audience,
        lifetime_s=settings.access_lifetime_s,
    )
    guard = GuardAttempts(counters, AttemptLimits(**settings.attempts.model_dump()))
    revocations = ListRevocations(open_unit, clock, lifetime_s=settings.access_lifetime_s)
    verifier = TokenVerifier(issuer=settings.issuer, audience=settings.audience, keys=keys)
    letters = PostLetters(clock, enabled=mailer is not None)
    places = Places(platform=settings.public_base_url, pages=settings.pages_url)
    check_password = CheckPassword(open_unit, hasher, guard, clock)
    personal_tokens = ManagePersonalTokens(open_unit, clock, grantable=GRANTABLE_SCOPES)
    return Services(
        settings=settings,
        open_unit=open_unit,
        signing_keys=keys,
        authenticator=Authenticator(verifier, OwnRevocations(revocations)),
        register=RegisterAccount(
            open_unit,
            hasher,
            guard,
            letters,
            clock,
            registration=settings.registration,
            confirm_address=settings.confirm_address,
        ),
        log_in=LogIn(open_unit, hasher, guard, keys, clock, scopes=SCOPES_BY_ROLE, sleep=sleep),
        refresh=RefreshSession(open_unit, keys, clock, scopes=SCOPES_BY_ROLE),
        log_out=LogOut(open_unit, clock),
        read_account=ReadAccount(open_unit),
        change_password=ChangePassword(open_unit, hasher, check_password, letters, clock),
        change_status=ChangeStatus(open_unit, clock),
        request_recovery=RequestRecovery(open_unit, guard, letters, clock),
        reset_password=ResetPassword(open_unit, hasher, guard, letters, clock),
        change_address=ChangeAddress(open_unit, check_password, letters, clock),
        confirm_address=ConfirmAddress(open_unit, guard, letters, clock),
        send_letters=None if mailer is None else SendLetters(open_unit, mailer, clock, places=places),
        operate_mail=OperateMail(open_unit, mailer, clock, platform=settings.public_base_url),
        invite=Invite(open_unit, letters, clock),
        personal_tokens=personal_tokens,
        exchange=ExchangePersonalToken(open_unit, guard, keys, clock),
        service_token=IssueServiceToken(open_unit, guard, keys, clock, clients=_clients(settings)),
        keep_settings=KeepSettings(open_unit, SettingsSchema(ProcessingSettings), clock),
        keep_keys=KeepKeys(open_unit, settings.sealing_ring(), clock),
        revocations=revocations,
        # whoever may start the embedded platform owns all of it
        bootstrap_local=BootstrapLocal(open_unit, personal_tokens, clock, scopes=SCOPES_BY_ROLE["admin"]),
        check_database=check_database,
    )


def _clients(settings: AuthSettings) -> dict[str, ServiceClient]:
    return {
        name: ServiceClient(
            secret_digest=digest(client.secret.get_secret_value()),
            scopes=frozenset(map(str, client.scopes or DEFAULT_CLIENT_SCOPES[name])),
            acts_for_users=client.acts_for_users,
        )
        for name, client in settings.service_clients.items()
    }


def make_mailer(settings: MailSettings) -> Mailer | None:
    """Build what sends letters; None where this server sends none."""
    sender = Sender(settings.sender, settings.sender_name)
    if settings.kind == "smtp" and settings.host is not None:
        server = SmtpServer(
            host=settings.host,
            port=settings.port,
            security=settings.security,
            username=settings.username,
            password=settings.password.get_secret_value() if settings.password else None,
            ca_file=settings.ca_file,
            timeout_s=settings.timeout_s,
        )
        return SmtpMailer(server, sender)
    if settings.kind == "folder" and settings.folder is not None:
        return FolderMailer(settings.folder, sender)
    return None
