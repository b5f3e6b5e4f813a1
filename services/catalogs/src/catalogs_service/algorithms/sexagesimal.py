"""Angles written as text."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs_service.errors import BadValuesError


def degrees_from_text(values: NDArray[Any], name: str, *, hours: bool) -> NDArray[np.float64]:
    """Degrees of ``12:34:56.7`` or ``12 34 56.7``, in hours or degrees; empty text is NaN.

    Raises
    ------
    BadValuesError
        A value is not one to three numbers, or minutes or seconds are 60 and more; names the row.
    """
    degrees = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        text = str(value or "").strip()
        if text:
            angle = _angle(text)
            if angle is None:
                raise BadValuesError(
                    f"Column {name} holds {text[:40]!r} in row {row + 1}, which is not an angle.",
                    column=name,
                    row=row + 1,
                )
            degrees[row] = angle * (15.0 if hours else 1.0)
    return degrees


def _angle(text: str) -> float | None:
    parts = text.replace(":", " ").split()
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        return None
    if not 1 <= len(numbers) <= 3 or any(not 0 <= part < 60 for part in numbers[1:]):
        return None
    size = sum(abs(part) / 60**place for place, part in enumerate(numbers))
    return -size if text.startswith("-") else size
