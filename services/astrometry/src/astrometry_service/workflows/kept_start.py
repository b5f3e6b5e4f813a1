"""The verified start as the result of a refinement that came to nothing, with the reason and what its places are worth."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

import numpy as np

from astro_shared.frame_warnings import WarningCode
from astrometry_service.algorithms.error_model import ErrorModel
from astrometry_service.algorithms.refinement import median_scatter, no_pairs
from astrometry_service.algorithms.refinement._regions import mutual_nearest
from astrometry_service.algorithms.sky_positions import pixel_scales_mas, positions_of_transform
from astrometry_service.domain.reference import ReferencePositions
from astrometry_service.domain.solution import AstrometricSolution, SkyTransform
from astrometry_service.domain.sources import FrameGeometry, SourceList
from astrometry_service.domain.wcs_state import WcsState
from astrometry_service.errors import RefinementError

__all__ = ["NUMERICAL_FAILURES", "kept_start"]

# What arithmetic on a frame's own numbers raises; other exceptions are mistakes of the program and are not caught.
NUMERICAL_FAILURES = (ArithmeticError, ValueError, IndexError)

# Pairs within this many pixels tell how far the start is off, of so many brightest sources.
REACH_PX = 5.0
BRIGHTEST = 300
FEWEST = 4


def kept_start(
    start: SkyTransform, sources: SourceList, places: ReferencePositions, geometry: FrameGeometry, error: Exception,
    report: Mapping[str, Any],
) -> AstrometricSolution:  # fmt: skip
    """The start with state ``valid``; the errors of its places hold its distance from the reference stars.

    Parameters
    ----------
    start : verified map
    sources, places, geometry : of the frame
    error : why there is nothing better: a `RefinementError`, or one of ``NUMERICAL_FAILURES``
    report : steps and thresholds so far
    """
    reason, failure = str(error), {}
    if not isinstance(error, RefinementError):
        where = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error}"
        reason = f"the refinement broke off on the numbers of this frame ({what})"
        failure = {"failure": {"error": what, "where": f"{where.name}, line {where.lineno}"}}
    reason = f"{reason.rstrip('.')}; the verified start is kept as it was found"
    sigma_mas = _scatter_mas(start, sources, places, geometry)
    model = ErrorModel(sigma_sys_mas=sigma_mas) if np.isfinite(sigma_mas) else None
    return AstrometricSolution(
        WcsState.VALID, start, {}, False, (reason,), places.epoch_jyear, positions_of_transform(start, sources, model),
        no_pairs(), {"pairs": 0, **failure, "start_scatter_mas": sigma_mas if model else None, **report},
        notes=(WarningCode.SOLUTION_NOT_REFINED(reason),),
    )  # fmt: skip


def _scatter_mas(
    start: SkyTransform, sources: SourceList, places: ReferencePositions, geometry: FrameGeometry
) -> float:
    """Scatter per axis of bright sources about the reference stars that the start puts next to them; NaN without pairs."""
    x, y = start.sky_to_pixel(places.ra, places.dec)
    inside = (x > -REACH_PX) & (x < geometry.nx + REACH_PX) & (y > -REACH_PX) & (y < geometry.ny + REACH_PX)
    usable = np.flatnonzero(sources.usable)
    bright = usable[np.argsort(-sources.flux[usable], kind="stable")][:BRIGHTEST]
    of_sources = np.stack([sources.x[bright], sources.y[bright]], axis=1)
    of_stars = np.stack([x[inside], y[inside]], axis=1)
    rows, hits = mutual_nearest(of_sources, of_stars, REACH_PX)
    if rows.size < FEWEST:
        return float("nan")
    away_px = np.hypot(*(of_sources[rows] - of_stars[hits]).T)
    return median_scatter(away_px) * pixel_scales_mas(start, *geometry.centre_px)
