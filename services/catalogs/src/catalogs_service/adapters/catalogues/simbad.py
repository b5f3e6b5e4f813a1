"""SIMBAD by TAP: stars and all else that has a name (CDS, Wenger et al. 2000, A&AS 143, 9)."""

from __future__ import annotations

from catalogs_service.adapters.catalogues.objects import ObjectColumns, objects_of_votable
from catalogs_service.adapters.catalogues.tap import cone_condition, select, sync_question
from catalogs_service.domain.questions import KnownObjects, Question, Reply, SkyField

_SELECTED = (
    "basic.oid, main_id, otype, ra, dec, coo_err_maj, coo_err_min, pmra, pmdec, plx_value, "
    "allfluxes.B, allfluxes.V, ids.ids"
)
_JOINED = "basic LEFT JOIN allfluxes ON allfluxes.oidref = basic.oid LEFT JOIN ids ON ids.oidref = basic.oid"
_COLUMNS = ObjectColumns(
    identifier="main_id",
    kind="otype",
    ra="ra",
    dec="dec",
    error_mas=("coo_err_maj", "coo_err_min"),
    error_arcsec=0.5,
    pmra="pmra",
    pmdec="pmdec",
    details=("oid", "B", "V", "plx_value", "ids"),
)


class Simbad:
    """Positions are ICRS at epoch 2000, carried there with the object's own motion."""

    name = "simbad"
    upstream = "simbad"
    largest_radius_deg = 10.0
    needs_time = False
    key_name: str | None = None

    def __init__(self, url: str, *, most_rows: int) -> None:
        self._url = url
        self._most_rows = most_rows

    def question(self, field: SkyField, key: str | None = None) -> Question:
        adql = select(_SELECTED, _JOINED, cone_condition("ra", "dec", field.cone))
        return sync_question(self._url, adql, most_rows=self._most_rows)

    def read(self, reply: Reply, field: SkyField) -> KnownObjects:
        return objects_of_votable(reply, "SIMBAD", _COLUMNS, most_rows=self._most_rows)
