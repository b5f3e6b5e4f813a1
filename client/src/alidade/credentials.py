"""Logins that are kept between commands, in a file that only its owner can read."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs


@dataclass(frozen=True)
class Login:
    server: str
    username: str
    personal_token: str


def login_file() -> Path:
    return Path(platformdirs.user_config_dir("alidade")) / "login.json"


def stored_login() -> Login | None:
    """The login of `alidade login`, if there is one."""
    try:
        return Login(**json.loads(login_file().read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def store_login(login: Login) -> Path:
    """Keep a login with mode 0600."""
    path = login_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(path, json.dumps(asdict(login), indent=2) + "\n")
    return path


def forget_login() -> bool:
    """Remove the stored login; False where there was none."""
    path = login_file()
    known = path.exists()
    path.unlink(missing_ok=True)
    return known


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else can read, not even for a moment."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)
