"""Logs: one format for all, facts bound to a task, no secrets."""

import json
import logging

import pytest
import structlog

from astro_shared.logs import bound, configure_logging, get_logger


@pytest.fixture(autouse=True)
def restored():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_json_lines_carry_service_level_time_and_facts(capsys):
    configure_logging(service="photometry", log_format="json")
    with bound(job_id="7"):
        get_logger("a.module").info("frame_measured", sources=512)
    get_logger("a.module").warning("outside")
    first, second = lines(capsys)
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "frame_measured", "sources": 512, "job_id": "7", "level": "info", "logger": "a.module",
        "service": "photometry",
    }  # fmt: skip
    assert "job_id" not in second


def test_libraries_speak_the_same_format(capsys):
    configure_logging(service="photometry", log_format="json")
    with bound(job_id="7"):
        logging.getLogger("some.library").warning("odd %s", "thing")
    [line] = lines(capsys)
    assert (line["event"], line["job_id"], line["level"]) == ("odd thing", "7", "warning")


def test_tracebacks_are_data(capsys):
    configure_logging(service="photometry", log_format="json")
    try:
        raise KeyError("x")
    except KeyError:
        get_logger("m").exception("failed")
    [line] = lines(capsys)
    assert line["exception"][0]["exc_type"] == "KeyError"


def test_secrets_do_not_get_through(capsys):
    configure_logging(service="auth", log_format="json")
    get_logger("m").info(
        "login",
        password="hush",
        access_token="hush",
        url="postgresql://user:hush@host/db",
        header="Bearer hush.hush.hush",
    )
    text = capsys.readouterr().err
    assert "hush" not in text and "host/db" in text


def test_our_tokens_do_not_get_through_wherever_they_stand(capsys):
    configure_logging(service="auth", log_format="json")
    random_part = "A-b_" * 10 + "xyz"
    for prefix in ("ald_ln_", "ald_rt_", "ald_pat_0123456789abcdef_"):
        get_logger("x").info("mail_put_off", reason=f"554 blocked https://x.test/#token={prefix}{random_part}.")
    written = capsys.readouterr().err
    assert random_part not in written
    assert written.count("#token=ald_") == 3


def test_people_get_lines(capsys):
    configure_logging(service="auth", log_format="console")
    get_logger("m").info("hello", name="ada")
    text = capsys.readouterr().err
    assert "hello" in text and "ada" in text and not text.startswith("{")
