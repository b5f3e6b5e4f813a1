"""AAVSO's International Variable Star Index, as VizieR holds it (Watson et al. 2006, SASS 25, 47; B/vsx)."""

from __future__ import annotations

from catalogs_service.adapters.catalogues.objects import ObjectColumns, objects_of_votable
from catalogs_service.adapters.catalogues.tap import cone_condition, quoted, select, sync_question
from catalogs_service.domain.questions import KnownObjects, Question, Reply, SkyField

_TABLE = "B/vsx/vsx"
_COLUMNS = ObjectColumns(
    identifier="Name",
    kind="Type",
    ra="RAJ2000",
    dec="DEJ2000",
    error_arcsec=0.5,
    details=("OID", "V", "max", "n_max", "min", "n_min", "f_min", "Period"),
)


class Vsx:
    """Positions are J2000 without motions."""

    name = "vsx"
    upstream = "vizier"
    largest_radius_deg = 10.0
    needs_time = False
    key_name: str | None = None

    def __init__(self, url: str, *, most_rows: int) -> None:
        self._url = url
        self._most_rows = most_rows

    def question(self, field: SkyField, key: str | None = None) -> Question:
        adql = select("*", quoted(_TABLE), cone_condition("RAJ2000", "DEJ2000", field.cone))
        return sync_question(self._url, adql, most_rows=self._most_rows)

    def read(self, reply: Reply, field: SkyField) -> KnownObjects:
        return objects_of_votable(reply, "VSX", _COLUMNS, most_rows=self._most_rows)
