"""One task of a service on one file, without platform, database or login: how observers' scripts use an image.

``podman run --rm -v DIR:/data IMAGE '{"task": "photometer", "filename": "X.fits"}'``

Products go beside the file, named after it; progress goes to standard error; standard output gets one line of JSON.
The exit status is 0 when the task was done, 2 when it ended without what was asked for, 64 for a bad task, 1 for a
failure.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from astro_shared.contracts.objects import ObjectRef
from astro_shared.errors import AlidadeError, InvalidRequestError
from astro_shared.jobs.plain import plain
from astro_shared.jobs.task import LocalLink, OutputFile, TaskContext

DONE, FAILED, NOT_REACHED, BAD_TASK = 0, 1, 2, 64

_SUFFIX = re.compile(r"\.(fits|fit|fts)(\.(gz|fz))?$", re.IGNORECASE)
TaskModel = TypeVar("TaskModel", bound="OneShotTask")


class BadTaskError(InvalidRequestError):
    """The task can not be carried out as it was written."""

    code = "bad_task"


class OneShotTask(BaseModel):
    """What every task says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    filename: str = Field(min_length=1, max_length=255, description="Of the frame, in the data folder")


@dataclass(frozen=True)
class Outcome:
    """What a task hands back; ``reached`` is False where it ended without what was asked for."""

    result: dict[str, Any]
    files: Mapping[str, OutputFile] = field(default_factory=dict)
    reached: bool = True


class DataFolder:
    """The folder that the task's file names are in: ``ALIDADE_DATA``, or ``/data``.

    Parameters
    ----------
    workspace
        For what is made on the way.

    Attributes
    ----------
    answers
        To questions of the service's task, by name.
    """

    def __init__(self, workspace: Path) -> None:
        self.root = Path(os.environ.get("ALIDADE_DATA", "/data")).resolve()
        self.workspace = workspace
        self._inputs: dict[str, Path] = {}
        self.answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}

    def file(self, name: str) -> Path:
        """A file by its name; raises BadTaskError where there is none, or where it is elsewhere."""
        path = (self.root / name).resolve()
        if not path.is_relative_to(self.root):
            raise BadTaskError(f"{name} is not in the data folder {self.root}")
        if path.parent.exists() and not os.access(path.parent, os.X_OK):
            raise BadTaskError(f"user {os.getuid()} may not look into {path.parent}; see --user of the container")
        if not path.is_file():
            raise BadTaskError(f"there is no file {name} in {self.root}")
        if not os.access(path, os.R_OK):
            raise BadTaskError(f"{name} may not be read by user {os.getuid()}; see --user of the container")
        return path

    def add(self, path: Path) -> ObjectRef:
        """Make a file an input of the task."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        key = f"input/{len(self._inputs)}"
        self._inputs[key] = path
        return ObjectRef(key=key, sha256=digest, size=path.stat().st_size)

    def context(self) -> TaskContext:
        """Context of the service's task, with the inputs added so far."""
        return TaskContext(self.workspace, self._inputs, LocalLink(self.answers, _tell))


def run_oneshot(text: str, model: type[TaskModel], execute: Callable[[TaskModel, DataFolder], Outcome]) -> int:
    """Carry out the task that ``text`` describes; return the exit status."""
    begin = time.monotonic()
    try:
        task = _parsed(text, model)
        with tempfile.TemporaryDirectory(prefix="alidade-") as folder:
            data = DataFolder(Path(folder))
            frame = data.file(task.filename)
            _check_writable(frame.parent)
            outcome = execute(task, data)
            files = _place(outcome.files, frame)
    except BadTaskError as error:
        return _failed(error, BAD_TASK)
    except AlidadeError as error:
        return _failed(error, FAILED)
    line = {
        "ok": outcome.reached,
        "task": task.task,
        "filename": task.filename,
        "result": outcome.result,
        "files": files,
    }
    _answer(line | {"seconds": round(time.monotonic() - begin, 2)})
    return DONE if outcome.reached else NOT_REACHED


def _parsed(text: str, model: type[TaskModel]) -> TaskModel:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        problems = [_problem(item["loc"], item["type"], item["msg"]) for item in error.errors(include_input=False)]
        raise BadTaskError(f"bad task: {'; '.join(problems)}") from None


def _problem(place: tuple[int | str, ...], kind: str, message: str) -> str:
    name = ".".join(str(part) for part in place)
    if kind == "missing":
        return f"{name} is missing"
    if kind == "extra_forbidden":
        return f"{name} is not known"
    return f"{name}: {message}" if name else message


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK):
        raise BadTaskError(f"user {os.getuid()} may not write to {folder}; see --user of the container")


def _place(files: Mapping[str, OutputFile], frame: Path) -> list[str]:
    """Move the products beside the frame; each appears whole."""
    stem = _SUFFIX.sub("", frame.name)
    names = []
    for product, made in sorted(files.items()):
        name = f"{stem}_{product.replace('/', '_')}"
        part = frame.parent / f".{name}.part"
        try:
            shutil.copyfile(made.path, part)
            part.replace(frame.parent / name)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise AlidadeError(f"{name} can not be written: {error.strerror}") from None
        names.append(name)
    return names


def _tell(fraction: float, step: str, message: str) -> None:
    sys.stderr.write(f"{round(100 * fraction):3d}% {step} {message}".rstrip() + "\n")


def _failed(error: AlidadeError, status: int) -> int:
    sys.stderr.write(f"{error}\n")
    _answer({"ok": False, "code": error.code, "message": error.message})
    return status


def _answer(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(plain(line), ensure_ascii=False, allow_nan=False) + "\n")
