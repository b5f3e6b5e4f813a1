"""A worker process of the example service, for tests that kill and freeze it.

``python -m astro_shared.testing.example_worker DATABASE_URL FOLDER`` notices loss within about a second.
"""

from __future__ import annotations

import sys
from pathlib import Path

from astro_shared.database.engine import make_engine
from astro_shared.jobs.job_types import JobType
from astro_shared.jobs.ledger.claims import Timing
from astro_shared.jobs.worker.host import run_worker_process
from astro_shared.jobs.worker.run import ServiceWorker, WorkerOptions
from astro_shared.logs import configure_logging
from astro_shared.settings import DatabaseSettings
from astro_shared.storage.folder import FolderStore
from astro_shared.testing.example_tasks import ExampleRequest

QUICK = Timing(heartbeat_s=0.2, lease_s=1.0, sweep_s=0.3, retry_s=0.05)
QUICK_LOSS = DatabaseSettings(idle_transaction_s=0.5)
TASKS = "astro_shared.testing.example_tasks"


def main() -> None:
    """Run until told to stop."""
    address, folder = sys.argv[1], Path(sys.argv[2])
    configure_logging(service="example", log_format="json")
    job_types = [JobType(name, ExampleRequest, task=f"{TASKS}:{name}") for name in ("shout", "sleep", "spin")]
    store = FolderStore(folder / "objects", url_secret="s" * 32, public_url="http://localhost/storage")

    def build() -> ServiceWorker:
        return ServiceWorker("example", job_types, make_engine(address, QUICK_LOSS), store, concurrency=2)

    run_worker_process(
        [build],
        scratch=folder / "scratch",
        options=WorkerOptions(QUICK, grace_s=0.3, database=QUICK_LOSS),
        ready_file=Path(sys.argv[3]),
    )


if __name__ == "__main__":
    main()
