"""One reference list matched to another, partition by partition, without a pair lost between partitions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from catalogs_service.errors import ReferenceListNotFoundError, ReferenceReplacedError
from catalogs_service.ports import HatsList, HatsLists

Report = Callable[[float, str, str], None]


class WriteMargin(Protocol):
    """Writes the margin of a list into a folder and tells its rows; without any there is no folder."""

    def __call__(
        self, given: HatsList, folder: Path, *, radius_arcsec: float, report: Callable[[float], None]
    ) -> int: ...


class Matcher(Protocol):
    """Writes the pairs of two HATS catalogues as a third."""

    def match(
        self,
        left: Path,
        right: Path,
        margin: Path | None,
        out: Path,
        *,
        radius_arcsec: float,
        neighbours: int,
        all_columns: bool,
        report: Callable[[float], None],
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class SurveyMatch:
    """Rows of both lists and of the margin that the second one was given."""

    left_rows: int
    right_rows: int
    margin_rows: int


class MatchSurveys:
    """Matches lists at hand.

    Parameters
    ----------
    lists : where they are
    write_margin : makes what the second list needs beyond its partitions
    matcher : does the work
    """

    def __init__(self, lists: HatsLists, write_margin: WriteMargin, matcher: Matcher) -> None:
        self._lists = lists
        self._write_margin = write_margin
        self._matcher = matcher

    def run(
        self,
        left: str,
        right: str,
        owner: str | None,
        out: Path,
        *,
        radius_arcsec: float,
        neighbours: int,
        all_columns: bool,
        report: Report = lambda fraction, step, message: None,
    ) -> SurveyMatch:
        """Write the pairs of two lists to ``out``; the margin lies beside it while they are found.

        Raises
        ------
        ReferenceListNotFoundError
            There is no such list.
        ReferenceReplacedError
            A list was replaced meanwhile, and its files removed; the work can begin again.
        """
        first, second = self._found(left, owner), self._found(right, owner)
        try:
            margin_rows = self._matched(
                first, second, out, radius_arcsec=radius_arcsec, neighbours=neighbours, all_columns=all_columns,
                report=report,
            )  # fmt: skip
        except FileNotFoundError as error:
            for name, given in ((left, first), (right, second)):
                if self._found(name, owner).folder != given.folder:
                    raise ReferenceReplacedError(
                        f"The list {name} was replaced while it was matched.", name=name
                    ) from error
            raise
        return SurveyMatch(int(first.facts["rows"]), int(second.facts["rows"]), margin_rows)

    def _matched(
        self,
        first: HatsList,
        second: HatsList,
        out: Path,
        *,
        radius_arcsec: float,
        neighbours: int,
        all_columns: bool,
        report: Report,
    ) -> int:
        """Write the pairs of two lists; tell the rows of the margin."""
        margin = out.with_name(f"{out.name}_margin")
        words = f"{first.facts['rows']} rows to {second.facts['rows']}"
        margin_rows = self._write_margin(
            second, margin, radius_arcsec=radius_arcsec, report=lambda part: report(0.2 * part, "margin", words)
        )
        self._matcher.match(
            first.folder,
            second.folder,
            margin if margin_rows else None,
            out,
            radius_arcsec=radius_arcsec,
            neighbours=neighbours,
            all_columns=all_columns,
            report=lambda part: report(0.2 + 0.7 * part, "match", words),
        )
        return margin_rows

    def _found(self, name: str, owner: str | None) -> HatsList:
        found = self._lists.find(name, owner)
        if found is None:
            raise ReferenceListNotFoundError(f"There is no reference list {name}.", name=name)
        return found
