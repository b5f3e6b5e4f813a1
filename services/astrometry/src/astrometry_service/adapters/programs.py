"""Run a foreign program in a scratch folder, within a time limit, with nothing of our environment."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ProgramResult", "run_program"]

KEPT_OUTPUT = 20_000
MAX_FILE_BYTES = 2_000_000_000
_PR_SET_PDEATHSIG = 1
_prctl = getattr(ctypes.CDLL(None), "prctl", None)


@dataclass(frozen=True)
class ProgramResult:
    """How a program ended; ``output`` is the end of what it said."""

    returncode: int
    output: str
    seconds: float
    timed_out: bool

    @property
    def last_line(self) -> str:
        """The last line that is not empty."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return lines[-1][:300] if lines else ""


def run_program(
    arguments: Sequence[str], *, folder: Path, limit_s: float, stdin: bytes = b"", path: str | None = None
) -> ProgramResult:
    """Run a program and wait for it.

    Parameters
    ----------
    arguments : program and arguments; never a shell line
    folder : working folder, and the only home and place for temporary files that the program is told of
    limit_s : after this many seconds the program and its children are killed
    stdin : given to it
    path : value of PATH; default the system's folders

    Raises
    ------
    FileNotFoundError, PermissionError
        The program is not there or may not be run.

    Notes
    -----
    The program dies with this process (Linux), writes no core and no file above 2 GB.
    """
    environment = {
        "PATH": path or "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "XDG_CACHE_HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
    }
    begun = time.monotonic()
    said = folder / "output.txt"
    with said.open("wb") as output, (folder / "input.txt").open("wb+") as given:
        given.write(stdin)
        given.seek(0)
        process = subprocess.Popen(
            list(arguments), cwd=folder, env=environment, stdin=given, stdout=output, stderr=subprocess.STDOUT,
            process_group=0, preexec_fn=_before_start,
        )  # fmt: skip
        timed_out = False
        try:
            process.wait(max(limit_s, 0.1))
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            _kill_group(process)
    tail = said.read_bytes()[-KEPT_OUTPUT:].decode("utf-8", "replace")
    return ProgramResult(process.returncode, tail, time.monotonic() - begun, timed_out)


def _before_start() -> None:
    """In the new process: die with the parent, no core files, no endless files."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the program and whatever it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
