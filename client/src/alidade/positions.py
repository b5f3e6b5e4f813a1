"""Positions that a person gives: on the command line, or as a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alidade.client import AlidadeClientError
from alidade.problem_codes import ClientCode

_NAMES = {
    "ra_deg": ("ra_deg", "ra", "raj2000", "_raj2000"),
    "dec_deg": ("dec_deg", "dec", "dej2000", "_dej2000", "de"),
    "x": ("x", "x_px"),
    "y": ("y", "y_px"),
    "name": ("name", "id", "source_id"),
    "color": ("color", "colour"),
}
"""Column names that are understood, in any case, the first that is there."""


def read_positions(path: Path) -> list[dict[str, Any]]:
    """Rows of a CSV file with a header line: ``ra`` and ``dec`` in degrees, or ``x`` and ``y``.

    ``name``, and ``color`` in magnitudes, are read where they are there; a colour may be missing in a row.

    Raises
    ------
    AlidadeClientError
        The file cannot be read, or a column or a number is missing; says which.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.DictReader(file)
            columns = _columns(path, lines.fieldnames or ())
            return list(_rows(path, lines, columns))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise AlidadeClientError(f"{path}: {reason}.", code=ClientCode.UNREADABLE) from None


def parse_position(text: str, *, pixels: bool) -> dict[str, Any]:
    """``RA,DEC`` in degrees, or ``X,Y`` in pixels.

    Raises
    ------
    AlidadeClientError
        It is not two numbers.
    """
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError:
        form = "X,Y in pixels" if pixels else "RA,DEC in degrees"
        raise AlidadeClientError(f"--at {text}: write it as {form}.") from None
    return {"x": first, "y": second} if pixels else {"ra_deg": first, "dec_deg": second}


def _columns(path: Path, found: Any) -> dict[str, str]:
    by_lower = {name.strip().lower(): name for name in reversed(found)}
    known = {
        field: by_lower[next(name for name in names if name in by_lower)]
        for field, names in _NAMES.items()
        if any(name in by_lower for name in names)
    }
    for pair in (("ra_deg", "dec_deg"), ("x", "y")):
        if all(field in known for field in pair):
            return {field: known[field] for field in (*pair, "name", "color") if field in known}
    raise AlidadeClientError(
        f"{path}: the header line names neither ra and dec nor x and y; it has: {', '.join(found) or 'nothing'}.",
        code="positions_invalid",
    )


def _rows(path: Path, lines: csv.DictReader[str], columns: dict[str, str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        row: dict[str, Any] = {}
        for field, column in columns.items():
            text = (line[column] or "").strip()
            if field == "color" and not text:
                continue
            try:
                row[field] = text if field == "name" else float(text)
            except ValueError:
                raise AlidadeClientError(
                    f"{path}, line {lines.line_num}: {column} = {text!r} is no number.", code="positions_invalid"
                ) from None
        yield row
