"""A lost password, addresses, invitations: over HTTP, with the letters that are sent."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest

from auth_service.domain.accounts import AccountStatus, Origin
from auth_service.domain.mail import LinkPurpose
from auth_service.domain.secret_texts import link_text
from auth_service.errors import MailRefusedError, MailUnreachableError

GOOD, NEW = "a wonderful night", "another good night"
ADDRESS = "ada@example.test"
RECOVER, NEW_PASSWORD = "/api/v1/auth/recover", "/api/v1/auth/new-password"


def tokens_of(letter: Any) -> list[str]:
    return re.findall(r"#token=(ald_ln_\S+)", letter.text)


async def ask(auth: Any, account: str = "ada", **headers: str) -> Any:
    answer = await auth.client.post(RECOVER, json={"account": account}, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer


async def mailed_token(auth: Any, account: str = "ada") -> str:
    await ask(auth, account)
    (letter,) = await auth.post()
    (token,) = tokens_of(letter)
    return str(token)


async def set_password(auth: Any, token: str, password: str = NEW) -> Any:
    return await auth.client.post(NEW_PASSWORD, json={"token": token, "new_password": password})


async def test_from_a_lost_password_to_a_new_one(auth: Any) -> None:
    user = await auth.register(email=ADDRESS)
    before = await auth.login()
    token = await mailed_token(auth)
    assert (await set_password(auth, token)).status_code == 204
    old = {"Authorization": f"Bearer {before['access_token']}"}
    assert (await auth.client.get("/api/v1/me", headers=old)).status_code == 401
    refused = await auth.client.post("/api/v1/auth/login", json={"username": "ada", "password": GOOD})
    assert refused.status_code == 401
    now = {"Authorization": f"Bearer {(await auth.login('ada', NEW))['access_token']}"}
    assert (await auth.client.get("/api/v1/me", headers=now)).json()["email_confirmed"] is True
    (notice,) = await auth.post()
    assert (notice.recipient, notice.subject) == (ADDRESS, "Your password for Alidade was changed")
    assert [record.subject for record in auth.memory.events("password_recovered")] == [user]


async def test_the_letter_leads_to_the_configured_address_whatever_the_request_says(auth: Any) -> None:
    await auth.register(email=ADDRESS)
    await ask(auth, "ada", Host="evil.test", Origin="https://evil.test", Referer="https://evil.test/")
    (letter,) = await auth.post()
    assert set(re.findall(r"https?://[^\s/`]+", letter.text)) == {"https://alidade.test"}
    assert "https://alidade.test/account/new-password#token=ald_ln_" in letter.text


async def test_a_frontend_of_ones_own_gets_the_links(make_auth: Any) -> None:
    auth = await make_auth(account_pages_url="https://sky.example.test/app/account")
    await auth.register(email=ADDRESS)
    await ask(auth)
    assert "https://sky.example.test/app/account/new-password#token=" in (await auth.post())[0].text


@pytest.mark.parametrize(
    "account", ["nobody", "nobody@example.test", "ada\r\nBcc: eve@example.test", "аda", "%0aBcc:x", "@"]
)
async def test_an_unknown_account_is_answered_alike_and_gets_no_letter(auth: Any, account: str) -> None:
    await auth.register(email=ADDRESS)
    known, unknown = await ask(auth, "ada"), await ask(auth, account)
    assert known.json() == unknown.json()
    assert set(known.headers) == set(unknown.headers)
    assert [letter.recipient for letter in await auth.post()] == [ADDRESS]
    assert auth.memory.state.outbox == {}


async def test_the_letter_goes_to_the_stored_address_not_to_the_typed_one(auth: Any) -> None:
    await auth.register(email="Ada@Example.test")
    await ask(auth, " ADA@example.TEST ")
    assert [letter.recipient for letter in await auth.post()] == ["Ada@Example.test"]


async def test_accounts_of_one_address_come_in_one_letter(auth: Any) -> None:
    for name in ("ada", "ada-at-work"):
        await auth.register(name, email=ADDRESS)
    await ask(auth, ADDRESS)
    (letter,) = await auth.post()
    first, second = tokens_of(letter)
    assert [(await set_password(auth, token)).status_code for token in (first, second)] == [204, 204]


async def test_spellings_of_an_address_never_share_a_letter(auth: Any) -> None:
    await auth.register("ada", email="ada@example.test")
    await auth.register("eve", email="ADA@example.test")
    await ask(auth, "ada@example.test")
    sent = {letter.recipient: letter.text for letter in await auth.post()}
    assert set(sent) == {"ada@example.test", "ADA@example.test"}
    assert "  ada:" not in sent["ADA@example.test"]


@pytest.mark.parametrize("status", [AccountStatus.DISABLED, AccountStatus.DELETED])
async def test_an_account_that_cannot_be_used_gets_no_letter(auth: Any, status: AccountStatus) -> None:
    user = await auth.register(email=ADDRESS)
    accounts = auth.memory.state.accounts
    accounts[user] = replace(accounts[user], status=status)
    await ask(auth)
    assert await auth.post() == []


async def test_an_account_without_an_address_gets_no_letter(auth: Any) -> None:
    await auth.register()
    await ask(auth)
    assert await auth.post() == []


async def test_a_link_works_once(auth: Any) -> None:
    await auth.register(email=ADDRESS)
    token = await mailed_token(auth)
    assert (await set_password(auth, token)).status_code == 204
    again = await set_password(auth, token, "a third good night")
    assert (again.status_code, again.json()["code"]) == (422, "link_invalid")


async def test_of_two_at_once_one_wins(auth: Any) -> None:
    await auth.register(email=ADDRESS)
    token = await mailed_token(auth)
    answers = await asyncio.gather(*(set_password(auth, token, f"a good night {n}") for n in range(4)))
    assert sorted(answer.status_code for answer in answers) == [204, 422, 422, 422]


async def test_only_the_newest_link_works(auth: Any) -> None:
    await auth.register(email=ADDRESS)
    older, newer = await mailed_token(auth), await mailed_token(auth)
    assert (await set_password(auth, older)).json()["code"] == "link_invalid"
    assert (await set_password(auth, newer)).status_code == 204


async def test_a_link_ends_after_fifteen_minutes(auth: Any) -> None:
    await auth.register(email=ADDRESS)
    token = await mailed_token(auth)
    auth.clock.pass_time(minutes=14, seconds=59)
    assert (await set_password(auth, token, "short")).json()["code"] == "weak_password"
    auth.clock.pass_time(seconds=1)
    assert (await set_password(auth, token)).json()["code"] == "link_invalid"


async def test_a_weak_password_leaves_the_link_as_it_is(auth: Any) -> None:
    await auth.register(email=ADDRESS)
    token = await mailed_token(auth)
    assert (await set_password(auth, token, "password123")).json()["code"] == "weak_password"
    assert (await set_password(auth, token)).status_code == 204


async def test_a_changed_password_ends_the_link(auth: Any) -> None:
    header = await auth.signed_in()
    (user,) = auth.memory.state.accounts
    auth.memory.state.accounts[user] = replace(auth.memory.state.accounts[user], email=ADDRESS)
    token = await mailed_token(auth)
    body = {"current_password": GOOD, "new_password": NEW}
    assert (await auth.client.post("/api/v1/me/password", json=body, headers=header)).status_code == 204
    assert (await set_password(auth, token, "a third good night")).json()["code"] == "link_invalid"
    assert [letter.subject for letter in await auth.post()] == ["Your password for Alidade was changed"]


async def test_a_change_of_address_does_not_outlive_the_password_that_it_was_begun_with(auth: Any) -> None:
    await auth.register(email=ADDRESS)
    thief = {"Authorization": f"Bearer {(await auth.login())['access_token']}"}
    assert (await change_address(auth, thief, "mailed@example.test")).status_code == 202
    (letter,) = await auth.post()
    auth.mailer.refuses = "waits@example.test"
    assert (await change_address(auth, thief, "waits@example.test")).status_code == 202
    assert (await set_password(auth, await mailed_token(auth))).status_code == 204
    auth.mailer.refuses = None
    auth.clock.pass_time(minutes=1)
    assert [notice.recipient for notice in await auth.post()] == [ADDRESS]
    assert (await auth.client.post(CONFIRM, json={"token": tokens_of(letter)[0]})).json()["code"] == "link_invalid"


async def test_of_many_accounts_with_one_address_those_that_confirmed_it_are_written_to(auth: Any) -> None:
    for number in range(6):
        await auth.register(f"squatter-{number}", email=ADDRESS)
    auth.clock.pass_time(days=1)
    user = await auth.register("ada", email=ADDRESS)
    accounts = auth.memory.state.accounts
    accounts[user] = replace(accounts[user], email_confirmed_at=auth.clock())
    await ask(auth, ADDRESS)
    (letter,) = await auth.post()
    assert "  ada:" in letter.text


async def test_guesses_are_counted(auth: Any) -> None:
    await auth.register(email=ADDRESS)
    for guess in ("x", "ald_ln_" + "A" * 43, "ald_rt_" + "A" * 43, "x" * 256):
        assert (await set_password(auth, guess)).json()["code"] == "link_invalid"
    answers = [(await set_password(auth, "ald_ln_" + "A" * 43)).status_code for _ in range(100)]
    assert answers == [422] * 96 + [429] * 4


async def test_what_is_stored_opens_nothing(auth: Any) -> None:
    await auth.register(email=ADDRESS)
    token = await mailed_token(auth)
    (link,) = auth.memory.state.links.values()
    assert token not in repr(auth.memory.state)
    for stolen in (link.digest.hex(), link_text(link.digest)):
        assert (await set_password(auth, stolen)).json()["code"] == "link_invalid"


async def test_a_link_is_no_other_kind_of_token(auth: Any) -> None:
    await auth.register(email=ADDRESS)
    token = await mailed_token(auth)
    for path, body in (
        ("/api/v1/auth/confirm-address", {"token": token}),
        ("/api/v1/auth/refresh", {"refresh_token": token}),
        ("/api/v1/auth/personal-token", {"personal_token": token}),
    ):
        assert (await auth.client.post(path, json=body)).status_code in (401, 422)
    assert (await auth.client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})).status_code == 401
    assert (await set_password(auth, token)).status_code == 204


async def test_nobody_is_flooded_and_the_answer_stays_the_same(auth: Any) -> None:
    await auth.register(email=ADDRESS)
    answers = [await ask(auth) for _ in range(10)]
    assert len({answer.text for answer in answers}) == 1
    assert len(await auth.post()) == 5
    limited = [record.outcome for record in auth.memory.events("recovery_requested")]
    assert limited == ["ok"] * 5 + ["limited"] * 5


async def test_requests_from_one_source_are_limited(auth: Any) -> None:
    statuses = [
        (await auth.client.post(RECOVER, json={"account": f"name-{number}"})).status_code for number in range(32)
    ]
    assert statuses == [202] * 30 + [429] * 2


async def test_without_mail_it_is_said_to_everybody(make_auth: Any) -> None:
    auth = await make_auth(mail={"kind": "none"})
    await auth.register(email=ADDRESS)
    for account in ("ada", "nobody"):
        answer = await auth.client.post(RECOVER, json={"account": account})
        assert (answer.status_code, answer.json()["code"]) == (403, "mail_not_configured")
    assert (await auth.client.get("/api/v1/auth/options")).json() == {
        "registration": "open",
        "confirm_address": False,
        "recovery": False,
    }
    assert auth.memory.state.outbox == {}


async def test_no_token_is_in_answers_logs_and_audit(auth: Any, capsys: pytest.CaptureFixture[str]) -> None:
    await auth.register(email=ADDRESS)
    answer = await ask(auth)
    token = tokens_of((await auth.post())[0])[0]
    refused = await set_password(auth, token, "short")
    done = await set_password(auth, token)
    seen = "".join(capsys.readouterr()) + answer.text + refused.text + done.text + repr(auth.memory.state.audit)
    assert token not in seen and NEW not in seen


async def test_a_letter_survives_a_server_that_is_down(auth: Any) -> None:
    await auth.register(email=ADDRESS)
    auth.mailer.error = MailUnreachableError("The mail server 127.0.0.1:25 failed: refused.")
    await ask(auth)
    assert await auth.post() == []
    state = await auth.services.operate_mail.state()
    assert (state.waiting, state.last_error) == (1, "The mail server 127.0.0.1:25 failed: refused.")
    auth.mailer.error = None
    assert await auth.post() == []
    auth.clock.pass_time(seconds=31)
    (letter,) = await auth.post()
    assert (await set_password(auth, tokens_of(letter)[0])).status_code == 204


async def test_a_letter_that_may_have_arrived_is_sent_again_with_a_newer_link(auth: Any) -> None:
    await auth.register(email=ADDRESS)
    await ask(auth)
    sent: list[Any] = []

    async def take_and_drop(letter: Any) -> None:
        sent.append(letter)
        if len(sent) == 1:
            raise MailUnreachableError("It broke.")

    auth.mailer.send = take_and_drop
    await auth.post()
    auth.clock.pass_time(seconds=31)
    await auth.post()
    older, newer = (tokens_of(letter)[0] for letter in sent)
    assert (await set_password(auth, older)).json()["code"] == "link_invalid"
    assert (await set_password(auth, newer)).status_code == 204


async def test_what_is_refused_for_good_is_kept_for_the_operator_and_said_aloud(
    auth: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    await auth.register(email=ADDRESS)
    auth.mailer.error = MailRefusedError("The mail server refused the recipient (550 no).", permanent=True)
    await ask(auth)
    await auth.post()
    auth.clock.pass_time(hours=5)
    auth.mailer.error = None
    assert await auth.post() == []
    (failed,) = (await auth.services.operate_mail.state()).failed
    assert (failed.tries, failed.last_error) == (1, "The mail server refused the recipient (550 no).")
    assert "mail_not_delivered" in "".join(capsys.readouterr())


async def test_a_letter_that_is_too_late_is_given_up(auth: Any) -> None:
    await auth.register(email=ADDRESS)
    auth.mailer.error = MailUnreachableError("down")
    await ask(auth)
    for _ in range(12):
        await auth.post()
        auth.clock.pass_time(minutes=10)
    auth.mailer.error = None
    assert await auth.post() == []
    assert len((await auth.services.operate_mail.state()).failed) == 1


async def test_one_letter_that_fails_does_not_hold_up_the_others(auth: Any) -> None:
    await auth.register("ada", email=ADDRESS)
    await auth.register("bob", email="bob@example.test")
    await ask(auth, "ada")
    await ask(auth, "bob")
    auth.mailer.refuses = ADDRESS
    assert [letter.recipient for letter in await auth.post()] == ["bob@example.test"]


async def test_a_deleted_account_takes_its_links_and_letters_along(auth: Any) -> None:
    user = await auth.register(email=ADDRESS)
    token = await mailed_token(auth)
    account = auth.memory.state.accounts[user]
    await auth.services.change_status.delete(account, Origin(source="test"), actor="operator")
    assert (await set_password(auth, token)).json()["code"] == "link_invalid"


CONFIRM = "/api/v1/auth/confirm-address"


async def test_an_account_waits_for_its_address_where_the_operator_says_so(make_auth: Any) -> None:
    auth = await make_auth(confirm_address=True)
    without = await auth.client.post("/api/v1/auth/register", json={"username": "ada", "password": GOOD})
    assert (without.status_code, without.json()["code"]) == (422, "bad_address")
    await auth.register(email=ADDRESS)
    waiting = await auth.client.post("/api/v1/auth/login", json={"username": "ada", "password": GOOD})
    assert (waiting.status_code, waiting.json()["code"]) == (403, "address_not_confirmed")
    guess = await auth.client.post("/api/v1/auth/login", json={"username": "ada", "password": "guess"})
    assert (guess.status_code, guess.json()["code"]) == (401, "bad_credentials")
    (letter,) = await auth.post()
    (token,) = tokens_of(letter)
    assert (await auth.client.post(CONFIRM, json={"token": token})).status_code == 204
    assert (await auth.client.post(CONFIRM, json={"token": token})).json()["code"] == "link_invalid"
    assert (await auth.login())["access_token"]


async def test_a_lost_letter_of_confirmation_is_replaced_by_recovery(make_auth: Any) -> None:
    auth = await make_auth(confirm_address=True)
    await auth.register(email=ADDRESS)
    await auth.post()
    assert (await set_password(auth, await mailed_token(auth))).status_code == 204
    assert (await auth.login("ada", NEW))["access_token"]


async def change_address(auth: Any, header: dict[str, str], email: str, password: str = GOOD) -> Any:
    body = {"email": email, "current_password": password}
    return await auth.client.post("/api/v1/me/email", json=body, headers=header)


async def test_a_new_address_counts_once_it_is_confirmed_and_the_old_one_is_told(auth: Any) -> None:
    await auth.register(email=ADDRESS)
    header = {"Authorization": f"Bearer {(await auth.login())['access_token']}"}
    lost = await mailed_token(auth)
    assert (await change_address(auth, header, "lovelace@example.test")).status_code == 202
    (letter,) = await auth.post()
    assert letter.recipient == "lovelace@example.test"
    assert (await auth.client.get("/api/v1/me", headers=header)).json()["email"] == ADDRESS
    assert (await auth.client.post(CONFIRM, json={"token": tokens_of(letter)[0]})).status_code == 204
    me = (await auth.client.get("/api/v1/me", headers=header)).json()
    assert (me["email"], me["email_confirmed"]) == ("lovelace@example.test", True)
    assert [notice.recipient for notice in await auth.post()] == [ADDRESS]
    assert (await set_password(auth, lost)).json()["code"] == "link_invalid"


async def test_a_new_address_needs_the_password(auth: Any) -> None:
    header = await auth.signed_in()
    refused = await change_address(auth, header, "eve@example.test", "guess")
    assert (refused.status_code, refused.json()["code"]) == (401, "bad_credentials")
    assert await auth.post() == []


@pytest.mark.parametrize(
    "email", ["a@b.test\r\nBcc: c@d.test", "a@b.test,c@d.test", "a" * 10_000 + "@b.test", "аda@b.test", "a@b..test", ""]
)
async def test_hostile_addresses_are_refused(auth: Any, email: str) -> None:
    header = await auth.signed_in()
    assert (await change_address(auth, header, email)).status_code == 422
    assert auth.memory.state.outbox == {}


async def administrator(auth: Any) -> dict[str, str]:
    user = await auth.register("boss")
    accounts = auth.memory.state.accounts
    accounts[user] = replace(accounts[user], role="admin")
    return {"Authorization": f"Bearer {(await auth.login('boss'))['access_token']}"}


async def test_an_invitation_opens_one_account_with_its_address(make_auth: Any) -> None:
    auth = await make_auth()
    boss = await administrator(auth)
    auth.services.register._registration = "invitation"
    body = {"username": "ada", "password": GOOD}
    invited = await auth.client.post("/api/v1/admin/invitations", json={"email": ADDRESS}, headers=boss)
    assert invited.status_code == 202
    (letter,) = await auth.post()
    (token,) = tokens_of(letter)
    assert "https://alidade.test/account/register#token=" in letter.text
    shown = (await auth.client.get("/api/v1/admin/invitations", headers=boss)).json()["items"]
    assert [item["email"] for item in shown] == [ADDRESS]
    assert token not in str(shown)
    opened = await auth.client.post("/api/v1/auth/register", json={**body, "invitation": token, "email": "x@y.test"})
    assert opened.status_code == 201, opened.text
    assert (opened.json()["email"], opened.json()["email_confirmed"]) == (ADDRESS, True)
    again = await auth.client.post("/api/v1/auth/register", json={**body, "username": "bob", "invitation": token})
    assert again.json()["code"] == "link_invalid"


async def test_a_taken_name_leaves_the_invitation_as_it_is(auth: Any) -> None:
    boss = await administrator(auth)
    await auth.client.post("/api/v1/admin/invitations", json={"email": ADDRESS}, headers=boss)
    (token,) = tokens_of((await auth.post())[0])
    body = {"password": GOOD, "invitation": token}
    taken = await auth.client.post("/api/v1/auth/register", json={**body, "username": "boss"})
    assert taken.json()["code"] == "username_taken"
    opened = await auth.client.post("/api/v1/auth/register", json={**body, "username": "ada"})
    assert opened.status_code == 201


async def test_a_withdrawn_invitation_is_none(auth: Any) -> None:
    boss = await administrator(auth)
    await auth.client.post("/api/v1/admin/invitations", json={"email": ADDRESS}, headers=boss)
    (token,) = tokens_of((await auth.post())[0])
    path = f"/api/v1/admin/invitations/{ADDRESS}"
    assert (await auth.client.delete(path, headers=boss)).status_code == 204
    assert (await auth.client.delete(path, headers=boss)).json()["code"] == "unknown_invitation"
    body = {"username": "ada", "password": GOOD, "invitation": token}
    assert (await auth.client.post("/api/v1/auth/register", json=body)).json()["code"] == "link_invalid"
    assert LinkPurpose.INVITE not in {purpose for purpose, _ in auth.memory.state.links}


async def test_an_invitation_is_withdrawn_before_it_is_mailed(auth: Any) -> None:
    boss = await administrator(auth)
    await auth.client.post("/api/v1/admin/invitations", json={"email": ADDRESS}, headers=boss)
    assert (await auth.client.delete(f"/api/v1/admin/invitations/{ADDRESS}", headers=boss)).status_code == 204
    assert await auth.post() == []


async def test_by_invitation_nobody_else_gets_in(make_auth: Any) -> None:
    auth = await make_auth(registration="invitation")
    answer = await auth.client.post("/api/v1/auth/register", json={"username": "ada", "password": GOOD})
    assert (answer.status_code, answer.json()["code"]) == (403, "invitation_needed")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v1/admin/mail", None),
        ("POST", "/api/v1/admin/mail:test", {"to": ADDRESS}),
        ("GET", "/api/v1/admin/invitations", None),
        ("POST", "/api/v1/admin/invitations", {"email": ADDRESS}),
        ("DELETE", f"/api/v1/admin/invitations/{ADDRESS}", None),
    ],
)
async def test_mail_is_for_administrators(auth: Any, method: str, path: str, body: Any) -> None:
    header = await auth.signed_in()
    assert (await auth.client.request(method, path, json=body, headers=header)).status_code == 403
    assert (await auth.client.request(method, path, json=body)).status_code == 401


async def test_a_test_letter_says_what_the_server_said(auth: Any) -> None:
    boss = await administrator(auth)
    sent = await auth.client.post("/api/v1/admin/mail:test", json={"to": ADDRESS}, headers=boss)
    assert sent.status_code == 204
    assert [letter.recipient for letter in auth.mailer.letters] == [ADDRESS]
    auth.mailer.error = MailRefusedError("The mail server refused the login (535 no).", permanent=False, smtp_code=535)
    failed = await auth.client.post("/api/v1/admin/mail:test", json={"to": ADDRESS}, headers=boss)
    assert (failed.status_code, failed.json()["code"]) == (502, "mail_refused")
    assert failed.json()["detail"] == "The mail server refused the login (535 no)."


@pytest.mark.parametrize("name", ["new-password", "confirm", "register", "account.js", "account.css"])
async def test_the_pages_tell_nobody_where_one_was(auth: Any, name: str) -> None:
    answer = await auth.client.get(f"/account/{name}")
    assert answer.status_code == 200
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert "http://" not in answer.text and "https://" not in answer.text


@pytest.mark.parametrize("name", ["nothing", "..%2f..%2fmain.py", "account.html"])
async def test_there_are_no_other_pages(auth: Any, name: str) -> None:
    assert (await auth.client.get(f"/account/{name}")).status_code in (404, 422)
