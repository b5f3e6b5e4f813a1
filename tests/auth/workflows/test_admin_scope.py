"""Administrators have further scopes, and nobody else gets them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from astro_shared.contracts.auth import Scope
from auth_service.domain.accounts import Origin
from auth_service.errors import ScopeNotAllowedError

HERE = Origin(source="203.0.113.5", request_id="request-1")
GOOD = "a wonderful night"


async def test_the_role_decides_at_login_and_at_every_refresh(auth: Any) -> None:
    user_id = await auth.register()
    first = await auth.services.log_in("ada", GOOD, HERE)
    assert Scope.ADMIN not in first.scopes
    accounts = auth.memory.state.accounts
    accounts[user_id] = replace(accounts[user_id], role="admin")
    second = await auth.services.refresh(first.refresh_token, None, HERE)
    assert Scope.ADMIN in second.scopes and Scope.FRAMES_READ in second.scopes
    accounts[user_id] = replace(accounts[user_id], role="user")
    assert Scope.ADMIN not in (await auth.services.refresh(second.refresh_token, None, HERE)).scopes


async def test_a_personal_token_takes_it_only_from_who_has_it(auth: Any) -> None:
    user_id = await auth.register()
    held = (await auth.services.log_in("ada", GOOD, HERE)).scopes
    options = {"name": "x", "scopes": {Scope.ADMIN}, "lifetime": timedelta(days=1), "origin": HERE}
    with pytest.raises(ScopeNotAllowedError):
        await auth.services.personal_tokens.create(user_id, held=held, **options)
    token, _ = await auth.services.personal_tokens.create(user_id, held=held | {Scope.ADMIN}, **options)
    assert token.scopes == {Scope.ADMIN}


async def test_the_owner_of_an_embedded_platform_is_its_administrator(auth: Any) -> None:
    _, token, _ = await auth.services.bootstrap_local(HERE)
    assert Scope.ADMIN in token.scopes
