"""The sources of a request: photometry's table, a plain list as FITS or CSV, or the SEP chain on the frame itself."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from astro_shared.contracts.astrometry import SolveRequest
from astro_shared.fits import FitsUnreadableError, read_frame, scan
from astro_shared.fits.tables import read_columns
from astro_shared.jobs.task import TaskContext
from astro_shared.science.source_extraction import ExtractedSources, extract_sources
from astrometry_service.adapters.source_columns import PRODUCERS, KnownSources, canonical_sources
from astrometry_service.errors import NothingToSolveError, SourceListError

__all__ = ["SourceInput", "read_source_list", "read_sources"]

Columns = dict[str, NDArray[Any]]
SAME_SOURCE_PX = 1.5


@dataclass(frozen=True)
class SourceInput:
    """
    Attributes
    ----------
    columns : what is matched and fitted, with ``id``
    bad : (n,), sources that must stay out of the fit, or None
    wanted : sources that positions are wanted for, where these are others than ``columns``
    fwhm_px : of the stars, where measured here
    note : how a list of another program was read
    """

    columns: Columns
    bad: NDArray[np.bool_] | None = None
    wanted: Columns | None = None
    fwhm_px: float | None = None
    note: str = ""


def read_sources(request: SolveRequest, context: TaskContext) -> SourceInput:
    """Sources as the request wants them: by SEP with ``astrometry.detector = sep`` or where there is only a frame.

    Raises
    ------
    NothingToSolveError
        SEP is asked for without a frame, or finds nothing.
    SourceListError
        A list has no columns x, y and flux.
    """
    given = _given_table(request, context)
    table = given.columns if given is not None else None
    if given is not None and request.astrometry.detector != "sep":
        return SourceInput(given.columns, note=given.note)
    if request.frame is None:
        raise NothingToSolveError("astrometry.detector = sep needs the frame itself, not only a source table.")
    with context.crash_means(FitsUnreadableError.code, "The file crashes the FITS reader: it is damaged."):
        raw = read_frame(context.input(request.frame), request.summary.hdu, mask_hdu="auto", scratch=context.workspace)
    image_e = np.multiply(raw.data, np.float32(request.summary.gain_e_per_adu), out=raw.data)
    saturation_e = inf if request.summary.saturation_e is None else request.summary.saturation_e
    found = extract_sources(image_e, saturation_e=saturation_e, mask=raw.mask, overwrite_image=True)
    if len(found) == 0:
        raise NothingToSolveError("No source was found in the frame.")
    return SourceInput(_columns(found, table), ~found.usable, table, found.fwhm_px)


def _given_table(request: SolveRequest, context: TaskContext) -> KnownSources | None:
    if request.stars is not None:
        columns = {name: np.array(values) for name, values in request.stars.model_dump().items()}
        return KnownSources(columns | {"id": np.arange(1, len(request.stars.x) + 1)})
    return read_source_list(context.input(request.sources)) if request.sources is not None else None


def read_source_list(path: Path) -> KnownSources:
    """A FITS table (FITS_LDAC too), or CSV text with a line of names, in Alidade's names.

    Lists of the programs in `PRODUCERS` are known by their names. Rows without whole numbers as ``id`` are counted from 1.
    """
    with path.open("rb") as file:
        is_fits = file.read(6) == b"SIMPLE"
    if is_fits:
        scan(path)
    found = canonical_sources(read_columns(path) if is_fits else _csv_columns(path))
    if found is None:
        known = "; ".join(f"{p.x}, {p.y} ({p.name}, from {p.first_pixel})" for p in PRODUCERS[1:])
        raise SourceListError(
            f"the list has no column x and y (pixels, counted from 0), nor a pair of another program: {known}", count=0
        )
    if _are_numbers(found.columns.get("id")):
        return found
    return replace(found, columns=found.columns | {"id": np.arange(1, len(found.columns["x"]) + 1)})


def _are_numbers(identifiers: NDArray[Any] | None) -> bool:
    if identifiers is None or identifiers.dtype.kind not in "iuf":
        return False
    return bool(np.all(np.isfinite(identifiers)) and np.all(identifiers == np.floor(identifiers)))


def _csv_columns(path: Path) -> Columns:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(line for line in file if not line.startswith("#"))
            names = [name.strip() for name in next(lines, [])]
            rows = [row for row in lines if row]
        if any(len(row) != len(names) for row in rows):
            raise SourceListError("a row of the list has more or fewer values than the line of names", count=len(rows))
        return {name: np.array([_number(row[k]) for row in rows]) for k, name in enumerate(names)}
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceListError(f"the list is neither a FITS table nor CSV: {error}", count=0) from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _columns(found: ExtractedSources, table: Columns | None) -> Columns:
    """Sources of SEP in the names of the source table; ``id`` is photometry's where that has the same source, else 0."""
    identifier = np.arange(1, len(found) + 1)
    if table is not None:
        real = np.flatnonzero(np.isfinite(table["x"]) & np.isfinite(table["y"]))
        identifier = np.zeros(len(found), np.int64)
        if real.size:
            tree = cKDTree(np.stack([table["x"][real], table["y"][real]], axis=1))
            distance, row = tree.query(np.stack([found.x, found.y], axis=1))
            near = distance <= SAME_SOURCE_PX
            identifier[near] = table["id"][real[row[near]]]
    return {
        "id": identifier,
        "x": found.x,
        "y": found.y,
        "x_var": found.covariance[:, 0, 0],
        "y_var": found.covariance[:, 1, 1],
        "xy_cov": found.covariance[:, 0, 1],
        "position_kind": np.where(found.psf_fitted, "psf", "windowed"),
        "flux": found.flux,
        "flux_err": found.flux_err,
        "snr": found.snr,
    }
