"""Commands about catalogues, against a server of canned answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from alidade import AlidadeClient
from alidade.cli import crossmatch, jobs, reference, upstreams
from alidade.cli.main import app
from astro_shared.contracts.catalogs import MatchSurveysRequest, ReferenceConeRequest

UPLOAD = {"id": "u", "filename": "a.csv", "size": 3, "purpose": "reference", "complete": True,
          "url": "http://server/storage/u", "created_at": "2026-01-01T00:00:00Z"}  # fmt: skip
MATCHED = {"left_rows": 3, "right_rows": 9, "pairs": 2, "matched": 2, "seconds": 0.5}
VIEW = {"id": "r1", "owner": "u", "frame_name": "a.fits", "phase": "COMPLETED", "settings_hash": "0", "stages": [],
        "created_at": "2026-01-01T00:00:00Z",
        "summary": {"identification": {"vsx": {"status": "failed", "matches": 0, "message": "VizieR is away."},
                                       "simbad": {"status": "matched", "matches": 4}}}}  # fmt: skip


class Server:
    """Remembers what it was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Any]] = []
        self.job_fails = False
        self.failure = "The file is empty."

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path, content = request.url.path, request.read()
        is_json = request.headers.get("content-type") == "application/json"
        self.sent.append((request.method, path, json.loads(content) if is_json else content))
        if path.startswith("/api/v1/uploads"):
            return httpx.Response(200, json=UPLOAD)
        if "/files/" in path:
            return httpx.Response(307, headers={"location": "http://server/storage/pairs"})
        if path == "/storage/pairs":
            return httpx.Response(200, content=b"PAR1")
        if path == "/api/v1/references/cone":
            told = {"x-reference-rows": "12", "x-reference-layer": "mirror"}
            return httpx.Response(200, content=b"SIMPLE", headers=told)
        if path == "/api/v1/reductions":
            return httpx.Response(200, json={"items": [VIEW], "next": None})
        if path.startswith("/api/v1/reductions"):
            return httpx.Response(200, json=VIEW)
        if path == "/api/v1/admin/upstreams":
            state = {"upstream": "simbad", "breaker": "open", "last_success_at": None, "requests_per_s": 5.0,
                     "last_failure_at": "2026-01-01T00:00:00Z", "last_cause": "timeout", "concurrency": 3,
                     "open_until": "2026-01-01T00:01:00Z", "cache_hits": 3, "cache_misses": 1}  # fmt: skip
            return httpx.Response(200, json={"items": [state]})
        result = {"reference": {"rows": 5}} if "mirrors" in path else MATCHED
        phase = "ERROR" if self.job_fails else "QUEUED" if request.method == "POST" else "COMPLETED"
        job = {"id": "j1", "kind": "any", "phase": phase, "result": result, "created_at": "2026-01-01T00:00:00Z",
               "progress": {"step": "match", "message": "3 rows"}}  # fmt: skip
        return httpx.Response(200, json=job | {"error": {"code": "catalogue_empty", "message": self.failure}})

    def body(self, path: str) -> Any:
        return next(body for method, sent, body in self.sent if sent == path and method == "POST")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    played = Server()

    @contextmanager
    def session(*_: Any, **__: Any) -> Iterator[AlidadeClient]:
        with AlidadeClient("http://server", access_token="t", transport=httpx.MockTransport(played)) as client:
            yield client

    for module in (crossmatch, jobs, reference, upstreams):
        monkeypatch.setattr(module, "client_session", session)
    return played


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_two_files_are_uploaded_and_the_pairs_come_home(server: Server, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("x\n1\n")
    out = tmp_path / "pairs.parquet"
    done = run(
        "crossmatch", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--out", str(out), "--all", "--floor", "2"
    )
    assert done.exit_code == 0, done.output
    assert "2 pairs, 2 of 3 rows matched to 9" in done.output
    assert out.read_bytes() == b"PAR1"
    body = server.body("/api/v1/crossmatch")
    assert (body["left_upload_id"], body["right_upload_id"], body["pairs"], body["radius_floor_arcsec"]) == (
        "u", "u", "all", 2.0,
    )  # fmt: skip


def test_a_name_is_a_list_and_a_failure_is_one_sentence(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    server.job_fails = True
    done = run("crossmatch", str(tmp_path / "a.csv"), "gaia", "--out", str(tmp_path / "pairs"))
    assert (done.exit_code, "The file is empty." in done.output) == (1, True)
    assert server.body("/api/v1/crossmatch")["reference"] == "gaia"


def test_a_cone_below_the_equator_with_every_cut(server: Server, tmp_path: Path) -> None:
    cuts = ("--max-ruwe", "1.4", "--color", "0.5,1.5", "--no-duplicated", "--no-variable", "--snr", "20", "--excess", "3",
            "--epoch", "2026.5", "--mag-limit", "17", "--release", "dr4")  # fmt: skip
    done = run("reference", "cone", "10", "-20.5", "1", "--out", str(tmp_path / "c.fits"), *cuts)
    assert done.exit_code == 0, done.output
    assert "12 stars of gaia from mirror" in done.output
    body = ReferenceConeRequest.model_validate(server.body("/api/v1/references/cone"))
    assert (body.dec_deg, body.color_range, body.drop_variable, body.propagate) == (-20.5, (0.5, 1.5), True, True)
    assert (body.release, body.max_excess_sigma, body.min_flux_over_error) == ("dr4", 3.0, 20.0)


def test_a_polygon(server: Server, tmp_path: Path) -> None:
    options = ("--polygon", "10,20 11,20 11,-21", "--out", str(tmp_path / "c.fits"))
    assert run("reference", "cone", *options).exit_code == 0
    assert server.body("/api/v1/references/cone")["polygon"] == [[10, 20], [11, 20], [11, -21]]
    assert run("reference", "cone", "--polygon", "10;20", "--out", "x").exit_code == 1


def test_a_mirror_is_of_gaia_and_of_a_circle(server: Server) -> None:
    assert "5 stars to G = 17" in run("reference", "mirror", "gaia", "--region", "10,-20,2", "--depth", "17").output
    body = server.body("/api/v1/admin/mirrors")
    assert (body["ra_deg"], body["dec_deg"], body["radius_deg"], body["depth_mag"]) == (10, -20, 2, 17)
    assert run("reference", "mirror", "gaia", "--region", "10,20").exit_code == 1
    assert run("reference", "mirror", "simbad", "--region", "10,20,1").exit_code == 1


def test_two_lists_are_matched_by_their_names(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "matched.tar"
    done = run("reference", "match", "mine", "gaia", "--out", str(out), "--radius", "2", "--all-columns")
    assert done.exit_code == 0, done.output
    assert "2 pairs, 2 of 3 rows matched to 9" in done.output
    assert out.read_bytes() == b"PAR1"
    body = MatchSurveysRequest.model_validate(server.body("/api/v1/crossmatch/surveys"))
    assert (body.left, body.right, body.radius_arcsec, body.columns) == ("mine", "gaia", 2.0, "all")


def test_what_to_install_is_shown_with_its_brackets(server: Server, tmp_path: Path) -> None:
    server.job_fails, server.failure = True, "lsdb is not installed: pip install 'catalogs-service[surveys]'"
    done = run("reference", "match", "mine", "gaia", "--out", str(tmp_path / "matched.tar"))
    assert (done.exit_code, server.failure in done.output) == (1, True)


def test_failed_catalogues_are_asked_again_and_shown(server: Server) -> None:
    done = run("jobs", "identify", "r1")
    assert server.sent[0][:2] == ("POST", "/api/v1/reductions/r1:identify")
    assert "vsx: failed, VizieR is away." in done.output
    assert "simbad: matched, 4 sources" in done.output


def test_a_narrow_terminal_cuts_no_identifier(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VIEW, "id", "b8ee3e8d-db5a-4c11-9d7f-0123456789ab")
    monkeypatch.setitem(VIEW, "frame_name", "a very long name of a frame that takes all of the line.fits")
    assert "b8ee3e8d-db5a-4c11-9d7f-0123456789ab" in run("jobs", "list").output


def test_upstreams_say_why_and_until_when(server: Server) -> None:
    shown = run("upstreams").output
    for word in ("simbad", "open", "timeout", "5/s", "3 of 4"):
        assert word in shown
