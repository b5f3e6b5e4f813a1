"""The job ``forced`` after ``measure``, on files, as the worker runs it."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from pydantic import ValidationError

from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.photometry import ForcedPosition, ForcedRequest, ForcedTable, MeasureRequest
from astro_shared.jobs.task import LocalLink, TaskContext
from astro_shared.testing.frames import Camera, SimulatedFrame, simulate_frame
from astro_shared.testing.truth import robust_sigma
from photometry_service import tasks
from photometry_service.workflows.measure_positions import PositionsError


def reference(path: Path) -> ObjectRef:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ObjectRef(key=path.name, sha256=digest, size=path.stat().st_size)


@pytest.fixture(scope="module")
def frame() -> SimulatedFrame:
    return simulate_frame(51, n_stars=300, camera=Camera(shape=(620, 620)))


@pytest.fixture(scope="module")
def folder(frame: SimulatedFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forced")
    frame.write(folder / "raw.fits")
    fits.PrimaryHDU(header=frame.wcs_header).writeto(folder / "wcs.fits")
    request = MeasureRequest(
        frame=reference(folder / "raw.fits"), frame_name="raw.fits", products={"plots": False, "maps": False}
    )
    tasks.measure(request, TaskContext(folder, {"raw.fits": folder / "raw.fits"}, LocalLink(None)))
    return folder


def forced(folder: Path, positions: list[ForcedPosition], *, wcs: bool = False, **more: object) -> ForcedTable:
    names = {"frame": "raw.fits", "psf": "psf.fits", "sources": "sources.fits"} | ({"wcs": "wcs.fits"} if wcs else {})
    request = ForcedRequest(
        frame_name="raw.fits", positions=tuple(positions), **more,
        **{field: reference(folder / name) for field, name in names.items()},
    )  # type: ignore[arg-type]  # fmt: skip
    context = TaskContext(folder, {name: folder / name for name in names.values()}, LocalLink(None))
    done = tasks.forced(request, context)
    table = ForcedTable.model_validate_json(done.files["forced.json"].path.read_text())
    assert done.result["positions"] == len(table.fluxes) == len(positions)
    return table


def test_known_stars_have_their_fluxes_by_sky_position(frame: SimulatedFrame, folder: Path) -> None:
    truth = frame.truth[np.asarray(frame.truth["isolated"]) & ~np.asarray(frame.truth["saturated"])]
    truth = truth[(np.asarray(truth["snr"]) > 15) & (np.abs(np.asarray(truth["x"]) - 310) < 280)]
    places = [ForcedPosition(ra_deg=row["ra"], dec_deg=row["dec"], name=str(n)) for n, row in enumerate(truth)]
    rows = forced(folder, places, wcs=True, zero_point_mag=25.0, zero_point_err_mag=0.03).fluxes
    pulls = np.array([(row.flux_e - t) / row.flux_err_e for row, t in zip(rows, truth["flux_e"], strict=True)])
    assert len(pulls) > 15
    assert abs(np.median(pulls)) < 3 * 1.25 / np.sqrt(len(pulls))
    assert robust_sigma(pulls) < 1.6
    first = rows[0]
    assert first.mag == pytest.approx(25 - 2.5 * np.log10(first.flux_e / 60.0))
    assert first.upper_limit_e is None
    assert first.mag_err_total == pytest.approx(np.hypot(first.mag_err_stat, 0.03))


def test_the_table_has_the_same_rows_as_csv(folder: Path) -> None:
    table = forced(folder, [ForcedPosition(x=100.0, y=100.0, name="=1+1"), ForcedPosition(x=-50.0, y=3.0, name="off")])
    with (folder / "forced.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["'=1+1", "off"]
    assert float(rows[0]["flux_e"]) == table.fluxes[0].flux_e
    assert rows[1]["flux_e"] == "" and table.fluxes[1].flux_e is None


def test_empty_sky_scatters_around_zero_with_its_error(frame: SimulatedFrame, folder: Path) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.uniform(25, 595, (2, 600))
    stars = np.column_stack([frame.truth["x"], frame.truth["y"]])
    far = np.min(np.hypot(x[:, None] - stars[:, 0], y[:, None] - stars[:, 1]), axis=1) > 25
    rows = forced(folder, [ForcedPosition(x=a, y=b) for a, b in zip(x[far], y[far], strict=True)]).fluxes
    pulls = np.array([row.flux_e / row.flux_err_e for row in rows])
    assert 0.8 < robust_sigma(pulls) < 1.25
    assert abs(np.median(pulls)) < 3 * 1.25 / np.sqrt(len(pulls)) + 0.1
    assert any(row.flux_e < 0 for row in rows)
    assert all(row.upper_limit_e is not None for row in rows if row.snr < 3)
    assert all(row.mag is None for row in rows)


def test_off_the_frame_is_null(folder: Path) -> None:
    row = forced(folder, [ForcedPosition(x=-50.0, y=10.0)]).fluxes[0]
    assert row.flux_e is None and row.upper_limit_e is None


def test_sky_positions_without_a_solution_are_refused(folder: Path) -> None:
    with pytest.raises(PositionsError, match="no WCS"):
        forced(folder, [ForcedPosition(ra_deg=150.1, dec_deg=22.2)])


@pytest.mark.parametrize("fields", [{"x": 1.0}, {}, {"x": 1.0, "y": 2.0, "ra_deg": 3.0, "dec_deg": 4.0}])
def test_half_a_position_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="either x and y"):
        ForcedPosition(**fields)
