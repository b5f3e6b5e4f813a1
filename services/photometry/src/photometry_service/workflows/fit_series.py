"""Extinction of a night from the calibrators of its frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts.photometry import ExtinctionRequest, ExtinctionResult, FrameZeroPoint, SeriesFrame
from astro_shared.errors import InvalidRequestError
from photometry_service.algorithms.calibration import ExtinctionFit, Series, fit_extinction
from photometry_service.workflows.frame_extinction import airmass_at

Columns = Mapping[str, NDArray[Any]]


class SeriesMixedError(InvalidRequestError):
    """The frames differ in band or colour and cannot be fitted together."""

    code = "series_mixed"


@dataclass(frozen=True)
class _Frame:
    """Calibrators used on one frame, or why there are none."""

    airmass: NDArray[np.float64]
    rows: Columns
    reason: str | None = None


class FitSeries:
    def __call__(self, request: ExtinctionRequest, calibrators: Sequence[Columns]) -> ExtinctionResult:
        """
        Parameters
        ----------
        calibrators : columns of `CALIBRATORS`, one table per frame

        Raises
        ------
        SeriesMixedError
        SeriesTooShortError
            Too few frames with an airmass and calibrators, or too small a range.
        """
        band, color = _common(request.frames)
        used = [
            _usable(f, table, request.airmass_formula) for f, table in zip(request.frames, calibrators, strict=True)
        ]
        colors = np.concatenate([frame.rows["color_ref"] for frame in used])
        known = colors[np.isfinite(colors)]
        zero_color = float(np.median(known)) if len(known) else 0.0
        fit = fit_extinction(series := _series(used, zero_color), n_frames=len(used))
        frames = tuple(
            _line(source.name, number, frame, fit, series)
            for number, (source, frame) in enumerate(zip(request.frames, used, strict=True))
        )
        return ExtinctionResult(
            band=band,
            color=color if fit.k2 is not None else None,
            color_zero=zero_color if fit.k2 is not None else None,
            k_mag=fit.k,
            k_err_mag=fit.k_err,
            k2=fit.k2,
            k2_err=fit.k2_err,
            zero_point_mag=fit.zero_point,
            zero_point_err_mag=fit.zero_point_err,
            color_term=fit.color_term,
            color_term_err=fit.color_term_err,
            sigma_frame_mag=fit.sigma_frame,
            sigma_star_mag=fit.sigma_star,
            sigma_extra_mag=fit.sigma_extra,
            frames=frames,
            stars=len(np.unique(series.star[fit.rows_used])),
            measurements=int(fit.rows_used.sum()),
        )


def _common(frames: Sequence[SeriesFrame]) -> tuple[str, str | None]:
    bands = sorted({str(frame.zero_point.band) for frame in frames})
    if len(bands) > 1:
        raise SeriesMixedError(
            f"The frames are calibrated in several bands: {', '.join(bands)}. Send one band at a time."
        )
    colors = sorted({frame.zero_point.color for frame in frames if frame.zero_point.color is not None})
    if len(colors) > 1:
        raise SeriesMixedError(f"The frames use several colours: {', '.join(colors)}. Set zero_point.color for all.")
    return bands[0], colors[0] if colors else None


def _usable(source: SeriesFrame, table: Columns, formula: str) -> _Frame:
    """Calibrators that the frame's own zero point used, with the airmass of each."""
    rows = {name: values[table["used"].astype(bool)] for name, values in table.items()}
    air = airmass_at(source.frame, rows["ra"], rows["dec"], formula)
    if air is None or not np.isfinite(air).any():
        known = source.zero_point.airmass
        if known is None:
            nothing = {name: values[:0] for name, values in rows.items()}
            return _Frame(np.zeros(0), nothing, source.zero_point.airmass_reason or "its airmass is not known")
        air = np.full(len(rows["ra"]), known)
    return _Frame(air, rows)


def _series(frames: Sequence[_Frame], zero_color: float) -> Series:
    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([frame.rows[name] for frame in frames])

    _, star = np.unique(joined("source_id").astype(str), return_inverse=True)
    return Series(
        frame=np.repeat(np.arange(len(frames)), [len(frame.airmass) for frame in frames]),
        star=star,
        difference=joined("mag_ref") - joined("mag_inst"),
        error=joined("mag_inst_err"),
        airmass=np.concatenate([frame.airmass for frame in frames]),
        color=joined("color_ref") - zero_color,
    )


def _line(name: str, number: int, frame: _Frame, fit: ExtinctionFit, series: Series) -> FrameZeroPoint:
    stars = int(fit.rows_used[series.frame == number].sum())
    if not fit.frames_used[number]:
        reason = frame.reason or ("it lies off the others: clouds?" if len(frame.airmass) else "it has no calibrators")
        mean = float(np.mean(frame.airmass)) if len(frame.airmass) else None
        return FrameZeroPoint(name=name, airmass=mean, stars=stars, used=False, reason=reason)
    airmass, offset = float(np.mean(frame.airmass)), float(fit.offset[number])
    return FrameZeroPoint(
        name=name,
        airmass=airmass,
        stars=stars,
        used=True,
        zero_point_mag=fit.zero_point - fit.k * airmass + offset,
        offset_mag=offset,
        offset_err_mag=float(fit.offset_err[number]),
    )
