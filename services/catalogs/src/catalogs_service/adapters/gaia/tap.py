"""Gaia stars by TAP, counted first so that nothing can be cut in silence."""

from __future__ import annotations

import asyncio
import io
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from catalogs_service.adapters.catalogues.objects import document_of
from catalogs_service.adapters.catalogues.tap import quoted, select
from catalogs_service.adapters.tables.arrow import numpy_column
from catalogs_service.domain.columns import BY_NAME, GAIA_COLUMNS
from catalogs_service.domain.gaia import GaiaTile
from catalogs_service.domain.questions import Question, Reply
from catalogs_service.domain.stars import Stars, concatenated
from catalogs_service.errors import QueryError
from catalogs_service.ports import Asker

ROWS_PER_QUERY = 150_000
_SYNC_ROWS = 2000
_JOB_NAME = re.compile(r"^[A-Za-z0-9_.-]{1,80}$")
_FIRST_POLL_S, _LONGEST_POLL_S = 0.5, 10.0
_DEEPEST_SPLIT = 11


@dataclass(frozen=True, slots=True)
class GaiaTable:
    """One release somewhere: table, columns by canonical name, epoch where the table has none."""

    table: str
    columns: Mapping[str, str]
    ref_epoch: float | None = None

    def column(self, canonical: str) -> str:
        """A column as the table calls it, ready for ADQL."""
        name = self.columns[canonical]
        return name if name.islower() and name.isidentifier() else quoted(name)


