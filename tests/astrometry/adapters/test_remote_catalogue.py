"""Reference stars asked through the parent: every star gets its own row back, or none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from astro_shared.contracts.settings import ReferenceSettings
from astro_shared.contracts.tables import TableSchema
from astro_shared.fits.tables import write_columns
from astro_shared.jobs.task import LocalLink, TaskContext
from astrometry_service.adapters.remote_catalogue import RemoteCatalogue
from astrometry_service.domain.reference import ReferenceStars

LIST = {
    "ra": np.array([10.0, 10.1, 10.2, 10.2]),
    "dec": np.array([5.0, 5.1, 5.2, 5.2]),
    "r_mag": np.array([9.0, 10.0, 11.0, 12.0]),
}


def catalogue(folder: Path, answers: Sequence[dict[str, Any]]) -> RemoteCatalogue:
    left = list(enumerate(answers))

    def answer(_: dict[str, Any]) -> dict[str, Any]:
        number, columns = left.pop(0)
        path = folder / f"{number}.fits"
        write_columns(path, columns, TableSchema("reference", ()))
        return {"path": str(path), "layer": "list"}

    context = TaskContext(folder, {}, LocalLink({"reference_stars": answer}))
    return RemoteCatalogue(context, ReferenceSettings(name="mine"))


@pytest.mark.parametrize(
    "identifiers", [np.array([4, 3, 2, 1]), np.array(["HD 3", "HD 1", "HD 2", ""]), np.array([7, 7, 7, 8])]
)
def test_every_star_gets_its_own_row(tmp_path: Path, identifiers: np.ndarray) -> None:
    """Text, identifiers that a list repeats, and two stars at one place; a second answer repeats rows of the first."""
    columns = LIST | {"source_id": identifiers}
    asked = catalogue(tmp_path, [{name: values[:2] for name, values in columns.items()}, columns])
    asked.cone(10.0, 5.0, 1.0)
    stars = asked.cone(10.0, 5.0, 1.0).stars
    order = np.array([3, 1, 0, 2])
    rows = asked.full_rows(stars.take(order))
    assert rows is not None
    for name, values in columns.items():
        np.testing.assert_array_equal(rows[name], values[order])


@pytest.mark.parametrize("identifiers", [None, np.array([1.5, 2.0, np.nan])])
def test_stars_without_identifiers_get_their_own_rows(tmp_path: Path, identifiers: np.ndarray | None) -> None:
    columns = {name: values[:3] for name, values in LIST.items()}
    asked = catalogue(tmp_path, [columns if identifiers is None else columns | {"source_id": identifiers}])
    rows = asked.full_rows(asked.cone(10.0, 5.0, 1.0).stars.take(np.array([2, 0])))
    assert rows is not None and rows["r_mag"].tolist() == [11.0, 9.0]


def test_text_identifiers_stay_what_they_are(tmp_path: Path) -> None:
    asked = catalogue(tmp_path, [LIST | {"source_id": np.array(["a", "b", "c", "d"])}])
    assert asked.cone(10.0, 5.0, 1.0).stars.source_id.tolist() == ["a", "b", "c", "d"]


def test_stars_from_elsewhere_are_not_given_rows_of_others(tmp_path: Path) -> None:
    """Their numbers are there, and beyond the last one: the first gave another star's row, the second an IndexError."""
    asked = catalogue(tmp_path, [LIST | {"source_id": np.arange(4)}])
    asked.cone(10.0, 5.0, 1.0)
    for count in (2, 9):
        others = ReferenceStars.from_columns({"ra": np.linspace(80, 81, count), "dec": np.zeros(count)})
        assert asked.full_rows(others) is None
    assert catalogue(tmp_path, []).full_rows(others) is None
