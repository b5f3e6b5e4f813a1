"""One frame, without a platform: ``{"task": "astrometer", "filename": "X.fits", "reference": "stars.csv"}``.

``python -m astrometry_service.oneshot '{...}'``, or the argument of the image. Sources are those of a table made by
``photometer`` (``"sources": "X_sources.fits"``) or are found here. Reference stars come from the file that the task
names, else from inside the index files that are installed or mounted (bright stars at J2000). Makes ``X_wcs.fits``,
``X_positions.fits``, ``X_astrometry.json`` and more.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from pydantic import Field

from astro_shared.contracts.astrometry import SolveRequest
from astro_shared.contracts.settings import (
    AstrometrySettings,
    InputSettings,
    ProductSettings,
    ReferenceSettings,
    SolveSettings,
)
from astro_shared.fits import header_text, read_frame
from astro_shared.oneshot import DataFolder, OneShotTask, Outcome, run_oneshot
from astrometry_service.adapters.frame_summary import summarise_frame
from astrometry_service.adapters.reference_file import (
    Columns,
    ReferenceFile,
    read_index_reference,
    read_reference_file,
)
from astrometry_service.adapters.remote_catalogue import QUESTION
from astrometry_service.errors import ReferenceListError
from astrometry_service.tasks import solve


class AstrometerTask(OneShotTask):
    """A frame, reference stars, and what is to be done otherwise than by default."""

    task: Literal["astrometer"]
    reference: str | None = Field(None, max_length=255, description="File of reference stars, in the data folder")
    sources: str | None = Field(None, max_length=255, description="Source table of the frame; found here unless given")
    indexes: tuple[str, ...] = Field((), description="Folders with index files, in the container")
    input: InputSettings = InputSettings()
    solve: SolveSettings = SolveSettings()
    astrometry: AstrometrySettings = AstrometrySettings()
    products: ProductSettings = Field(ProductSettings(plots=False))


def astrometer(task: AstrometerTask, data: DataFolder) -> Outcome:
    """Solve the frame; not reached where no solution was found, with the reason in the report."""
    frame = data.file(task.filename)
    reference = data.file(task.reference) if task.reference is not None else None
    given = data.file(task.sources) if task.sources is not None else None
    data.answers[QUESTION] = ReferenceFile(_reference(reference, task.indexes), data.workspace).answer
    hdu = task.input.hdu
    raw = read_frame(
        frame, None if isinstance(hdu, str) else hdu, mask_hdu=task.input.mask_hdu, mask_bits=task.input.mask_bits,
        scratch=data.workspace,
    )  # fmt: skip
    summary = summarise_frame(raw, task.input, frame.name)
    header = data.workspace / "cards.txt"
    header.write_text(header_text(raw.header), encoding="utf-8")
    request = SolveRequest(
        sources=data.add(given) if given is not None else None,
        frame=data.add(frame),
        header=data.add(header),
        summary=summary,
        solve=task.solve.model_copy(update={"index_folders": task.indexes}),
        astrometry=task.astrometry,
        reference=ReferenceSettings(name=task.reference or "stars of index files"),
        products=task.products,
    )
    output = solve(request, data.context())
    return Outcome(output.result, output.files, reached=bool(output.result["astrometry"]["solved"]))


def _reference(path: Path | None, indexes: tuple[str, ...]) -> Columns:
    if path is not None:
        return read_reference_file(path)
    stars = read_index_reference(indexes)
    if stars is None:
        raise ReferenceListError(
            'There are no reference stars: name a list in the data folder ("reference": "stars.csv"), or mount index '
            "files of astrometry.net at /usr/share/astrometry.",
            count=0,
        )
    return stars


def run(text: str) -> int:
    """Carry out the task that the text describes; return the exit status."""
    return run_oneshot(text, AstrometerTask, astrometer)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1] if len(sys.argv) == 2 else ""))
