"""Letters, the outbox in which they wait, and the links that they carry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

MAX_ADDRESS_CHARACTERS = 254
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]|\.(?=[A-Za-z0-9])){0,189}")
_FIRST_PAUSE = timedelta(seconds=30)
_LONGEST_PAUSE = timedelta(hours=1)


class LetterKind(StrEnum):
    """What a letter is about."""

    RECOVER = "recover"
    CONFIRM = "confirm"
    INVITE = "invite"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a kind of letter
    ADDRESS_CHANGED = "address_changed"


KEPT_FOR = {
    LetterKind.RECOVER: timedelta(hours=1),
    LetterKind.CONFIRM: timedelta(days=1),
    LetterKind.INVITE: timedelta(days=3),
    LetterKind.PASSWORD_CHANGED: timedelta(days=3),
    LetterKind.ADDRESS_CHANGED: timedelta(days=3),
}
"""How long delivery is tried: whoever waits for a link has asked for another one by then."""


class LinkPurpose(StrEnum):
    """What the link of a letter is good for."""

    RECOVER = "recover"
    CONFIRM = "confirm"
    INVITE = "invite"


LINK_LIFETIME = {
    LinkPurpose.RECOVER: timedelta(minutes=15),
    LinkPurpose.CONFIRM: timedelta(days=1),
    LinkPurpose.INVITE: timedelta(days=7),
}
"""Counted from the moment at which the letter is handed to the mail server."""


@dataclass(frozen=True)
class Letter:
    """A letter to one person.

    Parameters
    ----------
    id : of the outbox, so that a letter that is sent again can be recognised
    """

    id: str
    recipient: str
    subject: str
    text: str


@dataclass(frozen=True)
class QueuedLetter:
    """A letter that waits. It holds no secret: the link is made when it is sent.

    Parameters
    ----------
    recipient : address; None where ``account`` decides it
    account : as typed by whoever asked for recovery: a user name or an address
    facts : what the text says besides
    tries : how often delivery was begun
    """

    id: str
    kind: LetterKind
    recipient: str | None
    user_id: str | None
    account: str | None
    facts: dict[str, str]
    created_at: datetime
    due_at: datetime
    tries: int = 0
    failed_at: datetime | None = None
    last_error: str | None = None

    @property
    def expires_at(self) -> datetime:
        """When delivery is given up."""
        return self.created_at + KEPT_FOR[self.kind]


@dataclass(frozen=True)
class MailedLink:
    """The newest link of its purpose for one subject, known by its digest alone.

    Parameters
    ----------
    subject : user id; of an invitation the address
    address : where it was sent
    """

    purpose: LinkPurpose
    subject: str
    address: str
    digest: bytes
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class OutboxState:
    """How mail is getting on."""

    waiting: int
    oldest_at: datetime | None
    last_error: str | None
    failed: list[QueuedLetter]


def is_address(text: str) -> bool:
    """Return whether the text is one plain address: ASCII, no comments, lists, quotes or control characters."""
    return len(text) <= MAX_ADDRESS_CHARACTERS and _ADDRESS.fullmatch(text) is not None


def same_address(left: str, right: str) -> bool:
    """Return whether two addresses reach the same person, as far as case goes."""
    return left.casefold() == right.casefold()


def pause_before_try(tries: int) -> timedelta:
    """Return the pause after so many tries that failed: 30 s, doubled each time, an hour at most."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(max(tries, 1) - 1, 12))
