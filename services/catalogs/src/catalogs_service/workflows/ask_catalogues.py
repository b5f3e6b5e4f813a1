"""All catalogues asked about one field at the same time; each answers for itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from astro_shared.errors import AlidadeError
from catalogs_service.algorithms.field import snapped
from catalogs_service.domain.questions import CatalogueAnswer, KnownObjects, Question, SkyField, no_objects
from catalogs_service.domain.stars import SelectedStars, Selection, Stars
from catalogs_service.errors import QueryError, ReferenceUnavailableError
from catalogs_service.ports import Answers, Asker, Catalogue, Catalogues
from catalogs_service.workflows.find_reference_stars import GAIA, FindReferenceStars

KeySource = Callable[[str], Awaitable[str | None]]
_NOT_ASKED = frozenset({"no_epoch", "no_key", "unknown_catalogue", "field_too_large", "offline"})
_GAIA_RADIUS_DEG = 5.0
_GAIA_ROWS = 500_000


class AskCatalogues:
    """Asks catalogues and says of each what is known and what is not.

    Parameters
    ----------
    catalogues : by name
    askers : HTTP per upstream; an upstream without one is not asked (offline)
    answers : complete answers that can be used again
    find_stars : for Gaia, which has its own chain of places
    """

    def __init__(
        self, catalogues: Catalogues, askers: Mapping[str, Asker], answers: Answers, find_stars: FindReferenceStars
    ) -> None:
        self._catalogues = catalogues
        self._askers = askers
        self._answers = answers
        self._find_stars = find_stars

    async def ask(
        self, names: Sequence[str], field: SkyField, *, owner: str | None, release: str, key: KeySource
    ) -> list[CatalogueAnswer]:
        """Answers in the order of the names; never raises for a catalogue's sake."""
        return list(await asyncio.gather(*(self._one(name, field, owner, release, key) for name in names)))

    async def _one(
        self, name: str, field: SkyField, owner: str | None, release: str, key: KeySource
    ) -> CatalogueAnswer:
        began, asked_at = time.monotonic(), datetime.now(UTC)
        try:
            if name == GAIA:
                answer = await self._gaia(field, owner, release)
            else:
                answer = await self._remote(name, field, key)
        except QueryError as error:
            answer = _without_answer(name, error)
        except AlidadeError as error:
            answer = CatalogueAnswer(name, "failed", no_objects(), cause="unreachable", message=error.message)
        return replace(answer, asked_at=asked_at, seconds=round(time.monotonic() - began, 3))

    async def _remote(self, name: str, field: SkyField, key: KeySource) -> CatalogueAnswer:
        catalogue = self._catalogues.find(name)
        if catalogue is None:
            raise QueryError(f"There is no catalogue {name}.", cause="unknown_catalogue")
        field = _asked_field(catalogue, field)
        secret = None if catalogue.key_name is None else await key(catalogue.key_name)
        question = catalogue.question(field, secret)
        known = self._answers.get(catalogue.name, question.text)
        asker = self._askers.get(catalogue.upstream)
        if asker is not None:
            await asker.count_cache(hit=known is not None)
        reply = known
        if reply is None:
            if asker is None:
                raise QueryError("The service works without the network.", cause="offline")
            try:
                reply = await asker.ask(question)
            except QueryError as error:
                raise _with_query(error, question) from None
        try:
            objects = await asyncio.to_thread(catalogue.read, reply, field)
        except QueryError as error:
            raise _with_query(error, question) from None
        if known is None and not objects.overflow:
            self._answers.put(catalogue.name, question.text, reply)
        return _with_objects(name, objects, question.text, None if known is None else known.age_s)

    async def _gaia(self, field: SkyField, owner: str | None, release: str) -> CatalogueAnswer:
        cone = field.cone
        text = f"gaia {release} cone {cone.ra_deg:.5f} {cone.dec_deg:.5f} {cone.radius_deg:.5f}"
        if cone.radius_deg > _GAIA_RADIUS_DEG:
            raise QueryError(
                f"The field is {cone.radius_deg:.1f} degrees in radius; gaia is asked up to {_GAIA_RADIUS_DEG:g}.",
                cause="field_too_large",
            )
        wanted = Selection(max_rows=_GAIA_ROWS)
        try:
            found = await self._find_stars.find(GAIA, cone, wanted, owner=owner, release=release)
        except ReferenceUnavailableError as error:
            cause = "unreachable" if self._find_stars.asks_outside else "offline"
            raise QueryError(error.message, cause=cause, query=text) from None
        objects = gaia_objects(found.stars, overflow=found.truncated, total=found.found)
        return _with_objects(GAIA, objects, _gaia_text(text, found), None)


def _asked_field(catalogue: Catalogue, field: SkyField) -> SkyField:
    if field.cone.radius_deg > catalogue.largest_radius_deg:
        raise QueryError(
            f"The field is {field.cone.radius_deg:.1f} degrees in radius; {catalogue.name} is asked up to "
            f"{catalogue.largest_radius_deg:g}.",
            cause="field_too_large",
        )
    return field if catalogue.needs_time else replace(field, cone=snapped(field.cone))


def _gaia_text(text: str, found: SelectedStars) -> str:
    depth = "" if found.depth_mag is None else f" G < {found.depth_mag:g}"
    return f"{text}{depth} from {found.layer}"


def _with_query(error: QueryError, question: Question) -> QueryError:
    error.details["query"] = question.text
    return error


def _without_answer(name: str, error: QueryError) -> CatalogueAnswer:
    details = error.details
    return CatalogueAnswer(
        name,
        "not_asked" if error.cause in _NOT_ASKED else "failed",
        no_objects(),
        cause=error.cause,
        message=error.message,
        http_status=details.get("http_status"),
        retry_at=details.get("retry_at"),
        query=details.get("query"),
    )


def _with_objects(name: str, objects: KnownObjects, query: str, cache_age_s: float | None) -> CatalogueAnswer:
    if not objects.overflow:
        return CatalogueAnswer(name, "complete", objects, query=query, cache_age_s=cache_age_s)
    of = f" of {objects.total}" if objects.total is not None else ", and there are more"
    message = f"{name} gave {len(objects)} objects{of}: sources without a match may be known."
    return CatalogueAnswer(name, "partial", objects, cause="overflow", message=message, query=query)


def gaia_objects(stars: Stars, *, overflow: bool = False, total: int | None = None) -> KnownObjects:
    """Gaia stars as known objects."""
    n = len(stars)

    def column(name: str) -> np.ndarray:
        return np.asarray(stars[name], float) if name in stars else np.full(n, np.nan)

    magnitude = column("phot_g_mean_mag")
    details = [f'{{"phot_g_mean_mag": {value:.3f}}}' if np.isfinite(value) else "{}" for value in magnitude]
    ids = stars["source_id"] if "source_id" in stars else np.arange(1, n + 1)
    return KnownObjects(
        identifier=ids.astype(str).astype(object),
        kind=np.full(n, "star", object),
        ra=column("ra"),
        dec=column("dec"),
        error_arcsec=np.fmax(column("ra_error"), column("dec_error")) / 1000.0,
        pmra=column("pmra"),
        pmdec=column("pmdec"),
        epoch=np.nan_to_num(column("ref_epoch"), nan=2016.0),
        details=np.array(details, dtype=object),
        overflow=overflow,
        total=total,
    )
