"""Faults of the embedded platform: whatever is killed, frozen, lost or doubled, a reduction ends with one result set.

Every test sends the same small frame, does something terrible while it is reduced, and then only waits.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from alidade.client import AlidadeClient, AlidadeClientError
from alidade.processing import use_reference
from astro_shared.contracts.gateway import ReductionView
from astro_shared.testing.embedded import STAGES, EmbeddedPlatform, free_port, public_folder, until
from astro_shared.testing.frames import Camera, simulate_frame

pytestmark = [pytest.mark.fault, pytest.mark.timeout(400)]

LIMIT_S = 60.0
LEASE_S = 25.0
FINAL = ("COMPLETED", "ERROR", "ABORTED")
EXECUTING = "SELECT id, attempt FROM jobs WHERE idempotency_key LIKE %s AND phase = 'EXECUTING'"


@dataclass(frozen=True)
class Bench:
    """A platform, a frame on it, and what comes of the frame when nothing goes wrong."""

    platform: EmbeddedPlatform
    upload: str
    reference: str
    undisturbed: dict[str, str]

    def client(self) -> AlidadeClient:
        return AlidadeClient(self.platform.url, personal_token=self.platform.token)

    def reduce(self) -> str:
        with self.client() as client:
            return client.reduce(self.upload, settings=_settings(self.reference)).id

    def wait_for(self, reduction: str, stage: str, *, attempt: int = 1) -> None:
        """Until a worker has begun a stage."""
        pattern = f"{reduction}:{stage}:%"

        def begun() -> bool:
            rows = self.platform.query(STAGES[stage], EXECUTING, pattern)
            return bool(rows) and rows[0]["attempt"] >= attempt

        until(begun, 180, f"{stage} to begin")

    def finish(self, reduction: str, since: float, *, limit_s: float = LIMIT_S) -> ReductionView:
        """Wait without helping; the end must come in time and must be as if nothing had happened."""
        view = until(lambda: self._ended(reduction), 4 * limit_s, "the reduction to end", every_s=0.1)
        seconds, limit_s = time.monotonic() - since, limit_s * busy()
        print(f"\n  {seconds:.1f} s from the fault to the end; attempts {self.attempts(reduction)}")
        assert (view.phase, view.status) == ("COMPLETED", "calibrated"), view.reason
        assert self.tables(reduction) == self.undisturbed
        for stage in STAGES:
            jobs = self.platform.jobs_of(reduction, stage)
            assert [job["phase"] for job in jobs] == ["COMPLETED"], f"{stage} has one job"
            assert self.platform.stored_attempts(stage, jobs[0]["id"]) == [str(jobs[0]["attempt"])]
        assert seconds < limit_s
        return view

    def attempts(self, reduction: str) -> dict[str, int]:
        return {stage: job["attempt"] for stage in STAGES for job in self.platform.jobs_of(reduction, stage)}

    def tables(self, reduction: str) -> dict[str, str]:
        return tables_of(self.client(), reduction)

    def _ended(self, reduction: str) -> ReductionView | None:
        try:
            with self.client() as client:
                view = client.reduction(reduction)
        except AlidadeClientError as error:
            assert error.code == "unreachable" or error.status in (502, 503, 504), error
            return None
        return view if view.phase in FINAL else None


def busy() -> float:
    """How many times as long things take because the machine has other things to do."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def tables_of(client: AlidadeClient, reduction: str) -> dict[str, str]:
    """Hashes of the final tables, which do not depend on how often anything was tried."""
    with client:
        files = client.get(f"/api/v1/reductions/{reduction}/results")
    return {file["name"]: file["sha256"] for file in files if file["name"].startswith("catalog.")}


def _settings(reference: str) -> dict[str, Any]:
    return {"reference": {"name": reference}, "identification": {"catalogues": ["simbad"]}}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with public_folder() as folder:
        platform = EmbeddedPlatform(folder / "data", free_port())
        platform.folder.mkdir()
        platform.start()
        try:
            yield _bench(platform, folder)
        finally:
            platform.stop()


