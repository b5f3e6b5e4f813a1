"""Why a part of the platform ended, from its exit status and what it logged."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable

_LONGEST = 500
_SAYS_NOTHING = ("Application startup failed. Exiting.",)


def cause_of_end(status: int, log: str) -> str:
    """Name the cause in one line.

    Parameters
    ----------
    status : of the process, negative for the signal that ended it
    log : what it wrote in its life: plain lines, and objects of JSON of which only errors are a cause

    Returns
    -------
    The last plain line or error; without one what the status says. Never a line about a request.
    """
    ended = _by_status(status)
    for line in reversed(log.splitlines()):
        said = _error_of(line)
        if said:
            return said[:_LONGEST] if status >= 0 else f"{ended}; its last error: {said[:_LONGEST]}"
    return ended


def _by_status(status: int) -> str:
    if status >= 0:
        return f"it ended with status {status} and gave no reason"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = ", as the system does where memory runs out" if name == "SIGKILL" else ""
    return f"it was ended by {name}{hint}"


def _error_of(line: str) -> str | None:
    """What an error says, or None for a line that is none."""
    if not line.strip():
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return line.strip()
    if not isinstance(entry, dict):
        return line.strip()
    if entry.get("level") not in ("error", "critical"):
        return None
    return _last_line(str(entry.get(name, "")) for name in ("exception", "error", "event"))


def _last_line(texts: Iterable[str]) -> str | None:
    """The last line of the first text that has one; of a traceback it is the exception."""
    for text in texts:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if lines and lines[-1] not in _SAYS_NOTHING:
            return lines[-1]
    return None
