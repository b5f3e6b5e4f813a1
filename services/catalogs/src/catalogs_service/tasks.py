"""What runs in the children of the worker."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from astro_shared.contracts import products
from astro_shared.contracts.catalogs import (
    CROSSMATCH_FILE,
    MATCHED_FILE,
    CrossmatchRequest,
    CrossmatchResult,
    IdentifyRequest,
    IdentifyResult,
    ImportReferenceRequest,
    ImportReferenceResult,
    MatchSurveysRequest,
    MatchSurveysResult,
    MirrorGaiaRequest,
    MirrorGaiaResult,
)
from astro_shared.errors import ForbiddenError
from astro_shared.fits.tables import read_columns
from astro_shared.jobs.task import OutputFile, TaskContext, TaskOutput
from catalogs_service.adapters.crossmatch_file import CrossmatchFile
from catalogs_service.adapters.gaia.remote_tiles import RemoteTiles
from catalogs_service.adapters.hats_product import count_pairs, packed
from catalogs_service.adapters.identification_files import (
    answer_from_json,
    read_positions,
    status_of,
    write_identification,
)
from catalogs_service.adapters.lsdb_matcher import ClusterLimits
from catalogs_service.adapters.reference_view import list_info
from catalogs_service.algorithms.field import field_of
from catalogs_service.algorithms.sky_match import MatchRadius
from catalogs_service.domain.positions import Positions
from catalogs_service.domain.questions import CatalogueAnswer, no_objects
from catalogs_service.domain.regions import Cone
from catalogs_service.errors import CatalogueFileError, ReferenceListNotFoundError
from catalogs_service.factory import make_crossmatch, make_import, make_lists, make_survey_match
from catalogs_service.ports import Scope, StarList
from catalogs_service.workflows.identify_sources import completed, identify_sources
from catalogs_service.workflows.mirror_gaia import MirrorGaia

_ASK_AGAIN = ("failed", "not_asked")


def import_reference(request: ImportReferenceRequest, context: TaskContext) -> TaskOutput:
    """Turn an uploaded catalogue file into a reference list."""
    began = time.monotonic()
    target = context.ask("import_target", {})
    owner = target["owner"]
    if request.scope == "global" and owner is not None:
        raise ForbiddenError("A list for everyone is made by an administrator, not by a user.")
    scope: Scope = "global" if owner is None and request.owner is None else "user"
    workflow = make_import(Path(target["data_folder"]), target["most_rows"])
    with context.crash_means(CatalogueFileError.code, "The file is damaged: it crashed the reader."):
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


def mirror_gaia(request: MirrorGaiaRequest, context: TaskContext) -> TaskOutput:
    """Keep a region of Gaia as the list ``gaia``; the worker fetches, this process sorts and writes."""
    began = time.monotonic()
    target = context.ask("import_target", {})
    if target["owner"] is not None:
        raise ForbiddenError("A mirror is for everyone: it is made by an administrator, not by a user.")
    workflow = MirrorGaia(make_lists(Path(target["data_folder"])), RemoteTiles(context))
    made = asyncio.run(
        workflow.run(
            Cone(request.ra_deg, request.dec_deg, request.radius_deg),
            release=request.release,
            depth_mag=float(request.depth_mag),
            report=lambda done, of: context.progress(0.9 * done / of, "fetch", f"{done} of {of} cells"),
        )
    )
    result = MirrorGaiaResult(reference=list_info(made.facts), seconds=round(time.monotonic() - began, 3))
    return TaskOutput(result=result.model_dump(mode="json"))


def identify(request: IdentifyRequest, context: TaskContext) -> TaskOutput:
    """Look up the positions of a frame in the catalogues; the worker asks, this process matches."""
    settings = request.identification
    earlier = request.earlier.catalogues if request.earlier is not None else ()
    kept = {status.catalogue: status for status in earlier if status.status not in _ASK_AGAIN}
    positions = read_positions(context.input(request.positions))
    answers = _answers(request, context, positions, [name for name in settings.catalogues if name not in kept])
    context.progress(0.8, "match", f"{len(positions)} sources")
    radius = MatchRadius(settings.radius_sigma, settings.radius_floor_arcsec)
    found = identify_sources(positions, answers, epoch_jyear=request.epoch_jyear, radius=radius)
    if request.earlier is not None:
        matches = read_columns(context.input(request.earlier.matches))
        identifications = read_columns(context.input(request.earlier.identifications))
        found = completed(found, matches, identifications, list(kept))
    known = kept | {item.answer.catalogue: status_of(item) for item in found.statuses}
    statuses = tuple(sorted(known.values(), key=lambda status: settings.catalogues.index(status.catalogue)))
    names = (products.MATCHES, products.IDENTIFICATIONS)
    paths = write_identification(context.workspace, found, statuses, names)
    result = IdentifyResult(sources=len(positions), identified=found.identified, catalogues=statuses)
    files = {name: OutputFile(path, products.FITS) for name, path in zip(names, paths, strict=True)}
    return TaskOutput(result=result.model_dump(mode="json"), files=files)


def _answers(
    request: IdentifyRequest, context: TaskContext, positions: Positions, names: list[str]
) -> list[CatalogueAnswer]:
    """What the catalogues say of the field of the positions; the worker asks them."""
    good = np.isfinite(positions.ra) & np.isfinite(positions.dec)
    if not good.any():
        message = "There is no source with a position on the sky."
        return [
            CatalogueAnswer(name, "not_asked", no_objects(), cause="no_positions", message=message) for name in names
        ]
    context.progress(0.1, "ask", f"{len(names)} catalogues")
    cone = field_of(positions.ra[good], positions.dec[good])
    payload = {
        "names": names,
        "cone": [cone.ra_deg, cone.dec_deg, cone.radius_deg],
        "epoch_jyear": request.epoch_jyear,
        "date_mid": request.date_mid.isoformat() if request.date_mid else None,
        "observatory": request.observatory,
        "window_days": request.identification.transient_window_days,
        "release": request.release,
    }
    return [answer_from_json(facts) for facts in context.ask("ask_catalogues", payload)["answers"]]


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
    with context.crash_means(CatalogueFileError.code, "A table is damaged: it crashed the reader."):
        path = context.workspace / CROSSMATCH_FILE
        with CrossmatchFile(path) as file:
            made = make_crossmatch(target["most_rows"]).run(
                context.input(request.left),
                right,
                radius=MatchRadius(request.radius_sigma, request.radius_floor_arcsec, request.radius_cap_arcsec),
                every_pair=request.pairs == "all",
                epoch_jyear=request.epoch_jyear,
                write=file.write,
                report=context.progress,
            )
    result = CrossmatchResult(**asdict(made), seconds=round(time.monotonic() - began, 3))
    output = OutputFile(path, "application/vnd.apache.parquet")
    return TaskOutput(result=result.model_dump(mode="json"), files={CROSSMATCH_FILE: output})


def match_surveys(request: MatchSurveysRequest, context: TaskContext) -> TaskOutput:
    """Match a reference list to another on a Dask cluster of this machine."""
    began = time.monotonic()
    target = context.ask("survey_target", {})
    workflow = make_survey_match(
        Path(target["data_folder"]), ClusterLimits(**target["cluster"]), context.workspace / "cluster"
    )
    folder = context.workspace / "matched"
    made = workflow.run(
        request.left,
        request.right,
        target["owner"],
        folder,
        radius_arcsec=request.radius_arcsec,
        neighbours=request.neighbours,
        all_columns=request.columns == "all",
        report=context.progress,
    )
    context.progress(0.95, "pack", "")
    result = MatchSurveysResult(
        **asdict(made), **asdict(count_pairs(folder)), seconds=round(time.monotonic() - began, 3)
    )
    output = OutputFile(packed(folder, context.workspace / MATCHED_FILE), "application/x-tar")
    return TaskOutput(result=result.model_dump(mode="json"), files={MATCHED_FILE: output})