def _bench(platform: EmbeddedPlatform, folder: Path) -> Bench:
    frame = simulate_frame(7, n_stars=300, camera=Camera(shape=(512, 512)))
    with AlidadeClient(platform.url, personal_token=platform.token) as client:
        reference = use_reference(client, str(frame.write_reference(folder / "stars.fits")), say=print)
        upload = client.upload(frame.write(folder / "small.fits")).id
        begin = time.monotonic()
        first = client.reduce(upload, settings=_settings(reference))
        for view in client.watch(first.id, every_s=0.1):
            first = view
    assert first.status == "calibrated", first.reason
    print(f"\n  undisturbed: {time.monotonic() - begin:.1f} s")
    undisturbed = tables_of(AlidadeClient(platform.url, personal_token=platform.token), first.id)
    assert "catalog.csv" in undisturbed
    return Bench(platform, upload, reference, undisturbed)


def hit(bench: Bench, stage: str, strike: Callable[[], None]) -> tuple[str, float]:
    """Strike while a worker is at a stage; again with another reduction where the stage was over too soon."""
    for _ in range(5):
        reduction = bench.reduce()
        bench.wait_for(reduction, stage)
        strike()
        since = time.monotonic()
        if not _was_over(bench, reduction, stage):
            return reduction, since
        bench.finish(reduction, since)
    raise AssertionError(f"{stage} is always over before it can be hit")


def _was_over(bench: Bench, reduction: str, stage: str) -> bool:
    """Whether the stage had ended before it was hit; waits for the database where that was hit too."""

    def rows() -> list[dict[str, Any]]:
        try:
            return bench.platform.jobs_of(reduction, stage)
        except psycopg.OperationalError:
            return []

    (job,) = until(rows, 60, "the database")
    return bool(job["phase"] == "COMPLETED" and job["attempt"] == 1)


@pytest.mark.parametrize("stage", list(STAGES))
def test_a_killed_worker_is_replaced_and_its_stage_done_again(bench: Bench, stage: str) -> None:
    reduction, since = hit(bench, stage, lambda: bench.platform.worker_host().kill())
    bench.finish(reduction, since)
    assert bench.attempts(reduction)[stage] == 2


@pytest.mark.parametrize("stage", ["measure", "collect"])
def test_a_killed_platform_goes_on_at_its_next_start(bench: Bench, stage: str) -> None:
    def strike() -> None:
        bench.platform.kill()
        bench.platform.start(wait=False)

    reduction, since = hit(bench, stage, strike)
    bench.finish(reduction, since)
    bench.platform.wait_until_ready()


def test_a_platform_whose_first_process_was_killed_starts_again_at_once_on_its_port(bench: Bench) -> None:
    """The others are still on their way out, holding the port, the database and a job."""
    reduction = bench.reduce()
    bench.wait_for(reduction, "measure")
    left = bench.platform.processes()[1:]
    bench.platform.processes()[0].kill()
    since = time.monotonic()
    bench.platform.start()
    bench.finish(reduction, since)
    assert not [process for process in left if process.is_running()]


