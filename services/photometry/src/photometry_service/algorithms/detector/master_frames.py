"""Master bias, dark and flat from lists of raw frames, in ADU, with the variance of every pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from astro_shared.errors import InvalidRequestError
from astro_shared.frame_warnings import FrameWarning, WarningCode
from astro_shared.science.robust_statistics import MAD_TO_SIGMA, mad_std

__all__ = [
    "MIN_FLAT",
    "CalibrationError",
    "MasterFrame",
    "MasterKind",
    "Rows",
    "build_bias",
    "build_dark",
    "build_flat",
    "check_shape",
    "combine",
    "pedestal",
]

MIN_FLAT = 0.1
"""Normalised flats below this are masked."""

CLIP_SIGMA = 3.0

ROWS_AT_ONCE = 64
"""Rows combined together: keeps the working copy of a stack small."""

SAME_EXPOSURE = 0.01
"""Relative difference up to which a dark that still holds its bias fits a frame."""

MAX_DARK_SCALE = 5.0
"""Scaling a dark up by more than this multiplies its noise beyond use."""


class CalibrationError(InvalidRequestError):
    """Calibration frames do not fit the frame or each other."""

    code = "calibration_mismatch"


class MasterKind(StrEnum):
    """What a master corrects."""

    BIAS = "bias"
    DARK = "dark"
    FLAT = "flat"


@dataclass(frozen=True, eq=False)
class MasterFrame:
    """A combined calibration frame.

    Attributes
    ----------
    kind
    data : (ny, nx), ADU; flats are normalised to a median of 1
    variance : (ny, nx), square of that unit, of the combined value
    mask : (ny, nx), True = no usable value
    n_frames : frames combined
    exposure_s : of a dark
    bias_subtracted : False for a dark that still holds the bias
    """

    kind: MasterKind
    data: NDArray[np.float32]
    variance: NDArray[np.float32]
    mask: NDArray[np.bool_]
    n_frames: int
    exposure_s: float | None = None
    bias_subtracted: bool = True


class Rows(Protocol):
    """A plane that is read by rows: an array, or one that waits on disk."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: slice, /) -> NDArray[Any]: ...


Hold: TypeAlias = Callable[[NDArray[Any]], Rows]


def _in_memory(plane: NDArray[Any]) -> Rows:
    return plane


