"""Jobs from creation to their end, with real children and a real database."""

import asyncio
import os
from pathlib import Path

from astro_shared.contracts.jobs import JobPhase
from astro_shared.jobs.job_types import JobType
from astro_shared.jobs.task import OutputFile, TaskOutput
from astro_shared.storage.errors import StorageUnavailableError
from astro_shared.testing.example_tasks import ExampleRequest, TooFewStarsError


async def text_of(store, ref) -> str:
    return b"".join([chunk async for chunk in store.open(ref.key)]).decode()


async def test_a_job_gives_its_result_and_files(start_worker, submit, wait_for, store):
    await start_worker()
    job = await submit("shout", text="quiet")
    done = await wait_for(job)
    assert (done.phase, done.attempt, done.result) == (JobPhase.COMPLETED, 1, {"length": 5, "missing": None})
    assert await text_of(store, done.files["loud"]) == "QUIET"
    assert done.files["loud"].media_type == "text/plain"
    assert done.progress.fraction == 1.0 and done.progress.step == "shouting"
    assert done.usage is not None and done.usage.peak_mb > 5


async def test_inputs_are_local_and_verified(start_worker, submit, wait_for, store, tmp_path):
    source = tmp_path / "frame.txt"
    source.write_text("pixels")
    ref = await store.put_file("uploads/ada/frame", source)
    await start_worker()
    done = await wait_for(await submit("shout", frame=ref.model_dump()))
    assert await text_of(store, done.files["loud"]) == "PIXELS"
    wrong = ref.model_copy(update={"sha256": "0" * 64})
    failed = await wait_for(await submit("shout", frame=wrong.model_dump()))
    assert failed.error is not None and failed.error.code == "storage_corrupt"


async def test_events_tell_the_history(start_worker, submit, wait_for, ledger):
    await start_worker()
    job = await submit("shout", text="x")
    await wait_for(job)
    events = await ledger.events(job.id)
    assert [event.data.get("phase") or event.data["step"] for event in events] == [
        "QUEUED", "EXECUTING", "shouting", "COMPLETED",
    ]  # fmt: skip
    assert [event.id for event in events] == sorted({event.id for event in events})


async def test_the_child_may_ask_the_worker(start_worker, submit, wait_for):
    await start_worker()
    done = await wait_for(await submit("ask", text="ab"))
    assert done.result == {"text": "abab", "owner": "ada"}


async def test_a_handler_runs_in_the_worker(start_worker, submit, wait_for, store):
    async def handler(request: ExampleRequest, run) -> TaskOutput:
        await run.progress(0.5, "waiting")
        path = run.workspace / "answer.txt"
        path.write_text(request.text)
        return TaskOutput({"pid": os.getpid()}, {"answer": OutputFile(path, "text/plain")})

    await start_worker([JobType("wait", ExampleRequest, handler=handler)])
    done = await wait_for(await submit("wait", text="hello"))
    assert done.result == {"pid": os.getpid()}
    assert await text_of(store, done.files["answer"]) == "hello"


async def test_an_error_of_the_domain_keeps_code_and_message(start_worker, submit, wait_for):
    await start_worker()
    failed = await wait_for(await submit("refuse"))
    assert (failed.phase, failed.attempt) == (JobPhase.ERROR, 1)
    assert failed.error is not None
    assert failed.error.model_dump() == {
        "code": "too_few_stars",
        "message": "found 4 stars, need 6",
        "stage": "matching",
        "retryable": False,
        "details": {"found": 4, "needed": 6},
    }


async def test_a_retryable_error_is_tried_three_times(start_worker, submit, wait_for):
    await start_worker()
    failed = await wait_for(await submit("stumble"))
    assert failed.error is not None
    assert (failed.attempt, failed.error.code, failed.error.retryable) == (3, "upstream_failed", True)


async def test_odd_text_and_numbers_do_not_stop_a_job(start_worker, submit, wait_for):
    async def odd(request: ExampleRequest, run) -> TaskOutput:
        await run.progress(0.5, "NUL \0", "\ud800")
        if request.text:
            raise TooFewStarsError("NUL \0", path=Path("x"), number=float("nan"))
        return TaskOutput({"nan": float("nan"), "text": "\0"})

    await start_worker([JobType("odd", ExampleRequest, handler=odd)])
    done, failed = await wait_for(await submit("odd")), await wait_for(await submit("odd", text="\0"))
    assert done.result == {"nan": None, "text": "\ufffd"}
    assert failed.error is not None
    assert (failed.error.code, failed.error.details) == ("too_few_stars", {"path": "x", "number": None})


