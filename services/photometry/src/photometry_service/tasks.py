"""What the photometry service computes in a child process of its worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts import products
from astro_shared.contracts.photometry import (
    CalibrateRequest,
    CalibrateResult,
    ExtinctionRequest,
    ForcedRequest,
    MasterRequest,
    MeasureRequest,
)
from astro_shared.contracts.tables import CALIBRATED, CALIBRATORS, SOURCES
from astro_shared.fits import FitsUnreadableError, RawFrame, header_text
from astro_shared.fits.keywords import frame_facts
from astro_shared.fits.tables import read_columns, write_columns
from astro_shared.frame_warnings import FrameWarning
from astro_shared.jobs.task import OutputFile, TaskContext, TaskOutput
from photometry_service.adapters.exposure_reader import read_calibration_frames, read_exposure
from photometry_service.adapters.held_planes import PlaneFolder
from photometry_service.adapters.master_files import read_master, write_master
from photometry_service.adapters.product_files import read_map, read_psf, read_wcs, write_map, write_psf, write_rows
from photometry_service.algorithms.calibration import ZeroPointFit
from photometry_service.algorithms.detector import CalibrationError, MasterFrame, MasterKind
from photometry_service.algorithms.psf import psf_stamp
from photometry_service.algorithms.quality import stacked_residual
from photometry_service.domain.psf import Sources
from photometry_service.workflows.build_master import BuildMaster, describe
from photometry_service.workflows.calibrate_sources import CalibrateSources, Calibration
from photometry_service.workflows.fit_series import FitSeries
from photometry_service.workflows.map_zero_point import limiting_magnitudes, zero_point_field
from photometry_service.workflows.measure_positions import MeasurePositions
from photometry_service.workflows.measure_sources import Measurement, MeasureSources
from photometry_service.workflows.prepare_frame import PreparedFrame, prepare_frame, with_variance
from photometry_service.workflows.zero_point_terms import normalised

PLOT_STAMP_FWHM = 5
COARSEST_STEP = 0.25
"""Of maps, in units of the noise: the rounding adds 0.3 % to it."""


def measure(request: MeasureRequest, context: TaskContext) -> TaskOutput:
    """Pixels in, source table, maps, PSF and plots out."""
    context.progress(0.02, "reading")
    headers, prepared = _prepared(request, context)
    measured = MeasureSources()(prepared, request, context.progress)
    context.progress(0.85, "files")
    files = _measure_files(measured, request, context.workspace)
    for name, text in headers.items():
        (context.workspace / name).write_text(text, encoding="utf-8")
        files[name] = OutputFile(context.workspace / name, products.TEXT)
    if request.products.plots:
        context.progress(0.9, "plots")
        files |= _measure_plots(measured, request.frame_name, context.workspace)
    return TaskOutput(result=measured.result.model_dump(mode="json"), files=files)


def forced(request: ForcedRequest, context: TaskContext) -> TaskOutput:
    """Positions in, signed fluxes and upper limits out."""
    context.progress(0.02, "reading")
    _, prepared = _prepared(request, context)
    known = None
    if request.sources is not None:
        columns = read_columns(context.input(request.sources))
        known = Sources(*(np.asarray(columns[name], np.float64) for name in ("x", "y", "flux_psf", "snr")))
    wcs = read_wcs(context.input(request.wcs)) if request.wcs is not None else None
    psf = read_psf(context.input(request.psf))
    result, table = MeasurePositions()(prepared, request, psf, known, wcs, context.progress)
    paths = {suffix: context.workspace / f"{products.FORCED}.{suffix}" for suffix in ("json", "csv")}
    paths["json"].write_text(table.model_dump_json(), encoding="utf-8")
    write_rows(paths["csv"], table.fluxes)
    media = {"json": products.JSON, "csv": products.CSV}
    files = {path.name: OutputFile(path, media[suffix]) for suffix, path in paths.items()}
    return TaskOutput(result=result.model_dump(mode="json"), files=files)


def master(request: MasterRequest, context: TaskContext) -> TaskOutput:
    """Raw bias, dark or flat frames in, one master with its variance out."""
    indexes, filter_name = _first_frame(request, context)
    made: dict[int, MasterFrame] = {}
    warnings: list[FrameWarning] = []
    for index in indexes:
        bias, dark = (
            None
            if ref is None
            else read_master(context.input(ref), kind, hdu=index, with_bias=request.bias is not None)
            for kind, ref in ((MasterKind.BIAS, request.bias), (MasterKind.DARK, request.dark))
        )
        with TemporaryDirectory(dir=context.workspace) as scratch:
            build = BuildMaster(PlaneFolder(Path(scratch)).hold)
            made[index] = build(request, _raw_frames(request, context, index, warnings), bias, dark, context.progress)
    path = context.workspace / products.MASTER
    write_master(path, made, filter_name=filter_name if request.kind == "flat" else None)
    result = describe(made, warnings)
    return TaskOutput(result=result.model_dump(mode="json"), files={products.MASTER: OutputFile(path, products.FITS)})


def extinction(request: ExtinctionRequest, context: TaskContext) -> TaskOutput:
    """Calibrators of a series of frames in, extinction out."""
    tables = [read_columns(context.input(frame.calibrators)) for frame in request.frames]
    context.progress(0.3, "fit")
    result = FitSeries()(request, tables)
    context.progress(0.8, "files")
    document, table = (context.workspace / f"{products.EXTINCTION}.{suffix}" for suffix in ("json", "csv"))
    document.write_text(result.model_dump_json(indent=2), encoding="utf-8")
    write_rows(table, result.frames)
    files = {document.name: OutputFile(document, products.JSON), table.name: OutputFile(table, products.CSV)}
    # matplotlib is loaded only where something is drawn, so that the fork server stays small
    from photometry_service.adapters.calibration_plots import draw_extinction
    from photometry_service.adapters.plot_folder import PlotFolder

    plots = PlotFolder(context.workspace / "plots")
    draw_extinction(plots, result)
    return TaskOutput(result=result.model_dump(mode="json"), files=files | _plot_files(plots.files))


def _first_frame(request: MasterRequest, context: TaskContext) -> tuple[list[int], str | None]:
    """Which HDUs are combined, and the filter."""
    with context.crash_means(
        FitsUnreadableError.code, f"{request.frame_names[0]} crashes the FITS reader: it is damaged."
    ):
        images = read_calibration_frames(context.input(request.frames[0]), request.input)
    return list(images), frame_facts(next(iter(images.values())).header).filter


def _raw_frames(
    request: MasterRequest, context: TaskContext, index: int, warnings: list[FrameWarning]
) -> Iterator[tuple[str, RawFrame]]:
    """Name and image of every frame, one at a time."""
    for name, ref in zip(request.frame_names, request.frames, strict=True):
        with context.crash_means(FitsUnreadableError.code, f"{name} crashes the FITS reader: it is damaged."):
            images = read_calibration_frames(context.input(ref), request.input)
        if index not in images:
            raise CalibrationError(f"{name} has no amplifier in HDU {index}, which {request.frame_names[0]} has")
        warnings.extend(images[index].warnings)
        yield name, images[index]


def _prepared(request: MeasureRequest | ForcedRequest, context: TaskContext) -> tuple[dict[str, str], PreparedFrame]:
    """The header as the file has it and as it was understood, by product, and the frame in electrons; the pixels as they
    were read are let go."""
    given = ((MasterKind.BIAS, request.bias), (MasterKind.DARK, request.dark), (MasterKind.FLAT, request.flat))
    masters = {kind: context.input(ref) for kind, ref in given if ref is not None}
    with context.crash_means(FitsUnreadableError.code, "The file crashes the FITS reader: it is damaged."):
        exposure = read_exposure(context.input(request.frame), request.input, masters)
    prepared = prepare_frame(exposure.raw, exposure.settings, request.frame_name)
    texts = {products.HEADER: exposure.raw.original_header, products.CARDS: header_text(exposure.raw.header)}
    return texts, with_variance(prepared, exposure.variance)


def calibrate(request: CalibrateRequest, context: TaskContext) -> TaskOutput:
    """Source table and reference stars in, calibrated magnitudes out."""
    sources, positions, reference = (
        read_columns(context.input(ref)) for ref in (request.sources, request.positions, request.reference)
    )
    context.progress(0.2, "zero point")
    done = CalibrateSources()(request, sources, positions, reference)
    files = {}
    for name, columns, schema in (
        (products.CALIBRATED, done.calibrated, CALIBRATED),
        (products.CALIBRATORS, done.calibrators, CALIBRATORS),
    ):
        if columns:
            write_columns(context.workspace / name, columns, schema)
            files[name] = OutputFile(context.workspace / name, products.FITS)
    if request.depth is not None and done.fit is not None:
        files[products.LIMITS] = _limits(request, done, sources, context)
    if request.products.plots and done.fit is not None:
        context.progress(0.7, "plots")
        files |= _zero_point_plots(request, done, done.fit, context.workspace)
    calibrated = int(done.report.n_used and len(done.calibrated["id"]))
    result = CalibrateResult(zero_point=done.report, calibrated_sources=calibrated)
    return TaskOutput(result=result.model_dump(mode="json"), files=files)


def _measure_files(measured: Measurement, request: MeasureRequest, folder: Path) -> dict[str, OutputFile]:
    meta: dict[str, Any] = {"FRAME": request.frame_name.encode("ascii", "replace").decode()[:60]}
    frame = measured.result.frame
    facts = {"DATE-AVG": frame.date_mid, "MJD-AVG": frame.mjd_mid, "XPOSURE": frame.exposure_s, "FILTER": frame.filter,
             "AIRMASS": frame.airmass_header}  # fmt: skip
    meta |= {name: value for name, value in facts.items() if value is not None}
    write_columns(folder / products.SOURCES, measured.columns, SOURCES, meta)
    names = [products.SOURCES]
    if measured.psf is not None:
        stamp = psf_stamp(measured.psf, _stamp_half(measured))
        write_psf(folder / products.PSF, measured.psf, stamp)
        names.append(products.PSF)
    noise = measured.result.noise_flux_e
    if noise is not None:
        background = measured.background
        depth = 5 * noise * background.mesh_rms / background.rms_median
        step_y, step_x = background.step_px
        cards = {"STEPX": (step_x, "[pix] size of a mesh"), "STEPY": (step_y, "[pix] size of a mesh")}
        what = "point source at S/N 5, per mesh"
        write_map(folder / products.DEPTH, depth, what=what, gain_e_per_adu=measured.summary.gain_e_per_adu, more=cards)
        names.append(products.DEPTH)
    if request.products.maps:
        rms = measured.background.rms_median
        maps = (
            (products.BACKGROUND, measured.background.level_map(), "background", rms / 200),
            (products.BACKGROUND_RMS, measured.background.rms_map(), "noise, one sigma per pixel", rms / 2000),
            (products.RESIDUAL, measured.residual, "frame minus background and sources", rms / 8),
        )
        for name, values, what, step in maps:
            gain = measured.summary.gain_e_per_adu
            write_map(folder / name, values, what=what, gain_e_per_adu=gain, step=step, coarsest=rms * COARSEST_STEP)
            names.append(name)
    return {name: OutputFile(folder / name, products.FITS) for name in names}


def _stamp_half(measured: Measurement) -> int:
    psf = measured.psf
    return 0 if psf is None else min(psf.half_px - 2, round(PLOT_STAMP_FWHM * psf.fwhm_px))


def _measure_plots(measured: Measurement, title: str, folder: Path) -> dict[str, OutputFile]:
    from photometry_service.adapters import measurement_plots as draw
    from photometry_service.adapters.plot_folder import PlotFolder

    plots = PlotFolder(folder / "plots")
    columns, result, background = measured.columns, measured.result, measured.background
    fwhm = result.fwhm_psf_px or result.fwhm_marginal_px or 3.0
    draw.draw_image(plots, measured.clean.pixels(), columns["x"], columns["y"], columns["flags"], fwhm, title=title)
    draw.draw_maps(plots, background, measured.residual, result.background_rms_e)
    draw.draw_fwhm(
        plots, measured.marginal.star_fwhm_px, marginal_px=result.fwhm_marginal_px, psf_px=result.fwhm_psf_px
    )
    if measured.psf is not None:
        half = _stamp_half(measured)
        stamp = psf_stamp(measured.psf, half)
        left = stacked_residual(measured.residual, columns, peak=float(stamp.max()), half_px=half)
        draw.draw_psf(plots, stamp, left, result.psf_stars, fwhm_px=result.fwhm_psf_px, kind=result.psf_kind)
        if result.curve_of_growth:
            draw.draw_curve_of_growth(plots, result.curve_of_growth, stamp, fwhm_px=fwhm)
    return _plot_files(plots.files)


def _limits(
    request: CalibrateRequest, done: Calibration, sources: dict[str, NDArray[Any]], context: TaskContext
) -> OutputFile:
    """Map of the magnitude at S/N 5, for stars of the reference colour."""
    assert request.depth is not None and done.fit is not None and done.extinction is not None  # noqa: S101
    depth, cards = read_map(context.input(request.depth))
    frame = request.measure.frame
    x, y = normalised(sources["x"], sources["y"], frame.width_px, frame.height_px)
    limits = limiting_magnitudes(
        done.fit, depth, exposure_s=frame.exposure_s or 1.0, extinction=done.extinction, x=x, y=y
    )
    path = context.workspace / products.LIMITS
    write_map(path, limits, what="point source at S/N 5, per mesh", gain_e_per_adu=None, unit="mag", more=cards)
    return OutputFile(path, products.FITS)


def _zero_point_plots(
    request: CalibrateRequest, done: Calibration, fit: ZeroPointFit, folder: Path
) -> dict[str, OutputFile]:
    from photometry_service.adapters.calibration_plots import draw_zero_point, draw_zero_point_map
    from photometry_service.adapters.plot_folder import PlotFolder

    plots = PlotFolder(folder / "plots")
    draw_zero_point(plots, done.calibrators, done.report)
    shape = (request.measure.frame.height_px, request.measure.frame.width_px)
    draw_zero_point_map(plots, done.calibrators, zero_point_field(fit, shape), done.report, shape)
    return _plot_files(plots.files)


def _plot_files(files: dict[str, Path]) -> dict[str, OutputFile]:
    media = {".png": products.PNG, ".json": products.JSON}
    return {f"{products.PLOTS}{name}": OutputFile(path, media[path.suffix]) for name, path in files.items()}
