"""What the astrometry service computes in a child process of its worker."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astro_shared.contracts import products
from astro_shared.contracts.astrometry import AstrometryReport, SolveRequest, SolveResult
from astro_shared.contracts.solutions import SolutionRequest
from astro_shared.contracts.tables import PAIRS, POSITIONS, TableSchema
from astro_shared.errors import AlidadeError
from astro_shared.fits import FitsUnreadableError, header_of_text, read_frame
from astro_shared.fits.keywords import frame_facts
from astro_shared.fits.tables import write_columns
from astro_shared.frame_warnings import WarningCode
from astro_shared.jobs.task import OutputFile, TaskContext, TaskOutput
from astrometry_service.adapters.debug_files import write_debug_files
from astrometry_service.adapters.engine_settings import ask_engine_facts
from astrometry_service.adapters.engines import local_engines
from astrometry_service.adapters.footprint_store import KEEP_FOOTPRINT
from astrometry_service.adapters.frame_summary import list_summary, summarise_frame
from astrometry_service.adapters.relayed_engine import RelayedEngine
from astrometry_service.adapters.remote_catalogue import MAX_RADIUS_DEG, RemoteCatalogue
from astrometry_service.adapters.remote_distortions import RemoteDistortions
from astrometry_service.adapters.sky_maker import RemoteSky
from astrometry_service.adapters.source_input import SourceInput, read_sources
from astrometry_service.algorithms.field_search import frame_cells, unique_cells
from astrometry_service.domain.solution import AstrometricSolution
from astrometry_service.ports import SolveEngine
from astrometry_service.workflows.report_words import report_in_words
from astrometry_service.workflows.solve_frame import SolveFrame
from astrometry_service.workflows.solve_options import SolveOptions
from astrometry_service.workflows.solve_request import Solved, SolveRequestWorkflow, observed_places

Columns = dict[str, NDArray[Any]]


def solve(request: SolveRequest, context: TaskContext) -> TaskOutput:
    """Sources, header and hints in; WCS, sky positions with errors, pairs, reference stars and plots out."""
    context.progress(0.02, "sources")
    given = read_sources(request, context)
    header = _header(context.input(request.header)) if request.header is not None else None
    return _solve(request, given, header, context)


def solution(request: SolutionRequest, context: TaskContext) -> TaskOutput:
    """The same from a plain list with the size of its image, or from a frame alone."""
    context.progress(0.02, "sources")
    header, detector = None, "photometry"
    if request.frame is not None:
        hdu = request.input.hdu
        with context.crash_means(FitsUnreadableError.code, "The file crashes the FITS reader: it is damaged."):
            raw = read_frame(
                context.input(request.frame), None if isinstance(hdu, str) else hdu, mask_hdu=request.input.mask_hdu,
                mask_bits=request.input.mask_bits, scratch=context.workspace,
            )  # fmt: skip
        summary, header, detector = summarise_frame(raw, request.input, request.name), raw.header, "sep"
    else:
        size = request.width_px or 0, request.height_px or 0
        summary = list_summary(request.name, *size, request.epoch_jyear)
    shared = ("sources", "stars", "frame", "solve", "reference", "products")
    plain = SolveRequest(
        summary=summary,
        astrometry=request.astrometry.model_copy(update={"detector": detector}),
        **{name: getattr(request, name) for name in shared},
    )
    return _solve(plain, read_sources(plain, context), header, context)


def _solve(request: SolveRequest, given: SourceInput, header: fits.Header | None, context: TaskContext) -> TaskOutput:
    context.progress(0.1, "solving")
    catalogue = RemoteCatalogue(context, request.reference)
    options = SolveOptions(
        limit_s=request.solve.limit_s, remote_limit_s=request.solve.remote_limit_s, blind=request.solve.blind,
        widest_question_deg=SolveOptions.widest_question_deg if request.reference.name == "gaia" else MAX_RADIUS_DEG,
    )  # fmt: skip
    find = SolveFrame(catalogue, _engines(request, context), all_sky=RemoteSky(context), options=options)
    earlier, why_none = _earlier_distortions(request, header, context)
    done = SolveRequestWorkflow(find, earlier, why_none)(
        request, given.columns, header, bad=given.bad, wanted=given.wanted, fwhm_px=given.fwhm_px
    )
    if given.note:
        warnings = (*done.report.warnings, WarningCode.SOURCE_LIST_INTERPRETED(given.note))
        done = replace(done, report=done.report.model_copy(update={"warnings": warnings}))
    if done.solution is not None and done.report.scale_arcsec_px is not None:
        _keep_footprint(done.report, request.summary.frame_name, context)
    context.progress(0.8, "files")
    files = _files(done, request, given, catalogue, context.workspace)
    if request.products.plots and done.solution is not None and len(done.solution.pairs.source):
        context.progress(0.9, "plots")
        files |= _plots(done, request, given.columns, context.workspace)
    return TaskOutput(result=SolveResult(astrometry=done.report).model_dump(mode="json"), files=files)


def _keep_footprint(report: AstrometryReport, frame_name: str, context: TaskContext) -> None:
    """Tell the parent where the frame is; a solution is one where nobody keeps it, too."""
    footprint = {
        "frame_name": frame_name[:255], "epoch_jyear": report.epoch_jyear, "scale_arcsec_px": report.scale_arcsec_px,
        "outline_deg": [list(corner) for corner in report.footprint_deg],
        "cells": unique_cells(frame_cells(np.array(report.footprint_deg))),
    }  # fmt: skip
    with contextlib.suppress(AlidadeError):
        context.ask(KEEP_FOOTPRINT, footprint)


def _engines(request: SolveRequest, context: TaskContext) -> list[SolveEngine]:
    """The engines that are wanted, in the order in which they are."""
    facts = ask_engine_facts(context, remote=request.solve.remote)
    here = local_engines(request.solve.index_folders or facts.index_folders, scratch=context.workspace)
    by_name = {engine.name: engine for engine in (*here, RelayedEngine("nova", context.ask, facts.nova))}
    return [by_name[name] for name in request.solve.engines]


def _earlier_distortions(
    request: SolveRequest, header: fits.Header | None, context: TaskContext
) -> tuple[RemoteDistortions | None, str]:
    """Distortions of this user's earlier frames of the same camera and filter, or why they are left alone."""
    if not request.astrometry.use_prior:
        return None, "switched off by astrometry.use_prior"
    camera = frame_facts(header).instrument if header is not None else None
    if camera is None:
        return None, "the header names no camera"
    instrument = f"{camera} / {request.summary.filter or 'no filter'}"[:200]
    return RemoteDistortions(context, instrument, request.astrometry.prior_version), ""


