"""An engine that lives in another process: the task's child has no network, its parent has.

The child holds a `RelayedEngine`, which asks its parent by ``TaskContext.ask``; the parent answers with
`answer_relayed` and the real engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from astro_shared.errors import AlidadeError
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.solving import EngineAnswer, EngineStatus, SolveHints
from astrometry_service.domain.star_lists import StarList
from astrometry_service.ports import SolveEngine

__all__ = ["SOLVE_REMOTE", "RelayedEngine", "answer_relayed"]

# the question that the parent process must know
SOLVE_REMOTE = "solve_remote"
MAX_STARS = 500


class RelayedEngine:
    """Sends the star list to an engine in the parent process.

    Parameters
    ----------
    name : of the real engine
    ask : ``TaskContext.ask``
    status : of the real engine, as the parent gave it when the job began
    """

    remote = True

    def __init__(self, name: str, ask: Callable[[str, dict[str, Any]], dict[str, Any]], status: EngineStatus) -> None:
        self._name, self._ask, self._status = name, ask, status

    @property
    def name(self) -> str:
        """Name of the real engine."""
        return self._name

    def status(self) -> EngineStatus:
        """As known at the beginning."""
        return self._status

    def solve(self, stars: StarList, shape: tuple[int, int], hints: SolveHints, *, limit_s: float) -> EngineAnswer:
        """Ask the parent."""
        if not self._status.usable:
            return EngineAnswer(self._name, "unavailable", 0.0, detail=self._status.reason)
        bright = stars.brightest(MAX_STARS)
        question = {
            "engine": self._name, "x": bright.x.tolist(), "y": bright.y.tolist(), "flux": bright.flux.tolist(),
            "shape": list(shape), "hints": asdict(hints), "limit_s": limit_s,
        }  # fmt: skip
        try:
            return _from_plain(self._ask(SOLVE_REMOTE, question))
        except AlidadeError as error:
            return EngineAnswer(self._name, "unavailable", 0.0, detail=str(error))


def answer_relayed(engine: SolveEngine, question: Mapping[str, Any]) -> dict[str, Any]:
    """What the parent does with the question; blocks for as long as the engine works."""
    x, y, flux = (np.asarray(question[name], dtype=np.float64) for name in ("x", "y", "flux"))
    height, width = (int(side) for side in question["shape"])
    hints = SolveHints(**question["hints"])
    answer = engine.solve(StarList.from_columns(x, y, flux), (height, width), hints, limit_s=float(question["limit_s"]))
    plain = asdict(answer)
    if answer.plane is not None:
        plain["plane"]["matrix"] = answer.plane.matrix.tolist()
    return plain


def _from_plain(plain: Mapping[str, Any]) -> EngineAnswer:
    plane = plain.get("plane")
    values = dict(plain)
    values["plane"] = (
        PlaneAffine(np.asarray(plane["matrix"], dtype=np.float64), plane["ra0_deg"], plane["dec0_deg"])
        if plane
        else None
    )
    return EngineAnswer(**values)
