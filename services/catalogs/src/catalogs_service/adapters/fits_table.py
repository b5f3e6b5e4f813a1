"""A table as the bytes of a FITS file with one binary table: written directly, since requests wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs_service.domain.columns import ColumnSpec, column_spec

_BLOCK = 2880
_FORMS = {"f4": "E", "f8": "D", "i2": "I", "i4": "J", "i8": "K", "u1": "B", "b1": "L"}
CardValue = str | int | float | bool

_PRIMARY = (("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True))


def card(keyword: str, value: CardValue, comment: str = "") -> bytes:
    """One header card of 80 bytes; text longer than fits is cut, characters outside printable ASCII become '?'."""
    if isinstance(value, bool):
        shown = f"{'T' if value else 'F':>20}"
    elif isinstance(value, int):
        shown = f"{value:>20d}"
    elif isinstance(value, float):
        shown = f"{_float(value):>20}"
    else:
        text = "".join(c if " " <= c <= "~" else "?" for c in value).replace("'", "''")[:68]
        shown = f"'{text if not text.endswith(chr(39)) or text.endswith(chr(39) * 2) else text[:-1]:<8}'"
    line = f"{keyword:<8}= {shown}" + (f" / {comment}" if comment else "")
    return line[:80].ljust(80).encode("ascii")


def _float(value: float) -> str:
    text = repr(value).upper()
    return text if "." in text or "E" in text else f"{text}.0"


def _padded(data: bytes, fill: bytes) -> bytes:
    return data + fill * (-len(data) % _BLOCK)


def _header(cards: list[bytes]) -> bytes:
    return _padded(b"".join(cards) + b"END".ljust(80), b" ")


def table_bytes(
    columns: Mapping[str, NDArray[Any]],
    *,
    name: str,
    cards: Mapping[str, CardValue | None] | None = None,
    specs: Mapping[str, ColumnSpec] | None = None,
) -> bytes:
    """A FITS file with an empty primary HDU and one binary table.

    Parameters
    ----------
    columns : one-dimensional arrays of one length: numbers, flags, or text (object of str, or bytes)
    name : EXTNAME
    cards : further cards of the table's header; None values are left out
    specs : unit, UCD and description per column; canonical columns are known
    """
    text_ready = {key: _storable(values) for key, values in columns.items()}
    n = len(next(iter(text_ready.values()))) if text_ready else 0
    layout = np.dtype([(key, _big_endian(values.dtype)) for key, values in text_ready.items()])
    rows = np.empty(n, layout)
    for key, values in text_ready.items():
        rows[key] = np.where(values, b"T", b"F") if values.dtype.kind == "b" else values
    head = [
        card("XTENSION", "BINTABLE"), card("BITPIX", 8), card("NAXIS", 2), card("NAXIS1", layout.itemsize),
        card("NAXIS2", n), card("PCOUNT", 0), card("GCOUNT", 1), card("TFIELDS", len(text_ready)),
    ]  # fmt: skip
    for place, (key, values) in enumerate(text_ready.items(), start=1):
        head += _column_cards(place, key, values.dtype, (specs or {}).get(key) or column_spec(key))
    head.append(card("EXTNAME", name))
    head += [card(key, value) for key, value in (cards or {}).items() if value is not None]
    primary = _header([card(key, value) for key, value in _PRIMARY])
    return primary + _header(head) + _padded(rows.tobytes(), b"\x00")


def _storable(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind in "OU":
        encoded = [str(value).encode("ascii", errors="replace") for value in values]
        return np.array(encoded, dtype="S") if encoded else np.empty(0, "S1")
    if values.dtype.kind == "S" and values.dtype.itemsize == 0:
        return values.astype("S1")
    if values.dtype == np.int8:
        return values.astype(np.int16)
    return values


def _big_endian(dtype: np.dtype[Any]) -> np.dtype[Any] | str:
    if dtype.kind == "b":
        return "S1"
    return dtype if dtype.kind == "S" else dtype.newbyteorder(">")


def _column_cards(place: int, name: str, dtype: np.dtype[Any], spec: ColumnSpec | None) -> list[bytes]:
    form = f"{dtype.itemsize}A" if dtype.kind == "S" else _FORMS[f"{dtype.kind}{dtype.itemsize}"]
    cards = [card(f"TTYPE{place}", name, spec.description if spec else ""), card(f"TFORM{place}", form)]
    if spec is not None and spec.unit:
        cards.append(card(f"TUNIT{place}", spec.unit))
    if spec is not None and spec.ucd:
        cards.append(card(f"TUCD{place}", spec.ucd))
    return cards
