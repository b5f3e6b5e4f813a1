"""Where the embedded platform keeps what must survive: database, objects, secrets, reference lists, logs."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import platformdirs

from alidade.credentials import write_private
from alidade.local.errors import LocalPlatformError

SERVICES = ("auth", "photometry", "astrometry", "catalogs", "gateway")
ROOT_FOLDER = Path("/var/lib/alidade")


def default_folder() -> Path:
    """``ALIDADE_DATA``, else the XDG data folder.

    For root it is /var/lib/alidade: PostgreSQL refuses to run as root, and the user that it runs as instead must not
    be given a way into root's home.
    """
    chosen = os.environ.get("ALIDADE_DATA")
    if chosen:
        return Path(chosen).absolute()
    return ROOT_FOLDER if os.geteuid() == 0 else Path(platformdirs.user_data_dir("alidade"))


@dataclass(frozen=True)
class StateFolder:
    root: Path

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    @property
    def database(self) -> Path:
        return self.root / "postgres"

    @property
    def reference(self) -> Path:
        return self.root / "reference"

    @property
    def scratch(self) -> Path:
        return self.root / "scratch"

    @property
    def mail(self) -> Path:
        """Letters of the platform, where no mail server is given."""
        return self.root / "mail"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def workers_ready(self) -> Path:
        """Exists while the workers take jobs."""
        return self.root / "workers.ready"

    @property
    def running(self) -> Path:
        """Address and process of the running platform, for other commands."""
        return self.root / "running.json"

    @property
    def user_token(self) -> Path:
        """Personal token of the user ``local``."""
        return self.root / "local-user.token"

    def prepare(self) -> None:
        """Make the folders; raises LocalPlatformError where that is not possible."""
        try:
            for folder in (self.root, self.objects, self.reference, self.scratch, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
            if os.geteuid() != 0:
                self.root.chmod(0o700)
        except OSError as error:
            raise LocalPlatformError(
                f"Cannot use the data folder {self.root}: {error.strerror}. Choose another with ALIDADE_DATA."
            ) from None

    def lock(self) -> IO[str]:
        """Hold the folder for this process; raises LocalPlatformError while another platform uses it."""
        try:
            file = (self.root / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise LocalPlatformError(
                f"Cannot use the data folder {self.root}: {error.strerror}. Choose another with ALIDADE_DATA."
            ) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalPlatformError(
                f"A platform is already running on {self.root}{_address(self.running)}. Stop it, or set ALIDADE_DATA."
            ) from None
        return file

    def is_locked(self) -> bool:
        """Whether a platform holds the folder now, running or not yet or no longer ready."""
        try:
            with (self.root / "lock").open("r+", encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def secrets(self) -> dict[str, str]:
        """Secrets of this installation, made at the first start."""
        path = self.root / "secrets.json"
        if not path.exists():
            names = ("storage_url", "auth_signing", "sealing", *(f"client_{name}" for name in SERVICES))
            write_private(path, json.dumps({name: secrets.token_urlsafe(32) for name in names}, indent=2))
        try:
            known: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise LocalPlatformError(
                f"{path} is damaged, and without it what is stored cannot be read: bring it back from a copy, or begin "
                "anew with another ALIDADE_DATA."
            ) from None
        return known

    def was_killed(self) -> bool:
        """Whether the last platform on this folder ended without a word; asked while the lock is held."""
        return self.running.exists()

    def read_running(self) -> dict[str, Any] | None:
        """What the running platform said of itself; None when there is none or it is gone."""
        try:
            facts: dict[str, Any] = json.loads(self.running.read_text(encoding="utf-8"))
            os.kill(int(facts["pid"]), 0)
        except (FileNotFoundError, ProcessLookupError, ValueError, KeyError):
            return None
        except PermissionError:
            pass
        return facts


def _address(running: Path) -> str:
    try:
        return f" ({json.loads(running.read_text(encoding='utf-8'))['url']})"
    except (OSError, ValueError, KeyError):
        return ""
