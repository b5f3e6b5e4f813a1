"""A frame through the client on a server that is made up."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
import pytest

from alidade.client import AlidadeClient, AlidadeClientError
from alidade.frames import Frame
from alidade.processing import process_frame, use_reference

MOMENT = "2026-01-01T00:00:00Z"


class Server:
    """Answers like the gateway; what a test replaces fails as it likes."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.replaced: dict[str, Callable[[httpx.Request], httpx.Response]] = {}
        self.references: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(f"{request.method} {path}")
        for part, answer in self.replaced.items():
            if part in path:
                return answer(request)
        if path.endswith("/personal-token"):
            return httpx.Response(200, json={"access_token": "t", "expires_in": 900})
        if path == "/api/v1/uploads":
            return httpx.Response(201, json=self.upload(False))
        if path.startswith("/put"):
            return httpx.Response(200)
        if path.endswith(":complete"):
            return httpx.Response(200, json=self.upload(True))
        if path == "/api/v1/references":
            return httpx.Response(200, json={"items": self.references})
        if "results/archive.zip" in path:
            return httpx.Response(307, headers={"location": "http://server/storage/archive"})
        if path == "/storage/archive":
            return httpx.Response(200, content=archive())
        return httpx.Response(200, json=self.reduction())

    def upload(self, complete: bool) -> dict[str, Any]:
        return {
            "id": "u", "filename": "a.fits", "size": 3, "purpose": "frame", "complete": complete, "sha256": "a" * 64,
            "method": "PUT", "url": "http://server/put", "url_expires_at": MOMENT, "created_at": MOMENT,
        }  # fmt: skip

    def reduction(self) -> dict[str, Any]:
        return {
            "id": "r", "owner": "ann", "frame_name": "a.fits", "phase": "COMPLETED", "status": "calibrated",
            "reason": None, "settings_hash": "h", "created_at": MOMENT, "started_at": MOMENT, "ended_at": MOMENT,
            "stages": [], "summary": None, "results": ["archive.zip"],
        }  # fmt: skip


def archive() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("summary.json", json.dumps({"frame": "a.fits", "status": "calibrated"}))
        file.writestr("plots/image.png", b"png")
    return packed.getvalue()


def problem(status: int, code: str, detail: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(status, json={"detail": detail, "code": code})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def client(server: Server, monkeypatch: pytest.MonkeyPatch) -> AlidadeClient:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return AlidadeClient("http://server", personal_token="p", transport=httpx.MockTransport(server))


@pytest.fixture
def frame(tmp_path: Path) -> Frame:
    (tmp_path / "a.fits").write_bytes(b"abc")
    return Frame(tmp_path / "a.fits", PurePosixPath("night/a"))


def process(client: AlidadeClient, frame: Frame, out: Path) -> Any:
    return process_frame(client, frame, out, settings={}, preset=None, watch=lambda *_: None)


def test_results_are_unpacked_and_replace_what_was_there(client: AlidadeClient, frame: Frame, tmp_path: Path) -> None:
    old = tmp_path / "out" / "night" / "a" / "old.txt"
    old.parent.mkdir(parents=True)
    old.write_text("")
    outcome = process(client, frame, tmp_path / "out")
    assert outcome.status == "calibrated"
    assert {path.name for path in outcome.folder.iterdir()} == {"summary.json", "plots"}
    assert sorted(path.name for path in outcome.folder.parent.iterdir()) == ["a", "a.zip"]


def test_a_frame_that_is_refused_is_an_outcome_with_the_reason(
    server: Server, client: AlidadeClient, frame: Frame, tmp_path: Path
) -> None:
    server.replaced[":complete"] = problem(422, "upload_mismatch", "a.fits is packed with bzip2: unpack it first.")
    outcome = process(client, frame, tmp_path / "out")
    assert outcome.status == "failed" and "unpack it first" in outcome.summary["reason"]
    written = json.loads((outcome.folder / "summary.json").read_text())
    assert written["code"] == "upload_mismatch"


def test_a_missing_and_an_empty_file_ask_the_server_nothing(
    server: Server, client: AlidadeClient, tmp_path: Path
) -> None:
    (tmp_path / "empty.fits").write_bytes(b"")
    for name, word in (("missing.fits", "no such file"), ("empty.fits", "empty")):
        outcome = process(client, Frame(tmp_path / name, PurePosixPath(name)), tmp_path / "out")
        assert word in outcome.summary["reason"]
    assert server.asked == []


@pytest.mark.parametrize("code", ["settings_invalid", "unauthorized"])
def test_what_would_fail_for_every_frame_stops_the_command(
    server: Server, client: AlidadeClient, frame: Frame, tmp_path: Path, code: str
) -> None:
    server.replaced["/reductions"] = problem(422, code, "No.")
    with pytest.raises(AlidadeClientError, match="No"):
        process(client, frame, tmp_path / "out")


def test_a_server_that_is_down_is_tried_again_and_then_named(
    server: Server, client: AlidadeClient, frame: Frame, tmp_path: Path
) -> None:
    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    server.replaced["/"] = down
    with pytest.raises(AlidadeClientError, match="No answer from http://server") as raised:
        process(client, frame, tmp_path / "out")
    assert raised.value.code == "unreachable"
    assert server.asked == ["POST /api/v1/auth/personal-token"] * 4


def test_a_busy_server_is_asked_again(server: Server, client: AlidadeClient) -> None:
    answers = iter([503, 429])

    def busy(request: httpx.Request) -> httpx.Response:
        status = next(answers, None)
        return httpx.Response(status) if status else httpx.Response(200, json=server.reduction())

    server.replaced["/reductions/r"] = busy
    assert client.reduction("r").status == "calibrated"
    assert server.asked.count("GET /api/v1/reductions/r") == 3


def test_nothing_half_written_stays_of_a_broken_download(server: Server, client: AlidadeClient, tmp_path: Path) -> None:
    server.replaced["/storage/archive"] = problem(403, "signature_invalid", "The address has expired.")
    with pytest.raises(AlidadeClientError, match="expired"):
        client.download("r", "archive.zip", tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


def test_the_token_of_the_user_is_not_sent_to_the_storage(
    server: Server, client: AlidadeClient, tmp_path: Path
) -> None:
    seen: list[str | None] = []

    def storage(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(200, content=archive())

    server.replaced["/storage/archive"] = storage
    client.download("r", "archive.zip", tmp_path / "a.zip")
    assert seen == [None]


def test_a_reference_by_name_is_taken_as_it_is_and_a_known_file_not_read_again(
    server: Server, client: AlidadeClient, tmp_path: Path
) -> None:
    assert use_reference(client, "tycho2", say=print) == "tycho2"
    assert server.asked == []
    (tmp_path / "stars.csv").write_text("ra,dec\n1,2\n")
    server.references = [{"name": f"file-{'a' * 16}"}]
    assert use_reference(client, str(tmp_path / "stars.csv"), say=print) == f"file-{'a' * 16}"
    assert "POST /api/v1/references" not in server.asked
