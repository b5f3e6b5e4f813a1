"""Complete answers of catalogues on disk, with their age; the oldest leave when the folder is full."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from pathlib import Path

from catalogs_service.domain.questions import Reply


class AnswerCache:
    """Bodies of answers by catalogue and question.

    Parameters
    ----------
    folder : shared by all processes
    longest_age_s : older answers are not used
    limit_bytes : of all answers together
    """

    def __init__(self, folder: Path, *, longest_age_s: float, limit_bytes: int) -> None:
        self._folder = folder
        self._longest_age_s = longest_age_s
        self._limit = limit_bytes
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, catalogue: str, text: str) -> Reply | None:
        """The answer to a question, if it is known and young enough."""
        path = self._path(catalogue, text)
        try:
            head, content = path.read_bytes().split(b"\n", 1)
            facts = json.loads(head)
        except (OSError, ValueError):
            return None
        age_s = time.time() - facts["at"]
        if not 0 <= age_s <= self._longest_age_s or facts["question"] != text:
            return None
        return Reply(facts["status"], content, facts["media_type"], age_s=age_s)

    def put(self, catalogue: str, text: str, reply: Reply) -> None:
        """Keep an answer that was read and found whole."""
        facts = {"at": time.time(), "question": text, "status": reply.status, "media_type": reply.media_type}
        path = self._path(catalogue, text)
        part = path.with_name(f".{uuid.uuid4().hex}")
        part.write_bytes(json.dumps(facts).encode() + b"\n" + reply.content)
        part.replace(path)
        self._evict()

    def _path(self, catalogue: str, text: str) -> Path:
        return self._folder / hashlib.sha256(f"{catalogue}\n{text}".encode()).hexdigest()

    def _evict(self) -> None:
        files = []
        for path in self._folder.iterdir():
            try:
                facts = path.stat()
            except OSError:
                continue
            files.append((facts.st_mtime, facts.st_size, path))
        size = sum(item[1] for item in files)
        for _, length, path in sorted(files, key=lambda item: item[0]):
            if size <= self._limit:
                break
            path.unlink(missing_ok=True)
            size -= length
