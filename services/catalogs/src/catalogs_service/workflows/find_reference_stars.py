"""Reference stars of a region, from the nearest place that has them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from catalogs_service.algorithms.selection import inside, select_stars
from catalogs_service.algorithms.sphere import enclosing_cone
from catalogs_service.domain.regions import Cone, Region
from catalogs_service.domain.stars import SelectedStars, Selection, Stars
from catalogs_service.errors import QueryError, ReferenceListNotFoundError, ReferenceUnavailableError
from catalogs_service.ports import GaiaSource, ReferenceLists, StarList

GAIA = "gaia"
# Barnard's star moves 166 arcsec in 16 years; stars that fast are few and bright, and a remote answer is cut at its edge.
_GAIA_PADDING_DEG = 0.02


class FindReferenceStars:
    """Resolves a name: an own or global list; for ``gaia`` then its cache, the archive and VizieR.

    Parameters
    ----------
    lists : lists at hand
    gaia : remote places in the order in which they are asked
    """

    def __init__(self, lists: ReferenceLists, gaia: Sequence[GaiaSource] = ()) -> None:
        self._lists = lists
        self._gaia = tuple(gaia)

    @property
    def asks_outside(self) -> bool:
        """Whether there are remote places at all."""
        return bool(self._gaia)

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
        reasons: list[tuple[str, str]] = []
        if at_hand is not None:
            refusal = self._refusal(name, at_hand, region, release)
            if refusal is None:
                return await asyncio.to_thread(_from_list, name, at_hand, region, selection)
            reasons.append(("mirror", refusal))
        elif name == GAIA:
            reasons.append(("mirror", "there is none"))
        for source in self._gaia:
            try:
                stars = await source.stars(
                    _around(region, _GAIA_PADDING_DEG), release=release, mag_limit=selection.mag_limit
                )
            except QueryError as error:
                reasons.append((source.layer, error.message))
                continue
            return await asyncio.to_thread(_from_remote, source, stars, region, selection, release)
        told = "; ".join(f"{layer}: {reason}" for layer, reason in reasons)
        raise ReferenceUnavailableError(
            f"No Gaia stars can be had for this field ({told}). A list of your own can take their place.",
            layers=dict(reasons),
        )

    @staticmethod
    def _refusal(name: str, at_hand: StarList, region: Region, release: str) -> str | None:
        """Why a list at hand does not serve, or None."""
        if name != GAIA:
            return None
        own = at_hand.facts.get("release")
        if own is not None and own != release:
            return f"it holds {own}, not {release}"
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


def _from_remote(source: GaiaSource, stars: Stars, region: Region, selection: Selection, release: str) -> SelectedStars:
    if selection.epoch_jyear is None:
        stars = inside(stars, region)
    chosen, found, skipped = select_stars(stars, region, selection)
    return SelectedStars(chosen, found, source.layer, GAIA, release, skipped)
