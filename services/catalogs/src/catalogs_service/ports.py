"""What the workflows need from outside."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from catalogs_service.domain.gaia import GaiaStars, GaiaTile
from catalogs_service.domain.questions import KnownObjects, Question, Reply, SkyField
from catalogs_service.domain.regions import Region
from catalogs_service.domain.stars import Stars

Scope = Literal["user", "global"]


class StarList(Protocol):
    """One reference list at hand."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What it holds: name, scope, owner, rows, columns, bands, epochs, notes."""
        ...

    def padding_deg(self, epoch_jyear: float | None) -> float:
        """How far its fastest star has moved by an epoch."""
        ...

    def covers(self, region: Region) -> bool:
        """Whether it claims to know the whole region."""
        ...

    def search(self, region: Region) -> Stars:
        """Rows inside a region."""
        ...

    def scan(self, names: tuple[str, ...]) -> Iterator[Stars]:
        """All rows in pieces, of the named columns those that are there."""
        ...


class HatsList(Protocol):
    """A reference list as a HATS catalogue."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """As of a `StarList`."""
        ...

    @property
    def folder(self) -> Path:
        """Where ``hats.properties`` lies."""
        ...


class HatsLists(Protocol):
    """Where HATS catalogues are kept."""

    def find(self, name: str, owner: str | None) -> HatsList | None:
        """The owner's list of that name, else the global one."""
        ...


class ReferenceLists(Protocol):
    """Where reference lists are kept."""

    def save(self, stars: Stars, *, name: str, scope: Scope, owner: str | None, facts: dict[str, Any]) -> StarList:
        """Keep a list under a name, in place of an older one."""
        ...

    def find(self, name: str, owner: str | None) -> StarList | None:
        """The owner's list of that name, else the global one."""
        ...

    def list(self, owner: str | None) -> builtins.list[Any]:
        """Every list that an owner sees."""
        ...

    def delete(self, name: str, *, scope: Scope, owner: str | None) -> None:
        """Remove a list."""
        ...


class GaiaSource(Protocol):
    """What has Gaia stars of any region."""

    async def stars(self, region: Region, *, release: str, mag_limit: float | None, radius_deg: float) -> GaiaStars:
        """Stars of a region down to a magnitude, and a little beyond its edge.

        Raises
        ------
        QueryError
            It does not have them; ``reasons`` says why, layer by layer.
        """
        ...


class GaiaTileSource(Protocol):
    """What has whole tiles of Gaia stars."""

    async def tiles(self, tiles: Sequence[GaiaTile], *, release: str, depth: float) -> GaiaStars:
        """All stars of some tiles brighter than a depth; QueryError says why not."""
        ...


class Catalogue(Protocol):
    """A remote catalogue: how it is asked and how its answer is read."""

    @property
    def name(self) -> str:
        """Its name in settings and columns."""
        ...

    @property
    def upstream(self) -> str:
        """The service that holds it; limits count per upstream."""
        ...

    @property
    def largest_radius_deg(self) -> float:
        """The largest field it is asked about."""
        ...

    @property
    def needs_time(self) -> bool:
        """Whether the answer depends on when."""
        ...

    @property
    def key_name(self) -> str | None:
        """Name of the user's key that it needs, or None."""
        ...

    def question(self, field: SkyField, key: str | None = None) -> Question:
        """What to send.

        Raises
        ------
        QueryError
            ``no_epoch`` or ``no_key``: it cannot be asked.
        """
        ...

    def read(self, reply: Reply, field: SkyField) -> KnownObjects:
        """Objects of an answer.

        Raises
        ------
        QueryError
            ``malformed`` or ``refused``.
        """
        ...


class Catalogues(Protocol):
    """All catalogues by name."""

    def find(self, name: str) -> Catalogue | None:
        """The catalogue of a name, or None."""
        ...


class Answers(Protocol):
    """Complete answers that are young enough to be used again."""

    def get(self, catalogue: str, text: str) -> Reply | None:
        """A known answer."""
        ...

    def put(self, catalogue: str, text: str, reply: Reply) -> None:
        """Keep a complete answer."""
        ...


class Asker(Protocol):
    """Sends questions to one upstream."""

    async def ask(self, question: Question) -> Reply:
        """Send a question; QueryError says why there is no answer."""
        ...

    async def count_cache(self, *, hit: bool) -> None:
        """Count an answer that was known, or was not."""
        ...
