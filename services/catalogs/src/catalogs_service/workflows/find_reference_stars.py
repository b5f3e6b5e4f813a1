"""Reference stars of a region, from the nearest place that has them."""

from __future__ import annotations

import asyncio

import numpy as np

from catalogs_service.algorithms.selection import inside, select_stars
from catalogs_service.algorithms.sphere import enclosing_cone
from catalogs_service.domain.gaia import GaiaStars
from catalogs_service.domain.regions import Cone, Region
from catalogs_service.domain.stars import SelectedStars, Selection
from catalogs_service.errors import (
    MirrorDamagedError,
    QueryError,
    ReferenceListNotFoundError,
    ReferenceUnavailableError,
)
from catalogs_service.ports import GaiaSource, ReferenceLists, StarList

GAIA = "gaia"
# Barnard's star moves 166 arcsec in 16 years; stars that fast are few and bright, and a remote answer is cut at its edge.
_GAIA_PADDING_DEG = 0.02


class FindReferenceStars:
    """Resolves a name: an own or global list; for ``gaia`` then its cache, the archive and VizieR.

    Parameters
    ----------
    lists : lists at hand
    gaia : the chain behind the mirror: cache, archive and VizieR; None where there are lists alone
    asks_outside : whether that chain has remote places
    """

    def __init__(self, lists: ReferenceLists, gaia: GaiaSource | None = None, *, asks_outside: bool = True) -> None:
        self._lists = lists
        self._gaia = gaia
        self._asks_outside = asks_outside and gaia is not None

    @property
    def asks_outside(self) -> bool:
        """Whether there are remote places at all."""
        return self._asks_outside

    async def find(
        self, name: str, region: Region, selection: Selection, *, owner: str | None, release: str = "dr3"
    ) -> SelectedStars:
        """Stars of a region.

        Raises
        ------
        ReferenceListNotFoundError
            There is no list of that name, and it is not Gaia.
        ReferenceUnavailableError
            No place could give Gaia stars; the message and ``layers`` say why, place by place.
        """
        at_hand = self._lists.find(name, owner)
        if name != GAIA and at_hand is None:
            raise ReferenceListNotFoundError(f"There is no reference list {name}.", name=name)
        reasons: dict[str, str] = {"mirror": "there is none"}
        if at_hand is not None:
            refusal = self._refusal(name, at_hand, region, release, selection.mag_limit)
            if refusal is None:
                return await self._from_hand(name, at_hand, region, selection, owner)
            reasons["mirror"] = refusal
        try:
            return await self._remote(region, selection, release)
        except QueryError as error:
            reasons |= error.details.get("reasons", {"archive": error.message})
        told = "; ".join(f"{layer}: {reason.rstrip('.')}" for layer, reason in reasons.items())
        raise ReferenceUnavailableError(
            f"No Gaia stars can be had for this field ({told}). A list of your own can take their place.",
            layers=reasons,
        )

    async def _from_hand(
        self, name: str, at_hand: StarList, region: Region, selection: Selection, owner: str | None
    ) -> SelectedStars:
        try:
            return await asyncio.to_thread(_from_list, name, at_hand, region, selection)
        except MirrorDamagedError:
            # replaced by an import while it was read: the new one is whole
            now = self._lists.find(name, owner)
            if now is None or now.facts["created_at"] == at_hand.facts["created_at"]:
                raise
            return await asyncio.to_thread(_from_list, name, now, region, selection)

    async def _remote(self, region: Region, selection: Selection, release: str) -> SelectedStars:
        if self._gaia is None:
            raise QueryError("nothing outside is asked", cause="offline")
        around = _around(region, _GAIA_PADDING_DEG)
        radius_deg = around.radius_deg if isinstance(around, Cone) else 180.0
        found = await self._gaia.stars(around, release=release, mag_limit=selection.mag_limit, radius_deg=radius_deg)
        return await asyncio.to_thread(_from_remote, found, region, selection, release)

    @staticmethod
    def _refusal(name: str, at_hand: StarList, region: Region, release: str, mag_limit: float | None) -> str | None:
        """Why a list at hand does not serve, or None."""
        if name != GAIA:
            return None
        own = at_hand.facts.get("release")
        if own is not None and own != release:
            return f"it holds {own}, not {release}"
        depth = at_hand.facts.get("depth_mag")
        if depth is not None and mag_limit is not None and mag_limit > depth:
            return f"it ends at G = {depth:g}"
        return None if at_hand.covers(region) else "it does not cover the field"


def _around(region: Region, margin_deg: float) -> Region:
    """A region that holds every star whose position is within a margin of the given one."""
    if margin_deg == 0.0:
        return region
    if isinstance(region, Cone):
        return region.padded(margin_deg)
    ra, dec = np.array(region.vertices).T
    ra0, dec0, radius = enclosing_cone(ra, dec)
    return Cone(ra0, dec0, min(radius + margin_deg, 180.0))


def _from_list(name: str, at_hand: StarList, region: Region, selection: Selection) -> SelectedStars:
    stars = at_hand.search(_around(region, at_hand.padding_deg(selection.epoch_jyear)))
    chosen, found, skipped = select_stars(stars, region, selection)
    layer = "mirror" if name == GAIA else "list"
    return SelectedStars(chosen, found, layer, name, at_hand.facts.get("release"), skipped)


def _from_remote(found: GaiaStars, region: Region, selection: Selection, release: str) -> SelectedStars:
    stars = found.stars if selection.epoch_jyear is not None else inside(found.stars, region)
    chosen, rows, skipped = select_stars(stars, region, selection)
    return SelectedStars(chosen, rows, found.layer, GAIA, release, skipped, depth_mag=found.depth_mag)
