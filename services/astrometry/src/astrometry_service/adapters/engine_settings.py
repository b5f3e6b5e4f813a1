"""What only the operator says about engines: asked by the task's child, answered by its parent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from astro_shared.errors import AlidadeError
from astro_shared.jobs.job_types import Answer, JobRun
from astro_shared.jobs.task import TaskContext
from astrometry_service.adapters.nova_relay import NovaRelay
from astrometry_service.domain.solving import EngineStatus

__all__ = ["ENGINE_SETTINGS", "EngineFacts", "ask_engine_facts", "engine_settings"]

ENGINE_SETTINGS = "engine_settings"


@dataclass(frozen=True)
class EngineFacts:
    """
    Attributes
    ----------
    index_folders : that the operator added
    nova : whether nova.astrometry.net can be asked for this user
    """

    index_folders: tuple[str, ...]
    nova: EngineStatus


def engine_settings(index_folders: Sequence[str], nova: NovaRelay) -> Answer:
    """The answer of a worker with these folders of index files and this way to nova."""

    async def answer(payload: dict[str, Any], run: JobRun) -> dict[str, Any]:
        status = await nova.status(run.job.owner, wanted=bool(payload["remote"]))
        return {"index_folders": list(index_folders), "nova": asdict(status)}

    return answer


def ask_engine_facts(context: TaskContext, *, remote: bool) -> EngineFacts:
    """What the parent knows; nothing where nobody answers, as in a task that runs without a platform.

    Parameters
    ----------
    remote : the user switched ``solve.remote`` on
    """
    try:
        answer = context.ask(ENGINE_SETTINGS, {"remote": remote})
    except AlidadeError:
        return EngineFacts((), EngineStatus("nova", False, "there is no platform that could ask it"))
    return EngineFacts(tuple(str(folder) for folder in answer["index_folders"]), EngineStatus(**answer["nova"]))