async def test_a_defect_does_not_tell_its_secrets(start_worker, submit, wait_for):
    await start_worker()
    failed = await wait_for(await submit("blunder"))
    assert failed.error is not None and failed.error.code == "internal_error"
    assert "secret" not in failed.model_dump_json()


async def test_a_crash_is_a_failed_attempt_and_the_worker_goes_on(start_worker, submit, wait_for, tmp_path):
    await start_worker()
    done = await wait_for(await submit("crash", marker=str(tmp_path / "crashed")))
    assert (done.phase, done.attempt, done.result) == (JobPhase.COMPLETED, 2, {"survived": True})
    poison = await wait_for(await submit("crash"))
    assert poison.error is not None
    assert (poison.attempt, poison.error.code) == (3, "worker_crashed")
    assert "SIGSEGV" in poison.error.message


async def test_a_crash_with_a_meaning_is_final(start_worker, submit, wait_for):
    await start_worker()
    failed = await wait_for(await submit("crash_in_reader"))
    assert failed.error is not None
    assert (failed.attempt, failed.error.code) == (1, "fits_unreadable")


async def test_time_memory_and_file_limits_hold(start_worker, submit, wait_for):
    await start_worker()
    slow, large, long = (
        await submit("spin", seconds=30),
        await submit("eat", megabytes=900),
        await submit("write", megabytes=9),
    )
    slow, large, long = [await wait_for(job) for job in (slow, large, long)]
    assert (slow.error.code, slow.attempt) == ("time_limit", 1)
    assert slow.usage.seconds < 2.0
    assert (large.error.code, large.attempt) == ("out_of_memory", 1)
    # The watchdog looks every 0.1 s; at the pace of the task that is at most some tens of MB late.
    assert 200 < large.usage.peak_mb < 400
    assert long.error.code == "internal_error"


async def test_a_result_that_is_too_large_is_a_defect(start_worker, submit, wait_for):
    await start_worker()
    failed = await wait_for(await submit("babble", megabytes=17), timeout=30)
    assert failed.error is not None and (failed.error.code, failed.attempt) == ("internal_error", 1)


async def test_a_task_can_not_publish_the_files_of_others(start_worker, submit, wait_for):
    await start_worker()
    failed = await wait_for(await submit("escape"))
    assert failed.error is not None and failed.error.code == "task_output_invalid"


async def test_a_task_sees_no_secrets(start_worker, submit, wait_for, monkeypatch):
    monkeypatch.setenv("PHOTOMETRY_DATABASE_URL", "postgresql://u:hush@host/db")
    await start_worker()
    done = await wait_for(await submit("environment"))
    assert done.result is not None
    assert "hush" not in str(done.result["environment"])
    assert done.result["environment"]["OMP_NUM_THREADS"] == "1"
    assert "sqlalchemy" not in done.result["modules"]


async def test_what_a_task_leaves_running_is_killed(start_worker, submit, wait_for):
    await start_worker()
    done = await wait_for(await submit("leave_child"))
    assert done.result is not None
    async with asyncio.timeout(2):
        while Path(f"/proc/{done.result['pid']}").exists():
            status = Path(f"/proc/{done.result['pid']}/stat").read_text().split()[2]
            if status == "Z":
                break
            await asyncio.sleep(0.02)


async def test_workspaces_are_removed(start_worker, submit, wait_for, tmp_path):
    await start_worker()
    await wait_for(await submit("shout", text="x"))
    await wait_for(await submit("crash_in_reader"))
    async with asyncio.timeout(2):
        while list((tmp_path / "scratch").glob("*/*")):
            await asyncio.sleep(0.02)


async def test_storage_that_is_away_is_tried_again(start_worker, submit, wait_for, store, monkeypatch):
    put, failures = store.put_file, []

    async def put_file(key, path, media_type):
        if len(failures) < 2:
            failures.append(key)
            raise StorageUnavailableError("storage failed: No space left on device")
        return await put(key, path, media_type)

    monkeypatch.setattr(store, "put_file", put_file)
    await start_worker()
    done = await wait_for(await submit("shout", text="x"))
    assert (done.phase, done.attempt) == (JobPhase.COMPLETED, 3)
    monkeypatch.setattr(store, "put_file", lambda *arguments: _away())
    failed = await wait_for(await submit("shout", text="x"))
    assert failed.error is not None
    assert (failed.error.code, failed.error.retryable, failed.attempt) == ("storage_unavailable", True, 3)


async def _away():
    raise StorageUnavailableError("storage failed: No space left on device")
