"""`alidade up` whose APIs die while they start: tried again, and the cause is named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from alidade.local import children, platform
from alidade.local.causes import cause_of_end
from alidade.local.errors import LocalPlatformError
from alidade.local.platform import LocalPlatform
from alidade.local.state import StateFolder

ACCESS = json.dumps({"level": "info", "event": "http_request", "path": "/readyz", "status": 503})
WARNING = json.dumps({"level": "warning", "event": "not_ready", "check": "database"})
ERROR = json.dumps({"level": "error", "event": "Traceback (most recent call last):\n  File x\nOSError: no room left"})
SERVES = """
import sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
class Ready(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
for argument in sys.argv[1:]:
    server = HTTPServer(("127.0.0.1", int(argument.partition("=")[2])), Ready)
    threading.Thread(target=server.serve_forever).start()
"""


@pytest.mark.parametrize(
    ("status", "log", "cause"),
    [
        (1, f"{ERROR}\n{WARNING}\n{ACCESS}\n", "OSError: no room left"),
        (1, f"Port 8001 of auth cannot be used: Address already in use.\n{ACCESS}\n", "Port 8001 of auth"),
        (1, f"{WARNING}\n{ACCESS}\n", "it ended with status 1 and gave no reason"),
        (-9, f"{ACCESS}\n", "it was ended by SIGKILL, as the system does where memory runs out"),
        (-9, f"{ERROR}\n{ACCESS}\n", "SIGKILL, as the system does where memory runs out; its last error: OSError"),
        (1, "", "gave no reason"),
        (78, "auth: settings: AUTH_PORT: not a number\n", "AUTH_PORT: not a number"),
    ],
)
def test_the_cause_is_an_error_or_the_signal_never_a_line_about_a_request(status: int, log: str, cause: str) -> None:
    named = cause_of_end(status, log)
    assert cause in named
    assert "http_request" not in named


class Starts:
    """Stands in for `children.start`: each start runs the next script."""

    def __init__(self, *scripts: str) -> None:
        self.scripts = list(scripts)
        self.ports: list[list[str]] = []

    def __call__(self, command: list[str], *, environment: Any, log: Path) -> subprocess.Popen[bytes]:
        self.ports.append(command[3:])
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        with log.open("ab") as output:
            return subprocess.Popen([sys.executable, "-c", script, *command[3:]], stdout=output, stderr=output)


def start_apis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starts: Starts) -> tuple[LocalPlatform, list[str]]:
    said: list[str] = []
    state = StateFolder(tmp_path / "data")
    state.prepare()
    made = LocalPlatform(state, port=0, say=said.append)
    monkeypatch.setattr(platform.children, "start", starts)
    monkeypatch.setattr(platform, "service_environment", lambda *given: dict(os.environ))
    try:
        made._start_apis(None, time.monotonic() + 30)  # type: ignore[arg-type]
    finally:
        for hosted in made._hosted:
            if hosted.process is not None:
                children.stop(hosted.process, stop_signal=signal.SIGKILL)
    return made, said


def dies(line: str, status: int = 1) -> str:
    return f"import sys; print({line!r}); print({ACCESS!r}); sys.exit({status})"


def test_apis_that_die_are_started_again_on_other_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = Starts(dies("Port 8001 of auth cannot be used: Address already in use."), SERVES)
    _, said = start_apis(tmp_path, monkeypatch, starts)
    assert len(starts.ports) == 2
    assert set(starts.ports[0]) != set(starts.ports[1])
    assert len(said) == 1
    assert "Port 8001 of auth cannot be used" in said[0]


def test_after_three_deaths_the_last_cause_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = Starts(dies("first"), dies("second"), dies("the database is damaged"))
    with pytest.raises(LocalPlatformError, match=r"apis did not start: the database is damaged \(log: ") as failed:
        start_apis(tmp_path, monkeypatch, starts)
    assert len(starts.ports) == 3
    assert "http_request" not in str(failed.value)


def test_wrong_settings_are_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = Starts(dies("auth: settings: AUTH_PORT: not a number", 78))
    with pytest.raises(LocalPlatformError, match="not a number"):
        start_apis(tmp_path, monkeypatch, starts)
    assert len(starts.ports) == 1


def test_files_of_the_folder_where_the_command_is_typed_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateFolder(tmp_path / "data")
    state.prepare()
    postgres: Any = type("Postgres", (), {"url": staticmethod(lambda service: f"postgresql://nowhere/{service}")})
    addresses = platform.Addresses(dict.fromkeys(platform.SERVICES, 1))
    environment = platform.service_environment(state, postgres, addresses, state.secrets())
    (tmp_path / "uvicorn.py").write_text("raise SystemExit('taken from the folder')")
    command = [sys.executable, "-m", "alidade.local.apis", "auth=not-a-port"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "taken from the folder" not in ended.stderr
    assert "not-a-port" in ended.stderr


@pytest.mark.parametrize(
    ("given", "kind"), [({}, "folder"), ({"AUTH_MAIL__KIND": "smtp", "AUTH_MAIL__HOST": "mail.test"}, "smtp")]
)
def test_letters_are_files_where_no_mail_server_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], kind: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    state = StateFolder(tmp_path / "data")
    state.prepare()
    postgres: Any = type("Postgres", (), {"url": staticmethod(lambda service: f"postgresql://nowhere/{service}")})
    addresses = platform.Addresses(dict.fromkeys(platform.SERVICES, 1))
    environment = platform.service_environment(state, postgres, addresses, state.secrets())
    assert environment["AUTH_MAIL__KIND"] == kind
    assert environment.get("AUTH_MAIL__FOLDER") == (str(tmp_path / "data" / "mail") if kind == "folder" else None)
