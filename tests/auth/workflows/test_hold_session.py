"""Sessions: login, rotation of refresh tokens, replay, logout and what else ends them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from auth_service.domain.accounts import Origin
from auth_service.domain.secret_texts import refresh_text
from auth_service.errors import BadCredentialsError, RefreshReplayedError, SessionEndedError

HERE = Origin(source="203.0.113.5", request_id="request-1")
GOOD = "a wonderful night"


async def begun(auth: Any) -> str:
    await auth.register()
    return str((await auth.services.log_in("ada", GOOD, HERE)).refresh_token)


async def test_names_are_found_whatever_their_case(auth: Any) -> None:
    await auth.register()
    assert (await auth.services.log_in("  Ada ", GOOD, HERE)).access_token


async def test_unknown_names_cost_a_hash_too_and_read_the_same(auth: Any) -> None:
    await auth.register()
    messages = set()
    for name in ("ada", "nobody"):
        with pytest.raises(BadCredentialsError) as caught:
            await auth.services.log_in(name, "guess", HERE)
        messages.add((str(caught.value), tuple(caught.value.details)))
    assert len(messages) == 1
    assert auth.hasher.checked == [f"plain:{GOOD}", None]


async def test_a_refresh_token_is_not_stored(auth: Any) -> None:
    token = await begun(auth)
    assert token not in repr(auth.memory.state)


async def test_each_refresh_gives_a_new_token_that_works(auth: Any) -> None:
    tokens = [await begun(auth)]
    for _ in range(3):
        tokens.append((await auth.services.refresh(tokens[-1], None, HERE)).refresh_token)
    assert len(set(tokens)) == 4


async def test_a_replayed_token_ends_the_whole_session(auth: Any) -> None:
    first = await begun(auth)
    second = (await auth.services.refresh(first, None, HERE)).refresh_token
    with pytest.raises(RefreshReplayedError):
        await auth.services.refresh(first, None, HERE)
    with pytest.raises(SessionEndedError):
        await auth.services.refresh(second, None, HERE)
    assert auth.memory.events("refresh_replayed")[0].outcome == "refused"


async def test_of_two_clients_racing_one_wins_and_the_session_ends(auth: Any) -> None:
    token = await begun(auth)
    answers = await asyncio.gather(
        *(auth.services.refresh(token, None, HERE) for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["IssuedSession", "RefreshReplayedError"]


async def test_the_same_client_may_ask_again_within_ten_seconds(auth: Any) -> None:
    first = await begun(auth)
    lost = (await auth.services.refresh(first, "retry-key-1", HERE)).refresh_token
    auth.clock.pass_time(seconds=9)
    again = (await auth.services.refresh(first, "retry-key-1", HERE)).refresh_token
    assert again != lost
    assert (await auth.services.refresh(again, None, HERE)).access_token
    with pytest.raises(SessionEndedError):
        await auth.services.refresh(lost, None, HERE)


@pytest.mark.parametrize(("key", "seconds"), [("retry-key-2", 1), (None, 1), ("retry-key-1", 11)])
async def test_the_grace_is_for_the_same_key_and_ten_seconds(auth: Any, key: str | None, seconds: float) -> None:
    first = await begun(auth)
    await auth.services.refresh(first, "retry-key-1", HERE)
    auth.clock.pass_time(seconds=seconds)
    with pytest.raises(RefreshReplayedError):
        await auth.services.refresh(first, key, HERE)


async def test_the_grace_ends_when_the_answer_was_used(auth: Any) -> None:
    first = await begun(auth)
    second = (await auth.services.refresh(first, "retry-key-1", HERE)).refresh_token
    await auth.services.refresh(second, None, HERE)
    with pytest.raises(RefreshReplayedError):
        await auth.services.refresh(first, "retry-key-1", HERE)


async def test_a_session_lives_thirty_days_however_often_it_is_refreshed(auth: Any) -> None:
    token = await begun(auth)
    for _ in range(29):
        auth.clock.pass_time(days=1)
        token = (await auth.services.refresh(token, None, HERE)).refresh_token
    auth.clock.pass_time(days=1)
    with pytest.raises(SessionEndedError):
        await auth.services.refresh(token, None, HERE)


@pytest.mark.parametrize("text", ["", "nonsense", refresh_text(bytes(32)), "ald_rt_" + "A" * 5000])
async def test_unknown_tokens_are_refused(auth: Any, text: str) -> None:
    with pytest.raises(SessionEndedError):
        await auth.services.refresh(text, None, HERE)


async def test_logout_ends_the_session_and_is_announced(auth: Any) -> None:
    token = await begun(auth)
    await auth.services.log_out(token, HERE)
    with pytest.raises(SessionEndedError):
        await auth.services.refresh(token, None, HERE)
    assert len((await auth.services.revocations()).sessions) == 1


async def test_logout_with_an_unknown_token_is_no_error(auth: Any) -> None:
    await auth.services.log_out("nonsense", HERE)


async def test_revocations_leave_the_feed_when_their_tokens_have_expired(auth: Any) -> None:
    token = await begun(auth)
    await auth.services.log_out(token, HERE)
    auth.clock.pass_time(minutes=16)
    assert len((await auth.services.revocations()).sessions) == 1
    auth.clock.pass_time(minutes=2)
    assert (await auth.services.revocations()).sessions == frozenset()


async def test_a_new_password_ends_sessions_and_personal_tokens(auth: Any) -> None:
    token = await begun(auth)
    account = await auth.services.read_account.named("ada")
    personal, _ = await auth.services.personal_tokens.create(
        account.id, name="x", scopes=None, held=frozenset({"frames:read"}), lifetime=timedelta(days=1), origin=HERE
    )
    await auth.services.change_password(account.id, GOOD, "another good night", HERE)
    with pytest.raises(SessionEndedError):
        await auth.services.refresh(token, None, HERE)
    assert f"pat-{personal.id}" in (await auth.services.revocations()).sessions
    assert (await auth.services.log_in("ada", "another good night", HERE)).access_token


@pytest.mark.parametrize("act", ["disable", "delete"])
async def test_a_disabled_or_deleted_user_is_out(auth: Any, act: str) -> None:
    token = await begun(auth)
    account = await auth.services.read_account.named("ada")
    await getattr(auth.services.change_status, act)(account, HERE, actor="operator")
    with pytest.raises(SessionEndedError):
        await auth.services.refresh(token, None, HERE)
    with pytest.raises(BadCredentialsError):
        await auth.services.log_in("ada", GOOD, HERE)
    assert account.id in (await auth.services.revocations()).subjects


async def test_a_deleted_user_leaves_nothing_personal_and_frees_the_name(auth: Any) -> None:
    old = await auth.register()
    account = await auth.services.read_account.named("ada")
    await auth.services.keep_keys.store(old, "astrometry_net", "secret-key-123", HERE)
    await auth.services.change_status.delete(account, HERE, actor="operator")
    assert await auth.services.keep_keys.list(old) == []
    assert "plain:" not in repr(auth.memory.state.accounts)
    assert await auth.register() != old
