"""Jobs of single services: wait for their end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from alidade.client import AlidadeClient, AlidadeClientError
from alidade.problem_codes import ClientCode
from astro_shared.contracts.jobs import FINAL_PHASES, JobPhase

LOOK_S = 0.2


def finished_job(
    client: AlidadeClient,
    job: Mapping[str, Any],
    folder: str,
    *,
    watch: Callable[[str], None] = lambda message: None,
) -> Mapping[str, Any]:
    """The job at ``folder/id`` when it has ended well; ``watch`` hears of every new step.

    Raises
    ------
    AlidadeClientError
        It failed or was stopped, with its reason.
    """
    told = ""
    while job["phase"] not in FINAL_PHASES:
        step = " ".join(filter(None, (job["progress"]["step"], job["progress"]["message"])))
        if step and step != told:
            told = step
            watch(step)
        time.sleep(LOOK_S)
        job = client.get(f"{folder}/{job['id']}")
    if job["phase"] != JobPhase.COMPLETED:
        error = job.get("error") or {}
        message = error.get("message", f"the job {job['id']} was stopped")
        raise AlidadeClientError(message, code=error.get("code", ClientCode.ABORTED))
    return job
