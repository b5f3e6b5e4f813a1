"""A region of Gaia becomes a list at hand, for nights without a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from catalogs_service.algorithms.healpix import region_cells
from catalogs_service.domain.columns import EXPECTED
from catalogs_service.domain.gaia import TILE_ORDER, GaiaTile
from catalogs_service.domain.regions import Region
from catalogs_service.domain.stars import Stars, concatenated
from catalogs_service.ports import GaiaTileSource, ReferenceLists, StarList
from catalogs_service.workflows.find_reference_stars import GAIA

# Coverage is told in cells of this order; each is four tiles.
COVERAGE_ORDER = TILE_ORDER - 1
_CELLS_AT_A_TIME = 16


class MirrorGaia:
    """Fetches whole cells and keeps them as the global list ``gaia``, in place of an older one."""

    def __init__(self, lists: ReferenceLists, gaia: GaiaTileSource) -> None:
        self._lists = lists
        self._gaia = gaia

    async def run(
        self,
        region: Region,
        *,
        release: str,
        depth_mag: float,
        report: Callable[[int, int], Any] = lambda done, of: None,
    ) -> StarList:
        """Mirror a region down to a depth; what was fetched stays in the tile cache if it is interrupted.

        Raises
        ------
        QueryError
            The stars cannot be had.
        """
        cells = [int(cell) for cell in region_cells(region, COVERAGE_ORDER)]
        parts: list[Stars] = []
        for first in range(0, len(cells), _CELLS_AT_A_TIME):
            some = cells[first : first + _CELLS_AT_A_TIME]
            tiles = [tile for cell in some for tile in GaiaTile(COVERAGE_ORDER, cell).children()]
            parts.append((await self._gaia.tiles(tiles, release=release, depth=depth_mag)).stars)
            report(min(first + _CELLS_AT_A_TIME, len(cells)), len(cells))
        stars = concatenated(parts)
        facts = {
            "release": release, "depth_mag": depth_mag, "coverage": cells, "source": f"Gaia {release}", "format": "gaia",
            "missing": [name for name in EXPECTED if name not in stars],
        }  # fmt: skip
        return self._lists.save(stars, name=GAIA, scope="global", owner=None, facts=facts)
