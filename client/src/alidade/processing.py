"""Send frames through a server and bring their results home."""

from __future__ import annotations

import json
import shutil
import time
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alidade.client import AlidadeClient, AlidadeClientError
from alidade.frames import Frame
from alidade.problem_codes import ClientCode
from astro_shared.contracts import products
from astro_shared.contracts.gateway import ReductionView

Watcher = Callable[[Frame, ReductionView | None, str], None]
"""Told of the state of a frame: what the server says, or a word before there is a reduction."""


@dataclass(frozen=True)
class FrameOutcome:
    frame: Frame
    folder: Path
    summary: Mapping[str, Any]
    seconds: float

    @property
    def status(self) -> str:
        return str(self.summary["status"])


def process_frame(
    client: AlidadeClient,
    frame: Frame,
    out: Path,
    *,
    settings: Mapping[str, Any],
    preset: str | None,
    watch: Watcher,
    masters: Mapping[str, str] | None = None,
) -> FrameOutcome:
    """Upload, reduce, download, unpack. A frame that fails gives an outcome with the reason, not an exception.

    Raises
    ------
    AlidadeClientError
        The server is away or refuses the caller; other frames would fare no better.
    """
    begin = time.monotonic()
    folder = out / frame.result
    try:
        watch(frame, None, "upload")
        upload = client.upload(frame.path)
        reduction = client.reduce(upload.id, settings=settings, preset=preset, key=uuid.uuid4().hex, masters=masters)
        for view in client.watch(reduction.id):
            reduction = view
            watch(frame, reduction, "")
        watch(frame, reduction, "download")
        summary = fetch_results(client, reduction, folder)
    except AlidadeClientError as error:
        if error.code in (ClientCode.UNREACHABLE, "unauthorized", "forbidden", "settings_invalid", "preset_unknown"):
            raise
        summary = {"frame": frame.path.name, "status": "failed", "reason": str(error), "code": error.code}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / products.SUMMARY).write_text(
            json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return FrameOutcome(frame, folder, summary, time.monotonic() - begin)


def fetch_results(client: AlidadeClient, reduction: ReductionView, folder: Path) -> Mapping[str, Any]:
    """Bring the archive of a finished reduction to ``<folder>.zip`` and unpack it into ``folder``, replacing what was there."""
    if products.ARCHIVE not in reduction.results:
        reason = reduction.reason or f"the reduction ended as {reduction.phase} without results"
        raise AlidadeClientError(reason, code=ClientCode.NO_RESULTS)
    folder.parent.mkdir(parents=True, exist_ok=True)
    archive = folder.with_name(folder.name + ".zip")
    client.download(reduction.id, products.ARCHIVE, archive)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    summary: Mapping[str, Any] = json.loads((folder / products.SUMMARY).read_text(encoding="utf-8"))
    return summary


def use_masters(client: AlidadeClient, given: Mapping[str, str | None]) -> dict[str, str]:
    """Ids of masters: a file is uploaded, anything else is taken as the id of an upload or of the work that made it."""
    return {kind: client.upload(Path(text)).id if Path(text).exists() else text for kind, text in given.items() if text}


def use_reference(client: AlidadeClient, reference: str, *, say: Callable[[str], None]) -> str:
    """Name of a reference list: a known one as it is, a file after it was imported under a name made of its hash.

    Raises
    ------
    AlidadeClientError
        The file cannot be used, with the reason.
    """
    path = Path(reference)
    if not path.is_file():
        return reference
    upload = client.upload(path, purpose="reference")
    name = f"file-{(upload.sha256 or upload.id)[:16]}"
    known = {item["name"] for item in client.get("/api/v1/references")["items"]}
    if name not in known:
        say(f"Reading the reference list {path.name}")
        import_reference(client, upload.id, name)
    return name


def import_reference(client: AlidadeClient, upload_id: str, name: str, **options: Any) -> Mapping[str, Any]:
    """Make a reference list of an upload and wait for it; returns what the server says of the list."""
    work = client.finished(client.begin("/api/v1/references", {"name": name, "upload_id": upload_id, **options}))
    made: Mapping[str, Any] = (work.result or {})["reference"]
    return made
