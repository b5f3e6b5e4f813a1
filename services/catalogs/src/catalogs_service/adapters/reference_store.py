"""Reference lists on disk: one folder per list, one sub-folder per generation, one small file that names the current one.

``<root>/global/<name>/`` and ``<root>/users/<owner hash>/<name>/`` hold ``current`` (text: a generation) and the
generations. A list is replaced by writing a new generation and then the pointer, so that a search never sees half a
list and an interrupted import leaves the old one in place.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from catalogs_service.adapters.mirror import Mirror
from catalogs_service.adapters.mirror_writer import write_mirror
from catalogs_service.adapters.partition_cache import PartitionCache
from catalogs_service.domain.stars import Stars
from catalogs_service.errors import ReferenceListNotFoundError

Scope = Literal["user", "global"]
# Names are folders: nothing that climbs or that a file system refuses.
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
# A generation without a pointer is somebody's import in progress until it is this old.
_ABANDONED_S = 6 * 3600.0


class ReferenceStore:
    """Lists below one folder, shared by every process of the service."""

    def __init__(self, root: Path, *, cache_bytes: int = 256 << 20) -> None:
        self._root = root
        self._cache = PartitionCache(cache_bytes)
        self._lock = threading.Lock()
        self._open: dict[Path, Mirror] = {}

    def save(self, stars: Stars, *, name: str, scope: Scope, owner: str | None, facts: dict[str, Any]) -> Mirror:
        """Write a list and make it the current one of its name; its former generation is removed."""
        place = self._place(name, scope, owner)
        generation = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        folder = place / generation
        folder.mkdir(parents=True)
        try:
            write_mirror(
                folder, stars, name=name, created_at=datetime.now(UTC), facts={"scope": scope, "owner": owner, **facts}
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        pointer = place / f".current-{uuid.uuid4().hex[:8]}"
        pointer.write_text(generation, encoding="utf-8")
        pointer.replace(place / "current")
        self._sweep(place, keep=generation)
        return self._opened(folder)

    def find(self, name: str, owner: str | None) -> Mirror | None:
        """The owner's list of that name, else the global one.

        Raises
        ------
        ReferenceListNotFoundError
            No list can have that name.
        """
        places = [self._place(name, "user", owner)] if owner else []
        for place in [*places, self._place(name, "global", None)]:
            mirror = self._current(place)
            if mirror is not None:
                return mirror
        return None

    def list(self, owner: str | None) -> list[Mirror]:
        """Every list that an owner sees, global ones first, by name."""
        parents = [self._root / "global", *([self._users_folder(owner)] if owner else [])]
        places = [place for parent in parents if parent.is_dir() for place in sorted(parent.iterdir())]
        return [mirror for mirror in map(self._current, places) if mirror is not None]

    def delete(self, name: str, *, scope: Scope, owner: str | None) -> None:
        """Remove a list.

        Raises
        ------
        ReferenceListNotFoundError
            There is none of that name in that scope.
        """
        place = self._place(name, scope, owner)
        if self._current(place) is None:
            raise ReferenceListNotFoundError(f"There is no reference list {name}.", name=name)
        gone = place.with_name(f".gone-{uuid.uuid4().hex}")
        place.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        with self._lock:
            for folder in [folder for folder in self._open if folder.is_relative_to(place)]:
                del self._open[folder]
        self._cache.forget(place)

    def _users_folder(self, owner: str) -> Path:
        # an owner's name may hold anything; its hash is a safe folder name
        return self._root / "users" / hashlib.sha256(owner.encode()).hexdigest()[:32]

    def _place(self, name: str, scope: Scope, owner: str | None) -> Path:
        if not _NAME.fullmatch(name):
            raise ReferenceListNotFoundError(f"{name[:40]!r} is not the name of a reference list.", name=name[:40])
        if scope == "global":
            return self._root / "global" / name
        if not owner:
            raise ReferenceListNotFoundError(f"The list {name} of a user needs its owner.", name=name)
        return self._users_folder(owner) / name

    def _current(self, place: Path) -> Mirror | None:
        for _ in range(3):
            try:
                generation = (place / "current").read_text(encoding="utf-8").strip()
            except OSError:
                return None
            folder = place / generation
            if folder.is_dir():
                return self._opened(folder)
        return None

    def _opened(self, folder: Path) -> Mirror:
        with self._lock:
            mirror = self._open.get(folder)
        if mirror is None:
            mirror = Mirror(folder, self._cache)
            with self._lock:
                former = [other for other in self._open if other.parent == folder.parent]
                for other in former:
                    del self._open[other]
                self._open[folder] = mirror
            for other in former:
                self._cache.forget(other)
        return mirror

    def _sweep(self, place: Path, *, keep: str) -> None:
        """Remove other generations: the former one, and imports that died."""
        current = (place / "current").read_text(encoding="utf-8").strip()
        for entry in place.iterdir():
            if entry.name in ("current", keep, current):
                continue
            finished = (entry / "mirror.json").exists()
            if finished or time.time() - entry.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)
                with self._lock:
                    self._open.pop(entry, None)
                self._cache.forget(entry)