def test_a_frozen_worker_commits_nothing_after_another_took_over(bench: Bench, tmp_path: Path) -> None:
    platform = bench.platform
    host = platform.worker_host()
    reduction = bench.reduce()
    bench.wait_for(reduction, "measure")
    host.suspend()
    since = time.monotonic()
    second = subprocess.Popen(
        [
            sys.executable, "-m", "astro_shared.jobs.worker.host", "--scratch", str(tmp_path),
            *(f"{name}_service.worker:build" for name in ("photometry", "astrometry", "catalogs", "gateway")),
        ],
        env=platform.variables(), stdout=(tmp_path / "log").open("wb"), stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        bench.wait_for(reduction, "measure", attempt=2)
        print(f"\n  taken over after {time.monotonic() - since:.1f} s")
        assert time.monotonic() - since > LEASE_S - 6
        host.resume()
        bench.finish(reduction, since)
        assert bench.attempts(reduction)["measure"] == 2
        log = (platform.folder / "logs" / "workers.log").read_text()
        assert any("attempt_lost" in line or "attempt_cancelled" in line for line in log.splitlines()[-400:])
    finally:
        host.resume()
        second.send_signal(signal.SIGTERM)
        second.wait(60)


def test_a_platform_that_slept_past_its_leases_goes_on(bench: Bench) -> None:
    reduction = bench.reduce()
    bench.wait_for(reduction, "measure")
    with frozen(bench.platform.processes()):
        time.sleep(LEASE_S + 3)
    bench.finish(reduction, time.monotonic())


@contextlib.contextmanager
def frozen(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """None of them does anything for a while; those that had just ended are left out."""
    try:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        yield
    finally:
        for process in reversed(processes):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["stopped", "killed"])
@pytest.mark.parametrize("stage", ["measure", "solve"])
def test_the_database_comes_back_and_nothing_is_lost(bench: Bench, stage: str, number: signal.Signals) -> None:
    reduction, since = hit_database(bench, stage, number)
    bench.finish(reduction, since)


def hit_database(bench: Bench, stage: str, number: signal.Signals) -> tuple[str, float]:
    reduction = bench.reduce()
    bench.wait_for(reduction, stage)
    server = bench.platform.postgres()
    server.send_signal(number)
    since = time.monotonic()
    server.wait(30)
    until(lambda: bench.platform.postgres().pid != server.pid, 30, "another server")
    return reduction, since


def test_killed_apis_lose_a_callback_that_the_sweep_makes_good(bench: Bench) -> None:
    reduction = bench.reduce()
    bench.wait_for(reduction, "measure")
    bench.platform.apis().kill()
    bench.finish(reduction, time.monotonic())


LOSE_CALLBACKS = """
CREATE FUNCTION lose_callback() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN NEW.callback_url := 'http://127.0.0.1:9/'; RETURN NEW; END $$;
CREATE TRIGGER lose_callback BEFORE INSERT OR UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION lose_callback();
"""


def test_a_lost_callback_costs_a_sweep_and_nothing_else(bench: Bench) -> None:
    bench.platform.query("photometry", LOSE_CALLBACKS)
    try:
        since = time.monotonic()
        reduction = bench.reduce()
        view = bench.finish(reduction, since)
        assert view.started_at is not None
    finally:
        bench.platform.query("photometry", "DROP FUNCTION lose_callback CASCADE")


DOUBLE_DELIVERIES = """
CREATE FUNCTION double_delivery() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF pg_trigger_depth() = 1 THEN
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args, scheduled_at)
      VALUES (NEW.queue_name, NEW.task_name, NEW.priority, NEW.args, NEW.scheduled_at);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER double_delivery AFTER INSERT ON procrastinate_jobs FOR EACH ROW EXECUTE FUNCTION double_delivery();
"""


def test_deliveries_and_requests_that_come_twice_are_done_once(bench: Bench) -> None:
    services = sorted(set(STAGES.values()))
    for service in services:
        bench.platform.query(service, DOUBLE_DELIVERIES)
    try:
        since = time.monotonic()
        with bench.client() as client:
            sent = [
                client.reduce(bench.upload, settings=_settings(bench.reference), key="sent-twice") for _ in range(2)
            ]
        assert sent[0].id == sent[1].id
        bench.finish(sent[0].id, since)
        assert set(bench.attempts(sent[0].id).values()) == {1}
    finally:
        for service in services:
            bench.platform.query(service, "DROP FUNCTION double_delivery CASCADE")


def test_nothing_is_left_over(bench: Bench) -> None:
    """After all of the above: no unfinished job, no queue row, no workspace, one process of each kind."""
    for service in sorted(set(STAGES.values())):
        unfinished = f"SELECT id, phase FROM jobs WHERE phase NOT IN {FINAL}"
        assert bench.platform.query(service, unfinished) == []
        until(
            lambda service=service: not bench.platform.query(service, "SELECT id FROM procrastinate_jobs"), 40, service
        )
    scratch = bench.platform.folder / "scratch"
    until(lambda: not [path for path in scratch.rglob("*") if path.is_file()], 40, "workspaces to go")
    commands = [" ".join(process.cmdline()) for process in _children(bench.platform)]
    assert sum("astro_shared.jobs.worker.host" in command for command in commands) == 1
    assert sum("alidade.local.apis" in command for command in commands) == 1


def _children(platform: EmbeddedPlatform) -> list[psutil.Process]:
    assert platform.process is not None
    return psutil.Process(platform.process.pid).children()
