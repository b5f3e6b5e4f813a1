"""A frame through measure, solve and calibrate in this process: the tasks of the services, without a platform."""

from __future__ import annotations

import hashlib
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from astro_shared.contracts import products
from astro_shared.contracts.astrometry import SolveRequest
from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.photometry import CalibrateRequest, MeasureRequest
from astro_shared.contracts.settings import ProductSettings, SolveSettings
from astro_shared.errors import AlidadeError
from astro_shared.fits.tables import read_columns
from astro_shared.jobs.task import LocalLink, TaskContext, TaskOutput
from astrometry_service import tasks as astrometry
from astrometry_service.adapters.reference_file import ReferenceFile, read_reference_file
from astrometry_service.adapters.remote_catalogue import QUESTION
from photometry_service import tasks as photometry

QUICK = SolveSettings(blind=False, limit_s=10.0)


@dataclass
class Ended:
    """How a reduction ended.

    Attributes
    ----------
    stage : the last one that was begun
    refused : code and words, where a stage gave a reason
    crash : traceback of what should not have happened
    results : JSON of every stage that was done
    tables : columns of ``sources``, ``positions`` and ``calibrated``, as far as they were made
    """

    stage: str = "measure"
    refused: str = ""
    crash: str = ""
    seconds: float = 0.0
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    tables: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """One word: crashed, refused, measured, or the state of the astrometry."""
        if self.crash:
            return "crashed"
        if self.refused:
            return "refused"
        return str(self.results.get("solve", {}).get("astrometry", {}).get("state", "measured"))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of all stages."""
        reports = (
            self.results.get("measure", {}).get("frame", {}),
            self.results.get("measure", {}),
            self.results.get("solve", {}).get("astrometry", {}),
            self.results.get("calibrate", {}).get("zero_point", {}),
        )
        return tuple(word for report in reports for word in report.get("warnings") or ())


class _Chain:
    def __init__(self, folder: Path, reference: Path | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._inputs = folder, dict[str, Path]()
        self._answers = {}
        if reference is not None:
            self._answers[QUESTION] = ReferenceFile(read_reference_file(reference), folder).answer

    def add(self, path: Path) -> ObjectRef:
        key = f"input/{len(self._inputs)}"
        self._inputs[key] = path
        return ObjectRef(key=key, sha256=hashlib.sha256(key.encode()).hexdigest(), size=path.stat().st_size)

    def context(self, stage: str) -> TaskContext:
        folder = self._folder / stage
        folder.mkdir(exist_ok=True)
        return TaskContext(folder, self._inputs, LocalLink(self._answers))


def reduce_frame(
    frame: Path, reference: Path | None, folder: Path, *, solve: SolveSettings = QUICK, plots: bool = True,
    settings: dict[str, Any] | None = None,
) -> Ended:  # fmt: skip
    """Reduce a frame; whatever happens is told, not raised.

    Parameters
    ----------
    folder : for everything that is made
    settings : sections of the measure request that differ from the defaults
    """
    ended, begun = Ended(), time.perf_counter()
    try:
        _reduce(ended, frame, _Chain(folder, reference), solve, ProductSettings(plots=plots), settings or {})
    except AlidadeError as error:
        if error.code == "internal_error":
            ended.crash = traceback.format_exc()
        ended.refused = f"{error.code}: {error.message}"
    except Exception:  # noqa: BLE001  what a worker would call an internal error
        ended.crash = traceback.format_exc()
    ended.seconds = time.perf_counter() - begun
    return ended


def _reduce(
    ended: Ended, frame: Path, chain: _Chain, solve: SolveSettings, made: ProductSettings, settings: dict[str, Any]
) -> None:
    request = MeasureRequest(frame=chain.add(frame), frame_name=frame.name, products=made, **settings)
    measured = photometry.measure(request, chain.context("measure"))
    _keep(ended, "measure", measured, products.SOURCES)
    ended.stage = "solve"
    result = measured.result
    asked = SolveRequest(
        sources=chain.add(measured.files[products.SOURCES].path),
        header=chain.add(measured.files[products.CARDS].path),
        summary=result["frame"],
        fwhm_px=result["fwhm_psf_px"] or result["fwhm_marginal_px"],
        solve=solve,
        products=made,
    )
    solved = astrometry.solve(asked, chain.context("solve"))
    _keep(ended, "solve", solved, products.POSITIONS)
    if products.REFERENCE not in solved.files:
        return
    ended.stage = "calibrate"
    report = solved.result["astrometry"]
    depth = measured.files.get(products.DEPTH)
    calibrated = photometry.calibrate(
        CalibrateRequest(
            sources=asked.sources,
            positions=chain.add(solved.files[products.POSITIONS].path),
            reference=chain.add(solved.files[products.REFERENCE].path),
            measure=result,
            depth=None if depth is None else chain.add(depth.path),
            products=made,
            **{name: report[name] for name in ("ra_center_deg", "dec_center_deg", "scale_arcsec_px")},
        ),
        chain.context("calibrate"),
    )
    _keep(ended, "calibrate", calibrated, products.CALIBRATED)


def _keep(ended: Ended, stage: str, output: TaskOutput, table: str) -> None:
    ended.results[stage] = output.result
    if table in output.files:
        ended.tables[table.removesuffix(".fits")] = read_columns(output.files[table].path)
