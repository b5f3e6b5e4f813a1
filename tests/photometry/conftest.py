"""The jobs of the service on files, as its worker runs them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits

from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.photometry import (
    CalibrateRequest,
    ForcedPosition,
    ForcedRequest,
    ForcedTable,
    MeasureRequest,
    MeasureResult,
    ZeroPointReport,
)
from astro_shared.contracts.tables import POSITIONS
from astro_shared.fits.tables import read_columns, write_columns
from astro_shared.jobs.task import LocalLink, TaskContext
from astro_shared.testing.frames import SimulatedFrame
from photometry_service import tasks


@dataclass(frozen=True)
class JobFolder:
    """A simulated frame, its files, and what the jobs make of them."""

    frame: SimulatedFrame
    path: Path

    def reference(self, name: str) -> ObjectRef:
        content = (self.path / name).read_bytes()
        return ObjectRef(key=name, sha256=hashlib.sha256(content).hexdigest(), size=len(content))

    def context(self, *names: str) -> TaskContext:
        return TaskContext(self.path, {name: self.path / name for name in names}, LocalLink(None))

    def measure(self, **more: Any) -> MeasureResult:
        """Makes ``sources.fits`` and ``psf.fits``."""
        self.frame.write(self.path / "raw.fits")
        request = MeasureRequest(frame=self.reference("raw.fits"), frame_name="raw.fits", **more)
        return MeasureResult.model_validate(tasks.measure(request, self.context("raw.fits")).result)

    def calibrate(self, measured: MeasureResult, **more: Any) -> ZeroPointReport:
        """With the true positions of the sources; makes ``calibrated.fits`` and ``calibrators.fits``."""
        self.frame.write_reference(self.path / "reference.fits")
        sources = read_columns(self.path / "sources.fits")
        ra, dec = self.frame.wcs.all_pix2world(sources["x"], sources["y"], 0)
        write_columns(self.path / "positions.fits", {"id": sources["id"], "ra": ra, "dec": dec}, POSITIONS)
        names = ("sources", "positions", "reference")
        request = CalibrateRequest(
            **{name: self.reference(f"{name}.fits") for name in names}, measure=measured, scale_arcsec_px=1.0,
            ra_center_deg=self.frame.sky.ra_deg, dec_center_deg=self.frame.sky.dec_deg, **more,
        )  # type: ignore[arg-type]  # fmt: skip
        done = tasks.calibrate(request, self.context(*(f"{name}.fits" for name in names)))
        return ZeroPointReport.model_validate(done.result["zero_point"])

    def forced(self, positions: list[ForcedPosition], *, wcs: bool = False, **more: Any) -> ForcedTable:
        names = {"frame": "raw.fits", "psf": "psf.fits", "sources": "sources.fits"}
        if wcs:
            fits.PrimaryHDU(header=self.frame.wcs_header).writeto(self.path / "wcs.fits", overwrite=True)
            names["wcs"] = "wcs.fits"
        request = ForcedRequest(
            frame_name="raw.fits", positions=tuple(positions), **more,
            **{field: self.reference(name) for field, name in names.items()},
        )  # type: ignore[arg-type]  # fmt: skip
        done = tasks.forced(request, self.context(*names.values()))
        table = ForcedTable.model_validate_json(done.files["forced.json"].path.read_text())
        assert done.result["positions"] == len(table.fluxes) == len(positions)
        return table


@pytest.fixture(scope="session")
def job_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[SimulatedFrame], JobFolder]:
    return lambda frame: JobFolder(frame, tmp_path_factory.mktemp("jobs"))
