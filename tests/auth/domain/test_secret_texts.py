from __future__ import annotations

import pytest

from auth_service.domain import secret_texts


def test_a_personal_token_carries_its_id_before_the_secret() -> None:
    text = secret_texts.personal_text("0123456789abcdef", bytes(range(32)))
    assert secret_texts.personal_token_id(text) == "0123456789abcdef"
    assert text.startswith("ald_pat_0123456789abcdef_")


@pytest.mark.parametrize(
    "text", ["", "ald_pat_", "ald_pat_0123456789abcdef_short", "ald_pat_0123456789ABCDEF_" + "A" * 43]
)
def test_other_texts_have_no_id(text: str) -> None:
    assert secret_texts.personal_token_id(text) is None


def test_kinds_of_tokens_are_told_apart() -> None:
    refresh = secret_texts.refresh_text(bytes(32))
    personal = secret_texts.personal_text("0123456789abcdef", bytes(32))
    assert secret_texts.is_refresh_text(refresh)
    assert not secret_texts.is_refresh_text(personal)
    assert not secret_texts.is_refresh_text(refresh + "\n")
    assert secret_texts.personal_token_id(refresh) is None


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        secret_texts.refresh_text(bytes(16))
