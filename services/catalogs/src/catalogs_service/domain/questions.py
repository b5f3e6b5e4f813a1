"""Questions to remote catalogues and what comes back, before anything is believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs_service.domain.regions import Cone


@dataclass(frozen=True, slots=True)
class SkyField:
    """What part of the sky, seen when and from where.

    ``date_mid`` is the middle of the exposure (UTC), ``observatory`` an MPC code, ``window_days`` how near in time a
    transient must be.
    """

    cone: Cone
    epoch_jyear: float | None = None
    date_mid: datetime | None = None
    observatory: str = "500"
    window_days: float = 10.0


@dataclass(frozen=True, slots=True)
class Question:
    """One HTTP request.

    ``text`` names the question in statuses and in the cache: the query without keys. ``repeatable`` says that asking
    twice does no harm.
    """

    url: str
    text: str
    method: str = "GET"
    parameters: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    json: Mapping[str, Any] | None = None
    repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with a good HTTP status; nothing else of it was looked at."""

    status: int
    content: bytes
    media_type: str = ""
    location: str = ""
    age_s: float | None = None


@dataclass(frozen=True, slots=True)
class KnownObjects:
    """Objects of a catalogue in a field (n,): ``ra, dec`` deg ICRS at ``epoch`` (Julian year), motions mas/yr.

    ``error_arcsec`` is one sigma per axis, NaN where unknown; ``details`` are the other columns as JSON text.
    ``overflow`` says that there are more than these; ``total`` how many, where the catalogue tells.
    """

    identifier: NDArray[Any]
    kind: NDArray[Any]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    error_arcsec: NDArray[np.float64]
    pmra: NDArray[np.float64]
    pmdec: NDArray[np.float64]
    epoch: NDArray[np.float64]
    details: NDArray[Any]
    overflow: bool = False
    total: int | None = None

    def __len__(self) -> int:
        return len(self.ra)


def no_objects() -> KnownObjects:
    """A field in which a catalogue knows nothing."""
    text, number = np.empty(0, object), np.empty(0)
    return KnownObjects(text, text, number, number, number, number, number, number, text)


@dataclass(frozen=True, slots=True)
class CatalogueAnswer:
    """What became of one question: objects, or why there are none.

    ``complete`` answers know everything about the field; the others carry ``status`` ``partial`` (with objects),
    ``failed`` or ``not_asked`` and a ``cause`` of the contract.
    """

    catalogue: str
    status: str
    objects: KnownObjects
    cause: str | None = None
    message: str | None = None
    http_status: int | None = None
    retry_at: datetime | None = None
    query: str | None = None
    asked_at: datetime | None = None
    seconds: float = 0.0
    cache_age_s: float | None = None

    @property
    def complete(self) -> bool:
        return self.status == "complete"
