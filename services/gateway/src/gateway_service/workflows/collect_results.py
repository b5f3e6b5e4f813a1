"""Join what the stages found into one catalogue, one summary and one archive."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from astro_shared.contracts import products
from astro_shared.contracts.gateway import CollectRequest, CollectResult, CollectStage, StageName, StageState
from astro_shared.contracts.settings import ProcessingSettings
from astro_shared.contracts.tables import (
    CALIBRATORS,
    MATCHES,
    PAIRS,
    SOURCES,
    TableSchema,
    catalog_schema,
)
from gateway_service.domain.frame_time import BarycentricDate, frame_time, table_facts
from gateway_service.domain.results import is_passed_on
from gateway_service.domain.summary import known_airmass, outcome, summary

Columns = Mapping[str, np.ndarray]


class TableFiles(Protocol):
    """Reads and writes tables (`gateway_service.adapters.table_files`)."""

    def read_columns(self, path: Path) -> dict[str, np.ndarray]: ...

    def conform(self, columns: Columns, schema: TableSchema, rows: int) -> dict[str, np.ndarray]: ...

    def write_csv(self, path: Path, columns: Columns) -> None: ...

    def write_parquet(self, path: Path, columns: Columns, schema: TableSchema, meta: Mapping[str, Any]) -> None: ...

    def write_ecsv(self, path: Path, columns: Columns, schema: TableSchema, meta: Mapping[str, Any]) -> None: ...

    def write_votable(self, path: Path, columns: Columns, schema: TableSchema, meta: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class Collected:
    result: CollectResult
    files: dict[str, Path]


class CollectResults:
    """
    Parameters
    ----------
    tables : reading and writing of tables
    write_archive : makes the ZIP
    barycentric : BJD (TDB) of a moment and a place
    own_stage : the line of this stage in the summary, as far as it is known when that is written
    software : name and version of what made the result
    """

    def __init__(
        self,
        tables: TableFiles,
        write_archive: Callable[[Path, Mapping[str, Path]], None],
        own_stage: Callable[[], dict[str, Any]],
        barycentric: BarycentricDate,
        *,
        software: str,
    ) -> None:
        self._tables = tables
        self._write_archive = write_archive
        self._own_stage = own_stage
        self._barycentric = barycentric
        self._software = software

    def __call__(
        self, request: CollectRequest, inputs: Mapping[str, Path], folder: Path, progress: Callable[[float, str], None]
    ) -> Collected:
        """
        Parameters
        ----------
        inputs : local files of the stages, by name
        folder : where to write
        """
        stages = {stage.name: stage for stage in request.stages}
        status, reason = outcome(stages)
        files: dict[str, Path] = {}
        if stages[StageName.MEASURE].state is StageState.DONE:
            progress(0.1, "catalogue")
            files |= self._catalog(request, stages, inputs, folder)
            progress(0.6, "tables")
            files |= self._lists(inputs, folder)
        files[products.LOG] = _written(folder / products.LOG, processing_log(request, stages))
        progress(0.8, "summary")
        document = summary(
            request.frame_name, request.settings_hash, self._software, stages, [self._own_stage()], self._barycentric
        )
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        files[products.SUMMARY] = _written(folder / products.SUMMARY, text)
        passed = {name: path for name, path in inputs.items() if is_passed_on(name)}
        archive = folder / products.ARCHIVE
        progress(0.85, "archive")
        self._write_archive(archive, {**passed, **files})
        files[products.ARCHIVE] = archive
        return Collected(CollectResult(status=status, reason=reason, summary=document), files)

    def _catalog(
        self,
        request: CollectRequest,
        stages: Mapping[StageName, CollectStage],
        inputs: Mapping[str, Path],
        folder: Path,
    ) -> dict[str, Path]:
        asked = tuple(request.settings["identification"]["catalogues"])
        schema = catalog_schema(asked)
        columns = self._joined(inputs)
        rows = len(columns["id"])
        table = self._tables.conform(columns, schema, rows)
        paths = {f"{products.CATALOG}.{suffix}": folder / f"{products.CATALOG}.{suffix}" for suffix in _FORMATS}
        csv, parquet, ecsv, votable = paths.values()
        self._tables.write_csv(csv, table)
        report = (stages[StageName.SOLVE].result or {}).get("astrometry", {})
        meta: dict[str, Any] = {
            "frame": request.frame_name,
            "software": self._software,
            "settings_hash": request.settings_hash,
        }
        if report.get("epoch_jyear") is not None:
            meta["epoch"] = f"J{report['epoch_jyear']:.6f}"
        meta |= table_facts(frame_time(stages, known_airmass(stages), self._barycentric))
        self._tables.write_parquet(parquet, table, schema, meta)
        self._tables.write_ecsv(ecsv, table, schema, meta)
        self._tables.write_votable(votable, table, schema, meta)
        return paths

    def _joined(self, inputs: Mapping[str, Path]) -> dict[str, np.ndarray]:
        """Columns of all stages by source id; later stages win (the flags of ``calibrate``)."""
        columns = self._tables.read_columns(inputs[products.SOURCES])
        ids = columns["id"]
        for axis in "xy":
            columns[f"{axis}_err"] = np.sqrt(columns[f"{axis}_var"])
        for name in (products.POSITIONS, products.CALIBRATED, products.IDENTIFICATIONS):
            if name in inputs:
                for column, values in rows_by_id(ids, self._tables.read_columns(inputs[name])).items():
                    if column not in SOURCES.names() or column == "flags":
                        columns[column] = values
        return columns

    def _lists(self, inputs: Mapping[str, Path], folder: Path) -> dict[str, Path]:
        """The side tables as CSV; one that no stage made has its header line only."""
        made = {}
        for name, schema in ((products.CALIBRATORS, CALIBRATORS), (products.MATCHES, MATCHES), (products.PAIRS, PAIRS)):
            columns = self._tables.read_columns(inputs[name]) if name in inputs else {}
            rows = len(next(iter(columns.values()))) if columns else 0
            path = folder / name.replace(".fits", ".csv")
            self._tables.write_csv(path, self._tables.conform(columns, schema, rows))
            made[path.name] = path
        return made


_FORMATS = ("csv", "parquet", "ecsv", "vot")


def rows_by_id(ids: np.ndarray, columns: Columns) -> dict[str, np.ndarray]:
    """Bring the rows of another table into the order of ``ids``; a source without a row gets NaN, empty text or 0."""
    other = columns["id"]
    order = np.argsort(other, kind="stable")
    place = np.searchsorted(other[order], ids)
    inside = place < len(other)
    found = np.zeros(len(ids), bool)
    found[inside] = other[order][place[inside]] == ids[inside]
    rows = order[place[found]]
    joined = {}
    for name, values in columns.items():
        if name == "id":
            continue
        blank = np.nan if values.dtype.kind == "f" else ("" if values.dtype.kind in "SU" else 0)
        filled = np.full(len(ids), blank, dtype=values.dtype)
        filled[found] = values[rows]
        joined[name] = filled
    return joined


def processing_log(request: CollectRequest, stages: Mapping[StageName, CollectStage]) -> str:
    """What was done, with which settings, how long it took and what was noticed, for reading."""
    status, reason = outcome(stages)
    lines = [f"frame      {request.frame_name}", f"reduction  {request.reduction_id}", f"status     {status}"]
    lines += [f"reason     {reason}"] if reason else []
    lines += [f"settings   {request.settings_hash}", "", "Settings that differ from the defaults:"]
    lines += [f"  {line}" for line in _differing(request.settings)] or ["  none"]
    for stage in stages.values():
        seconds = f" in {stage.seconds:.2f} s" if stage.seconds is not None else ""
        lines += ["", f"{stage.name}: {stage.state}{seconds}"]
        lines += [f"  reason: {stage.reason}"] if stage.reason else []
        lines += [f"  {line}" for line in _facts(stage.result or {})]
    return "\n".join(lines) + "\n"


def _differing(settings: Mapping[str, Any]) -> list[str]:
    defaults = ProcessingSettings().model_dump(mode="json")
    return [
        f"{section}.{key} = {json.dumps(value)}"
        for section, values in settings.items()
        for key, value in values.items()
        if defaults[section].get(key) != value
    ]


def _facts(value: Mapping[str, Any], prefix: str = "") -> list[str]:
    lines = []
    for key, item in value.items():
        if isinstance(item, Mapping):
            lines += _facts(item, f"{prefix}{key}.")
        elif isinstance(item, (list, tuple)) and item and isinstance(item[0], Mapping):
            for number, entry in enumerate(item):
                lines += _facts(entry, f"{prefix}{key}[{number}].")
        elif item not in (None, "", [], (), {}):
            lines.append(f"{prefix}{key}: {item if isinstance(item, str) else json.dumps(item)}")
    return lines


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
