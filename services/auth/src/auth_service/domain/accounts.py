"""Accounts and what may be done in their name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

RESERVED_USERNAMES = frozenset({"admin", "administrator", "alidade", "anonymous", "local", "root", "system"})
LOCAL_USERNAME = "local"
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,62}")


class Registration(StrEnum):
    """Who may open an account."""

    OPEN = "open"
    INVITATION = "invitation"
    CLOSED = "closed"


class AccountStatus(StrEnum):
    """Whether an account can be used."""

    ACTIVE = "active"
    DISABLED = "disabled"
    DELETED = "deleted"


@dataclass(frozen=True)
class Account:
    """A user.

    Parameters
    ----------
    id : never changes, never reused
    username : lower case
    email : not unique: a person may have several accounts
    password_hash : PHC string; None where there is no login with a password
    email_confirmed_at : when a link that was mailed to the address was followed
    awaits_confirmation : whether logging in waits for that
    """

    id: str
    username: str
    email: str | None
    role: str
    status: AccountStatus
    password_hash: str | None
    created_at: datetime
    email_confirmed_at: datetime | None = None
    awaits_confirmation: bool = False

    @property
    def active(self) -> bool:
        """Whether it can be used."""
        return self.status is AccountStatus.ACTIVE


@dataclass(frozen=True)
class Origin:
    """Where a request came from, for the audit log and for rate limits.

    Parameters
    ----------
    source : network address of the client, as far as trusted proxies tell it
    request_id : id of the request
    """

    source: str | None = None
    request_id: str | None = None


def is_username(text: str) -> bool:
    """Return whether a text, normalised, can be a user name."""
    return _USERNAME.fullmatch(text) is not None


def normalise_username(text: str) -> str:
    """Return the form in which user names are stored and compared."""
    return text.strip().casefold()
