"""Scratch folders of worker processes, which leave nothing behind even when killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from pathlib import Path

from astro_shared.storage.errors import StorageUnavailableError


class Scratch:
    """A folder of this process below a common root, held by a lock that dies with the process.

    Parameters
    ----------
    root
        Common to all workers that can see it. Folders in it whose process is gone are removed first.
    name
        Begins the folder's name.
    """

    def __init__(self, root: Path, name: str) -> None:
        try:
            root.mkdir(parents=True, exist_ok=True)
            for left in root.iterdir():
                _remove_if_orphaned(left)
            self.folder, self._lock = _make(root, name)
        except OSError as error:
            raise StorageUnavailableError(f"no scratch space in {root}: {error.strerror}") from error

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


def _make(root: Path, name: str) -> tuple[Path, int]:
    while True:
        folder = root / f"{name}-{uuid.uuid4().hex[:12]}"
        folder.mkdir()
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        # Another process took it for an orphan before the lock was there.
        os.close(lock)


def _remove_if_orphaned(folder: Path) -> None:
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(lock)
