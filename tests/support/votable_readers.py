"""One VOTable read by one reader in a process of its own: ``votable_readers.py READER FILE`` prints what it took and gave."""

from __future__ import annotations

import io
import json
import resource
import sys
import time
import warnings
from pathlib import Path

MEMORY_BYTES = 8 << 30  # of address space: a reader that wants more is stopped, the machine is not


def _own(data: bytes) -> str:
    from astro_shared.votable import document

    document.MOST_BYTES = 1 << 40
    return _told(document.parse_votable(data).tables[0].columns["a"])


def _astropy(data: bytes) -> str:
    from astropy.io.votable import parse

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _told(parse(io.BytesIO(data), verify="ignore").get_first_table().array["a"])


def _told(values: object) -> str:
    cells = list(values[:3])  # type: ignore[index]
    return f"{len(values)} rows: {', '.join(str(cell)[:12] for cell in cells)}"  # type: ignore[arg-type]


def _peak_megabytes() -> float:
    """Of this program; what `getrusage` tells is at least the peak of the one that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(status.split("VmHWM:")[1].split()[0]) / 1024


def main(reader: str, path: str) -> None:
    """Read and tell: processor seconds, megabytes beyond those before, and the outcome."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    read = {"own": _own, "astropy": _astropy}[reader]
    data = Path(path).read_bytes()
    read(b'<VOTABLE version="1.4"><RESOURCE><TABLE><FIELD name="a" datatype="int"/></TABLE></RESOURCE></VOTABLE>')
    before, began = _peak_megabytes(), time.process_time()
    try:
        outcome = read(data)
    except Exception as error:  # noqa: BLE001 (whatever comes is the outcome)
        outcome = f"{type(error).__name__}: {error}"
    seconds = time.process_time() - began
    megabytes = _peak_megabytes() - before
    sys.stdout.write(json.dumps({"seconds": seconds, "megabytes": megabytes, "outcome": outcome}))


if __name__ == "__main__":
    main(*sys.argv[1:])
