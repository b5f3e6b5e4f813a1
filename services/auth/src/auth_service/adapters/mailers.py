"""Hand letters to an SMTP server, or put them into a folder."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import uuid
from contextlib import suppress
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import formatdate
from pathlib import Path
from typing import Literal

import aiosmtplib
import structlog

from auth_service.domain.mail import Letter, is_address
from auth_service.domain.secret_texts import without_tokens
from auth_service.errors import MailRefusedError, MailUnreachableError

Security = Literal["starttls", "tls", "none"]
# long links stay in one line, as they are
_POLICY = SMTP_POLICY.clone(max_line_length=500)
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_ANSWER_CHARACTERS = 200
_log = structlog.get_logger("auth_service")


@dataclass(frozen=True)
class Sender:
    """Who letters are from."""

    address: str
    name: str

    @property
    def domain(self) -> str:
        """Domain of the address."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True)
class SmtpServer:
    """A mail server and how it is spoken to.

    Parameters
    ----------
    ca_file : certificate authority of the server; None takes the system's
    timeout_s : for one letter from the connection to the answer
    """

    host: str
    port: int
    security: Security
    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None
    timeout_s: float = 30.0


def compose(letter: Letter, sender: Sender) -> EmailMessage:
    """Make a message of a letter.

    Raises
    ------
    MailRefusedError
        The recipient is not one plain address.
    """
    if not is_address(letter.recipient):
        raise MailRefusedError("The recipient is not one plain address.", permanent=True)
    message = EmailMessage(policy=_POLICY)
    message["From"] = Address(sender.name, addr_spec=sender.address)
    message["To"] = Address(addr_spec=letter.recipient)
    message["Subject"] = letter.subject
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{letter.id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text)
    return message


class SmtpMailer:
    """`auth_service.ports.Mailer` over SMTP, one connection for each letter.

    Encryption that the settings ask for is never given up: a server without STARTTLS gets nothing.
    """

    def __init__(self, server: SmtpServer, sender: Sender) -> None:
        self._server = server
        self._sender = sender

    async def send(self, letter: Letter) -> None:
        """Deliver a letter.

        Raises
        ------
        MailRefusedError
            The server said no; ``permanent`` where it always will to this letter.
        MailUnreachableError
            It did not answer in time, or not as a mail server does.
        """
        message = compose(letter, self._sender)
        try:
            async with asyncio.timeout(self._server.timeout_s):
                await self._deliver(message.as_bytes(), letter.recipient)
        except aiosmtplib.SMTPRecipientsRefused as error:
            first = error.recipients[0]
            raise _refused("the recipient", first.code, first.message, permanent=first.code >= 500) from None
        except aiosmtplib.SMTPDataError as error:
            raise _refused("the letter", error.code, error.message, permanent=error.code >= 500) from None
        except aiosmtplib.SMTPAuthenticationError as error:
            raise _refused("the login", error.code, error.message) from None
        except aiosmtplib.SMTPSenderRefused as error:
            raise _refused("the sender", error.code, error.message) from None
        except (aiosmtplib.SMTPTimeoutError, TimeoutError):
            raise MailUnreachableError(
                f"The mail server {self._place} did not answer within {self._server.timeout_s:g} s."
            ) from None
        except aiosmtplib.SMTPResponseException as error:
            raise _refused("the conversation", error.code, error.message) from None
        except aiosmtplib.SMTPNotSupported:
            raise MailUnreachableError(f"The mail server {self._place} does not offer what is asked of it.") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailUnreachableError(f"The mail server {self._place} failed: {_printable(str(error))}") from None

    @property
    def _place(self) -> str:
        return f"{self._server.host}:{self._server.port}"

    async def _deliver(self, message: bytes, recipient: str) -> None:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            tls_context=None if server.security == "none" else ssl.create_default_context(cafile=server.ca_file),
            timeout=server.timeout_s,
            # servers refuse bare names, which hosts and pods often have
            local_hostname=self._sender.domain,
        )
        try:
            await client.connect()
            if server.username is not None:
                await client.login(server.username, server.password or "")
            await client.sendmail(self._sender.address, [recipient], message)
            # the server has taken the letter: what becomes of the farewell is all the same
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit()
        finally:
            client.close()


class FolderMailer:
    """`auth_service.ports.Mailer` for a single machine: letters become files that only the owner of the folder reads."""

    def __init__(self, folder: Path, sender: Sender) -> None:
        self._folder = folder
        self._sender = sender

    async def send(self, letter: Letter) -> None:
        """Write a letter."""
        message = compose(letter, self._sender)
        name = f"{message['Date'].datetime:%Y%m%dT%H%M%S}-{letter.id}.eml"
        try:
            await asyncio.to_thread(self._write, name, message.as_bytes())
        except OSError as error:
            raise MailUnreachableError(f"The mail folder cannot be written: {error.strerror}.") from None
        _log.info("letter_written", file=str(self._folder / name))

    def _write(self, name: str, text: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self._folder / f".{uuid.uuid4().hex}"
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text)
        part.replace(self._folder / name)


def _refused(what: str, code: int, text: str, *, permanent: bool = False) -> MailRefusedError:
    return MailRefusedError(
        f"The mail server refused {what} ({code} {_printable(text)}).", permanent=permanent, smtp_code=code
    )


def _printable(text: str) -> str:
    """What a server said, for logs and people: a filter may quote the link that it does not like."""
    return without_tokens(_UNPRINTABLE.sub(" ", text))[:_ANSWER_CHARACTERS].strip()
