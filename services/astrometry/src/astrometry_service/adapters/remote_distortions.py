"""Distortions of earlier frames through the parent process, which has the database."""

from __future__ import annotations

import numpy as np

from astro_shared.errors import AlidadeError
from astro_shared.jobs.task import TaskContext
from astrometry_service.adapters.distortion_store import ASK_DISTORTIONS, KEEP_DISTORTION
from astrometry_service.domain.distortion import DistortionSample

__all__ = ["RemoteDistortions"]


class RemoteDistortions:
    """An `EarlierDistortions` of one camera and filter.

    Parameters
    ----------
    instrument : camera and filter
    version : no newer frames than this one; None takes all
    """

    def __init__(self, context: TaskContext, instrument: str, version: int | None) -> None:
        self._context, self._instrument, self._version = context, instrument, version

    def samples(self, nx: int, ny: int) -> tuple[int | None, list[DistortionSample]]:
        """The version and the distortions, oldest first; none where nobody keeps any."""
        question = {"instrument": self._instrument, "nx": nx, "ny": ny, "version": self._version}
        try:
            rows = self._context.ask(ASK_DISTORTIONS, question)["rows"]
        except AlidadeError:
            return None, []
        samples = [DistortionSample(nx, ny, np.array(row["terms_px"]), np.array(row["covariance_px2"])) for row in rows]
        return (rows[-1]["version"] if rows else None), samples

    def keep(self, sample: DistortionSample) -> None:
        """Hand the distortion of this frame over; a reduction does not fail because it cannot be kept."""
        answer = {
            "instrument": self._instrument, "nx": sample.nx, "ny": sample.ny, "terms_px": sample.terms_px.tolist(),
            "covariance_px2": sample.covariance_px2.tolist(),
        }  # fmt: skip
        try:
            self._context.ask(KEEP_DISTORTION, answer)
        except AlidadeError:
            return
