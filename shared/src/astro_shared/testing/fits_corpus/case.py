"""One case of the corpus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CorpusCase:
    """One file.

    Attributes
    ----------
    group
        What is wrong with it, e.g. ``truncated`` or ``archive``.
    codes
        Error codes that are right; empty: the file must be read.
    warns
        A word that must be in the warnings of a file that is read.
    big
        More than 16 MiB on disk.
    """

    name: str
    group: str
    build: Callable[[], bytes] = field(repr=False)
    codes: frozenset[str] = frozenset()
    warns: str = ""
    big: bool = False


def case(
    group: str, name: str, data: bytes | Callable[[], bytes], *codes: str, warns: str = "", big: bool = False
) -> CorpusCase:
    """A case; ``data`` is the file or what builds it."""

    def ready() -> bytes:
        assert isinstance(data, bytes)
        return data

    return CorpusCase(name, group, data if callable(data) else ready, frozenset(codes), warns, big)
