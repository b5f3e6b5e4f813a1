"""A TAP service with Gaia stars that understands the queries that we send, and can be told to cheat."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from catalogs_service.algorithms.healpix import cells
from catalogs_service.domain.columns import GAIA_COLUMNS

_RANGE = re.compile(r"BETWEEN (\d+) AND (\d+)")
_DEPTH = re.compile(r"< ([0-9.]+)")
_ALIAS = re.compile(r"(\"[^\"]+\"|\w+) AS (\w+)")


def sky(n: int = 4000, seed: int = 5) -> list[dict[str, Any]]:
    """Stars around RA 120, Dec 30 with identifiers as Gaia makes them."""
    rng = np.random.default_rng(seed)
    ra, dec = 120 + rng.uniform(-2, 2, n), 30 + rng.uniform(-2, 2, n)
    ids = (cells(ra, dec, 12) << 35) + np.arange(n)
    rows: list[dict[str, Any]] = []
    for k in range(n):
        row: dict[str, Any] = dict.fromkeys(GAIA_COLUMNS)
        row |= {"source_id": int(ids[k]), "ra": float(ra[k]), "dec": float(dec[k]), "ref_epoch": 2016.0,
                "ra_error": 0.05, "dec_error": 0.04, "phot_g_mean_mag": round(float(rng.uniform(10, 21)), 4),
                "pmra": 1.5 if k % 3 else None, "pmdec": -2.0 if k % 3 else None, "ruwe": 1.01,
                "duplicated_source": "true" if k == 7 else "false", "phot_variable_flag": "NOT_AVAILABLE",
                "astrometric_params_solved": 31}  # fmt: skip
        rows.append(row)
    return rows


class GaiaArchive:
    """Plays ``/tap/sync`` and ``/tap/async`` over rows that are dicts by canonical name.

    ``lose`` rows are missing from data answers; ``phases`` is what an asynchronous job goes through.
    """

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows = list(rows)
        self.lose = 0
        self.phases = ["QUEUED", "EXECUTING", "COMPLETED"]
        self.queries: list[str] = []
        self.jobs: dict[str, tuple[str, int]] = {}
        self.removed: list[str] = []

    def play(self, heard: Any, writer: Any) -> None:
        if heard.path.endswith("/sync"):
            self._say(writer, 200, self._answer(heard.form))
        elif heard.path.endswith("/async"):
            name = f"{len(self.jobs) + 1}O"
            self.jobs[name] = (self._answer(heard.form), 0)
            self._say(writer, 303, "", location=f"http://elsewhere.example/tap/async/{name}")
        elif heard.method == "DELETE":
            self.removed.append(heard.path.rsplit("/", 1)[-1])
            self._say(writer, 303, "")
        elif heard.path.endswith("/phase"):
            name = heard.path.split("/")[-2]
            content, step = self.jobs[name]
            self.jobs[name] = (content, min(step + 1, len(self.phases) - 1))
            self._say(writer, 200, self.phases[step])
        else:
            self._say(writer, 200, self.jobs[heard.path.split("/")[-3]][0])

    def _answer(self, form: dict[str, str]) -> str:
        adql = form["QUERY"]
        self.queries.append(adql)
        ranges = [(int(low), int(high)) for low, high in _RANGE.findall(adql)]
        depth = float(_DEPTH.findall(adql)[-1])
        found = [
            row for row in self.rows
            if row["phot_g_mean_mag"] is not None and row["phot_g_mean_mag"] < depth
            and any(low <= row["source_id"] <= high for low, high in ranges)
        ]  # fmt: skip
        if "GROUP BY" in adql:
            width = ranges[0][1] - ranges[0][0] + 1
            cells, counts = np.unique([row["source_id"] // width for row in found], return_counts=True)
            return _csv(["cell", "n"], zip(cells.tolist(), counts.tolist(), strict=True))
        names = [name for _, name in _ALIAS.findall(adql.split(" FROM ")[0])]
        kept = found[: len(found) - self.lose][: int(form["MAXREC"])]
        return _csv(names, ([row.get(name) for name in names] for row in kept))

    @staticmethod
    def _say(writer: Any, status: int, content: str, location: str = "") -> None:
        body = content.encode()
        lines = [f"HTTP/1.1 {status} X", "Content-Type: text/csv", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"Location: {location}"] if location else []
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def _csv(names: Sequence[str], rows: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return text.getvalue()
