"""One-shot tasks: what is refused, and where products go."""

import json
from typing import Literal

import pytest

from astro_shared.errors import AlidadeError
from astro_shared.jobs.task import OutputFile
from astro_shared.oneshot import OneShotTask, Outcome, run_oneshot


class EchoTask(OneShotTask):
    task: Literal["echo"]
    times: int = 1


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ALIDADE_DATA", str(tmp_path))
    (tmp_path / "night").mkdir()
    (tmp_path / "night" / "M31.r.fits.fz").write_bytes(b"frame")
    return tmp_path


def echo(task, data):
    ref = data.add(data.file(task.filename))
    data.context().progress(0.5, "echo")
    made = data.workspace / "copy"
    made.write_bytes(data.context().input(ref).read_bytes() * task.times)
    return Outcome({"size": ref.size, "nothing": float("nan")}, {"plots/copy.txt": OutputFile(made)})


def run(capsys, text, execute=echo):
    status = run_oneshot(text, EchoTask, execute)
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    return status, json.loads(captured.out), captured.err


def test_products_go_beside_the_file_and_the_answer_is_one_line(folder, capsys):
    status, answer, said = run(capsys, '{"task": "echo", "filename": "night/M31.r.fits.fz", "times": 2}')
    assert status == 0 and answer["ok"] is True
    assert answer["files"] == ["M31.r_plots_copy.txt"]
    assert answer["result"] == {"size": 5, "nothing": None}
    assert (folder / "night" / "M31.r_plots_copy.txt").read_bytes() == b"frameframe"
    assert sorted(path.name for path in (folder / "night").iterdir()) == ["M31.r.fits.fz", "M31.r_plots_copy.txt"]
    assert said == " 50% echo\n"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "Invalid JSON"),
        ("[]", "bad task"),
        ('{"task": "echo"}', "filename is missing"),
        ('{"task": "sing", "filename": "a"}', "task"),
        ('{"task": "echo", "filename": "a", "volume": 1}', "volume is not known"),
        ('{"task": "echo", "filename": "a", "times": "x"}', "times"),
        ('{"task": "echo", "filename": "absent.fits"}', "there is no file absent.fits"),
        ('{"task": "echo", "filename": "../../etc/passwd"}', "is not in the data folder"),
        ('{"task": "echo", "filename": "night"}', "there is no file night"),
    ],
)
def test_a_bad_task_gets_one_line(folder, capsys, text, word):
    status, answer, said = run(capsys, text)
    assert status == 64
    assert (answer["ok"], answer["code"]) == (False, "bad_task")
    assert word in answer["message"]
    assert said == answer["message"] + "\n"


def test_a_failure_leaves_nothing(folder, capsys):
    def failing(task, data):
        raise AlidadeError("the sky fell down")

    status, answer, _ = run(capsys, '{"task": "echo", "filename": "night/M31.r.fits.fz"}', failing)
    assert (status, answer["message"]) == (1, "the sky fell down")
    assert [path.name for path in (folder / "night").iterdir()] == ["M31.r.fits.fz"]


def test_what_was_not_reached_has_its_own_status(folder, capsys):
    def half(task, data):
        return Outcome({"reason": "clouds"}, reached=False)

    status, answer, _ = run(capsys, '{"task": "echo", "filename": "night/M31.r.fits.fz"}', half)
    assert status == 2 and answer["ok"] is False and answer["result"] == {"reason": "clouds"}
