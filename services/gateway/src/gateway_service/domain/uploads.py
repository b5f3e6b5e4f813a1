"""A file that a person hands over: announced, sent straight to storage, then completed."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime

from gateway_service.errors import UploadMismatchError


@dataclass(frozen=True, slots=True)
class Upload:
    id: str
    owner: str
    key: str
    filename: str
    size: int
    purpose: str
    sha256: str | None
    complete: bool
    created_at: datetime


def clean_filename(name: str) -> str:
    """The client's file name as metadata: NFC, no path, no control characters, at most 255 bytes.

    Raises
    ------
    UploadMismatchError
        Nothing readable is left of it.
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    text = "".join(c for c in unicodedata.normalize("NFC", last) if unicodedata.category(c)[0] != "C").strip()
    while len(text.encode()) > 255:
        text = text[:-1]
    if not text.strip("."):
        raise UploadMismatchError(f"The file name {name!r} holds nothing that can be used as a name.")
    return text
