"""Matches ``left.parquet`` to ``right.parquet`` of a folder and says what it took: ``python crossmatch_usage.py FOLDER``."""

import json
import sys
import time
from pathlib import Path

from catalogs_service.adapters.crossmatch_file import CrossmatchFile
from catalogs_service.algorithms.sky_match import MatchRadius
from catalogs_service.factory import make_crossmatch


def peak_mb() -> float:
    """Largest resident memory of this program; that of ``getrusage`` counts the parent's before the start."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


folder, base_mb = Path(sys.argv[1]), peak_mb()
began = time.process_time()
with CrossmatchFile(folder / "pairs.parquet") as file:
    made = make_crossmatch(10_000_000).run(
        folder / "left.parquet", folder / "right.parquet", radius=MatchRadius(), every_pair=False,
        epoch_jyear=2026.5, write=file.write,
    )  # fmt: skip
json.dump(
    {
        "matched": made.matched,
        "pairs": made.pairs,
        "cpu_seconds": time.process_time() - began,
        "base_mb": base_mb,
        "peak_mb": peak_mb(),
    },
    sys.stdout,
)
