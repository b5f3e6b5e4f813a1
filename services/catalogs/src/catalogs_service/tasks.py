"""What runs in the children of the worker."""

from __future__ import annotations

import time
from pathlib import Path

from astro_shared.contracts.catalogs import ImportReferenceRequest, ImportReferenceResult
from astro_shared.errors import ForbiddenError
from astro_shared.jobs.task import TaskContext, TaskOutput
from catalogs_service.adapters.reference_view import list_info
from catalogs_service.factory import make_import
from catalogs_service.ports import Scope


def import_reference(request: ImportReferenceRequest, context: TaskContext) -> TaskOutput:
    """Turn an uploaded catalogue file into a reference list."""
    began = time.monotonic()
    target = context.ask("import_target", {})
    owner = target["owner"]
    if request.scope == "global" and owner is not None:
        raise ForbiddenError("A list for everyone is made by an administrator, not by a user.")
    scope: Scope = "global" if owner is None and request.owner is None else "user"
    workflow = make_import(Path(target["data_folder"]), target["most_rows"])
    with context.crash_means("catalogue_file_invalid", "The file is damaged: it crashed the reader."):
        made = workflow.run(
            context.input(request.file),
            name=request.name,
            source=request.file_name,
            scope=scope,
            owner=owner or request.owner,
            file_format=request.format,
            columns=request.columns,
            ref_epoch=request.ref_epoch,
            report=context.progress,
        )
    result = ImportReferenceResult(reference=list_info(made.facts), seconds=round(time.monotonic() - began, 3))
    return TaskOutput(result=result.model_dump(mode="json"))
