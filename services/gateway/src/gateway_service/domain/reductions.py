"""A reduction: a state machine over five stages, each a job of the service that owns it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from astro_shared.contracts import products
from astro_shared.contracts.gateway import ReductionPhase, ReductionStatus, StageName, StageState

STAGES = tuple(StageName)
MASTERS = "masters"
"""Key of ``Reduction.frame`` under which the references of master bias, dark and flat are kept."""
FINAL_STATES = frozenset({StageState.DONE, StageState.FAILED, StageState.SKIPPED, StageState.ABORTED})
UNANSWERED = frozenset({"failed", "not_asked"})
FINAL_PHASES = frozenset({ReductionPhase.COMPLETED, ReductionPhase.ERROR, ReductionPhase.ABORTED})


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage.

    ``round`` counts how often it was done again after the reduction had ended; ``superseded`` are the keys of files
    that a later round replaced.
    """

    name: StageName
    state: StageState = StageState.WAITING
    job_id: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    result: Mapping[str, Any] | None = None
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    usage: Mapping[str, Any] | None = None
    reason: str | None = None
    code: str | None = None
    round: int = 0
    superseded: tuple[str, ...] = ()

    @property
    def final(self) -> bool:
        return self.state in FINAL_STATES


@dataclass(frozen=True, slots=True)
class Reduction:
    id: str
    owner: str
    frame_name: str
    frame: Mapping[str, Any]
    settings: Mapping[str, Any]
    settings_hash: str
    phase: ReductionPhase
    created_at: datetime
    stages: tuple[Stage, ...]
    started_at: datetime | None = None
    ended_at: datetime | None = None
    status: ReductionStatus | None = None
    reason: str | None = None
    abort_requested: bool = False

    @property
    def final(self) -> bool:
        return self.phase in FINAL_PHASES

    @property
    def completing(self) -> bool:
        """It ended once and has results; catalogues that failed were asked again."""
        return any(stage.round for stage in self.stages)

    @property
    def frame_reference(self) -> dict[str, Any]:
        """The frame alone, as JSON of an `ObjectRef`."""
        return {key: value for key, value in self.frame.items() if key != MASTERS}

    @property
    def masters(self) -> dict[str, Any]:
        """``bias``, ``dark`` and ``flat`` as far as given, as JSON of `ObjectRef`."""
        return dict(self.frame.get(MASTERS, {}))

    def stage(self, name: StageName) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)

    def current(self) -> Stage | None:
        """The first stage that has not ended."""
        return next((stage for stage in self.stages if not stage.final), None)


def lacks_identifications(reduction: Reduction) -> bool:
    """Whether the sources could not be looked up at all, or a catalogue failed or was not asked."""
    stage = reduction.stage(StageName.IDENTIFY)
    asked = (stage.result or {}).get("catalogues", ())
    return stage.state is StageState.FAILED or any(entry["status"] in UNANSWERED for entry in asked)


def again(stage: Stage) -> Stage:
    """The stage waiting for its next round, with the result and the files of the last one."""
    return replace(
        stage, state=StageState.WAITING, job_id=None, started_at=None, ended_at=None, reason=None, code=None,
        round=stage.round + 1,
    )  # fmt: skip


def reason_to_skip(reduction: Reduction, name: StageName) -> str | None:
    """Why a stage has nothing to work on, or None when it should run.

    ``collect`` always runs, so that every reduction leaves a summary and a log.
    """
    measured = reduction.stage(StageName.MEASURE)
    solved = reduction.stage(StageName.SOLVE)
    if name in (StageName.MEASURE, StageName.COLLECT):
        return None
    if measured.state is not StageState.DONE:
        return "the frame could not be measured"
    if name is StageName.SOLVE:
        return None
    # positions of a frame that was not solved are its header's, which serve to look up but not to calibrate
    if solved.state is not StageState.DONE or products.POSITIONS not in solved.files:
        return "there is no astrometric solution"
    if name is StageName.CALIBRATE and products.REFERENCE not in solved.files:
        return "there are no reference stars"
    if name is StageName.IDENTIFY and not reduction.settings["identification"]["catalogues"]:
        return "no catalogue was asked for"
    return None
