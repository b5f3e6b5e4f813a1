"""Logins are for their owner's eyes only."""

from __future__ import annotations

from pathlib import Path

import pytest

from alidade.credentials import Login, forget_login, login_file, store_login, stored_login, write_private


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_login_is_kept_for_its_owner_and_forgotten_on_request() -> None:
    assert stored_login() is None
    login = Login("http://127.0.0.1:8000", "ann", "secret")
    path = store_login(login)
    assert path == login_file() and stored_login() == login
    assert mode(path) == 0o600 and mode(path.parent) == 0o700
    assert forget_login() and stored_login() is None and not forget_login()


def test_a_file_that_was_open_to_all_is_not_any_more(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new" and mode(path) == 0o600
    assert [item.name for item in tmp_path.iterdir() if item.name.startswith("token")] == ["token"]
