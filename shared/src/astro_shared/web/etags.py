"""Strong entity tags, so that two tabs never overwrite each other."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from fastapi import Request
from pydantic import BaseModel

from astro_shared.web.errors import PreconditionFailedError, PreconditionRequiredError

__all__ = ["check_if_match", "etag_of", "is_not_modified"]


def etag_of(value: BaseModel | dict[str, Any] | str | int) -> str:
    """Return the strong tag (with quotes) of a state: a model, plain data, or a version number."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def is_not_modified(request: Request, etag: str) -> bool:
    """Return whether ``If-None-Match`` names this state, so that a 304 is the answer."""
    wanted = request.headers.get("if-none-match")
    return wanted is not None and (wanted.strip() == "*" or etag in _tags(wanted, weak=True))


def check_if_match(request: Request, etag: str | None) -> None:
    """Insist that the caller knows the present state.

    Parameters
    ----------
    etag : tag of the present state, None where there is none yet

    Raises
    ------
    PreconditionRequiredError
        No ``If-Match`` at all.
    PreconditionFailedError
        It names another state.
    """
    wanted = request.headers.get("if-match")
    if wanted is None:
        raise PreconditionRequiredError("Send the ETag of what you read as If-Match, so that nobody's change is lost.")
    if wanted.strip() == "*" and etag is not None:
        return
    if etag is None or etag not in _tags(wanted, weak=False):
        raise PreconditionFailedError("It was changed since you read it; read it again.")


def _tags(header: str, *, weak: bool) -> set[str]:
    tags = {item.strip() for item in header.split(",")}
    return {tag.removeprefix("W/") for tag in tags} if weak else tags
