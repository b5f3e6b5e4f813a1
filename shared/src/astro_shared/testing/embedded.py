"""The embedded platform as a process of its own, to be watched, killed and frozen by tests.

It is driven as people do, by ``alidade up`` and HTTP; its databases and folders are looked into to see that nothing was
lost or done twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.rows import dict_row

START_LIMIT_S = 120.0
STAGES = {
    "measure": "photometry",
    "solve": "astrometry",
    "calibrate": "photometry",
    "identify": "catalogs",
    "collect": "gateway",
}
"""The stages of a reduction, and whose jobs they are."""


@dataclass
class EmbeddedPlatform:
    """``alidade up`` on a folder of its own.

    Parameters
    ----------
    folder : data folder; as root outside private homes
    port : of the gateway
    """

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address of the gateway."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        """Personal token of the user ``local``."""
        return (self.folder / "local-user.token").read_text().strip()

    def start(self, *, wait: bool = True) -> None:
        """Start and, unless told otherwise, wait until it says that it is ready."""
        with (self.folder / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                up_command(self.port), env=environment(self.folder), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until the platform says that it is ready."""
        until(lambda: self._running() or self._ended(), START_LIMIT_S, "the platform to start")
        if self._ended():
            raise AssertionError(f"the platform did not start: {(self.folder / 'up.log').read_text()[-2000:]}")

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop as Ctrl-C does; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def kill(self) -> None:
        """SIGKILL to every process of the platform at once, the database's too."""
        everything = self.processes()
        for process in everything:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        for process in everything:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(everything, timeout=20)
        assert self.process is not None
        self.process.wait(20)

    def processes(self) -> list[psutil.Process]:
        """All processes of the platform, parents first."""
        assert self.process is not None
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def worker_host(self) -> psutil.Process:
        """The process that runs the workers of all services."""
        return self._part("astro_shared.jobs.worker.host")

    def apis(self) -> psutil.Process:
        """The process that serves the APIs."""
        return self._part("alidade.local.apis")

    def postgres(self) -> psutil.Process:
        """The database server's first process."""
        return self._part(str(self.folder / "postgres"), "-D")

    def _part(self, *words: str) -> psutil.Process:
        def found() -> psutil.Process | None:
            assert self.process is not None
            for process in psutil.Process(self.process.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if all(word in process.cmdline() for word in words):
                        return process
            return None

        return until(found, 30, f"a process {words[0]}")

    def query(self, service: str, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Ask the database of a service; what can be changed by a statement is."""
        address = f"host={self.folder / 'postgres'} user=postgres dbname={service}"
        with psycopg.connect(address, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def jobs_of(self, reduction_id: str, stage: str) -> list[dict[str, Any]]:
        """Rows of the jobs that were made for a stage of a reduction."""
        return self.query(
            STAGES[stage], "SELECT * FROM jobs WHERE idempotency_key LIKE %s", f"{reduction_id}:{stage}:%"
        )

    def stored_attempts(self, stage: str, job_id: str) -> list[str]:
        """Attempts of a job of which something is in storage."""
        folder = self.folder / "objects" / "jobs" / STAGES[stage] / str(job_id)
        return sorted(path.name for path in folder.iterdir() if any(file.is_file() for file in path.rglob("*")))

    def variables(self) -> dict[str, str]:
        """Environment of the services."""
        return self.apis().environ()

    def proportional_mb(self) -> dict[str, float]:
        """Proportional set size of every process, summed by part, MB."""
        sums: dict[str, float] = {}
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                words = process.cmdline() or [process.name()]
                name = next((part for part in _PARTS if any(part in word for word in words)), "up")
                sums[name] = sums.get(name, 0.0) + process.memory_full_info().pss / 1e6
        return sums

    def _running(self) -> bool:
        try:
            facts = json.loads((self.folder / "running.json").read_text())
        except (OSError, ValueError):
            return False
        return self.process is not None and facts["pid"] == self.process.pid

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None


_PARTS = ("astro_shared.jobs.worker.host", "astro_shared.jobs.sandbox.fork_server", "alidade.local.apis", "postgres")


def up_command(port: int) -> Sequence[str]:
    """The command of this environment that runs the platform."""
    return [str(Path(sys.executable).with_name("alidade")), "up", "--port", str(port)]


def run_alidade(folder: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command of this environment with these arguments, on the platform in ``folder``."""
    command = [str(Path(sys.executable).with_name("alidade")), *map(str, arguments)]
    return subprocess.run(command, env=environment(folder) | variables, capture_output=True, text=True, timeout=200)


def environment(folder: Path) -> dict[str, str]:
    """Variables for commands that use the platform in ``folder``; catalogues of the world are not asked."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ALIDADE_", "XDG_"))}
    return kept | {"ALIDADE_DATA": str(folder), "CATALOGS_UPSTREAM__MODE": "offline"}


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


@contextlib.contextmanager
def public_folder(prefix: str = "alidade-") -> Iterator[Path]:
    """A temporary folder that other users can reach: as root the database runs as another user."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def until(check: Callable[[], Any], limit_s: float, what: str, *, every_s: float = 0.01) -> Any:
    """The first true answer of ``check``; AssertionError where none comes in time."""
    end = time.monotonic() + limit_s
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit_s:.0f} s for {what}")
        time.sleep(every_s)
