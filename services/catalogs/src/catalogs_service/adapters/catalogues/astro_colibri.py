"""Transients and their hosts: Astro-COLIBRI's cone search (Reichherzer et al. 2021, ApJS 256, 5)."""

from __future__ import annotations

import json
import math
from datetime import UTC, timedelta
from typing import Any

import numpy as np

from catalogs_service.adapters.catalogues.objects import clean, plain
from catalogs_service.domain.questions import KnownObjects, Question, Reply, SkyField, no_objects
from catalogs_service.errors import QueryError

# Without a filter of its own the service applies the ones that the user saved there; as its client library 1.3 sends it.
_MATCH_ALL = {"type": "TrueSpecification", "isActivated": True, "defaultState": False}
_DETAILS = ("trigger_id", "time", "timestamp", "observatory", "classification", "url", "discoverer_internal_name")
_LISTS = ("voevents", "sources")


class AstroColibri:
    """Events within some days of the exposure, with the user's own key; 100 questions a day."""

    name = "astro_colibri"
    upstream = "astro_colibri"
    largest_radius_deg = 90.0
    needs_time = True
    key_name: str | None = "astro_colibri_uid"

    def __init__(self, url: str, *, most_rows: int) -> None:
        self._url = url
        self._most_rows = most_rows

    def question(self, field: SkyField, key: str | None = None) -> Question:
        if field.date_mid is None:
            raise QueryError("Astro-COLIBRI needs the time of the exposure.", cause="no_epoch")
        if not key:
            raise QueryError(
                "Astro-COLIBRI needs your own key, and none is stored: alidade keys set astro_colibri_uid.",
                cause="no_key",
            )
        window = timedelta(days=field.window_days)
        begin, end = (
            time.astimezone(UTC).replace(microsecond=0).isoformat()
            for time in (field.date_mid - window, field.date_mid + window)
        )
        body: dict[str, Any] = {
            "filter": _MATCH_ALL,
            "time_range": {"min": begin, "max": end},
            "properties": {
                "position": {"ra": field.cone.ra_deg, "dec": field.cone.dec_deg},
                "radius": field.cone.radius_deg,
            },
            "return_format": "json",
            "optional_parameters": [],
            "include_watchlist": False,
        }
        # the key is in what is sent and nowhere else; a question counts against its quota, so it is not repeated
        text = json.dumps(body, sort_keys=True)
        return Question(self._url, text, method="POST", json={"uid": key, **body}, repeatable=False)

    def read(self, reply: Reply, field: SkyField) -> KnownObjects:
        if reply.status == 204 or not reply.content.strip():
            return no_objects()
        events = _events(reply)
        rows = [row for row in (_row(event) for event in events[: self._most_rows]) if row is not None]
        if events and not rows:
            raise QueryError("Astro-COLIBRI sent events without positions.", cause="malformed")
        if not rows:
            return no_objects()
        ra, dec, error = (np.array([row[place] for row in rows], float) for place in (2, 3, 4))
        none = np.full(len(rows), np.nan)
        epoch = field.epoch_jyear if field.epoch_jyear is not None else 2000.0
        return KnownObjects(
            identifier=np.array([row[0] for row in rows], dtype=object),
            kind=np.array([row[1] for row in rows], dtype=object),
            ra=ra,
            dec=dec,
            error_arcsec=error,
            pmra=none,
            pmdec=none,
            epoch=np.full(len(rows), epoch),
            details=np.array([row[5] for row in rows], dtype=object),
            overflow=len(events) > self._most_rows,
        )


def _events(reply: Reply) -> list[dict[str, Any]]:
    try:
        answer = json.loads(reply.content)
    except (ValueError, RecursionError):
        raise QueryError("Astro-COLIBRI sent something that is not JSON.", cause="malformed") from None
    if not isinstance(answer, dict) or not any(isinstance(answer.get(name), list) for name in _LISTS):
        said = clean(str(answer.get("message", ""))) if isinstance(answer, dict) else ""
        raise QueryError(f"Astro-COLIBRI sent no list of events{': ' + said if said else ''}.", cause="malformed")
    found = [event for name in _LISTS for event in answer.get(name) or ()]
    return [event for event in found if isinstance(event, dict)]


def _row(event: dict[str, Any]) -> tuple[str, str, float, float, float, str] | None:
    ra, dec, error_deg = (_number(event.get(name)) for name in ("ra", "dec", "err"))
    if not (0 <= ra <= 360 and -90 <= dec <= 90):
        return None
    name = event.get("source_name") or event.get("trigger_id") or event.get("name") or ""
    details = {key: plain(event[key]) for key in _DETAILS if isinstance(event.get(key), (str, int, float))}
    kind = event.get("classification") or event.get("type") or ""
    error = error_deg * 3600.0 if math.isfinite(error_deg) and error_deg > 0 else 0.5
    return clean(str(name)), clean(str(kind)), ra % 360.0, dec, error, json.dumps(details)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return math.nan
    try:
        return float(value)
    except ValueError:
        return math.nan
