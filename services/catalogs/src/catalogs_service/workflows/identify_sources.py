"""Sources of a frame get their names: the answers of all catalogues become two tables and a status each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from catalogs_service.algorithms.identification import identify
from catalogs_service.algorithms.sky_match import MatchRadius
from catalogs_service.domain.identification import CatalogueMatches, Columns, Identification
from catalogs_service.domain.positions import Positions
from catalogs_service.domain.questions import CatalogueAnswer

_TEXT = np.dtype(object)


def identify_sources(
    sources: Positions, answers: Sequence[CatalogueAnswer], *, epoch_jyear: float | None, radius: MatchRadius
) -> Identification:
    """Match the sources to every catalogue that gave objects."""
    pieces: list[Columns] = []
    wide: Columns = {"id": sources.id}
    statuses: list[CatalogueMatches] = []
    known = np.zeros(len(sources), bool)
    for answer in answers:
        if answer.status not in ("complete", "partial"):
            statuses.append(CatalogueMatches(answer, answer.status, 0))
            continue
        rows, best = _one_catalogue(sources, answer, epoch_jyear, radius)
        pieces.append(rows)
        wide |= _wide(answer.catalogue, rows, best, len(sources))
        known[best] = True
        word = answer.status if answer.status == "partial" else "matched" if len(best) else "no_match"
        statuses.append(CatalogueMatches(answer, word, len(best)))
    return Identification(_joined(pieces), wide, tuple(statuses), int(known.sum()))


def completed(found: Identification, matches: Columns, identifications: Columns, kept: Sequence[str]) -> Identification:
    """Add what an earlier identification of the same sources knows of the catalogues ``kept``.

    Parameters
    ----------
    found : what the catalogues that were asked now said; its statuses are only of those
    matches, identifications : the two tables of the earlier one
    """
    rows = np.isin(matches["catalogue"].astype(str), list(kept))
    earlier = {name: values[rows] for name, values in matches.items()}
    old = {name: values for name, values in identifications.items() if name.startswith(tuple(f"{k}_" for k in kept))}
    wide = {**found.identifications, **old}
    known = np.zeros(len(wide["id"]), bool)
    for name in wide:
        if name.endswith("_id"):
            known |= wide[name].astype(str) != ""
    return Identification(_joined([earlier, found.matches]), wide, found.statuses, int(known.sum()))


def _one_catalogue(
    sources: Positions, answer: CatalogueAnswer, epoch_jyear: float | None, radius: MatchRadius
) -> tuple[Columns, NDArray[np.int64]]:
    """Candidate rows of one catalogue, and the source rows of the best ones in their order."""
    objects = answer.objects
    found = identify(sources, objects, epoch_jyear=epoch_jyear, radius=radius)
    pairs = found.candidates
    rows: Columns = {
        "id": sources.id[pairs.source],
        "catalogue": np.full(len(pairs), answer.catalogue, _TEXT),
        "object_id": objects.identifier[pairs.entry],
        "object_type": objects.kind[pairs.entry],
        "ra": found.ra[pairs.entry],
        "dec": found.dec[pairs.entry],
        "sep_arcsec": pairs.sep_arcsec,
        "sep_sigma": pairs.sep_sigma,
        "p_chance": pairs.p_chance,
        "best": pairs.best,
        "details": objects.details[pairs.entry],
    }
    return rows, pairs.source[pairs.best]


def _wide(catalogue: str, rows: Columns, best: NDArray[np.int64], n: int) -> Columns:
    chosen = rows["best"]
    made: Columns = {}
    for suffix, name, empty in (
        ("id", "object_id", ""),
        ("sep_arcsec", "sep_arcsec", np.nan),
        ("type", "object_type", ""),
        ("p_chance", "p_chance", np.nan),
    ):
        column = np.full(n, empty, _TEXT if empty == "" else float)
        column[best] = rows[name][chosen]
        made[f"{catalogue}_{suffix}"] = column
    return made


def _joined(pieces: list[Columns]) -> Columns:
    if not pieces:
        text, number = np.empty(0, _TEXT), np.empty(0)
        return {
            "id": np.empty(0, np.int64), "catalogue": text, "object_id": text, "object_type": text, "ra": number,
            "dec": number, "sep_arcsec": number, "sep_sigma": number, "p_chance": number, "best": np.empty(0, bool),
            "details": text,
        }  # fmt: skip
    joined = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    order = np.argsort(joined["id"], kind="stable")
    return {name: values[order] for name, values in joined.items()}
