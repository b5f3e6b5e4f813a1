"""The embedded platform: start everything, keep it running, stop everything."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx

from alidade.credentials import write_private
from alidade.local import children
from alidade.local.causes import cause_of_end
from alidade.local.environment import Addresses, service_environment
from alidade.local.errors import LocalPlatformError
from alidade.local.postgres import PrivatePostgres
from alidade.local.state import SERVICES, StateFolder

READY_LIMIT_S = 60.0
WITH_WORKERS = tuple(name for name in SERVICES if name != "auth")
_FIRST_RESTART_S = 0.5
_LONGEST_RESTART_S = 10.0
_DATABASE_TRIES = 5
_LEFTOVERS_END_S = 15.0
_API_TRIES = 3
_WRONG_SETTINGS = 78


class _PartEndedError(LocalPlatformError):
    """A part ended while the platform was starting."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class _Hosted:
    """One supervised process."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started_at_s: float = 0.0
    wait_s: float = _FIRST_RESTART_S
    log_begins_at: int = 0


@dataclass
class LocalPlatform:
    """
    Parameters
    ----------
    state : data folder
    port : of the gateway; 0 takes a free one
    """

    state: StateFolder
    port: int = 8000
    say: Callable[[str], None] = lambda text: None
    addresses: Addresses | None = None
    _lock: IO[str] | None = None
    _postgres: PrivatePostgres | None = None
    _hosted: list[_Hosted] = field(default_factory=list)
    _environment: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Address of the gateway."""
        if self.addresses is None:
            raise LocalPlatformError("The platform is not running.")
        return self.addresses.url("gateway")

    def start(self) -> None:
        """Start and wait until everything answers; on failure everything that was started is stopped.

        Raises
        ------
        LocalPlatformError
            With what is wrong: folder in use, port taken, a part that does not start.
        """
        self.state.prepare()
        self._lock = self.state.lock()
        try:
            self._postgres = PrivatePostgres(self.state.database, self.state.logs / "postgres.log")
            self._postgres.start()
            self.state.workers_ready.unlink(missing_ok=True)
            end = time.monotonic() + READY_LIMIT_S
            self._start_apis(self._postgres, end)
            workers = _Hosted("workers", self._worker_command())
            self._hosted.append(workers)
            self._launch(workers)  # on databases that the APIs have migrated
            self._wait_for_workers(end)
            self._make_local_user()
            write_private(self.state.running, json.dumps({"pid": os.getpid(), "url": self.url}))
        except OSError as error:
            self.stop()
            raise LocalPlatformError(f"Cannot write {error.filename or self.state.root}: {error.strerror}.") from None
        except BaseException:
            self.stop()
            raise

    def run(self, until: Callable[[], bool]) -> None:
        """Keep the parts running until ``until`` says so; a part that ends is started again, later each time."""
        while not until():
            self.look_after()
            time.sleep(0.2)

    def look_after(self) -> None:
        """Start again what has ended."""
        if (
            self._postgres is not None
            and self._postgres.process is not None
            and self._postgres.process.poll() is not None
        ):
            self._restart_database(self._postgres)
        for hosted in self._hosted:
            if hosted.process is not None and hosted.process.poll() is None:
                continue
            lived_s = time.monotonic() - hosted.started_at_s
            hosted.wait_s = _FIRST_RESTART_S if lived_s > 30 else min(2 * hosted.wait_s, _LONGEST_RESTART_S)
            if lived_s >= hosted.wait_s:
                self.say(f"The {hosted.name} ended; starting them again (log: {self._log(hosted)}).")
                self._launch(hosted)

    def _start_apis(self, postgres: PrivatePostgres, end: float) -> None:
        """Start the APIs and wait for them; where they die they are tried again on other ports.

        A port is free when it is chosen and may be another program's a moment later.
        """
        for left in reversed(range(_API_TRIES)):
            # The parts of a platform that was killed end by themselves, but not at once.
            self.addresses = Addresses(_ports(self.port, patience_s=_LEFTOVERS_END_S * self.state.was_killed()))
            self._environment = service_environment(self.state, postgres, self.addresses, self.state.secrets())
            ports = [f"{name}={port}" for name, port in self.addresses.ports.items()]
            apis = _Hosted("apis", [sys.executable, "-m", "alidade.local.apis", *ports])
            self._hosted = [apis]
            self._launch(apis)
            try:
                self._wait_for_apis(end)
                return
            except _PartEndedError as error:
                if not left or error.status == _WRONG_SETTINGS or time.monotonic() > end:
                    raise
                self.say(f"{error} Trying again.")

    def _restart_database(self, postgres: PrivatePostgres) -> None:
        """Start the database again; what is left of one that was killed may keep it from starting for a moment."""
        self.say("PostgreSQL ended; starting it again.")
        for left in reversed(range(_DATABASE_TRIES)):
            try:
                postgres.start()
                return
            except LocalPlatformError as error:
                if not left:
                    raise
                self.say(str(error))
                time.sleep(1.0)

    def stop(self) -> None:
        """Stop workers, APIs and database, in this order. Nothing is lost: unfinished work goes on at the next start."""
        for hosted in reversed(self._hosted):
            if hosted.process is not None:
                hosted.process.send_signal(signal.SIGTERM) if hosted.process.poll() is None else None
        for hosted in reversed(self._hosted):
            if hosted.process is not None:
                children.stop(hosted.process)
        if self._postgres is not None:
            self._postgres.stop()
        if self._lock is not None:
            self.state.running.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def _worker_command(self) -> list[str]:
        builders = [f"{name}_service.worker:build" for name in WITH_WORKERS]
        options = [
            "--scratch",
            str(self.state.scratch),
            "--ready-file",
            str(self.state.workers_ready),
            "--exclusive",
            "--grace-s",
            "3",
        ]
        return [sys.executable, "-m", "astro_shared.jobs.worker.host", *options, *builders]

    def _launch(self, hosted: _Hosted) -> None:
        hosted.started_at_s = time.monotonic()
        log = self._log(hosted)
        hosted.log_begins_at = log.stat().st_size if log.exists() else 0
        hosted.process = children.start(hosted.command, environment=self._environment, log=log)

    def _log(self, hosted: _Hosted) -> Path:
        return self.state.logs / f"{hosted.name}.log"

    def _wait_for_apis(self, end: float) -> None:
        waiting = dict.fromkeys(SERVICES, "no answer")
        with httpx.Client(timeout=2.0, trust_env=False) as http:
            while waiting and time.monotonic() < end:
                self._fail_if_ended()
                for name in list(waiting):
                    try:
                        answer = http.get(f"{self.addresses.url(name)}/readyz")  # type: ignore[union-attr]
                    except httpx.TransportError:
                        break
                    if answer.status_code == 200:
                        del waiting[name]
                    else:
                        waiting[name] = _detail(answer)
                time.sleep(0.05)
        if waiting:
            raise self._not_ready("; ".join(f"{name} ({reason})" for name, reason in waiting.items()))

    def _wait_for_workers(self, end: float) -> None:
        while not self.state.workers_ready.exists():
            self._fail_if_ended()
            if time.monotonic() > end:
                raise self._not_ready("workers")
            time.sleep(0.05)

    def _not_ready(self, what: str) -> LocalPlatformError:
        return LocalPlatformError(f"{what} did not become ready in {READY_LIMIT_S:.0f} s (see {self.state.logs}).")

    def _fail_if_ended(self) -> None:
        for hosted in self._hosted:
            if hosted.process is not None and hosted.process.poll() is not None:
                log = self._log(hosted)
                written = log.read_bytes()[hosted.log_begins_at :].decode(errors="replace")
                status = hosted.process.returncode
                cause = cause_of_end(status, written).rstrip(".")
                raise _PartEndedError(f"The {hosted.name} did not start: {cause} (log: {log}).", status)

    def _make_local_user(self) -> None:
        """The user ``local`` with a token file of mode 0600, at the first start."""
        if self.state.user_token.exists():
            return
        token_file = str(self.state.user_token)
        command = [sys.executable, "-m", "auth_service.cli", "bootstrap-local", "--token-file", token_file]
        made = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        if made.returncode:
            raise LocalPlatformError(f"The local user could not be made: {made.stderr.strip()[-300:]}")


def _detail(answer: httpx.Response) -> str:
    """What a service said of why it is not ready."""
    try:
        return str(answer.json()["detail"]).rstrip(".")
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"


def _ports(gateway: int, *, patience_s: float = 0.0) -> dict[str, int]:
    """The gateway's port as asked, free ones for the others; raises LocalPlatformError where the port stays taken."""
    end = time.monotonic() + patience_s
    while True:
        try:
            return _free_ports(gateway)
        except LocalPlatformError:
            if gateway == 0 or time.monotonic() > end:
                raise
            time.sleep(0.2)


def _free_ports(gateway: int) -> dict[str, int]:
    sockets = {}
    try:
        for name in SERVICES:
            wanted = gateway if name == "gateway" else 0
            made = socket.socket()
            sockets[name] = made
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(("127.0.0.1", wanted))
        return {name: made.getsockname()[1] for name, made in sockets.items()}
    except OSError as error:
        raise LocalPlatformError(
            f"Port {gateway} cannot be used ({error.strerror}): choose another with --port, or 0 for any free one."
        ) from None
    finally:
        for made in sockets.values():
            made.close()
