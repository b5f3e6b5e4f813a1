"""A master from raw calibration frames: one after the other is read and put aside, then they are combined by rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from astro_shared.contracts.photometry import MasterRequest, MasterResult
from astro_shared.fits import RawFrame
from astro_shared.fits.keywords import frame_facts
from astro_shared.frame_warnings import FrameWarning, WarningCode
from photometry_service.algorithms.detector import (
    CalibrationError,
    Hold,
    MasterFrame,
    MasterKind,
    Rows,
    build_bias,
    build_dark,
    build_flat,
)

FEW_FRAMES = 5


@dataclass
class _Stack:
    planes: list[Rows] = field(default_factory=list)
    masks: list[Rows] = field(default_factory=list)
    exposures_s: list[float | None] = field(default_factory=list)


class BuildMaster:
    """
    Parameters
    ----------
    hold : puts a plane aside
    """

    def __init__(self, hold: Hold) -> None:
        self._hold = hold

    def __call__(
        self,
        request: MasterRequest,
        frames: Iterable[tuple[str, RawFrame]],
        bias: MasterFrame | None,
        dark: MasterFrame | None,
        progress: Callable[[float, str], None],
    ) -> MasterFrame:
        """
        Parameters
        ----------
        frames : name and image of each, read one at a time, all of one size

        Raises
        ------
        CalibrationError
            Frames do not fit each other or the masters, or lack an exposure; with the name of the frame.
        """
        stack, number = _Stack(), len(request.frames)
        shape: tuple[int, ...] | None = None
        for count, (name, raw) in enumerate(frames, 1):
            if shape is not None and raw.shape != shape:
                raise CalibrationError(f"{name} has {_size(raw.shape)}, the frames before it {_size(shape)}")
            shape = raw.shape
            self._add(stack, name, raw, request)
            progress(0.7 * count / number, "reading")
        progress(0.7, "combining")
        kind, clip = MasterKind(request.kind), request.clip_sigma
        exposures = [exposure or 0.0 for exposure in stack.exposures_s]
        if kind is MasterKind.BIAS:
            return build_bias(stack.planes, stack.masks, clip_sigma=clip)
        if kind is MasterKind.DARK:
            return build_dark(
                stack.planes, exposures, bias=bias, masks=stack.masks, clip_sigma=clip, hold=self._hold
            )  # fmt: skip
        return build_flat(
            stack.planes, bias=bias, dark=dark, exposures_s=exposures, masks=stack.masks, clip_sigma=clip,
            hold=self._hold,
        )  # fmt: skip

    def _add(self, stack: _Stack, name: str, raw: RawFrame, request: MasterRequest) -> None:
        facts = frame_facts(raw.header, request.input)
        exposure = facts.exposure_s
        needed = request.kind == "dark" or (request.kind == "flat" and request.dark is not None)
        if needed and exposure is None:
            raise CalibrationError(f"{name} does not say its exposure: give input.exposure_s")
        mask, level = raw.mask, facts.saturation_adu
        if request.kind == "flat" and level is not None:
            mask = mask | (raw.data >= level)
        stack.planes.append(self._hold(raw.data))
        stack.masks.append(self._hold(mask))
        stack.exposures_s.append(exposure)


def describe(masters: dict[int, MasterFrame], warnings: Iterable[FrameWarning]) -> MasterResult:
    """Figures of a master of one image or of several amplifiers."""
    first = next(iter(masters.values()))
    good = {index: ~master.mask for index, master in masters.items()}
    if not any(plane.any() for plane in good.values()):
        raise CalibrationError("no pixel of the master has a value")
    data = np.concatenate([masters[index].data[plane] for index, plane in good.items()])
    variance = np.concatenate([masters[index].variance[plane] for index, plane in good.items()])
    notes = list(dict.fromkeys(warnings))
    if first.n_frames < FEW_FRAMES:
        told = f"{first.n_frames} frames: outliers and the scatter are known badly below {FEW_FRAMES}"
        notes.append(WarningCode.FEW_FRAMES_IN_MASTER(told))
    return MasterResult(
        kind=first.kind.value,
        n_frames=first.n_frames,
        width_px=first.data.shape[1],
        height_px=first.data.shape[0],
        exposure_s=first.exposure_s,
        median=float(np.median(data)),
        error=float(np.sqrt(np.mean(variance, dtype=np.float64))),
        masked_pixels=sum(int(master.mask.sum()) for master in masters.values()),
        bias_subtracted=first.bias_subtracted,
        warnings=tuple(notes),
    )


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} px"
