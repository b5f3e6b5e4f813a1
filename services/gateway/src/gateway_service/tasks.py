"""What the gateway computes in a child process of its worker."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

from astro_shared.contracts import products
from astro_shared.contracts.gateway import CollectRequest, StageName
from astro_shared.jobs.task import OutputFile, TaskContext, TaskOutput
from astro_shared.science.barycentric import bjd_tdb
from gateway_service.adapters import table_files
from gateway_service.adapters.archive import write_archive
from gateway_service.config import VERSION
from gateway_service.workflows.collect_results import CollectResults

MEDIA_TYPES = {
    ".csv": "text/csv",
    ".parquet": "application/vnd.apache.parquet",
    ".ecsv": "text/plain; charset=utf-8",
    ".vot": "application/x-votable+xml",
    ".json": products.JSON,
    ".log": products.TEXT,
    ".zip": products.ZIP,
}


def collect(request: CollectRequest, context: TaskContext) -> TaskOutput:
    """Final catalogue, tables, summary, log and archive."""
    inputs = {name: context.input(ref) for stage in request.stages for name, ref in stage.files.items()}
    workflow = CollectResults(
        table_files, write_archive, _usage_since(time.perf_counter()), _barycentric, software=f"alidade {VERSION}"
    )
    done = workflow(request, inputs, context.workspace, lambda fraction, step: context.progress(fraction, step))
    files = {name: OutputFile(path, _media_type(path)) for name, path in done.files.items()}
    return TaskOutput(result=done.result.model_dump(mode="json"), files=files)


def _barycentric(mjd_utc: float, ra_deg: float, dec_deg: float) -> float:
    return float(bjd_tdb(mjd_utc, ra_deg, dec_deg))


def _media_type(path: Path) -> str:
    return MEDIA_TYPES.get(path.suffix, "application/octet-stream")


def _usage_since(start_s: float) -> Any:
    def line() -> dict[str, Any]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "name": str(StageName.COLLECT),
            "state": "done",
            "seconds": round(time.perf_counter() - start_s, 3),
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
            "peak_mb": round(usage.ru_maxrss / 1024, 1),
        }

    return line
