"""Letters over a real SMTP server on loopback, well behaved and not."""

from __future__ import annotations

import asyncio
import socket
import ssl
import stat
import time
from collections.abc import Callable
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
import trustme

from auth_service.adapters.mailers import FolderMailer, Sender, SmtpMailer, SmtpServer, compose
from auth_service.domain.mail import Letter
from auth_service.errors import MailRefusedError, MailUnreachableError
from smtp_server import SmtpPost, smtp_post

SENDER = Sender("alidade@observatory.test", "Sternwarte Zürich")
LETTER = Letter("letter-1", "ada@example.test", "A new password", f"https://alidade.test/account#token={'x' * 90}\n")


def mailer(port: int, **changes: Any) -> SmtpMailer:
    values: dict[str, Any] = {"host": "127.0.0.1", "port": port, "security": "none", "timeout_s": 5.0}
    return SmtpMailer(SmtpServer(**{**values, **changes}), SENDER)


async def refusal(post: SmtpPost) -> MailRefusedError:
    with pytest.raises(MailRefusedError) as caught:
        await mailer(post.port).send(LETTER)
    return caught.value


async def test_a_letter_arrives_as_it_was_written() -> None:
    async with smtp_post() as post:
        await mailer(post.port).send(LETTER)
    (received,) = post.received
    assert (received.sender, received.recipients) == ("alidade@observatory.test", ["ada@example.test"])
    message = received.message
    assert str(message["from"]) == "Sternwarte Zürich <alidade@observatory.test>"
    assert (message["to"], message["subject"]) == ("ada@example.test", "A new password")
    assert message["message-id"] == "<letter-1@observatory.test>"
    assert message["auto-submitted"] == "auto-generated"
    assert message.get_content().replace("\r\n", "\n") == LETTER.text
    assert b"x" * 90 in received.raw


@pytest.mark.parametrize(
    "recipient",
    [
        "ada@example.test\r\nBcc: eve@example.test",
        "ada@example.test\nBcc: eve@example.test",
        "ada@example.test, eve@example.test",
        "ada@example.test;eve@example.test",
        "Ada <ada@example.test>",
        '"a\r\nBcc: e"@example.test',
        "ada@example.test\x00",
        "ada@exаmple.test",
        "ada@example..test",
        "@example.test",
        "a" * 10_000 + "@example.test",
        "",
    ],
)
async def test_a_recipient_that_is_not_one_plain_address_gets_nothing(recipient: str) -> None:
    async with smtp_post() as post:
        with pytest.raises(MailRefusedError) as caught:
            await mailer(post.port).send(Letter("1", recipient, "A new password", "text"))
    assert caught.value.permanent is True
    assert post.received == []


@pytest.mark.parametrize("field", ["subject", "name"])
def test_line_ends_add_no_header(field: str) -> None:
    sender = Sender("a@b.test", "x\r\nBcc: eve@example.test") if field == "name" else SENDER
    subject = "x\r\nBcc: eve@example.test" if field == "subject" else "x"
    with pytest.raises(ValueError, match=r"linefeed|newline|CR|LF"):
        compose(Letter("1", "ada@example.test", subject, "text"), sender)


def test_a_body_holds_no_header() -> None:
    text = "text\r\nBcc: eve@example.test\r\n.\r\nMAIL FROM:<eve@example.test>\r\n"
    message = compose(Letter("1", "ada@example.test", "x", text), SENDER)
    assert message["bcc"] is None


async def test_a_lone_dot_does_not_end_a_letter() -> None:
    text = "one\n.\nMAIL FROM:<eve@example.test>\nRCPT TO:<bob@example.test>\n"
    async with smtp_post() as post:
        await mailer(post.port).send(Letter("1", "ada@example.test", "x", text))
    (received,) = post.received
    assert received.recipients == ["ada@example.test"]
    assert received.message.get_content().replace("\r\n", "\n") == text


async def test_a_recipient_that_never_will_be_is_refused_for_good() -> None:
    async with smtp_post() as post:
        post.conduct.on_recipient = "550 no such user\x07"
        error = await refusal(post)
    assert (error.permanent, error.smtp_code) == (True, 550)
    assert str(error) == "The mail server refused the recipient (550 no such user)."


async def test_a_filter_that_quotes_the_link_gives_no_token_away() -> None:
    token = "ald_ln_" + "A" * 43
    async with smtp_post() as post:
        post.conduct.on_data = f"554 blocked: https://alidade.test/account#token={token}"
        error = await refusal(post)
    assert "A" * 5 not in str(error)
    assert "blocked: https://alidade.test/account" in str(error)


async def test_the_server_is_greeted_by_the_domain_of_the_sender() -> None:
    async with smtp_post() as post:
        await mailer(post.port).send(LETTER)
    assert post.greetings == ["observatory.test"]


@pytest.mark.parametrize("answer", ["451 try again later", "452 mailbox full"])
@pytest.mark.parametrize("place", ["on_recipient", "on_data"])
async def test_what_may_pass_is_tried_again(answer: str, place: str) -> None:
    async with smtp_post() as post:
        setattr(post.conduct, place, answer)
        assert (await refusal(post)).permanent is False


