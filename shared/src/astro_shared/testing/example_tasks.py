"""Tasks that do one thing each: the tests of the jobs library run them in real children."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from pydantic import BaseModel, Field

from astro_shared.contracts.objects import ObjectRef
from astro_shared.errors import InvalidRequestError, UpstreamError
from astro_shared.jobs.task import OutputFile, TaskContext, TaskOutput


class TooFewStarsError(InvalidRequestError):
    """An error with its own code, as the services have."""

    code = "too_few_stars"


class ExampleRequest(BaseModel):
    """Request of all example tasks."""

    model_config = {"extra": "forbid"}

    text: str = ""
    seconds: float = Field(default=0.0, ge=0)
    megabytes: int = Field(default=0, ge=0)
    marker: str = Field(default="", description="File outside the workspace that a test watches")
    frame: ObjectRef | None = None


def shout(request: ExampleRequest, context: TaskContext) -> TaskOutput:
    """Write a text in capitals to a file."""
    context.progress(0.5, "shouting", "half way")
    source = context.input(request.frame).read_text() if request.frame is not None else request.text
    path = context.workspace / "loud.txt"
    path.write_text(source.upper())
    return TaskOutput({"length": len(source), "missing": float("nan")}, {"loud": OutputFile(path, "text/plain")})


def sleep(request: ExampleRequest, context: TaskContext) -> TaskOutput:
    """Take time, reporting now and then; append a line to the marker at the start."""
    if request.marker:
        with Path(request.marker).open("a") as file:
            file.write(f"{os.getpid()}\n")
    context.progress(0.1, "sleeping")
    end = time.monotonic() + request.seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))
        context.progress(1 - left / max(request.seconds, 1e-9), "sleeping")
    path = context.workspace / "slept.txt"
    path.write_text("slept\n")
    return TaskOutput({"slept": True}, {"note": OutputFile(path, "text/plain")})


def spin(request: ExampleRequest, context: TaskContext) -> TaskOutput:
    """Compute for some seconds without saying anything."""
    end = time.monotonic() + request.seconds
    while time.monotonic() < end:
        sum(range(10_000))
    return TaskOutput()


def ask(request: ExampleRequest, context: TaskContext) -> TaskOutput:
    """Ask the worker."""
    return TaskOutput(context.ask("echo", {"text": request.text}))


def eat(request: ExampleRequest, context: TaskContext) -> TaskOutput:
    """Use memory."""
    hoard = []
    for _ in range(request.megabytes):
        hoard.append(bytearray(os.urandom(1 << 20)))
        time.sleep(0.002)
    return TaskOutput({"megabytes": len(hoard)})


def crash(request: ExampleRequest, context: TaskContext) -> TaskOutput:
    """Die by a signal, the first time only if there is a marker."""
    if request.marker and Path(request.marker).exists():
        return TaskOutput({"survived": True})
    if request.marker:
        Path(request.marker).touch()
    os.kill(os.getpid(), signal.SIGSEGV)
    return TaskOutput()


def crash_in_reader(request: ExampleRequest, context: TaskContext) -> TaskOutput:
    """Die while reading something untrusted."""
    with context.crash_means("fits_unreadable", "the file crashed the reader"):
        os.kill(os.getpid(), signal.SIGABRT)
    return TaskOutput()


def refuse(request: ExampleRequest, context: TaskContext) -> TaskOutput:
    """Fail for good."""
    context.progress(0.2, "matching")
    raise TooFewStarsError("found 4 stars, need 6", found=4, needed=6)


def stumble(request: ExampleRequest, context: TaskContext) -> TaskOutput:
    """Fail in a way that a retry may mend."""
    raise UpstreamError("the archive did not answer")


def blunder(request: ExampleRequest, context: TaskContext) -> TaskOutput:
    """Have a defect."""
    raise KeyError("a secret of the implementation")


def escape(request: ExampleRequest, context: TaskContext) -> TaskOutput:
    """Name a file of somebody else as an output."""
    link = context.workspace / "link"
    link.symlink_to("/etc/passwd")
    return TaskOutput({}, {"stolen": OutputFile(link)})


def write(request: ExampleRequest, context: TaskContext) -> TaskOutput:
    """Write a file of some size."""
    path = context.workspace / "big.bin"
    with path.open("wb") as file:
        for _ in range(request.megabytes):
            file.write(bytes(1 << 20))
    return TaskOutput()


def babble(request: ExampleRequest, context: TaskContext) -> TaskOutput:
    """Return more than a result may hold."""
    return TaskOutput({"text": "x" * (request.megabytes << 20)})


def environment(request: ExampleRequest, context: TaskContext) -> TaskOutput:
    """Tell what this process can see."""
    return TaskOutput({"environment": dict(os.environ), "modules": sorted(sys.modules), "cwd": str(Path.cwd())})


def speak_raw(request: ExampleRequest, context: TaskContext) -> TaskOutput:
    """Write bytes of the marker file to the worker as if they were a message, as long as ``megabytes`` if given."""
    body = Path(request.marker).read_bytes()
    [channel] = [number for number in range(3, 64) if _is_stream(number)]
    os.write(channel, struct.pack("!I", (request.megabytes << 20) or len(body)) + body)
    time.sleep(30)
    return TaskOutput()


def _is_stream(number: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(number)) as found:
            return found.type == socket.SOCK_STREAM
    except OSError:
        return False


def leave_child(request: ExampleRequest, context: TaskContext) -> TaskOutput:
    """Start a process and go without it."""
    child = subprocess.Popen(["sleep", "60"])
    return TaskOutput({"pid": child.pid})
