"""Plain lists of stars: CSV with x, y and flux and nothing else."""

from __future__ import annotations

import csv
from math import isfinite
from pathlib import Path

from alidade.client import AlidadeClientError
from alidade.problem_codes import ClientCode

__all__ = ["is_fits", "read_star_list"]

GZIP, FITS = b"\x1f\x8b", b"SIMPLE"


def is_fits(path: Path) -> bool:
    """Whether a file is FITS, packed or not, by its first bytes.

    Raises
    ------
    AlidadeClientError
        It cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(6)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise AlidadeClientError(f"{path}: {reason}", code=ClientCode.UNREADABLE) from None
    return head.startswith((GZIP, FITS))


def read_star_list(path: Path) -> dict[str, list[float]] | None:
    """Columns x, y (0-based pixels) and flux of a CSV file; rows that are not three numbers are left out.

    None where there are other columns: the service knows those of other programs, and errors of places and fluxes.

    Raises
    ------
    AlidadeClientError
        It is no CSV file, or has no row with three numbers.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AlidadeClientError(f"{path}: neither FITS nor CSV ({error}).", code=ClientCode.UNREADABLE) from None
    if {str(name).strip() for name in (rows[0] if rows else ())} != {"x", "y", "flux"}:
        return None
    numbers = [[_number(row[name]) for name in ("x", "y", "flux")] for row in rows]
    good = [row for row in numbers if all(isfinite(value) for value in row)]
    if not good:
        raise AlidadeClientError(f"{path}: no row has three numbers.", code="bad_source_list")
    x, y, flux = (list(column) for column in zip(*good, strict=True))
    return {"x": x, "y": y, "flux": flux}


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
