"""One frame, without a platform: ``{"task": "photometer", "filename": "X.fits"}``.

``python -m photometry_service.oneshot '{...}'``, or the argument of the image. Makes ``X_sources.fits`` and
``X_sources.csv``, PSF, header and, where asked for, maps and plots.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from astro_shared.contracts import products
from astro_shared.contracts.photometry import MeasureRequest
from astro_shared.contracts.settings import (
    ApertureSettings,
    BackgroundSettings,
    CosmicRaySettings,
    DetectionSettings,
    InputSettings,
    ProductSettings,
    PsfPhotometrySettings,
    PsfSettings,
)
from astro_shared.fits.tables import read_columns
from astro_shared.jobs.task import OutputFile
from astro_shared.oneshot import DataFolder, OneShotTask, Outcome, run_oneshot
from photometry_service.tasks import measure

SOURCES_CSV = "sources.csv"


class PhotometerTask(OneShotTask):
    """A frame, and what is to be done otherwise than by default."""

    task: Literal["photometer"]
    input: InputSettings = InputSettings()
    cosmic_rays: CosmicRaySettings = CosmicRaySettings()
    background: BackgroundSettings = BackgroundSettings()
    detection: DetectionSettings = DetectionSettings()
    psf: PsfSettings = PsfSettings()
    psf_photometry: PsfPhotometrySettings = PsfPhotometrySettings()
    aperture: ApertureSettings = ApertureSettings()
    products: ProductSettings = Field(ProductSettings(plots=False, maps=False))


def photometer(task: PhotometerTask, data: DataFolder) -> Outcome:
    """Measure every source of the frame."""
    frame = data.file(task.filename)
    sections = {
        name: getattr(task, name) for name in PhotometerTask.model_fields if name in MeasureRequest.model_fields
    }
    request = MeasureRequest(frame=data.add(frame), frame_name=frame.name, **sections)
    output = measure(request, data.context())
    table = data.workspace / SOURCES_CSV
    _write_csv(output.files[products.SOURCES].path, table)
    files = {name: file for name, file in output.files.items() if name != products.CARDS}
    return Outcome(output.result, {**files, SOURCES_CSV: OutputFile(table, "text/csv")})


def _write_csv(source: Path, target: Path) -> None:
    """The same table as text; cells without a value are empty."""
    columns = read_columns(source)
    names = [name for name, values in columns.items() if values.ndim == 1]
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row in zip(*(columns[name].tolist() for name in names), strict=True):
            writer.writerow(["" if isinstance(value, float) and np.isnan(value) else value for value in row])


def run(text: str) -> int:
    """Carry out the task that the text describes; return the exit status."""
    return run_oneshot(text, PhotometerTask, photometer)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1] if len(sys.argv) == 2 else ""))
