"""Matches list ``left`` of a folder to list ``right`` and says what it took: ``python survey_usage.py FOLDER WORKERS``.

With LSDB on a cluster of so many processes, or, for 0, ``left.parquet`` with our own cross-match in this process.
"""

import json
import shutil
import sys
import threading
import time
from pathlib import Path

import psutil

from catalogs_service.adapters.crossmatch_file import CrossmatchFile
from catalogs_service.adapters.hats_product import count_pairs
from catalogs_service.adapters.lsdb_matcher import ClusterLimits
from catalogs_service.algorithms.sky_match import MatchRadius
from catalogs_service.factory import make_crossmatch, make_lists, make_survey_match


def watch(peak_mb, done):
    """Largest resident memory of this process and all that it started."""
    me = psutil.Process()
    while not done.wait(0.2):
        family = [me, *me.children(recursive=True)]
        used = 0
        for process in family:
            try:
                used += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        peak_mb.append(used / 1e6)


def by_lsdb(folder, workers):
    out = folder / "matched"
    shutil.rmtree(out, ignore_errors=True)
    workflow = make_survey_match(folder / "data", ClusterLimits(workers, 2048), folder / "cluster")
    workflow.run("left", "right", None, out, radius_arcsec=1.0, neighbours=1, all_columns=False)
    return count_pairs(out).pairs


def by_ourselves(folder):
    right = make_lists(folder / "data").find("right", None)
    with CrossmatchFile(folder / "pairs.parquet") as file:
        made = make_crossmatch(10_000_000).run(
            folder / "left.parquet", right, radius=MatchRadius(floor_arcsec=1.0), every_pair=False, epoch_jyear=None,
            write=file.write,
        )  # fmt: skip
    return made.pairs


def main(folder, workers):
    peak_mb, done = [0.0], threading.Event()
    watcher = threading.Thread(target=watch, args=(peak_mb, done))
    watcher.start()
    began = time.monotonic()
    pairs = by_lsdb(folder, workers) if workers else by_ourselves(folder)
    seconds = time.monotonic() - began
    done.set()
    watcher.join()
    json.dump({"seconds": seconds, "peak_mb": max(peak_mb), "pairs": pairs}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