class GaiaTap:
    """Whole tiles of Gaia stars from one TAP service.

    Parameters
    ----------
    name : in messages
    asker : HTTP to the service
    sync_url, async_url : its endpoints; without the latter everything is asked synchronously
    rows_per_query : more are split
    """

    def __init__(
        self,
        name: str,
        asker: Asker,
        *,
        sync_url: str,
        async_url: str | None = None,
        rows_per_query: int = ROWS_PER_QUERY,
        job_limit_s: float = 600.0,
    ) -> None:
        self._name = name
        self._asker = asker
        self._sync_url = sync_url
        self._async_url = async_url
        self._rows_per_query = rows_per_query
        self._job_limit_s = job_limit_s

    async def tiles(self, table: GaiaTable, tiles: Sequence[GaiaTile], depth_mag: float) -> dict[GaiaTile, Stars]:
        """Stars brighter than a depth in each tile (all of one order).

        Raises
        ------
        QueryError
            The service failed, or gave another number of rows than it counted.
        """
        counts = await self._counts(table, tiles, depth_mag)
        found: dict[GaiaTile, Stars] = {}
        for group in self._groups(tiles, counts):
            expected = sum(counts[tile] for tile in group)
            if len(group) == 1 and expected > self._rows_per_query:
                found[group[0]] = await self._split(table, group[0], depth_mag, expected)
                continue
            stars = await self._stars(table, group, depth_mag, expected)
            found |= {tile: stars.take(_in_tile(stars["source_id"], tile)) for tile in group}
        return found

    def _groups(self, tiles: Sequence[GaiaTile], counts: Mapping[GaiaTile, int]) -> list[list[GaiaTile]]:
        """Tiles together in one query as long as they stay below its size."""
        groups: list[list[GaiaTile]] = []
        size = 0
        for tile in tiles:
            if groups and size + counts[tile] <= self._rows_per_query:
                groups[-1].append(tile)
                size += counts[tile]
            else:
                groups.append([tile])
                size = counts[tile]
        return groups

    async def _split(self, table: GaiaTable, tile: GaiaTile, depth_mag: float, expected: int) -> Stars:
        if tile.order >= _DEEPEST_SPLIT:
            raise QueryError(f"{self._name} has {expected} stars in one small cell.", cause="overflow")
        parts = await self.tiles(table, tile.children(), depth_mag)
        stars = concatenated(list(parts.values()))
        self._check(len(stars), expected)
        return stars

    async def _counts(self, table: GaiaTable, tiles: Sequence[GaiaTile], depth_mag: float) -> dict[GaiaTile, int]:
        """Rows of each tile, by one query."""
        width = tiles[0].id_range()[1] - tiles[0].id_range()[0] + 1
        source = table.column("source_id")
        cell = f"FLOOR({source} / {width})"
        columns = f"{cell} AS cell, COUNT(*) AS n"
        grouped = f"{_condition(table, tiles, depth_mag)} GROUP BY cell"
        reply = await self._sync(select(columns, table.table, grouped), len(tiles) + 1)
        rows = self._read(reply, ("cell", "n"))
        try:
            known = {int(cell): int(n) for cell, n in zip(rows["cell"], rows["n"], strict=True)}
        except (TypeError, ValueError):
            raise QueryError(f"{self._name} sent counts that are no numbers.", cause="malformed") from None
        return {tile: known.get(tile.pixel, 0) for tile in tiles}

    async def _stars(self, table: GaiaTable, tiles: Sequence[GaiaTile], depth_mag: float, expected: int) -> Stars:
        columns = ", ".join(f"{table.column(name)} AS {name}" for name in table.columns)
        adql = select(columns, table.table, _condition(table, tiles, depth_mag))
        if expected == 0:
            rows: dict[str, NDArray[Any]] = {name: np.empty(0) for name in table.columns}
        elif self._async_url is None or expected <= _SYNC_ROWS:
            rows = self._read(await self._sync(adql, expected + 1), tuple(table.columns))
        else:
            rows = self._read(await self._job(adql, expected + 1), tuple(table.columns))
        self._check(len(rows["source_id"]), expected)
        return _typed(rows, table)

    def _check(self, got: int, expected: int) -> None:
        if got != expected:
            raise QueryError(
                f"{self._name} counted {expected} stars and sent {got}: the answer was cut.", cause="overflow"
            )

    async def _sync(self, adql: str, most_rows: int) -> Reply:
        form = _form(adql, most_rows)
        return await self._asker.ask(Question(self._sync_url, adql, method="POST", form=form))

    async def _job(self, adql: str, most_rows: int) -> Reply:
        """An asynchronous query: made, watched, fetched, removed."""
        form = _form(adql, most_rows) | {"PHASE": "RUN"}
        made = await self._asker.ask(Question(str(self._async_url), adql, method="POST", form=form, repeatable=False))
        name = made.location.rstrip("/").rsplit("/", 1)[-1]
        if not 300 <= made.status < 400 or not _JOB_NAME.match(name):
            raise QueryError(f"{self._name} did not say where its job is.", cause="malformed")
        # the address is made of our own and the job's name: where else an answer may point to is not followed
        job = f"{self._async_url}/{name}"
        try:
            await self._finished(job, adql)
            return await self._asker.ask(Question(f"{job}/results/result", adql))
        finally:
            await self._remove(job)

    async def _finished(self, job: str, adql: str) -> None:
        began, wait_s = time.monotonic(), _FIRST_POLL_S
        while True:
            phase = (await self._asker.ask(Question(f"{job}/phase", adql))).content.decode("ascii", "replace").strip()
            if phase == "COMPLETED":
                return
            if phase not in ("PENDING", "QUEUED", "EXECUTING", "HELD", "SUSPENDED", "UNKNOWN"):
                raise QueryError(f"{self._name} ended its job in phase {phase[:40]!r}.", cause="refused")
            if time.monotonic() - began > self._job_limit_s:
                raise QueryError(f"{self._name} did not end its job in {self._job_limit_s:g} s.", cause="timeout")
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 1.5, _LONGEST_POLL_S)

    async def _remove(self, job: str) -> None:
        """Tidiness: what fails here has no consequence."""
        try:
            await self._asker.ask(Question(job, "remove", method="DELETE"))
        except QueryError:
            return

    def _read(self, reply: Reply, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        """Columns of a CSV answer; whatever else came says why it is of no use."""
        content = reply.content
        if content.lstrip()[:1] == b"<":
            document_of(reply, self._name)  # an error of the service, as a VOTable
            raise QueryError(f"{self._name} sent a document in place of a table.", cause="malformed")
        text = pa.string()
        kinds = {"source_id": pa.int64(), "phot_variable_flag": text, "duplicated_source": text, "cell": pa.float64()}
        try:
            table = pacsv.read_csv(
                io.BytesIO(content),
                convert_options=pacsv.ConvertOptions(
                    column_types=kinds, null_values=["", "null", "NULL", "NaN", "nan"], timestamp_parsers=[]
                ),
            )
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise QueryError(
                f"{self._name} sent an unreadable table: {' '.join(str(error).split())[:150]}", cause="malformed"
            ) from None
        lacking = [name for name in names if name not in table.column_names]
        if lacking:
            raise QueryError(f"{self._name} changed its table: {', '.join(lacking[:5])} is missing.", cause="malformed")
        return {name: numpy_column(table.column(name)) for name in names}


def _condition(table: GaiaTable, tiles: Sequence[GaiaTile], depth_mag: float) -> str:
    source = table.column("source_id")
    ranges = " OR ".join(f"{source} BETWEEN {low} AND {high}" for low, high in map(GaiaTile.id_range, tiles))
    return f"({ranges}) AND {table.column('phot_g_mean_mag')} < {float(depth_mag):.3f}"


def _form(adql: str, most_rows: int) -> dict[str, str]:
    return {"REQUEST": "doQuery", "LANG": "ADQL", "FORMAT": "csv", "MAXREC": str(most_rows), "QUERY": adql}


def _in_tile(source_id: NDArray[np.int64], tile: GaiaTile) -> NDArray[np.bool_]:
    low, high = tile.id_range()
    return np.asarray((source_id >= low) & (source_id <= high))


def _typed(rows: Mapping[str, NDArray[Any]], table: GaiaTable) -> Stars:
    """Canonical types, text flags as flags, and the same columns whoever the stars are from."""
    columns: dict[str, NDArray[Any]] = {}
    for name, values in rows.items():
        dtype = BY_NAME[name].dtype
        if dtype == "str":
            columns[name] = np.array([str(value).encode("ascii", "replace") for value in values], dtype="S13")
        elif dtype == "bool":
            words = np.array([str(value).strip().lower() for value in values], dtype=object)
            columns[name] = np.isin(words, ("true", "t", "1"))
        elif dtype.startswith("int"):
            columns[name] = np.nan_to_num(values).astype(dtype) if values.dtype.kind == "f" else values.astype(dtype)
        else:
            columns[name] = np.asarray(values, float).astype(dtype)
    n = len(columns["ra"])
    if table.ref_epoch is not None:
        columns["ref_epoch"] = np.full(n, table.ref_epoch)
    for name in GAIA_COLUMNS:
        if name not in columns:
            columns[name] = np.full(n, np.nan if BY_NAME[name].dtype.startswith("float") else 0, BY_NAME[name].dtype)
    return Stars({name: columns[name] for name in GAIA_COLUMNS})
