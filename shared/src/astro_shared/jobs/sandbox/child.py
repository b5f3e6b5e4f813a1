"""What a forked child does: put on its limits, run one task, say how it went."""

from __future__ import annotations

import faulthandler
import importlib
import math
import os
import random
import resource
import signal
import socket
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from astro_shared.errors import AlidadeError, error_to_dict
from astro_shared.jobs.sandbox import wire
from astro_shared.jobs.sandbox.limits import MB
from astro_shared.jobs.task import TaskContext, TaskOutput
from astro_shared.logs import bound


class ChannelLink:
    """The socket to the worker, as a task sees it."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def send(self, message: dict[str, Any]) -> None:
        wire.send(self._channel, message)

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        wire.send(self._channel, message)
        return wire.receive(self._channel)


def run(channel: socket.socket, order: Mapping[str, Any]) -> int:
    """Run one task; return the exit status of the process.

    Parameters
    ----------
    channel
        Carries the request in, messages both ways, and one ``result`` or ``error`` out.
    order
        ``entry``, ``request_model``, ``workspace``, ``limits``, ``job_id``.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setsid()
    workspace = Path(order["workspace"])
    _settle(workspace)
    _limit(order["limits"])
    try:
        work = wire.receive(channel)
        with bound(job_id=order["job_id"]):
            outcome = _perform(order, work, workspace, channel)
        _tell(channel, outcome)
    except (EOFError, ConnectionError):
        return 75
    return 0


def _tell(channel: socket.socket, outcome: dict[str, Any]) -> None:
    """Send the outcome; one that is too large is a defect of the task."""
    try:
        wire.send(channel, outcome)
    except wire.WireError as error:
        wire.send(channel, {"type": "defect", "summary": str(error), "traceback": ""})


def _perform(
    order: Mapping[str, Any], work: Mapping[str, Any], workspace: Path, channel: socket.socket
) -> dict[str, Any]:
    """Run the task and describe how it ended."""
    try:
        task: Callable[[BaseModel, TaskContext], TaskOutput] = _load(order["entry"])
        request = _load(order["request_model"]).model_validate(work["request"])
        inputs = {key: Path(path) for key, path in work["inputs"].items()}
        output = task(request, TaskContext(workspace, inputs, ChannelLink(channel)))
        return {
            "type": "result",
            "result": output.result,
            "files": {
                name: {"path": str(file.path), "media_type": file.media_type} for name, file in output.files.items()
            },
        }
    except AlidadeError as error:
        return {"type": "error", "error": error_to_dict(error), "traceback": traceback.format_exc()}
    except MemoryError:
        return {"type": "out_of_memory"}
    except (EOFError, ConnectionError):
        raise
    except Exception as error:  # noqa: BLE001 - the outermost loop of this process: a defect becomes a failed job
        return {"type": "defect", "summary": type(error).__name__, "traceback": traceback.format_exc()}


def _settle(workspace: Path) -> None:
    """Make the workspace this process's only place: folder, temporary files, standard streams."""
    os.chdir(workspace)
    os.umask(0o077)
    scratch = workspace / "tmp"
    scratch.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = os.environ["HOME"] = str(scratch)
    tempfile.tempdir = None
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    faulthandler.enable()
    random.seed(0)


def _limit(limits: Mapping[str, Any]) -> None:
    cpu_s = limits["cpu_s"] or math.ceil(4 * limits["wall_s"])
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, limits["file_mb"] * MB)
    _lower(resource.RLIMIT_CPU, cpu_s, grace=5)
    if limits["address_space_mb"] is not None:
        _lower(resource.RLIMIT_AS, limits["address_space_mb"] * MB)
    # Python ignores SIGXFSZ, so that a write beyond the limit is an OSError and not a death.


def _lower(which: int, value: int, grace: int = 0) -> None:
    """Set a limit for good, never above what there is; ``grace`` lies between the soft and the hard one."""
    _, present = resource.getrlimit(which)
    hard = value + grace if present == resource.RLIM_INFINITY else min(value + grace, present)
    resource.setrlimit(which, (min(value, hard), hard))


def _load(place: str) -> Any:
    """Import ``package.module:name``."""
    module, _, name = place.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found