def combine(
    frames: Sequence[Rows],
    masks: Sequence[Rows] | None = None,
    *,
    clip_sigma: float = CLIP_SIGMA,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Clipped mean of a stack, its variance, and where there is none.

    Parameters
    ----------
    frames : n arrays (ny, nx) of one unit
    masks : n arrays (ny, nx), True = leave out

    Returns
    -------
    mean, variance of the mean, mask : (ny, nx)
        Pixels without any value hold 0 and are masked. With two frames or fewer nothing is clipped.

    Notes
    -----
    Values further than ``clip_sigma`` from the median of their pixel are left out. The sigma is the larger of the
    pixel's own 1.4826 MAD and the median of that over 64 rows (their mean deviation where that is zero): a few values
    alone tell their scatter badly. The variance is the scatter of the values kept over their number; where one is left,
    the typical variance of the rows.
    """
    if not frames:
        raise CalibrationError("no frames to combine")
    shape = frames[0].shape
    if any(f.shape != shape for f in frames) or (masks is not None and any(m.shape != shape for m in masks)):
        raise CalibrationError(f"frames of different shapes: {sorted({f.shape for f in frames})}")
    mean, variance = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    mask = np.zeros(shape, np.bool_)
    for top in range(0, shape[0], ROWS_AT_ONCE):
        rows = slice(top, top + ROWS_AT_ONCE)
        stack = np.stack([np.asarray(f[rows], np.float64) for f in frames])
        if masks is not None:
            stack[np.stack([m[rows] for m in masks])] = np.nan
        mean[rows], variance[rows], mask[rows] = _combine_rows(stack, clip_sigma)
    return mean, variance, mask


def build_bias(
    frames: Sequence[Rows], masks: Sequence[Rows] | None = None, *, clip_sigma: float = CLIP_SIGMA
) -> MasterFrame:
    """Master bias from raw bias frames (ny, nx), ADU."""
    return MasterFrame(MasterKind.BIAS, *combine(frames, masks, clip_sigma=clip_sigma), n_frames=len(frames))


def build_dark(
    frames: Sequence[Rows],
    exposures_s: Sequence[float],
    *,
    bias: MasterFrame | None,
    masks: Sequence[Rows] | None = None,
    clip_sigma: float = CLIP_SIGMA,
    hold: Hold = _in_memory,
) -> MasterFrame:
    """Master dark from raw darks.

    Parameters
    ----------
    frames : n arrays (ny, nx), ADU
    exposures_s : (n,), s
        With a bias they may differ: every dark is scaled to the longest. Without, they must agree to 1 %.
    bias : None leaves the bias in the dark, which then fits frames of the same exposure only
    hold : keeps an intermediate plane somewhere, where memory is short

    Raises
    ------
    CalibrationError
        Exposures are missing, not positive, or differ where they must not.
    """
    if len(exposures_s) != len(frames) or not exposures_s or min(exposures_s) <= 0:
        raise CalibrationError(f"{len(frames)} darks need as many positive exposures, got {list(exposures_s)}")
    longest = max(exposures_s)
    if bias is None:
        if min(exposures_s) < (1 - SAME_EXPOSURE) * longest:
            raise CalibrationError(f"darks of {min(exposures_s):g} to {longest:g} s can not be combined without a bias")
        plain = combine(frames, masks, clip_sigma=clip_sigma)
        return MasterFrame(MasterKind.DARK, *plain, n_frames=len(frames), exposure_s=longest, bias_subtracted=False)
    check_shape(frames[0].shape, bias)
    scaled = [
        hold(((f[:] - bias.data) * np.float32(longest / t)).astype(np.float32))
        for f, t in zip(frames, exposures_s, strict=True)
    ]
    data, variance, mask = combine(scaled, masks, clip_sigma=clip_sigma)
    return MasterFrame(
        MasterKind.DARK, data, variance + bias.variance, mask | bias.mask, n_frames=len(frames), exposure_s=longest
    )


def build_flat(
    frames: Sequence[Rows],
    *,
    bias: MasterFrame | None = None,
    dark: MasterFrame | None = None,
    exposures_s: Sequence[float] | None = None,
    masks: Sequence[Rows] | None = None,
    clip_sigma: float = CLIP_SIGMA,
    hold: Hold = _in_memory,
) -> MasterFrame:
    """Master flat from raw flats: bias and dark off, each divided by its median, combined, normalised to 1.

    Parameters
    ----------
    frames : n arrays (ny, nx), ADU
    exposures_s : (n,), s, needed with a dark
    hold : keeps an intermediate plane somewhere, where memory is short

    Raises
    ------
    CalibrationError
        A flat has no light.
    """
    times = list(exposures_s) if exposures_s is not None else [None] * len(frames)
    if len(times) != len(frames):
        raise CalibrationError(f"{len(frames)} flats and {len(times)} exposures")
    normalised = []
    for k, (frame, exposure) in enumerate(zip(frames, times, strict=True)):
        for master in (bias, dark):
            check_shape(frame.shape, master)
        light = frame[:] - pedestal(frame.shape, exposure, bias, dark)[0]
        level = _typical(light, None if masks is None else masks[k][:])
        if not level > 0:
            raise CalibrationError(f"flat {k + 1} of {len(frames)} has no light: its median is {level:g} ADU")
        normalised.append(hold((light / np.float32(level)).astype(np.float32)))
    data, variance, mask = combine(normalised, masks, clip_sigma=clip_sigma)
    level = _typical(data, mask)
    return MasterFrame(
        MasterKind.FLAT,
        (data / np.float32(level)).astype(np.float32),
        (variance / np.float32(level**2)).astype(np.float32),
        mask | (data < MIN_FLAT * level),
        n_frames=len(frames),
    )


def pedestal(
    shape: tuple[int, ...], exposure_s: float | None, bias: MasterFrame | None, dark: MasterFrame | None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], tuple[FrameWarning, ...]]:
    """Bias and scaled dark, their variance, the bias alone (all ADU), and what is doubtful."""
    zero = np.zeros((1, 1), np.float32)
    bias_data, bias_variance = (zero, zero) if bias is None else (bias.data, bias.variance)
    if dark is None:
        return bias_data + zero, bias_variance + zero, bias_data, ()
    if exposure_s is None or dark.exposure_s is None:
        raise CalibrationError("a dark needs the exposures of the frame and of the dark")
    scale = exposure_s / dark.exposure_s
    if not dark.bias_subtracted:
        if abs(scale - 1) > SAME_EXPOSURE:
            raise CalibrationError(
                f"the dark of {dark.exposure_s:g} s still holds its bias and can not be scaled to {exposure_s:g} s"
            )
        return dark.data, dark.variance, bias_data, ()
    warnings: tuple[FrameWarning, ...] = ()
    if bias is None:
        told = "the dark has its bias taken off, and no bias was given: the bias level stays in the frame"
        warnings = (WarningCode.BIAS_MISSING(told),)
    if scale > MAX_DARK_SCALE:
        told = f"the dark of {dark.exposure_s:g} s is scaled up {scale:.1f} times; its noise is multiplied"
        warnings += (WarningCode.DARK_SCALED(told),)
    s = np.float32(scale)
    return bias_data + s * dark.data, bias_variance + s**2 * dark.variance, bias_data, warnings


def _combine_rows(
    stack: NDArray[np.float64], clip_sigma: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Clipped mean over the first axis of a stack with NaN where values are missing."""
    present = np.isfinite(stack)
    empty = np.asarray(~present.any(axis=0))
    filled = np.where(empty, 0.0, stack)
    kept = present | empty
    median = np.nanmedian(filled, axis=0)
    spread = MAD_TO_SIGMA * np.nanmedian(np.abs(filled - median), axis=0)
    if stack.shape[0] > 2:
        typical = float(np.median(spread)) or 1.2533 * float(np.nanmean(np.abs(filled - median)))
        limit = clip_sigma * np.maximum(spread, typical)
        kept &= (np.abs(filled - median) <= limit) | (limit == 0)
    count = kept.sum(axis=0)
    mean = np.where(kept, filled, 0.0).sum(axis=0) / count
    scatter = (np.where(kept, filled - mean, 0.0) ** 2).sum(axis=0) / np.maximum(count - 1, 1)
    several = count > 1
    usual = float(np.median(scatter[several & ~empty])) if (several & ~empty).any() else 0.0
    return mean, np.where(several, scatter, usual) / count, empty


def _typical(plane: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> float:
    """Median of the good pixels after clipping at 3 robust sigma; NaN without any."""
    values = plane[np.isfinite(plane)] if mask is None else plane[np.isfinite(plane) & ~mask]
    if values.size == 0:
        return float("nan")
    median = np.median(values)
    sigma = mad_std(values, median)
    return float(np.median(values[np.abs(values - median) <= max(CLIP_SIGMA * sigma, 1e-12)]))


def check_shape(shape: tuple[int, ...], master: MasterFrame | None) -> None:
    """Refuse a master of another size."""
    if master is not None and master.data.shape != shape:
        raise CalibrationError(f"the master {master.kind} is {master.data.shape}, the frame {shape}")
