"""A real SMTP server on loopback that can be told to misbehave."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session


@dataclass
class Conduct:
    """How the server behaves.

    Parameters
    ----------
    on_recipient, on_data : what it answers; None accepts
    drop_after_data : close the connection in place of an answer to the letter
    drop_at_farewell : take the letter, then close the connection
    silent_s : wait before the answer to the letter
    """

    on_recipient: str | None = None
    on_sender: str | None = None
    on_data: str | None = None
    drop_after_data: bool = False
    drop_at_farewell: bool = False
    silent_s: float = 0.0


@dataclass
class Received:
    """A letter as it arrived."""

    sender: str
    recipients: list[str]
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        return cast(EmailMessage, message_from_bytes(self.raw, policy=policy.default))


@dataclass
class SmtpPost:
    """The server's address, its conduct and what it took."""

    conduct: Conduct = field(default_factory=Conduct)
    received: list[Received] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    greetings: list[str] = field(default_factory=list)
    begun: int = 0
    port: int = 0

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.greetings.append(hostname)
        session.host_name = hostname
        return responses

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if self.conduct.on_sender:
            return self.conduct.on_sender
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if self.conduct.on_recipient:
            return self.conduct.on_recipient
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.begun += 1
        await asyncio.sleep(self.conduct.silent_s)
        if self.conduct.on_data:
            return self.conduct.on_data
        content = envelope.content
        assert isinstance(content, bytes)
        self.received.append(Received(str(envelope.mail_from), list(envelope.rcpt_tos), content))
        if self.conduct.drop_after_data:
            server.transport.abort()
        return "250 taken"

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.conduct.drop_at_farewell:
            server.transport.abort()
        return "221 bye"

    def check_login(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        login = (data.login.decode(), data.password.decode())
        self.logins.append(login)
        return AuthResult(success=login == ("alidade", "a secret of mail"), handled=False)


@asynccontextmanager
async def smtp_post(
    *, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None, login: bool = False, port: int = 0
) -> AsyncIterator[SmtpPost]:
    """Serve on a port of loopback, a free one unless it is given, until the block ends."""
    post = SmtpPost()

    def protocol() -> SMTP:
        with warnings.catch_warnings():
            # that a login without TLS is a bad idea is what some tests are about
            warnings.simplefilter("ignore", UserWarning)
            return SMTP(
                post,
                hostname="mail.test",
                tls_context=starttls,
                require_starttls=starttls is not None,
                auth_required=login,
                auth_require_tls=False,
                authenticator=post.check_login if login else None,
            )

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port, ssl=tls)
    post.port = server.sockets[0].getsockname()[1]
    try:
        yield post
    finally:
        server.close()
        await server.wait_closed()
