"""The command of every image: ``python -m astro_shared.service_command api|worker|migrate|health|TASK``.

The variable ``ALIDADE_SERVICE`` names the service. ``api`` serves HTTP on ``ALIDADE_PORT`` (8000), ``worker`` takes
jobs, ``migrate`` prepares database and storage and ends, ``health`` says by its status whether the process that runs
beside it in the container works. Anything that begins with ``{`` is a one-shot task of photometry or astrometry.
What keeps a command from starting is one line on standard error; status 78 means the settings, 75 try again later.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

SERVICES = ("auth", "photometry", "astrometry", "catalogs", "gateway")
WITH_TASKS = ("photometry", "astrometry")
WITHOUT_WORKER = ("auth",)
CONFIGURATION, LATER, USAGE = 78, 75, 64

_STOP_LIMIT_S = 25
_SILENCE_LIMIT_S = 120.0


def main(arguments: list[str]) -> int:
    """Run one command; return its exit status."""
    service = os.environ.get("ALIDADE_SERVICE", "")
    if service not in SERVICES:
        return _refuse(f"ALIDADE_SERVICE must be one of {', '.join(SERVICES)}", CONFIGURATION)
    commands: dict[str, Callable[[str], int]] = {"api": _api, "migrate": _migrate, "health": _health}
    if service not in WITHOUT_WORKER:
        commands["worker"] = _worker
    if len(arguments) == 1 and arguments[0] in commands:
        return _guarded(service, commands[arguments[0]])
    if service in WITH_TASKS and len(arguments) == 1 and arguments[0].lstrip().startswith("{"):
        run: Callable[[str], int] = importlib.import_module(f"{service}_service.oneshot").run
        return run(arguments[0])
    choices = [*commands, *(["'{\"task\": ...}'"] if service in WITH_TASKS else [])]
    return _refuse(f"{service}: give one of {', '.join(choices)}", USAGE)


def _guarded(service: str, command: Callable[[str], int]) -> int:
    from astro_shared.errors import AlidadeError
    from astro_shared.settings import SettingsError

    try:
        return command(service)
    except SettingsError as error:
        return _refuse(f"{service}: {error}", CONFIGURATION)
    except AlidadeError as error:
        return _refuse(f"{service}: {error}", LATER if error.retryable else 1)


def _api(service: str) -> int:
    import uvicorn

    _check_surroundings(service, storage=False)
    app = importlib.import_module(f"{service}_service.main").create_app()
    config = uvicorn.Config(
        app,
        host=os.environ.get("ALIDADE_HOST", "0.0.0.0"),  # noqa: S104 - the container's own network
        port=_port(),
        log_config=None,
        access_log=False,
        lifespan="on",
        # the services read X-Forwarded-For themselves, from the networks that their settings name
        proxy_headers=False,
        timeout_graceful_shutdown=_STOP_LIMIT_S,
    )
    server = uvicorn.Server(config)
    asyncio.run(server.serve())
    return 0 if server.started else 1


def _worker(service: str) -> int:
    from astro_shared.jobs.worker.host import main as host

    _check_surroundings(service, storage=True)
    scratch = _scratch(service)
    scratch.mkdir(parents=True, exist_ok=True)
    options = ["--scratch", str(scratch), "--ready-file", str(_ready_file(service)), "--grace-s", str(_STOP_LIMIT_S)]
    host([*options, f"{service}_service.worker:build"])
    return 0


def _migrate(service: str) -> int:
    importlib.import_module(f"{service}_service.cli").migrate()
    return 0


def _health(service: str) -> int:
    """Whether the worker has shown lately that it lives, or the API answers."""
    ready = _ready_file(service)
    if ready.exists():
        return 0 if time.time() - ready.stat().st_mtime < _SILENCE_LIMIT_S else 1
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{_port()}/healthz", timeout=3.0) as answer:
            return 0 if answer.status == 200 else 1
    except (urllib.error.URLError, OSError):
        return 1


def _check_surroundings(service: str, *, storage: bool) -> None:
    """Raise what would keep the process from working: database away or of another release, storage out of order."""
    from astro_shared.database.migrations import check_schema
    from astro_shared.settings import load_settings
    from astro_shared.storage.factory import make_store

    settings_class = getattr(importlib.import_module(f"{service}_service.config"), f"{service.capitalize()}Settings")
    settings = load_settings(settings_class)
    check_schema(settings.database_url, f"{service}_service.migrations")
    if storage:
        asyncio.run(make_store(settings.storage, public_base_url=settings.public_base_url).check())


def _port() -> int:
    return int(os.environ.get("ALIDADE_PORT", "8000"))


def _scratch(service: str) -> Path:
    return Path(os.environ.get(f"{service.upper()}_SCRATCH_FOLDER", "/tmp/alidade"))  # noqa: S108 - an emptyDir


def _ready_file(service: str) -> Path:
    return _scratch(service) / "worker-ready"


def _refuse(line: str, status: int) -> int:
    sys.stderr.write(f"{line}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