def _header(path: Path) -> fits.Header:
    return header_of_text(path.read_text(encoding="utf-8"))


def _files(
    done: Solved, request: SolveRequest, given: SourceInput, catalogue: RemoteCatalogue, folder: Path
) -> dict[str, OutputFile]:
    report = folder / products.ASTROMETRY_REPORT
    report.write_text(json.dumps(done.report.model_dump(mode="json"), indent=2, allow_nan=False), encoding="utf-8")
    words = folder / products.ASTROMETRY_WORDS
    words.write_text(report_in_words(done.report), encoding="utf-8")
    files = {
        products.ASTROMETRY_REPORT: OutputFile(report, products.JSON),
        products.ASTROMETRY_WORDS: OutputFile(words, products.TEXT),
    }
    sources, shape = given.columns, (request.summary.width_px, request.summary.height_px)
    names = [products.WCS, products.POSITIONS]
    if done.solution is not None or done.unverified is not None:
        write_wcs(folder / products.WCS, done.wcs_cards, *shape, epoch_jyear=done.report.epoch_jyear)
        write_columns(folder / products.POSITIONS, _positions(done, given), POSITIONS)
        files |= {name: OutputFile(folder / name, products.FITS) for name in names}
    if done.solution is None or done.outcome is None or done.outcome.reference is None:
        return files
    names = [products.PAIRS, products.REFERENCE]
    if done.sip_cards:
        write_wcs(folder / products.WCS_SIP, done.sip_cards, *shape, epoch_jyear=done.report.epoch_jyear)
        names.append(products.WCS_SIP)
    stars = done.outcome.reference
    reference = catalogue.full_rows(stars) or stars.as_columns()
    reference["ra_obs"], reference["dec_obs"] = observed_places(stars, done.report.epoch_jyear)
    write_columns(folder / products.PAIRS, pair_columns(done.solution, sources), PAIRS)
    write_columns(folder / products.REFERENCE, reference, TableSchema("reference", ()))
    files |= write_debug_files(folder, done.solution.products, done.solution.report, sources["id"], stars.source_id)
    return files | {name: OutputFile(folder / name, products.FITS) for name in names}


