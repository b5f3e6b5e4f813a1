"""Which passwords are accepted: any characters, 8 to 128 of them, and not one of the well-known ones.

References
----------
NIST SP 800-63B-4 section 3.1.1 (no composition rules, a list of common values), OWASP ASVS 5.0 section 6.2.
"""

from __future__ import annotations

import re
import unicodedata

from auth_service.domain.common_passwords import COMMON_PASSWORDS
from auth_service.errors import WeakPasswordError

MIN_CHARACTERS = 8
MAX_CHARACTERS = 128
_SEQUENCES = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
)
_SUFFIX = re.compile(r"[\W_\d]{0,4}$")


def normalise_password(text: str) -> str:
    """Return the form that is hashed: NFC, so that every keyboard gives the same characters."""
    return unicodedata.normalize("NFC", text)


def check_password(password: str, *, username: str) -> None:
    """Refuse passwords that guessers try first.

    Raises
    ------
    WeakPasswordError
        Too short, too long, on the list of common ones (also with up to four digits or signs behind),
        a run of the alphabet or of the keyboard, one repeated piece, or made of the user name.
    """
    text = normalise_password(password)
    if not MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS:
        raise WeakPasswordError(
            f"A password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters; this one has {len(text)}.",
            min_characters=MIN_CHARACTERS,
            max_characters=MAX_CHARACTERS,
        )
    plain = text.casefold()
    if plain in COMMON_PASSWORDS or _SUFFIX.sub("", plain) in COMMON_PASSWORDS:
        raise WeakPasswordError("This password is on the lists that guessers try first; take another one.")
    if _is_run(plain) or _is_repetition(plain):
        raise WeakPasswordError("This password is a pattern that guessers try first; take another one.")
    if len(username) >= 3 and plain.replace(username, "").strip("0123456789!._-") == "":
        raise WeakPasswordError("This password is made of the user name; take another one.")


def _is_run(text: str) -> bool:
    return any(text in sequence or text[::-1] in sequence for sequence in _SEQUENCES)


def _is_repetition(text: str) -> bool:
    """Whether the text is one piece of at most four characters again and again."""
    return any(text == (text[:size] * len(text))[: len(text)] for size in range(1, 5))
