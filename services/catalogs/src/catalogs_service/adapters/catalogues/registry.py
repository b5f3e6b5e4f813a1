"""The catalogues that can be asked, by name."""

from __future__ import annotations

from catalogs_service.adapters.catalogues.astro_colibri import AstroColibri
from catalogs_service.adapters.catalogues.milliquas import Milliquas
from catalogs_service.adapters.catalogues.simbad import Simbad
from catalogs_service.adapters.catalogues.skybot import Skybot
from catalogs_service.adapters.catalogues.vizier import VizierTable, is_vizier_table
from catalogs_service.adapters.catalogues.vsx import Vsx
from catalogs_service.ports import Catalogue


class CatalogueRegistry:
    """Known catalogues, and any VizieR table by its name.

    Parameters
    ----------
    simbad, vizier, vizier_tables, skybot, astro_colibri : addresses
    most_rows : asked for per field
    """

    def __init__(
        self, *, simbad: str, vizier: str, vizier_tables: str, skybot: str, astro_colibri: str, most_rows: int
    ) -> None:
        made: tuple[Catalogue, ...] = (
            Simbad(simbad, most_rows=most_rows),
            Vsx(vizier, most_rows=most_rows),
            Milliquas(vizier, most_rows=most_rows),
            Skybot(skybot, most_rows=most_rows),
            AstroColibri(astro_colibri, most_rows=most_rows),
        )
        self._known = {catalogue.name: catalogue for catalogue in made}
        self._vizier_tables = vizier_tables
        self._most_rows = most_rows

    @property
    def names(self) -> tuple[str, ...]:
        """Names of those that are always there."""
        return tuple(self._known)

    def find(self, name: str) -> Catalogue | None:
        """The catalogue of a name, or None."""
        if name in self._known:
            return self._known[name]
        return VizierTable(name, self._vizier_tables, most_rows=self._most_rows) if is_vizier_table(name) else None