def write_wcs(path: Path, cards: Mapping[str, Any], nx: int, ny: int, *, epoch_jyear: float | None = None) -> None:
    """A FITS file that is a header only: the solution, its epoch, and the size of the image that it belongs to."""
    header = fits.Header()
    for key, value in cards.items():
        header[key] = value
    header["IMAGEW"], header["IMAGEH"] = (nx, "[pix] width of the image"), (ny, "[pix] height of the image")
    if epoch_jyear is not None:
        header["JEPOCH"] = (epoch_jyear, "[yr] epoch of positions, motions applied")
    fits.PrimaryHDU(header=header).writeto(path, overwrite=True)


def _positions(done: Solved, given: SourceInput) -> Columns:
    """Places of the sources that were given; of SEP's own where there is no table."""
    if done.unverified is not None:
        places, identifier = done.unverified, (given.wanted or given.columns)["id"]
    elif done.wanted is not None and given.wanted is not None:
        places, identifier = done.wanted, given.wanted["id"]
    elif done.solution is not None:
        places, identifier = done.solution.positions, given.columns["id"]
    else:
        return {}
    return {"id": identifier, **{name: getattr(places, name) for name in places.__dataclass_fields__}}


def pair_columns(solution: AstrometricSolution, sources: Columns) -> Columns:
    """Columns of `astro_shared.contracts.tables.PAIRS`."""
    pairs = solution.pairs
    why = np.where(pairs.kept, "", np.where(pairs.fitted, "clipped", "not offered to the fit: doubtful source or star"))
    return {
        "id": sources["id"][pairs.source],
        "source_id": pairs.source_id.astype(str),
        "x": pairs.x,
        "y": pairs.y,
        "ra_ref": pairs.ra,
        "dec_ref": pairs.dec,
        "dxi_mas": pairs.dx_mas,
        "deta_mas": pairs.dy_mas,
        "xi_err_mas": pairs.sigma_x_mas,
        "eta_err_mas": pairs.sigma_y_mas,
        "chi2": pairs.distance2,
        "mag_ref": pairs.mag,
        "color_ref": pairs.colour,
        "snr": pairs.snr,
        "used": pairs.kept,
        "reason": why,
    }


def _plots(done: Solved, request: SolveRequest, sources: Columns, folder: Path) -> dict[str, OutputFile]:
    # matplotlib is loaded only where something is drawn, so that the fork server stays small
    from astrometry_service.adapters.distortion_plot import draw_distortion
    from astrometry_service.adapters.plots import draw_astrometry

    if done.solution is None:
        return {}
    shape = (request.summary.height_px, request.summary.width_px)
    columns = pair_columns(done.solution, sources)
    drawn = draw_astrometry(folder / "plots", columns, done.report.model_dump(mode="json"), shape)
    drawn |= draw_distortion(folder / "plots", done.solution.transform, shape)
    media = {".png": products.PNG, ".json": products.JSON}
    return {f"{products.PLOTS}{name}": OutputFile(path, media[path.suffix]) for name, path in drawn.items()}