async def test_a_letter_that_is_refused_for_good_is_not_tried_again() -> None:
    async with smtp_post() as post:
        post.conduct.on_data = "554 looks like spam"
        assert (await refusal(post)).permanent is True


async def test_a_sender_that_is_refused_is_the_operators_to_mend_and_loses_no_letter() -> None:
    async with smtp_post() as post:
        post.conduct.on_sender = "553 not you"
        assert (await refusal(post)).permanent is False


async def test_nobody_at_home() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(MailUnreachableError, match="failed"):
            await mailer(taken.getsockname()[1]).send(LETTER)


@pytest.mark.parametrize("place", ["greeting", "data"])
async def test_a_slow_server_is_left_in_time(place: str) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    begun = time.monotonic()
    with pytest.raises(MailUnreachableError, match=r"within 0\.4 s"):
        if place == "greeting":
            async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
                await mailer(server.sockets[0].getsockname()[1], timeout_s=0.4).send(LETTER)
        else:
            async with smtp_post() as post:
                post.conduct.silent_s = 1.0
                await mailer(post.port, timeout_s=0.4).send(LETTER)
    assert time.monotonic() - begun < 3.0


async def test_a_server_that_drips_is_left_in_time_too() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(100):
            writer.write(b"220-still here\r\n")
            await asyncio.sleep(0.1)

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    begun = time.monotonic()
    with pytest.raises(MailUnreachableError):
        await mailer(server.sockets[0].getsockname()[1], timeout_s=0.5).send(LETTER)
    assert time.monotonic() - begun < 3.0
    server.close()


async def test_a_connection_that_breaks_before_the_answer_is_a_failure() -> None:
    async with smtp_post() as post:
        post.conduct.drop_after_data = True
        with pytest.raises(MailUnreachableError):
            await mailer(post.port).send(LETTER)


async def test_a_connection_that_breaks_after_the_answer_is_none() -> None:
    async with smtp_post() as post:
        post.conduct.drop_at_farewell = True
        await mailer(post.port).send(LETTER)
    assert len(post.received) == 1


async def test_what_speaks_no_smtp_is_said_so() -> None:
    async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n\x1b[31m")
        writer.close()

    async with await asyncio.start_server(speak_http, "127.0.0.1", 0) as server:
        with pytest.raises((MailUnreachableError, MailRefusedError)) as caught:
            await mailer(server.sockets[0].getsockname()[1]).send(LETTER)
    assert str(caught.value).isprintable()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def contexts(authority: trustme.CA, tmp_path: Path) -> Callable[..., tuple[ssl.SSLContext, Path]]:
    def make(name: str = "127.0.0.1") -> tuple[ssl.SSLContext, Path]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(name).configure_cert(context)
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        return context, tmp_path / "ca.pem"

    return make


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_letters_go_encrypted_with_a_login(security: str, contexts: Any) -> None:
    context, ca_file = contexts()
    async with smtp_post(**{security: context}, login=True) as post:
        login = {"username": "alidade", "password": "a secret of mail"}
        await mailer(post.port, security=security, ca_file=ca_file, **login).send(LETTER)
    assert len(post.received) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_server_that_nobody_vouches_for_gets_neither_password_nor_letter(security: str, contexts: Any) -> None:
    for name, trusted in (("127.0.0.1", False), ("127.0.0.2", True)):
        context, ca_file = contexts(name)
        async with smtp_post(**{security: context}, login=True) as post:
            used = mailer(
                post.port, security=security, ca_file=ca_file if trusted else None, username="alidade", password="a"
            )
            with pytest.raises(MailUnreachableError):
                await used.send(LETTER)
        assert (post.received, post.logins) == ([], [])


async def test_encryption_that_is_not_offered_is_not_given_up() -> None:
    async with smtp_post(login=True) as post:
        used = mailer(post.port, security="starttls", username="alidade", password="a secret of mail")
        with pytest.raises((MailUnreachableError, MailRefusedError)):
            await used.send(LETTER)
    assert (post.received, post.logins) == ([], [])


async def test_a_wrong_login_is_tried_again_and_its_password_is_in_no_message() -> None:
    async with smtp_post(login=True) as post:
        with pytest.raises(MailRefusedError) as caught:
            await mailer(post.port, username="alidade", password="hunter2-hunter2").send(LETTER)
    assert caught.value.permanent is False
    assert "hunter2" not in str(caught.value)


async def test_in_a_folder_a_letter_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "mail"
    await FolderMailer(folder, SENDER).send(LETTER)
    (file,) = folder.iterdir()
    assert (stat.S_IMODE(folder.stat().st_mode), stat.S_IMODE(file.stat().st_mode)) == (0o700, 0o600)
    message = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert message["to"] == "ada@example.test"
    assert "x" * 90 in file.read_text()


async def test_a_folder_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file")
    with pytest.raises(MailUnreachableError, match="mail folder"):
        await FolderMailer(tmp_path / "mail", SENDER).send(LETTER)
