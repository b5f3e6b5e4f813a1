"""Solar-system objects in a field at a time: SkyBoT of IMCCE (Berthier et al. 2006, ASPC 351, 367)."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any

import numpy as np

from catalogs_service.adapters.catalogues.objects import clean, document_of, plain
from catalogs_service.adapters.catalogues.tap import number
from catalogs_service.algorithms.sexagesimal import degrees_from_text
from catalogs_service.domain.questions import KnownObjects, Question, Reply, SkyField, no_objects
from catalogs_service.errors import BadValuesError, QueryError

# Objects whose ephemeris is worse than this cannot be told from others in any frame.
_WORST_EPHEMERIS_ARCSEC = 120
_NO_CONTENT = 204
_NEEDED = ("name", "ra", "de")


class Skybot:
    """Ephemerides are for the middle of the exposure and the observatory; positions need no further motion."""

    name = "skybot"
    upstream = "skybot"
    largest_radius_deg = 10.0
    needs_time = True
    key_name: str | None = None

    def __init__(self, url: str, *, most_rows: int) -> None:
        self._url = url
        self._most_rows = most_rows

    def question(self, field: SkyField, key: str | None = None) -> Question:
        if field.date_mid is None:
            raise QueryError("SkyBoT needs the time of the exposure.", cause="no_epoch")
        time = field.date_mid.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        parameters = {
            "-ra": number(field.cone.ra_deg),
            "-dec": number(field.cone.dec_deg),
            "-rd": number(field.cone.radius_deg),
            "-ep": time,
            "-observer": field.observatory,
            "-filter": str(_WORST_EPHEMERIS_ARCSEC),
            "-objFilter": "111",
            "-refsys": "EQJ2000",
            "-output": "all",
            "-mime": "votable",
            "-from": "alidade",
        }
        return Question(self._url, " ".join(f"{k}={v}" for k, v in parameters.items()), parameters=parameters)

    def read(self, reply: Reply, field: SkyField) -> KnownObjects:
        if reply.status == _NO_CONTENT or not reply.content.strip():
            return no_objects()
        document = document_of(reply, "SkyBoT")
        if not document.tables:
            raise QueryError("SkyBoT sent a VOTable without a table.", cause="malformed")
        table = document.tables[0]
        by_id = {f.identifier.lower() or f.name.lower(): f.name for f in table.fields}
        lacking = [name for name in _NEEDED if name not in by_id]
        if lacking:
            raise QueryError(f"SkyBoT changed its table: {', '.join(lacking)} is missing.", cause="malformed")
        columns = {key: table.columns[name][: self._most_rows] for key, name in by_id.items()}
        return _objects(columns, field, overflow=document.overflow or len(table) > self._most_rows)


def _objects(columns: dict[str, Any], field: SkyField, *, overflow: bool) -> KnownObjects:
    n = len(columns["name"])
    try:
        ra = _degrees(columns, "_raj2000", "ra", hours=True)
        dec = _degrees(columns, "_decj2000", "de", hours=False)
    except BadValuesError as error:
        raise QueryError(f"SkyBoT sent unusable positions: {error.message}", cause="malformed") from None
    uncertainty = columns["errpos"] if "errpos" in columns else np.full(n, np.nan)
    details = [_details(columns, row) for row in range(n)]
    epoch = field.epoch_jyear if field.epoch_jyear is not None else 2000.0
    none = np.full(n, np.nan)
    return KnownObjects(
        identifier=np.array([_designation(columns, row) for row in range(n)], dtype=object),
        kind=np.array([clean(str(value)) for value in columns.get("class", np.full(n, ""))], dtype=object),
        ra=ra % 360.0,
        dec=dec,
        error_arcsec=np.asarray(uncertainty, float),
        pmra=none,
        pmdec=none,
        epoch=np.full(n, epoch),
        details=np.array(details, dtype=object),
        overflow=overflow,
    )


def _degrees(columns: dict[str, Any], in_degrees: str, as_text: str, *, hours: bool) -> Any:
    if in_degrees in columns and columns[in_degrees].dtype != object:
        return np.asarray(columns[in_degrees], float)
    return degrees_from_text(columns[as_text], as_text, hours=hours)


def _designation(columns: dict[str, Any], row: int) -> str:
    """``(229762) G!kun||'homdima``, or the provisional designation of what has no number."""
    name, given = clean(str(columns["name"][row])), columns.get("num")
    value = clean(str(given[row])) if given is not None else ""
    return f"({value}) {name}" if value.isdigit() else name


def _details(columns: dict[str, Any], row: int) -> str:
    wanted = {
        "magV": "magv",
        "rate_ra_cosdec_arcsec_h": "dracosdec",
        "rate_dec_arcsec_h": "ddec",
        "geocentric_au": "dgeo",
        "heliocentric_au": "dhelio",
        "error_arcsec": "errpos",
    }
    found = {name: plain(columns[key][row]) for name, key in wanted.items() if key in columns}
    return json.dumps({name: value for name, value in found.items() if value is not None})
