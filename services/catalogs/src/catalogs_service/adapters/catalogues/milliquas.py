"""The Million Quasars catalogue, as VizieR holds it (Flesch 2023, OJAp 6, 49; VII/294)."""

from __future__ import annotations

from catalogs_service.adapters.catalogues.objects import ObjectColumns, objects_of_votable
from catalogs_service.adapters.catalogues.tap import cone_condition, quoted, select, sync_question
from catalogs_service.domain.questions import KnownObjects, Question, Reply, SkyField

_TABLE = "VII/294/catalog"
_COLUMNS = ObjectColumns(
    identifier="Name",
    kind="Type",
    ra="RAJ2000",
    dec="DEJ2000",
    error_arcsec=0.3,
    details=("Rmag", "Bmag", "Comment", "R", "B", "z", "Cite", "Zcite", "Qpct", "XName", "RName"),
)


class Milliquas:
    """Positions are J2000; quasars do not move."""

    name = "milliquas"
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
        return objects_of_votable(reply, "Milliquas", _COLUMNS, most_rows=self._most_rows)
