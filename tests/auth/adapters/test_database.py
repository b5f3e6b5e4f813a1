"""Auth's storage on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from astro_shared.database.engine import database_url, make_engine
from astro_shared.database.errors import DatabaseUnavailableError
from astro_shared.database.migrations import upgrade
from auth_service.adapters.database import DatabaseCounters, DatabaseUnits
from auth_service.adapters.tables import metadata
from auth_service.domain.accounts import Account, AccountStatus, Origin
from auth_service.domain.mail import LetterKind, LinkPurpose, MailedLink, QueuedLetter
from auth_service.domain.sessions import PersonalToken, RefreshToken, Session, StoredSigningKey
from auth_service.main import MIGRATIONS
from auth_service.migrations import r0001_accounts
from auth_service.ports import StoredKey, audit_record
from auth_service.workflows.accounts import end_everything

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    upgrade(database, MIGRATIONS)
    made = make_engine(database)
    yield made
    await made.dispose()


@pytest.fixture
def units(engine: AsyncEngine) -> DatabaseUnits:
    return DatabaseUnits(engine)


def account(name: str = "ada", **changes: Any) -> Account:
    values: dict[str, Any] = {
        "id": f"id-{name}",
        "username": name,
        "email": None,
        "role": "user",
        "status": AccountStatus.ACTIVE,
        "password_hash": "hash",
        "created_at": NOW,
    }
    return Account(**{**values, **changes})


async def with_session(units: DatabaseUnits, digest: bytes = b"d1") -> Session:
    session = Session("s1", "id-ada", NOW, NOW + timedelta(days=30))
    async with units() as unit:
        await unit.accounts.add(account())
        await unit.sessions.begin(session, RefreshToken(digest, "s1", NOW))
    return session


async def test_tables_are_what_the_migration_makes(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        real = await connection.run_sync(
            lambda sync: {
                name: {column["name"]: column["nullable"] for column in inspect(sync).get_columns(name)}
                for name in metadata.tables
            }
        )
    wanted = {
        name: {column.name: bool(column.nullable) for column in table.columns}
        for name, table in metadata.tables.items()
    }
    assert real == wanted


def test_migrating_twice_changes_nothing(database: str) -> None:
    assert upgrade(database, MIGRATIONS) == (None, "auth_0002")
    assert upgrade(database, MIGRATIONS) == ("auth_0002", "auth_0002")


async def test_an_account_comes_back_as_it_went(units: DatabaseUnits) -> None:
    wanted = account(email="ada@example.test", role="admin")
    async with units() as unit:
        assert await unit.accounts.add(wanted)
    async with units() as unit:
        assert await unit.accounts.by_username("ada") == wanted
        assert await unit.accounts.by_id("id-ada") == wanted
        assert await unit.accounts.by_id("id-bob") is None


async def test_of_ten_who_want_a_name_one_gets_it(units: DatabaseUnits) -> None:
    async def take(number: int) -> bool:
        async with units() as unit:
            return await unit.accounts.add(account(id=f"id-{number}"))

    assert sum(await asyncio.gather(*(take(number) for number in range(10)))) == 1


async def test_a_unit_that_raises_leaves_nothing(units: DatabaseUnits) -> None:
    with pytest.raises(RuntimeError):
        async with units() as unit:
            await unit.accounts.add(account())
            raise RuntimeError
    async with units() as unit:
        assert await unit.accounts.by_username("ada") is None


async def test_a_token_being_refreshed_makes_the_others_wait(units: DatabaseUnits) -> None:
    await with_session(units)

    async def refresh(number: int) -> bool:
        async with units() as unit:
            found = await unit.sessions.locked_token(b"d1")
            assert found is not None
            token, _ = found
            await asyncio.sleep(0.01)
            if token.spent_at is not None:
                return False
            spent = RefreshToken(b"d1", "s1", NOW, NOW, b"next", None)
            await unit.sessions.rotate(spent, RefreshToken(b"next", "s1", NOW))
            return True

    assert sum(await asyncio.gather(*(refresh(number) for number in range(4)))) == 1


async def test_a_successor_is_replaced_until_it_is_used(units: DatabaseUnits) -> None:
    await with_session(units)
    spent = RefreshToken(b"d1", "s1", NOW, NOW, b"d2", b"retry")
    async with units() as unit:
        await unit.sessions.rotate(spent, RefreshToken(b"d2", "s1", NOW))
        assert await unit.sessions.replace(b"d2", RefreshToken(b"d3", "s1", NOW), of=spent)
        assert await unit.sessions.locked_token(b"d2") is None
        found = await unit.sessions.locked_token(b"d1")
        assert found is not None
        assert found[0] == RefreshToken(b"d1", "s1", NOW, NOW, b"d3", b"retry")
        await unit.sessions.rotate(RefreshToken(b"d3", "s1", NOW, NOW, b"d4"), RefreshToken(b"d4", "s1", NOW))
        assert not await unit.sessions.replace(b"d3", RefreshToken(b"d5", "s1", NOW), of=spent)


async def test_revocations_are_of_the_time_asked_for(units: DatabaseUnits) -> None:
    await with_session(units)
    async with units() as unit:
        await unit.personal_tokens.add(personal("p1"))
        assert await unit.sessions.end_all("id-ada", NOW) == 1
        assert await unit.personal_tokens.revoke_all("id-ada", NOW) == 1
        await unit.accounts.set_status("id-ada", AccountStatus.DISABLED, NOW)
    async with units() as unit:
        now = await unit.revocations(NOW - timedelta(minutes=1), NOW)
        later = await unit.revocations(NOW + timedelta(minutes=1), NOW)
    assert (now.sessions, now.subjects) == (frozenset({"s1", "pat-p1"}), frozenset({"id-ada"}))
    assert (later.sessions, later.subjects) == (frozenset(), frozenset())


def personal(token_id: str, **changes: Any) -> PersonalToken:
    values: dict[str, Any] = {
        "id": token_id,
        "user_id": "id-ada",
        "name": "script",
        "digest": b"digest",
        "scopes": frozenset({"frames:read", "account:read"}),
        "created_at": NOW,
        "expires_at": NOW + timedelta(days=1),
    }
    return PersonalToken(**{**values, **changes})


async def test_personal_tokens_are_listed_while_they_can_be_used(units: DatabaseUnits) -> None:
    async with units() as unit:
        await unit.accounts.add(account())
        for token in (personal("p1"), personal("p2", created_at=NOW + timedelta(hours=1))):
            await unit.personal_tokens.add(token)
        await unit.personal_tokens.add(personal("p3", expires_at=NOW))
        await unit.personal_tokens.mark_used("p1", NOW)
        assert [token.id for token in await unit.personal_tokens.live_of("id-ada", NOW)] == ["p2", "p1"]
        assert await unit.personal_tokens.by_id("p1") == personal("p1", last_used_at=NOW)
        await unit.personal_tokens.revoke("p2", NOW)
        assert [token.id for token in await unit.personal_tokens.live_of("id-ada", NOW)] == ["p1"]


async def test_settings_change_only_from_the_version_that_was_read(units: DatabaseUnits) -> None:
    async with units() as unit:
        await unit.accounts.add(account())

    async def save(version: int, value: int) -> bool:
        async with units() as unit:
            return await unit.settings.put("id-ada", {"psf": {"value": value}}, version=version, at=NOW)

    assert sum(await asyncio.gather(*(save(0, value) for value in range(4)))) == 1
    assert sum(await asyncio.gather(*(save(1, value) for value in range(4)))) == 1
    assert not await save(0, 9)
    async with units() as unit:
        assert (await unit.settings.get("id-ada")).version == 2
        assert (await unit.settings.get("id-bob")).version == 0


def key(name: str = "nova", version: str = "v1") -> StoredKey:
    return StoredKey("id-ada", name, version, b"wrapped", b"sealed", "1234", NOW)


async def test_keys_are_replaced_listed_and_deleted(units: DatabaseUnits) -> None:
    async with units() as unit:
        await unit.accounts.add(account())
        for item in (key("nova", "v1"), key("colibri", "v2"), key("nova", "v2")):
            await unit.keys.put(item)
        assert [item.name for item in await unit.keys.all_of("id-ada")] == ["colibri", "nova"]
        assert await unit.keys.get("id-ada", "nova") == key("nova", "v2")
        assert await unit.keys.not_sealed_with("v2", 10) == []
        assert len(await unit.keys.not_sealed_with("v3", 1)) == 1
        assert await unit.keys.delete("id-ada", "nova")
        assert not await unit.keys.delete("id-ada", "nova")


async def test_erasing_an_account_frees_its_name(units: DatabaseUnits) -> None:
    async with units() as unit:
        await unit.accounts.add(account(email="ada@example.test"))
        await unit.keys.put(key())
        await unit.settings.put("id-ada", {}, version=0, at=NOW)
        await unit.accounts.erase("id-ada", NOW)
        assert await unit.accounts.add(account(id="another"))
        assert await unit.keys.all_of("id-ada") == []
        gone = await unit.accounts.by_id("id-ada")
    assert gone is not None
    assert (gone.status, gone.email, gone.password_hash) == (AccountStatus.DELETED, None, None)


async def test_signing_keys_retire(units: DatabaseUnits) -> None:
    def pair(kid: str, active_from: datetime) -> StoredSigningKey:
        return StoredSigningKey(kid, {"kid": kid}, b"sealed", active_from)

    async with units() as unit:
        await unit.signing_keys.lock()
        await unit.signing_keys.add(pair("old", NOW))
        await unit.signing_keys.add(pair("new", NOW + timedelta(minutes=2)))
        await unit.signing_keys.retire_others("new", NOW + timedelta(hours=1))
        assert [item.kid for item in await unit.signing_keys.published(NOW)] == ["new", "old"]
        assert [item.kid for item in await unit.signing_keys.published(NOW + timedelta(hours=2))] == ["new"]


@pytest.mark.parametrize(
    "statement", ["DELETE FROM audit_events", "UPDATE audit_events SET event = 'x'", "TRUNCATE audit_events"]
)
async def test_the_audit_log_only_grows(units: DatabaseUnits, engine: AsyncEngine, statement: str) -> None:
    record = audit_record(NOW, "login", Origin("203.0.113.5", "request-1"), actor="id-ada", count=3)
    async with units() as unit:
        await unit.audit.add(record)
    with pytest.raises(DBAPIError, match="append-only"):
        async with engine.begin() as connection:
            await connection.execute(text(statement))
    async with units() as unit:
        assert await unit.audit.newest(10) == [record]


async def test_purging_takes_what_ended_long_ago(units: DatabaseUnits) -> None:
    await with_session(units)
    async with units() as unit:
        await unit.sessions.begin(
            Session("s2", "id-ada", NOW, NOW + timedelta(days=30)), RefreshToken(b"live", "s2", NOW)
        )
        await unit.sessions.end("s1", NOW)
        await unit.personal_tokens.add(personal("p1", expires_at=NOW))
        assert await unit.purge(NOW) == 0
        assert await unit.purge(NOW + timedelta(days=7)) == 2
        assert await unit.sessions.locked_token(b"d1") is None
        assert await unit.sessions.locked_token(b"live") is not None


async def test_counters_are_shared_and_lose_no_count(engine: AsyncEngine) -> None:
    replicas = [DatabaseCounters(engine) for _ in range(2)]
    await asyncio.gather(*(replicas[number % 2].add("login:x", window_s=60) for number in range(20)))
    count, left_s = await replicas[0].add("login:x", window_s=60)
    assert count == 21
    assert 0 < left_s <= 60
    assert (await replicas[1].add("login:x", window_s=60, amount=-5))[0] == 16
    assert (await replicas[1].add("login:x", window_s=60, amount=-50))[0] == 0
    await replicas[0].clear("login:x")
    assert (await replicas[1].add("login:x", window_s=60))[0] == 1


async def test_a_window_that_has_ended_begins_anew(engine: AsyncEngine) -> None:
    counters = DatabaseCounters(engine)
    await counters.add("login:x", window_s=0)
    assert (await counters.add("login:x", window_s=60))[0] == 1
    assert (await counters.add("login:x", window_s=60))[0] == 2


async def test_places_are_remembered(engine: AsyncEngine) -> None:
    counters = DatabaseCounters(engine)
    assert not await counters.is_familiar("known:x")
    await counters.remember("known:x")
    await counters.remember("known:x")
    assert await counters.is_familiar("known:x")


async def test_a_database_that_is_away_is_said_to_be() -> None:
    units = DatabaseUnits(make_engine("postgresql://nobody@127.0.0.1:1/none"))
    with pytest.raises(DatabaseUnavailableError):
        async with units() as unit:
            await unit.accounts.by_username("ada")


def queued(letter_id: str, **changes: Any) -> QueuedLetter:
    values: dict[str, Any] = {
        "id": letter_id,
        "kind": LetterKind.RECOVER,
        "recipient": None,
        "user_id": None,
        "account": "ada",
        "facts": {"source": "203.0.113.5"},
        "created_at": NOW,
        "due_at": NOW,
    }
    return QueuedLetter(**{**values, **changes})


LEASE = timedelta(minutes=5)


async def test_a_letter_waits_and_is_claimed_by_one(units: DatabaseUnits) -> None:
    async with units() as unit:
        for number in range(3):
            await unit.outbox.put(queued(f"letter-{number}"))

    async def claim(_: int) -> str | None:
        async with units() as unit:
            letter = await unit.outbox.claim(NOW, lease=LEASE)
            await asyncio.sleep(0.02)
            return letter.id if letter else None

    claimed = [letter for letter in await asyncio.gather(*map(claim, range(8))) if letter]
    assert sorted(claimed) == ["letter-0", "letter-1", "letter-2"]


async def test_a_claimed_letter_of_a_process_that_died_is_due_again(units: DatabaseUnits) -> None:
    async with units() as unit:
        await unit.outbox.put(queued("letter"))
        assert await unit.outbox.claim(NOW, lease=LEASE)
    async with units() as unit:
        assert await unit.outbox.claim(NOW + LEASE - timedelta(seconds=1), lease=LEASE) is None
        again = await unit.outbox.claim(NOW + LEASE, lease=LEASE)
        assert again == queued("letter", due_at=NOW + 2 * LEASE, tries=2)


async def test_the_outbox_says_how_it_is_getting_on(units: DatabaseUnits) -> None:
    async with units() as unit:
        for name in ("waits", "sent", "failed"):
            await unit.outbox.put(queued(name))
        await unit.outbox.put_off("waits", NOW + LEASE, "down")
        await unit.outbox.done("sent")
        await unit.outbox.give_up("failed", NOW, "refused")
        state = await unit.outbox.state()
        assert (state.waiting, state.oldest_at, state.last_error) == (1, NOW, "down")
        assert state.failed == [queued("failed", failed_at=NOW, last_error="refused")]
        assert await unit.outbox.claim(NOW, lease=LEASE) is None
    async with units() as unit:
        assert await unit.purge(NOW + timedelta(days=8)) == 1


def link(digest: bytes = b"d" * 32, **changes: Any) -> MailedLink:
    values: dict[str, Any] = {
        "purpose": LinkPurpose.RECOVER,
        "subject": "id-ada",
        "address": "ada@example.test",
        "digest": digest,
        "issued_at": NOW,
        "expires_at": NOW + timedelta(minutes=15),
    }
    return MailedLink(**{**values, **changes})


async def test_the_newest_link_takes_the_place_of_the_older(units: DatabaseUnits) -> None:
    async with units() as unit:
        await unit.links.put(link(b"old"))
        await unit.links.put(link(b"new"))
        await unit.links.put(link(b"other", purpose=LinkPurpose.CONFIRM))
    async with units() as unit:
        assert await unit.links.get(LinkPurpose.RECOVER, b"old", NOW) is None
        assert await unit.links.get(LinkPurpose.RECOVER, b"new", NOW) == link(b"new")
        assert await unit.links.get(LinkPurpose.RECOVER, b"other", NOW) is None
        assert await unit.links.get(LinkPurpose.RECOVER, b"new", NOW + timedelta(minutes=15)) is None


async def test_of_many_who_take_a_link_one_gets_it(units: DatabaseUnits) -> None:
    async with units() as unit:
        await unit.links.put(link())

    async def take(_: int) -> bool:
        async with units() as unit:
            taken = await unit.links.take(LinkPurpose.RECOVER, b"d" * 32, NOW)
            await asyncio.sleep(0.02)
            return taken is not None

    assert sum(await asyncio.gather(*map(take, range(6)))) == 1


async def test_an_address_is_found_whatever_its_case_and_confirmed(units: DatabaseUnits) -> None:
    async with units() as unit:
        await unit.accounts.add(account(email="Ada@example.test", awaits_confirmation=True))
        (found,) = await unit.accounts.by_address("ADA@EXAMPLE.test", 5)
        assert found.awaits_confirmation
        await unit.accounts.confirm_address("id-ada", "ada@example.test", NOW)
        confirmed = await unit.accounts.by_id("id-ada")
        assert confirmed == account(email="ada@example.test", email_confirmed_at=NOW)


async def test_whoever_confirmed_an_address_comes_first(units: DatabaseUnits) -> None:
    async with units() as unit:
        for number, (name, confirmed_at) in enumerate([("bob", None), ("ada", NOW), ("eve", None)]):
            made = account(name, email="a@b.test", email_confirmed_at=confirmed_at)
            await unit.accounts.add(replace(made, created_at=NOW + timedelta(days=number)))
        assert [found.username for found in await unit.accounts.by_address("A@b.test", 2)] == ["ada", "bob"]


async def test_letters_are_cancelled_by_user_or_address(units: DatabaseUnits) -> None:
    async with units() as unit:
        await unit.accounts.add(account())
        await unit.outbox.put(queued("a", kind=LetterKind.CONFIRM, user_id="id-ada", recipient="new@b.test"))
        await unit.outbox.put(queued("b", kind=LetterKind.PASSWORD_CHANGED, user_id="id-ada", recipient="a@b.test"))
        await unit.outbox.put(queued("c", kind=LetterKind.INVITE, recipient="Eve@b.test"))
        assert await unit.outbox.cancel(LetterKind.CONFIRM, user_id="id-ada") == 1
        assert await unit.outbox.cancel(LetterKind.CONFIRM, user_id="id-ada") == 0
        assert await unit.outbox.cancel(LetterKind.INVITE, recipient="eve@b.test") == 1
        assert [await unit.outbox.holds(name) for name in "abc"] == [False, True, False]


async def test_a_change_of_password_leaves_no_link_that_was_being_mailed(units: DatabaseUnits) -> None:
    """Writing the letter and ending everything at the same time: neither deadlock nor a link that survives."""
    async with units() as unit:
        await unit.accounts.add(account(email="ada@b.test"))

    async def write(number: int) -> None:
        async with units() as unit:
            await unit.accounts.by_id("id-ada")
            if await unit.outbox.holds(f"letter-{number}"):
                await asyncio.sleep(0.01)
                await unit.links.put(link(f"{number}".encode(), purpose=LinkPurpose.CONFIRM))

    async def end() -> None:
        async with units() as unit:
            await end_everything(unit, "id-ada", NOW)

    for number in range(10):
        async with units() as unit:
            await unit.outbox.put(
                queued(f"letter-{number}", kind=LetterKind.CONFIRM, user_id="id-ada", recipient="new@b.test")
            )
        await asyncio.gather(*((write(number), end()) if number % 2 else (end(), write(number))))
        async with units() as unit:
            assert await unit.links.get(LinkPurpose.CONFIRM, f"{number}".encode(), NOW) is None


async def test_deleting_an_account_takes_its_letters_and_links_along(units: DatabaseUnits) -> None:
    async with units() as unit:
        await unit.accounts.add(account(email="ada@example.test"))
        await unit.outbox.put(queued("letter", kind=LetterKind.CONFIRM, user_id="id-ada", recipient="ada@example.test"))
        await unit.links.put(link())
        await unit.accounts.erase("id-ada", NOW)
        assert (await unit.outbox.state()).waiting == 0
        assert await unit.links.get(LinkPurpose.RECOVER, b"d" * 32, NOW) is None


def as_the_first_release_left_it(database: str) -> None:
    engine = create_engine(database_url(database))
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        r0001_accounts.upgrade()
        connection.execute(text("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('auth_0001')"))
        connection.execute(
            text(
                "INSERT INTO users (id, username, email, role, status, password_hash, created_at, status_changed_at) "
                "VALUES ('id-ada', 'ada', 'Ada@example.test', 'user', 'active', 'hash', now(), now())"
            )
        )
    engine.dispose()


async def test_accounts_of_the_first_release_can_be_recovered(database: str) -> None:
    await asyncio.to_thread(as_the_first_release_left_it, database)
    assert upgrade(database, MIGRATIONS) == ("auth_0001", "auth_0002")
    engine = make_engine(database)
    async with DatabaseUnits(engine)() as unit:
        (found,) = await unit.accounts.by_address("ada@example.test", 5)
    await engine.dispose()
    assert (found.email, found.email_confirmed_at, found.awaits_confirmation) == ("Ada@example.test", None, False)


async def test_the_release_before_works_on_the_new_tables(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO users (id, username, role, status, created_at, status_changed_at) "
                "VALUES ('1', 'ada', 'user', 'active', now(), now())"
            )
        )
