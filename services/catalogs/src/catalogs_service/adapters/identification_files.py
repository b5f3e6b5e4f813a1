"""Tables of an identification: positions in, matches out, and objects on their way from the worker to its child."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from astro_shared.contracts.catalogs import CatalogueStatus
from astro_shared.contracts.tables import MATCHES, SOURCES, TableSchema, identification_columns
from astro_shared.fits.tables import read_columns, write_columns
from catalogs_service.adapters.tables.arrow import numpy_column
from catalogs_service.domain.identification import CatalogueMatches, Identification
from catalogs_service.domain.positions import Positions
from catalogs_service.domain.questions import CatalogueAnswer, KnownObjects, no_objects
from catalogs_service.errors import PositionsError

_TEXT = ("identifier", "kind", "details")
_FACTS = ("catalogue", "status", "cause", "message", "http_status", "query", "seconds", "cache_age_s")
_TIMES = ("retry_at", "asked_at")
_NUMBERS = ("ra", "dec", "error_arcsec", "pmra", "pmdec", "epoch")


def read_positions(path: Path) -> Positions:
    """Positions of a FITS table.

    Raises
    ------
    PositionsError
        A column is missing, or a declination is off the sky.
    """
    columns = read_columns(path)
    lacking = [name for name in ("id", "ra", "dec") if name not in columns]
    if lacking:
        raise PositionsError(f"The table of positions has no column {', '.join(lacking)}.", missing=lacking)
    ra, dec = np.asarray(columns["ra"], float), np.asarray(columns["dec"], float)
    if np.any(np.abs(dec) > 90) or np.any(np.isinf(ra)):
        raise PositionsError("The table of positions holds positions that are not on the sky.")
    unknown = np.full(len(ra), np.nan)
    errors = [np.asarray(columns.get(name, unknown), float) for name in ("ra_err_mas", "dec_err_mas")]
    return Positions(np.asarray(columns["id"], np.int64), ra % 360.0, dec, np.fmax(*errors) / 1000.0)


def write_objects(path: Path, objects: KnownObjects) -> None:
    """Objects as a Parquet file in the workspace."""
    columns: dict[str, pa.Array] = {name: pa.array(getattr(objects, name), pa.string()) for name in _TEXT}
    columns |= {name: pa.array(np.asarray(getattr(objects, name), float)) for name in _NUMBERS}
    pq.write_table(pa.table(columns), path)


def read_objects(path: Path) -> KnownObjects:
    """What `write_objects` wrote."""
    table = pq.read_table(path, use_threads=False, partitioning=None)
    columns: dict[str, Any] = {name: numpy_column(table.column(name)) for name in (*_TEXT, *_NUMBERS)}
    return KnownObjects(**columns)


def answer_to_json(answer: CatalogueAnswer, folder: Path, place: int) -> dict[str, Any]:
    """An answer for the child: facts as JSON, objects as a file below ``folder``."""
    facts: dict[str, Any] = {name: getattr(answer, name) for name in _FACTS}
    times = {name: getattr(answer, name) for name in _TIMES}
    facts |= {name: time.isoformat() if time else None for name, time in times.items()}
    facts |= {"overflow": answer.objects.overflow, "total": answer.objects.total, "objects": None}
    if len(answer.objects):
        path = folder / f"objects-{place}.parquet"
        write_objects(path, answer.objects)
        facts["objects"] = str(path)
    return facts


def answer_from_json(facts: Mapping[str, Any]) -> CatalogueAnswer:
    """What `answer_to_json` made."""
    objects = read_objects(Path(facts["objects"])) if facts["objects"] else no_objects()
    objects = replace(objects, overflow=facts["overflow"], total=facts["total"])
    known: dict[str, Any] = {name: facts[name] for name in _FACTS}
    known |= {name: datetime.fromisoformat(facts[name]) if facts[name] else None for name in _TIMES}
    return CatalogueAnswer(objects=objects, **known)


def status_of(found: CatalogueMatches) -> CatalogueStatus:
    """The status of one catalogue as others see it."""
    answer = found.answer
    return CatalogueStatus.model_validate(
        {
            "catalogue": answer.catalogue,
            "status": found.status,
            "cause": answer.cause,
            "message": answer.message,
            "http_status": answer.http_status,
            "retry_at": answer.retry_at,
            "query": answer.query[:2000] if answer.query else None,
            "asked_at": answer.asked_at,
            "seconds": answer.seconds,
            "rows": len(answer.objects),
            "rows_total": answer.objects.total,
            "matches": found.matches,
            "cache_age_s": answer.cache_age_s,
        }
    )


def write_identification(
    folder: Path, found: Identification, statuses: Sequence[CatalogueStatus], names: tuple[str, str]
) -> tuple[Path, Path]:
    """``matches`` and ``identifications`` as FITS tables with the columns of the contract."""
    matches, wide = folder / names[0], folder / names[1]
    words = {item.catalogue: item.status for item in statuses}
    answered = [name for name in words if f"{name}_id" in found.identifications]
    schema = TableSchema(
        "identifications",
        (SOURCES["id"], *(column for name in answered for column in identification_columns(name))),
    )
    meta = {f"CAT{place}": f"{name}: {word}"[:68] for place, (name, word) in enumerate(words.items(), start=1)}
    write_columns(matches, _texts(found.matches), MATCHES, meta)
    write_columns(wide, _texts(found.identifications), schema, meta)
    return matches, wide


def _texts(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: values.astype(str) if values.dtype == object else values for name, values in columns.items()}
