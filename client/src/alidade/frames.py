"""Which files a command means, and where their results go."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

SUFFIXES = tuple(
    f"{plain}{packed}" for plain in (".fits", ".fit", ".fts") for packed in (".fz", ".gz", ".bz2", ".xz", ".zip", "")
)


@dataclass(frozen=True)
class Frame:
    """A file and the folder of its result, relative to the output folder."""

    path: Path
    result: PurePosixPath


def stem(name: str) -> str:
    """A file name without a known suffix; other dots stay: ``ngc7000.r.fits.fz`` is ``ngc7000.r``."""
    lower = name.lower()
    for suffix in SUFFIXES:
        if lower.endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return Path(name).stem or name


def find_frames(arguments: Sequence[str]) -> list[Frame]:
    """Files, folders (with everything below them) and patterns, in this order, each file once.

    A name that does not exist is kept, so that it is reported like every other frame that cannot be read.
    """
    paths: dict[Path, None] = {}
    for argument in arguments:
        for path in _expanded(argument):
            paths.setdefault(path)
    return _with_results(list(paths))


def _expanded(argument: str) -> list[Path]:
    path = Path(argument)
    if path.is_dir():
        found = [p for p in path.rglob("*") if p.is_file() and p.name.lower().endswith(SUFFIXES)]
        return sorted(found) or [path]
    if not path.exists() and glob.has_magic(argument):
        return sorted(Path(p) for p in glob.glob(argument, recursive=True)) or [path]  # noqa: PTH207 - may be absolute
    return [path]


def _with_results(paths: Sequence[Path]) -> list[Frame]:
    """Frames from different folders keep their place below the folder that they share."""
    parents = {path.absolute().parent for path in paths}
    shared = Path(os.path.commonpath(parents)) if parents else Path()
    frames: list[Frame] = []
    taken: set[PurePosixPath] = set()
    for path in paths:
        folder = path.absolute().parent.relative_to(shared).as_posix()
        result = PurePosixPath(folder) / stem(path.name)
        if result in taken:
            result = PurePosixPath(folder) / path.name
        taken.add(result)
        frames.append(Frame(path, result))
    return frames
