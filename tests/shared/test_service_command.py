"""The command of the images: what it refuses, with one line and a status."""

import os
import subprocess
import sys

import pytest


def command(*arguments: str, service: str | None = "auth", **variables: str) -> tuple[int, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    environment = kept | variables | ({"ALIDADE_SERVICE": service} if service else {})
    done = subprocess.run(
        [sys.executable, "-m", "astro_shared.service_command", *arguments], env=environment, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == ""
    return done.returncode, done.stderr.strip()


@pytest.mark.parametrize(
    ("arguments", "service", "status", "word"),
    [
        (["api"], None, 78, "ALIDADE_SERVICE must be one of"),
        (["api"], "kitchen", 78, "ALIDADE_SERVICE must be one of"),
        ([], "auth", 64, "give one of api, migrate, health"),
        (["worker"], "auth", 64, "give one of api, migrate, health"),
        (["api", "worker"], "gateway", 64, "give one of"),
        (['{"task": "photometer"}'], "gateway", 64, "give one of"),
        (["migrate"], "auth", 78, "AUTH_DATABASE_URL is not set"),
    ],
)
def test_what_can_not_start_says_so_in_one_line(arguments, service, status, word):
    code, text = command(*arguments, service=service)
    assert code == status
    assert word in text and "\n" not in text


def test_a_worker_without_its_database_says_so_in_one_line():
    values = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "CLIENT_SECRET": "x" * 40,
        "STORAGE__KIND": "folder",
        "STORAGE__FOLDER": "/nowhere",
        "STORAGE__URL_SECRET": "s" * 40,
    }
    variables = {f"PHOTOMETRY_{name}": value for name, value in values.items()}
    for name in ("worker", "api", "migrate"):
        code, text = command(name, service="photometry", **variables)
        assert code == 75
        assert "can not reach the database" in text and "\n" not in text


def test_health_fails_where_nothing_runs():
    assert command("health", ALIDADE_PORT="1") == (1, "")
