"""Addresses, pauses and the texts of letters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from auth_service.domain import letters
from auth_service.domain.mail import LetterKind, QueuedLetter, is_address, pause_before_try

NOW = datetime(2026, 11, 30, 20, 0, tzinfo=UTC)


@pytest.mark.parametrize("text", ["ada@example.test", "a.b+c@sub.example.test", "x@localhost", "o'neill@example.test"])
def test_plain_addresses(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "ada",
        "ada@",
        "@example.test",
        "a b@example.test",
        "a@b@example.test",
        "ada@example.test\n",
        "ada@example.test\r\nBcc: eve@example.test",
        "ada@example.test,eve@example.test",
        "<ada@example.test>",
        '"ada"@example.test',
        "ada@.example.test",
        "ada@example.test.",
        "ada@example..test",
        "аda@example.test",
        "ada@exämple.test",
        "a" * 65 + "@example.test",
        "ada@" + "e" * 251,
    ],
)
def test_everything_else_is_none(text: str) -> None:
    assert not is_address(text)


def test_pauses_grow_to_an_hour() -> None:
    assert [pause_before_try(n).total_seconds() for n in (1, 2, 3, 7, 8, 9, 10**6)] == [
        30,
        60,
        120,
        1920,
        3600,
        3600,
        3600,
    ]


def test_a_letter_about_a_lost_password_is_given_up_after_an_hour() -> None:
    letter = QueuedLetter("1", LetterKind.RECOVER, None, None, "ada", {}, created_at=NOW, due_at=NOW)
    assert letter.expires_at == NOW + timedelta(hours=1)


def test_a_notice_says_when_and_from_where() -> None:
    written = letters.password_notice(
        "1", "ada@example.test", "ada", at=NOW, source="203.0.113.5", platform="https://alidade.test"
    )
    assert "The password of ada was changed at 2026-11-30 20:00 UTC from 203.0.113.5." in written.text


def test_a_letter_about_several_accounts_names_each() -> None:
    links = [("ada", "https://alidade.test/1"), ("ada2", "https://alidade.test/2")]
    text = letters.recovery_letter("1", "ada@example.test", links, platform="https://alidade.test", command="x").text
    assert "  ada:\n  https://alidade.test/1\n" in text
    assert "  ada2:\n  https://alidade.test/2\n" in text
    assert "15 minutes" in text
