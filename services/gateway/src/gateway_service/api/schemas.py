"""From the domain to what the public API says."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field

from astro_shared.contracts.gateway import ReductionView, ResultFile, StageState, StageView, UploadForm, UploadView
from astro_shared.contracts.jobs import JobView
from astro_shared.contracts.work import WorkView
from astro_shared.errors import InvalidRequestError
from astro_shared.storage.port import UploadForm as StorageForm
from gateway_service.domain.reductions import Reduction, Stage
from gateway_service.domain.results import result_files
from gateway_service.domain.uploads import Upload
from gateway_service.domain.work import WorkId

WORK_PATH = "/api/v1/work"


class ReductionPage(BaseModel):
    """One page of a list; ``next`` is the cursor of the page after it."""

    items: list[ReductionView]
    next: str | None = Field(None, title="Cursor", description="Pass as ?cursor=; null on the last page.")


def upload_view(
    upload: Upload,
    *,
    url: str | None = None,
    form: StorageForm | None = None,
    expires_at: datetime | None = None,
) -> UploadView:
    """An upload, with the address for its bytes while they are missing."""
    return UploadView(
        id=upload.id,
        filename=upload.filename,
        size=upload.size,
        purpose=upload.purpose,
        complete=upload.complete,
        sha256=upload.sha256,
        method="PUT" if url else None,
        url=url,
        form=UploadForm(url=form.url, fields=form.fields) if form else None,
        url_expires_at=expires_at,
        created_at=upload.created_at,
    )


def reduction_view(reduction: Reduction, *, live: JobView | None = None) -> ReductionView:
    """A reduction; ``live`` is the job of the stage that runs, for its progress."""
    collect = reduction.stages[-1]
    return ReductionView(
        id=reduction.id,
        owner=reduction.owner,
        frame_name=reduction.frame_name,
        phase=reduction.phase,
        status=reduction.status,
        reason=reduction.reason,
        settings_hash=reduction.settings_hash,
        created_at=reduction.created_at,
        started_at=reduction.started_at,
        ended_at=reduction.ended_at,
        stages=tuple(_stage_view(stage, live) for stage in reduction.stages),
        summary=(collect.result or {}).get("summary"),
        results=tuple(sorted(result_files(reduction))),
    )


def _stage_view(stage: Stage, live: JobView | None) -> StageView:
    usage: Mapping[str, Any] = stage.usage or {}
    running = live is not None and stage.state is StageState.RUNNING and stage.job_id == live.id
    done = 1.0 if stage.state is StageState.DONE else 0.0
    return StageView(
        name=stage.name,
        state=stage.state,
        fraction=live.progress.fraction if running and live else done,
        step=live.progress.step if running and live else "",
        message=live.progress.message if running and live else "",
        seconds=usage.get("seconds"),
        cpu_seconds=usage.get("cpu_seconds"),
        peak_mb=usage.get("peak_mb"),
        reason=stage.reason,
        code=stage.code,
    )


def encode_cursor(reduction: Reduction) -> str:
    """Opaque place in a list: after this reduction."""
    return base64.urlsafe_b64encode(f"{reduction.created_at.isoformat()}|{reduction.id}".encode()).decode()


def decode_cursor(cursor: str) -> tuple[str, str]:
    """Creation time and id; raises InvalidRequestError for anything that `encode_cursor` did not make."""
    try:
        moment, _, last = base64.urlsafe_b64decode(cursor.encode()).decode().partition("|")
        datetime.fromisoformat(moment)
    except (binascii.Error, ValueError):
        raise InvalidRequestError("The cursor is not one that this server gave out.") from None
    return moment, last


def work_view(job: JobView) -> WorkView:
    """A job of a service as the public API shows it, under the name that leads back to it."""
    work_id = str(WorkId(job.service, job.id))
    files = tuple(
        ResultFile(
            name=name, size=ref.size, media_type=ref.media_type, sha256=ref.sha256,
            url=f"{WORK_PATH}/{work_id}/files/{name}",
        )
        for name, ref in sorted(job.files.items())
    )  # fmt: skip
    shared = job.model_dump(include={"kind", "phase", "created_at", "started_at", "ended_at", "result"})
    return WorkView(id=work_id, **shared, progress=job.progress, files=files, error=job.error)


def started(job: JobView, response: Response) -> WorkView:
    """The same for work that was asked for just now; the answer's header says where to look."""
    view = work_view(job)
    response.headers["Location"] = f"{WORK_PATH}/{view.id}"
    return view
