"""Any VizieR table by its name, such as ``I/239/hip_main`` (Ochsenbein et al. 2000, A&AS 143, 23)."""

from __future__ import annotations

import re

from astro_shared.science.column_names import find_column
from catalogs_service.adapters.catalogues.objects import ObjectColumns, document_of, objects_of_votable
from catalogs_service.adapters.catalogues.tap import number
from catalogs_service.domain.questions import KnownObjects, Question, Reply, SkyField, no_objects
from catalogs_service.errors import QueryError

_TABLE_NAME = re.compile(r"^(?:[IVX]{1,4}|B|J)(?:/[A-Za-z0-9+&._-]{1,30}){1,6}$")
_MOST_DETAILS = 30
# Positions that VizieR computes for every table: J2000, epoch 2000, degrees.
_RA, _DEC = "_RAJ2000", "_DEJ2000"


def is_vizier_table(name: str) -> bool:
    """Whether a name has the form of a VizieR table."""
    return bool(_TABLE_NAME.match(name))


class VizierTable:
    """One table; its names are found by UCD, its motions by alias."""

    upstream = "vizier"
    largest_radius_deg = 10.0
    needs_time = False
    key_name: str | None = None

    def __init__(self, name: str, url: str, *, most_rows: int) -> None:
        if not is_vizier_table(name):
            raise QueryError(f"{name!r} is not the name of a VizieR table.", cause="unknown_catalogue")
        self.name = name
        self._url = url
        self._most_rows = most_rows

    def question(self, field: SkyField, key: str | None = None) -> Question:
        cone = field.cone
        parameters = {
            "-source": self.name,
            "-c": f"{number(cone.ra_deg)} {number(cone.dec_deg)}",
            "-c.rd": number(cone.radius_deg),
            "-out": "*",
            "-out.add": "_RAJ,_DEJ",
            "-oc.form": "d",
            "-out.max": str(self._most_rows + 1),
        }
        return Question(self._url, " ".join(f"{k}={v}" for k, v in parameters.items()), parameters=parameters)

    def read(self, reply: Reply, field: SkyField) -> KnownObjects:
        document = document_of(reply, self.name)
        if not document.tables:
            if document.status == "OK":
                return no_objects()
            raise QueryError(f"VizieR sent no table for {self.name}: is that its name?", cause="malformed")
        fields = document.tables[0].fields
        names = tuple(f.name for f in fields)
        main = next((f.name for f in fields if f.ucd.startswith("meta.id") and "meta.main" in f.ucd), None)
        identifier = main or next((f.name for f in fields if f.ucd.startswith("meta.id")), names[0])
        columns = ObjectColumns(
            identifier=identifier,
            ra=_RA,
            dec=_DEC,
            error_arcsec=0.5,
            pmra=find_column("pmra", names),
            pmdec=find_column("pmdec", names),
            details=tuple(name for name in names if name not in (_RA, _DEC, identifier))[:_MOST_DETAILS],
        )
        return objects_of_votable(reply, self.name, columns, most_rows=self._most_rows)
