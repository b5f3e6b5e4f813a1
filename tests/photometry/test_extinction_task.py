"""The job ``extinction`` on tables of calibrators."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.photometry import (
    ExtinctionRequest,
    ExtinctionResult,
    FrameSummary,
    SeriesFrame,
    ZeroPointReport,
)
from astro_shared.contracts.tables import CALIBRATORS
from astro_shared.fits.tables import write_columns
from astro_shared.jobs.task import LocalLink, TaskContext
from photometry_service import tasks
from photometry_service.workflows.fit_series import SeriesMixedError

K, STARS = 0.12, 30


def summary(name: str) -> FrameSummary:
    return FrameSummary(
        frame_name=name, hdu=0, width_px=99, height_px=99, gain_e_per_adu=1.0, read_noise_e=1.0, noise_model="header"
    )


def series(folder: Path, airmasses: list[float | None], **changes: Any) -> tuple[ExtinctionRequest, TaskContext]:
    rng = np.random.default_rng(12)
    color = rng.uniform(0.2, 2.0, STARS)
    frames, inputs = [], {}
    for number, airmass in enumerate(airmasses):
        path = folder / f"frame{number}.fits"
        error = np.full(STARS, 0.004)
        inst = -8.0 + rng.normal(0, error) + K * (airmass or 1.0)
        columns = {
            "source_id": np.arange(STARS).astype(str), "ra": np.full(STARS, 10.0), "dec": np.full(STARS, 5.0),
            "mag_ref": np.full(STARS, 16.0), "color_ref": color, "mag_inst": inst, "mag_inst_err": error,
            "used": np.arange(STARS) > 1,
        }  # fmt: skip
        write_columns(path, columns, CALIBRATORS)
        ref = ObjectRef(key=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), size=path.stat().st_size)
        report = {"status": "calibrated", "band": "G", "color": "BP-RP", "airmass": airmass} | changes.get(
            str(number), {}
        )
        frames.append(
            SeriesFrame(name=path.name, calibrators=ref, frame=summary(path.name), zero_point=ZeroPointReport(**report))
        )
        inputs[path.name] = path
    return ExtinctionRequest(frames=tuple(frames)), TaskContext(folder, inputs, LocalLink(None))


def test_a_night_gives_its_extinction_a_table_and_a_plot(tmp_path: Path) -> None:
    done = tasks.extinction(*series(tmp_path, [1.0, 1.1, 1.25, 1.5, 1.8, 2.1, None]))
    result = ExtinctionResult.model_validate(done.result)
    assert result.k_mag == pytest.approx(K, abs=4 * result.k_err_mag) and result.k_err_mag < 0.01
    assert result.zero_point_mag == pytest.approx(24.0, abs=4 * result.zero_point_err_mag)
    assert result.k2 == pytest.approx(0.0, abs=4 * (result.k2_err or 0))
    assert [frame.used for frame in result.frames] == [True] * 6 + [False]
    assert "airmass is not known" in (result.frames[-1].reason or "")
    assert result.frames[2].stars == STARS - 2
    assert result.frames[2].zero_point_mag == pytest.approx(24.0 - K * 1.25, abs=0.01)
    with done.files["extinction.csv"].path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [frame.name for frame in result.frames]
    assert done.files["plots/extinction.png"].path.stat().st_size > 5000
    assert json.loads(done.files["plots/extinction.json"].path.read_text())["k_mag"] == pytest.approx(
        result.k_mag, rel=1e-5
    )


def test_frames_of_several_bands_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SeriesMixedError, match="BP, G"):
        tasks.extinction(*series(tmp_path, [1.0, 1.1, 1.3, 1.5, 1.8], **{"3": {"band": "BP"}}))
