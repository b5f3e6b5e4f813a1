"""``alidade up``: starts that fail with one line, an end that loses nothing, and what it needs when idle."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from alidade.client import AlidadeClient
from alidade.processing import use_reference
from astro_shared.testing.embedded import (
    STAGES,
    EmbeddedPlatform,
    environment,
    free_port,
    public_folder,
    until,
    up_command,
)
from astro_shared.testing.frames import Camera, simulate_frame

IDLE_LIMIT_MB = 700.0


def up(folder: Path, port: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(up_command(port), env=environment(folder), capture_output=True, text=True, timeout=100)


def one_line(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == ""
    (line,) = ended.stderr.strip().splitlines()
    return line


@pytest.fixture
def folder() -> Iterator[Path]:
    with public_folder() as made:
        yield made


def test_a_taken_port_is_named(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = one_line(up(folder, port))
    assert f"Port {port} cannot be used" in line and "--port" in line
    assert not (folder / "running.json").exists()


def test_a_folder_that_cannot_be_made_is_named(folder: Path) -> None:
    (folder / "file").write_text("")
    line = one_line(up(folder / "file" / "data"))
    assert f"Cannot use the data folder {folder / 'file' / 'data'}: Not a directory" in line and "ALIDADE_DATA" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("mode", [0o500, 0o000])
def test_a_folder_that_cannot_be_written_is_named(folder: Path, mode: int) -> None:
    (folder / "closed").mkdir()
    (folder / "closed").chmod(mode)
    line = one_line(up(folder / "closed" / "data"))
    assert "Cannot use the data folder" in line and "Permission denied" in line


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts the database as another user")
def test_root_is_told_of_a_folder_that_the_database_cannot_reach(folder: Path) -> None:
    (folder / "private").mkdir(mode=0o700)
    line = one_line(up(folder / "private" / "data"))
    assert f"through {folder / 'private'}" in line and "ALIDADE_DATA" in line


def test_damaged_secrets_are_not_replaced(folder: Path) -> None:
    (folder / "secrets.json").write_text("{")
    line = one_line(up(folder))
    assert "secrets.json is damaged" in line
    assert (folder / "secrets.json").read_text() == "{"


@pytest.fixture(scope="module")
def platform() -> Iterator[EmbeddedPlatform]:
    with public_folder() as folder:
        platform = EmbeddedPlatform(folder, free_port())
        platform.start()
        try:
            yield platform
        finally:
            if platform.process is not None and platform.process.poll() is None:
                platform.stop()


@pytest.mark.fault
@pytest.mark.timeout(300)
class TestRunningPlatform:
    def test_it_needs_less_than_700_mb_when_idle(self, platform: EmbeddedPlatform) -> None:
        time.sleep(5)
        parts = platform.proportional_mb()
        print(f"\n  {sum(parts.values()):.0f} MB: { ({name: round(mb) for name, mb in parts.items()}) }")
        assert sum(parts.values()) < IDLE_LIMIT_MB

    def test_a_second_one_on_the_same_folder_is_told_where_the_first_is(self, platform: EmbeddedPlatform) -> None:
        line = one_line(up(platform.folder))
        assert f"A platform is already running on {platform.folder} ({platform.url})" in line
        with AlidadeClient(platform.url, personal_token=platform.token) as client:
            assert client.me()["username"] == "local"

    def test_ctrl_c_stops_everything_and_the_next_start_finishes_what_was_begun(
        self, platform: EmbeddedPlatform, tmp_path: Path
    ) -> None:
        frame = simulate_frame(7, n_stars=300, camera=Camera(shape=(512, 512)))
        with AlidadeClient(platform.url, personal_token=platform.token) as client:
            stars = use_reference(client, str(frame.write_reference(tmp_path / "stars.fits")), say=print)
            upload = client.upload(frame.write(tmp_path / "small.fits"))
            settings = {"reference": {"name": stars}, "identification": {"catalogues": []}}
            reduction = client.reduce(upload.id, settings=settings).id
        until(lambda: _executing(platform, reduction, "measure"), 60, "measure to begin")
        everything = platform.processes()
        assert platform.stop(signal.SIGINT) == 0
        until(lambda: not [process for process in everything if alive(process)], 10, "everything to be gone")
        assert not (platform.folder / "running.json").exists()
        platform.start()
        with AlidadeClient(platform.url, personal_token=platform.token) as client:
            *_, view = client.watch(reduction)
        assert (view.phase, view.status) == ("COMPLETED", "calibrated"), view.reason
        (job,) = platform.jobs_of(reduction, "measure")
        assert (job["failures"], job["phase"]) == (0, "COMPLETED")

    def test_ctrl_c_during_the_start_leaves_nothing_running(self, platform: EmbeddedPlatform) -> None:
        platform.stop()
        platform.start(wait=False)
        assert platform.process is not None
        up_process = psutil.Process(platform.process.pid)
        until(lambda: len(up_process.children()) >= 2, 60, "parts to be started")
        everything = platform.processes()
        assert platform.stop(signal.SIGINT) == 130
        until(lambda: not [process for process in everything if alive(process)], 10, "everything to be gone")


def alive(process: psutil.Process) -> bool:
    """Whether it does anything: one that ended and waits for its parent to notice does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _executing(platform: EmbeddedPlatform, reduction: str, stage: str) -> bool:
    assert stage in STAGES
    return [job["phase"] for job in platform.jobs_of(reduction, stage)] == ["EXECUTING"]
