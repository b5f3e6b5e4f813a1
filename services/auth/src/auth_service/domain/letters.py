"""Texts of the letters; plain text, with nothing in them that the reader did not choose or we did not make."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from auth_service.domain.mail import LINK_LIFETIME, Letter, LinkPurpose

_SIGNATURE = "\n-- \nAlidade at {platform}\nThis letter was sent by a program; answers are not read.\n"


def recovery_letter(
    letter_id: str, recipient: str, links: Sequence[tuple[str, str]], *, platform: str, command: str
) -> Letter:
    """Write the letter that lets somebody choose a new password.

    Parameters
    ----------
    links : user name and link of each account of this address
    command : what does the same on a command line
    """
    listed = "\n\n".join(f"  {username}:\n  {link}" for username, link in links)
    text = (
        "Somebody, probably you, asked for a new password.\n\n"
        f"Choose one here within {_minutes(LinkPurpose.RECOVER)}; the link works once, and only the newest one does:\n\n"
        f"{listed}\n\n"
        f"{_on_a_command_line(command)}\n\n"
        "If it was not you, do nothing: your password stays as it is.\n"
    )
    return _letter(letter_id, recipient, "A new password for Alidade", text, platform)


def confirmation_letter(
    letter_id: str, recipient: str, username: str, link: str, *, platform: str, command: str
) -> Letter:
    """Write the letter that proves an address."""
    text = (
        f"The account {username} was given this address.\n\n"
        f"If that is yours, confirm it here within {_hours(LinkPurpose.CONFIRM)}:\n\n  {link}\n\n"
        f"{_on_a_command_line(command)}\n\n"
        "If you do not know of this, do nothing.\n"
    )
    return _letter(letter_id, recipient, "Confirm your address for Alidade", text, platform)


def invitation_letter(letter_id: str, recipient: str, link: str, *, platform: str, command: str) -> Letter:
    """Write the letter with which somebody may open an account."""
    days = LINK_LIFETIME[LinkPurpose.INVITE].days
    text = (
        f"You are invited to open an account at {platform}.\n\n"
        f"The link works once, within {days} days:\n\n  {link}\n\n"
        f"{_on_a_command_line(command)}\n\n"
        "If you do not know of this, do nothing.\n"
    )
    return _letter(letter_id, recipient, "An invitation to Alidade", text, platform)


def password_notice(
    letter_id: str, recipient: str, username: str, *, at: datetime, source: str, platform: str
) -> Letter:
    """Write the notice that a password was changed."""
    text = (
        f"The password of {username} was changed at {_time(at)} from {source}.\n"
        "All sessions and personal access tokens have ended: log in again, and make new tokens for your scripts.\n\n"
        "If it was not you, ask for a new password at once and tell the operator.\n"
    )
    return _letter(letter_id, recipient, "Your password for Alidade was changed", text, platform)


def address_notice(
    letter_id: str, recipient: str, username: str, *, at: datetime, source: str, platform: str
) -> Letter:
    """Write the notice to the old address that another one took its place."""
    text = (
        f"The address of {username} was changed at {_time(at)} from {source}. Letters go to the new one from now on.\n\n"
        "If it was not you, tell the operator.\n"
    )
    return _letter(letter_id, recipient, "Your address for Alidade was changed", text, platform)


def test_letter(letter_id: str, recipient: str, *, platform: str) -> Letter:
    """Write the letter of ``alidade admin mail test``."""
    text = "If you can read this, mail from the platform arrives.\n"
    return _letter(letter_id, recipient, "Test letter of Alidade", text, platform)


def _letter(letter_id: str, recipient: str, subject: str, text: str, platform: str) -> Letter:
    return Letter(letter_id, recipient, subject, text + _SIGNATURE.format(platform=platform))


def _on_a_command_line(command: str) -> str:
    return f"On a command line, `{command}` takes the part of the link behind `#token=`."


def _minutes(purpose: LinkPurpose) -> str:
    return f"{LINK_LIFETIME[purpose].total_seconds() / 60:.0f} minutes"


def _hours(purpose: LinkPurpose) -> str:
    return f"{LINK_LIFETIME[purpose].total_seconds() / 3600:.0f} hours"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
