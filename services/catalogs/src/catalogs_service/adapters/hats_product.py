"""A HATS catalogue of pairs as one file that can be fetched, and what is in it."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq


@dataclass(frozen=True, slots=True)
class PairCount:
    """Pairs, rows of the left list among them, and partitions that hold them."""

    pairs: int
    matched: int
    partitions: int


def count_pairs(folder: Path) -> PairCount:
    """Count what a match wrote; a row of the left list has all its pairs in one partition."""
    pairs = matched = partitions = 0
    for path in folder.glob("dataset/*/*/*.parquet"):
        left = pq.read_table(path, columns=["source_id_left"])["source_id_left"].to_numpy()
        pairs, matched, partitions = pairs + len(left), matched + len(np.unique(left)), partitions + 1
    return PairCount(pairs, matched, partitions)


def packed(folder: Path, path: Path) -> Path:
    """Put a folder into a tar; its Parquet files are packed already."""
    with tarfile.open(path, "w") as file:
        file.add(folder, arcname=folder.name)
    return path
