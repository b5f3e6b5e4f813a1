"""What the module that does the work needs: the context it is given and the output it returns.

::

    def measure(request: MeasureRequest, context: TaskContext) -> TaskOutput:
        with context.crash_means("fits_unreadable", "the file crashed the reader"):
            frame = read(context.input(request.frame))
        context.progress(0.2, "background")
        ...
        return TaskOutput(result={"sources": 512}, files={"sources": OutputFile(path, "application/fits")})
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from astro_shared.contracts.objects import ObjectRef
from astro_shared.errors import error_from_dict
from astro_shared.storage.errors import ObjectMissingError


@dataclass(frozen=True)
class OutputFile:
    """A file below the workspace that becomes an object of the job."""

    path: Path
    media_type: str = "application/octet-stream"


@dataclass(frozen=True)
class TaskOutput:
    """What a task hands back: a small JSON result and files.

    Missing numbers are None; a NaN or infinity in ``result`` becomes None on its way out.
    """

    result: dict[str, Any] = field(default_factory=dict)
    files: Mapping[str, OutputFile] = field(default_factory=dict)


class Link(Protocol):
    """The way from a task to whoever runs it."""

    def send(self, message: dict[str, Any]) -> None:
        """Tell something."""
        ...

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Tell something and wait for the answer."""
        ...


class TaskContext:
    """One execution of a task.

    Parameters
    ----------
    workspace
        Scratch folder of this execution, removed afterwards.
    inputs
        Local copies of the objects that the request names, by key.
    link
        Way to the parent process.
    """

    def __init__(self, workspace: Path, inputs: Mapping[str, Path], link: Link) -> None:
        self._workspace = workspace
        self._inputs = inputs
        self._link = link

    @property
    def workspace(self) -> Path:
        """Folder for temporary and output files."""
        return self._workspace

    def input(self, ref: ObjectRef) -> Path:
        """Return the local, verified copy of an object named in the request."""
        try:
            return self._inputs[ref.key]
        except KeyError:
            raise ObjectMissingError(f"object {ref.key} is not an input of this job", key=ref.key) from None

    def progress(self, fraction: float, step: str, message: str = "") -> None:
        """Report how far the work is (0 to 1), at which step, with a word for people. Cheap; call it often."""
        self._link.send({"type": "progress", "fraction": fraction, "step": step, "message": message})

    def ask(self, question: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Have the parent process do what this one can not (network, credentials) and wait for its answer.

        Raises
        ------
        RelayedError
            The parent failed; with the code of its error.
        """
        answer = self._link.ask({"type": "ask", "question": question, "payload": payload})
        if "error" in answer:
            raise error_from_dict(answer["error"])
        reply: dict[str, Any] = answer["answer"]
        return reply

    @contextmanager
    def crash_means(self, code: str, message: str) -> Iterator[None]:
        """Say what it means if this process dies inside the block: the job ends with ``code`` and is not retried."""
        self._link.send({"type": "crash_means", "code": code, "message": message})
        try:
            yield
        finally:
            self._link.send({"type": "crash_means", "code": None, "message": ""})


class LocalLink:
    """A link inside one process: for tests and for tasks run without a platform.

    Parameters
    ----------
    answers
        Function per question.
    on_progress
        Called with fraction, step and message.
    """

    def __init__(
        self,
        answers: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] | None = None,
        on_progress: Callable[[float, str, str], None] | None = None,
    ) -> None:
        self._answers = answers or {}
        self._on_progress = on_progress

    def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "progress" and self._on_progress is not None:
            self._on_progress(message["fraction"], message["step"], message["message"])

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        question = message["question"]
        if question not in self._answers:
            return {"error": {"code": "internal_error", "message": f"nobody answers {question!r} here"}}
        return {"answer": self._answers[question](message["payload"])}
