"""What only the operator says about engines: asked by the task's child, answered by its parent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from astro_shared.errors import AlidadeError
from astro_shared.jobs.kinds import Answer, JobRun
from astro_shared.jobs.task import TaskContext

__all__ = ["ENGINE_SETTINGS", "engine_settings", "index_folders"]

ENGINE_SETTINGS = "engine_settings"


def engine_settings(index_folders: Sequence[str]) -> Answer:
    """The answer of a worker with these folders of index files."""

    async def answer(payload: dict[str, Any], run: JobRun) -> dict[str, Any]:
        return {"index_folders": list(index_folders)}

    return answer


def index_folders(context: TaskContext) -> tuple[str, ...]:
    """Folders that the operator added; none where nobody answers, as in a task that runs without a platform."""
    try:
        answer = context.ask(ENGINE_SETTINGS, {})
    except AlidadeError:
        return ()
    return tuple(str(folder) for folder in answer["index_folders"])
