"""Answers of catalogues as known objects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_shared.votable import VoDocument, VoTable, VotableError, parse_votable
from catalogs_service.domain.questions import KnownObjects, Reply
from catalogs_service.errors import QueryError

_LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class ObjectColumns:
    """Names of a catalogue's columns by meaning.

    ``error_mas`` are columns whose larger value is the position error; ``error_arcsec`` is assumed where there are none.
    ``details`` are kept as they are.
    """

    identifier: str
    ra: str
    dec: str
    kind: str | None = None
    error_mas: tuple[str, ...] = ()
    error_arcsec: float = float("nan")
    pmra: str | None = None
    pmdec: str | None = None
    epoch: float = 2000.0
    details: tuple[str, ...] = ()


def document_of(reply: Reply, catalogue: str) -> VoDocument:
    """A VOTable answer.

    Raises
    ------
    QueryError
        It is not one (``malformed``), or it reports an error (``refused``).
    """
    if not reply.content.strip():
        raise QueryError(f"{catalogue} sent an empty answer.", cause="malformed")
    try:
        document = parse_votable(reply.content)
    except VotableError as error:
        raise QueryError(f"{catalogue} sent something unusable: {error.message}", cause="malformed") from None
    if document.status == "ERROR":
        raise QueryError(
            f"{catalogue} refused the query: {clean(document.message) or 'without a reason'}", cause="refused"
        )
    return document


def objects_of_votable(reply: Reply, catalogue: str, columns: ObjectColumns, *, most_rows: int) -> KnownObjects:
    """Known objects of a VOTable answer; one row beyond ``most_rows`` means that there are more."""
    document = document_of(reply, catalogue)
    if not document.tables:
        if document.status == "OK":
            return _objects({}, 0, catalogue, columns, overflow=document.overflow)
        raise QueryError(f"{catalogue} sent a VOTable without a table.", cause="malformed")
    table = document.tables[0]
    _check_columns(table, catalogue, columns)
    rows = min(len(table), most_rows)
    overflow = document.overflow or len(table) > most_rows
    return _objects(table.columns, rows, catalogue, columns, overflow=overflow)


def _check_columns(table: VoTable, catalogue: str, columns: ObjectColumns) -> None:
    """The columns that carry position and name are there, in the units they should have."""
    lacking = [name for name in (columns.identifier, columns.ra, columns.dec) if name not in table.names]
    if lacking:
        raise QueryError(
            f"{catalogue} changed its table: the column {', '.join(lacking)} is missing.", cause="malformed"
        )
    units = {field.name: field.unit for field in table.fields}
    for name in (columns.ra, columns.dec):
        if table.columns[name].dtype == object or units[name] not in ("", "deg"):
            raise QueryError(
                f"{catalogue} changed its table: {name} is not in degrees but in {clean(units[name]) or 'text'}.",
                cause="malformed",
            )


def _objects(
    columns: Mapping[str, NDArray[Any]], rows: int, catalogue: str, names: ObjectColumns, *, overflow: bool
) -> KnownObjects:
    cut = {name: values[:rows] for name, values in columns.items()}
    if rows == 0:
        cut = {name: np.empty(0) for name in (names.identifier, names.ra, names.dec)}
    ra, dec = np.asarray(cut[names.ra], float), np.asarray(cut[names.dec], float)
    good = np.isfinite(ra) & np.isfinite(dec)
    off = good & ((ra < 0) | (ra > 360) | (np.abs(dec) > 90))
    if off.any():
        raise QueryError(f"{catalogue} sent positions that are not on the sky.", cause="malformed")
    cut = {name: values[good] for name, values in cut.items()}
    n = int(good.sum())
    return KnownObjects(
        identifier=_texts(cut[names.identifier]),
        kind=_texts(cut[names.kind]) if names.kind and names.kind in cut else np.full(n, "", object),
        ra=ra[good] % 360.0,
        dec=dec[good],
        error_arcsec=_errors(cut, names, n),
        pmra=_numbers(cut, names.pmra, n),
        pmdec=_numbers(cut, names.pmdec, n),
        epoch=np.full(n, names.epoch),
        details=_details(cut, names.details, n),
        overflow=overflow,
    )


def _numbers(columns: Mapping[str, NDArray[Any]], name: str | None, n: int) -> NDArray[np.float64]:
    if name is None or name not in columns or columns[name].dtype == object:
        return np.full(n, np.nan)
    return np.asarray(columns[name], float)


def _errors(columns: Mapping[str, NDArray[Any]], names: ObjectColumns, n: int) -> NDArray[np.float64]:
    error = np.full(n, np.nan)
    for name in names.error_mas:
        error = np.fmax(error, _numbers(columns, name, n) / 1000.0)
    return np.where(np.isfinite(error), error, names.error_arcsec)


def _texts(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "f":
        values = np.array([f"{value:.0f}" if np.isfinite(value) else "" for value in values], dtype=object)
    return np.array([clean(str(value)) for value in values], dtype=object)


def _details(columns: Mapping[str, NDArray[Any]], names: Sequence[str], n: int) -> NDArray[Any]:
    present = [name for name in names if name in columns]
    rows = [{name: plain(columns[name][row]) for name in present} for row in range(n)]
    texts = [json.dumps({k: v for k, v in row.items() if v not in (None, "")}, ensure_ascii=True) for row in rows]
    return np.array(texts, dtype=object)


def plain(value: Any) -> str | float | int | bool | None:
    """A cell as JSON has it; numbers that are not finite are null."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return round(float(value), 6) if np.isfinite(value) else None
    return clean(str(value)) if value is not None else None


def clean(text: str) -> str:
    """Text of a stranger in one printable line."""
    return "".join(c if c.isprintable() else " " for c in text).strip()[:_LONGEST_TEXT]
