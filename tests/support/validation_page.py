"""Sections of ``docs/validation.md`` that a command writes anew; the rest of the page stays as people left it."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "validation.md"


def write_section(name: str, title: str, lines: list[str], *, command: str, page: Path = PAGE) -> None:
    """Put a section between its two marks; a page or marks that are missing are made."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    made = f"Made by `{command}` on {datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {_cores()}."
    section = "\n".join([begin, f"## {title}", "", made, "", *lines, end])
    text = page.read_text(encoding="utf-8") if page.exists() else "# Validation\n"
    if begin in text and end in text:
        head, rest = text.split(begin, 1)
        text = head + section + rest.split(end, 1)[1]
    else:
        text = text.rstrip("\n") + "\n\n" + section + "\n"
    page.write_text(text, encoding="utf-8")


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> list[str]:
    """A table of Markdown; numbers with two decimals."""
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(f"{v:.2f}" if isinstance(v, float) else str(v) for v in row) + " |" for row in rows),
    ]


def _cores() -> str:
    import os

    return f"{os.cpu_count()} processors"
