"""What runs in the children of the worker."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from astro_shared.contracts import products
from astro_shared.contracts.catalogs import (
    CrossmatchRequest,
    CrossmatchResult,
    IdentifyRequest,
    IdentifyResult,
    ImportReferenceRequest,
    ImportReferenceResult,
)
from astro_shared.errors import ForbiddenError
from astro_shared.jobs.task import OutputFile, TaskContext, TaskOutput
from catalogs_service.adapters.crossmatch_file import write_crossmatch
from catalogs_service.adapters.identification_files import (
    answer_from_json,
    read_positions,
    status_of,
    write_identification,
)
from catalogs_service.adapters.reference_view import list_info
from catalogs_service.algorithms.field import field_of
from catalogs_service.algorithms.sky_match import MatchRadius
from catalogs_service.domain.questions import CatalogueAnswer, no_objects
from catalogs_service.errors import ReferenceListNotFoundError
from catalogs_service.factory import make_crossmatch, make_import, make_lists
from catalogs_service.ports import Scope, StarList
from catalogs_service.workflows.identify_sources import identify_sources

CROSSMATCH_FILE = "crossmatch.parquet"


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


def identify(request: IdentifyRequest, context: TaskContext) -> TaskOutput:
    """Look up the positions of a frame in the catalogues; the worker asks, this process matches."""
    settings = request.identification
    positions = read_positions(context.input(request.positions))
    good = np.isfinite(positions.ra) & np.isfinite(positions.dec)
    if good.any():
        context.progress(0.1, "ask", f"{len(settings.catalogues)} catalogues")
        cone = field_of(positions.ra[good], positions.dec[good])
        payload = {
            "names": list(settings.catalogues),
            "cone": [cone.ra_deg, cone.dec_deg, cone.radius_deg],
            "epoch_jyear": request.epoch_jyear,
            "date_mid": request.date_mid.isoformat() if request.date_mid else None,
            "observatory": request.observatory,
            "window_days": request.time_window_days,
            "release": request.release,
        }
        answers = [answer_from_json(facts) for facts in context.ask("ask_catalogues", payload)["answers"]]
    else:
        message = "There is no source with a position on the sky."
        answers = [
            CatalogueAnswer(name, "not_asked", no_objects(), cause="no_positions", message=message)
            for name in settings.catalogues
        ]
    context.progress(0.8, "match", f"{len(positions)} sources")
    radius = MatchRadius(settings.radius_sigma, settings.radius_floor_arcsec)
    found = identify_sources(positions, answers, epoch_jyear=request.epoch_jyear, radius=radius)
    names = (products.MATCHES, products.IDENTIFICATIONS)
    paths = write_identification(context.workspace, found, names)
    result = IdentifyResult(
        sources=len(positions),
        identified=found.identified,
        catalogues=tuple(status_of(item) for item in found.statuses),
    )
    files = {name: OutputFile(path, products.FITS) for name, path in zip(names, paths, strict=True)}
    return TaskOutput(result=result.model_dump(mode="json"), files=files)


def crossmatch(request: CrossmatchRequest, context: TaskContext) -> TaskOutput:
    """Match a table to another or to a reference list."""
    began = time.monotonic()
    target = context.ask("import_target", {})
    right: Path | StarList
    if request.right is not None:
        right = context.input(request.right)
    else:
        name = str(request.reference)
        found = make_lists(Path(target["data_folder"])).find(name, target["owner"])
        if found is None:
            raise ReferenceListNotFoundError(f"There is no reference list {name}.", name=name)
        right = found
    with context.crash_means("catalogue_file_invalid", "A table is damaged: it crashed the reader."):
        made = make_crossmatch(target["most_rows"]).run(
            context.input(request.left),
            right,
            radius=MatchRadius(request.radius_sigma, request.radius_floor_arcsec, request.radius_cap_arcsec),
            every_pair=request.pairs == "all",
            epoch_jyear=request.epoch_jyear,
            report=context.progress,
        )
    path = write_crossmatch(context.workspace / CROSSMATCH_FILE, made.columns)
    result = CrossmatchResult(
        left_rows=made.left_rows,
        right_rows=made.right_rows,
        pairs=len(made.columns["left_row"]),
        matched=made.matched,
        seconds=round(time.monotonic() - began, 3),
    )
    file = OutputFile(path, "application/vnd.apache.parquet")
    return TaskOutput(result=result.model_dump(mode="json"), files={CROSSMATCH_FILE: file})
