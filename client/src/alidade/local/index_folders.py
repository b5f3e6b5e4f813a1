"""Folders with astrometry.net index files that were added to the embedded platform; kept in its state."""

from __future__ import annotations

import json
from pathlib import Path

from alidade.credentials import write_private
from alidade.local.errors import LocalPlatformError

__all__ = ["add_folder", "added_folders", "sky_folder"]

FILE = "index_folders.json"


def added_folders(root: Path) -> tuple[str, ...]:
    """What was added, in order; raises LocalPlatformError where the file is damaged."""
    path = root / FILE
    if not path.exists():
        return ()
    try:
        folders = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        folders = None
    if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
        raise LocalPlatformError(f"{path} is damaged: it is no list of folders. Remove it and add the folders again.")
    return tuple(folders)


def sky_folder(root: Path) -> Path:
    """Where the all-sky patterns of this machine are kept."""
    return root / "sky"


def add_folder(root: Path, folder: Path) -> tuple[str, ...]:
    """Remember a folder; the platform uses it from its next start on.

    Raises
    ------
    LocalPlatformError
        There is no such folder, or it holds no index file.
    """
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise LocalPlatformError(f"There is no folder {folder}.")
    if not any(folder.glob("index*.fits")):
        raise LocalPlatformError(f"{folder} holds no file named index*.fits.")
    folders = tuple(dict.fromkeys((*added_folders(root), str(folder))))
    root.mkdir(parents=True, exist_ok=True)
    write_private(root / FILE, json.dumps(folders))
    return folders
