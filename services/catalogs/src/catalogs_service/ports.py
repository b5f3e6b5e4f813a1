"""What the workflows need from outside."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any, Literal, Protocol

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
    """A place that has Gaia stars of any region: cache, archive, VizieR."""

    @property
    def layer(self) -> Literal["cache", "archive", "vizier"]:
        """What it is called in answers."""
        ...

    async def stars(self, region: Region, *, release: str, mag_limit: float | None) -> Stars:
        """All stars of a region down to a magnitude, a little beyond its edge.

        Raises
        ------
        QueryError
            It does not have them; says why.
        """
        ...
