from __future__ import annotations

import pytest

from auth_service.domain.passwords import check_password
from auth_service.errors import WeakPasswordError


@pytest.mark.parametrize(
    "password",
    [
        "a wonderful night",
        "Zw9#kk2p",
        "ünïcödé wörds",
        "\U0001f600" * 3 + " smiles",
        "x" + "yz " * 42,
        "tab\tand\x00nul",
        "  spaces  ",
    ],
)
def test_any_characters_make_a_password(password: str) -> None:
    check_password(password, username="ada")


@pytest.mark.parametrize("password", ["", "seven77", "x" * 129 + "y"])
def test_length_is_8_to_128(password: str) -> None:
    with pytest.raises(WeakPasswordError, match="8 to 128"):
        check_password(password, username="ada")


@pytest.mark.parametrize(
    "password",
    ["password", "Password1", "PASSWORD123!", "trustno1", "correcthorsebatterystaple", "iloveyou2024", "Passw0rd"],
)
def test_common_passwords_are_refused_with_their_usual_endings(password: str) -> None:
    with pytest.raises(WeakPasswordError):
        check_password(password, username="ada")


@pytest.mark.parametrize(
    "password",
    ["abcdefgh", "hgfedcba", "12345678", "qwertyuiop", "aaaaaaaa", "abababab", "abcabcabcabc", "1qaz2wsx3edc"],
)
def test_patterns_are_refused(password: str) -> None:
    with pytest.raises(WeakPasswordError):
        check_password(password, username="ada")


def test_the_user_name_is_no_password() -> None:
    with pytest.raises(WeakPasswordError):
        check_password("lovelace1815", username="lovelace")
    check_password("lovelace and her engine", username="lovelace")


def test_composed_and_decomposed_letters_are_the_same() -> None:
    with pytest.raises(WeakPasswordError, match="this one has 7"):
        check_password("e\u0301" * 7, username="ada")
