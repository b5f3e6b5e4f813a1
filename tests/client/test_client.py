"""The client's patience."""

from __future__ import annotations

import httpx
import pytest

from alidade import AlidadeClient, AlidadeClientError
from alidade import client as client_module
from astro_shared.contracts.gateway import ReductionPhase

VIEW = {
    "id": "r1", "owner": "u", "frame_name": "a.fits", "phase": "COMPLETED", "settings_hash": "0",
    "created_at": "2026-01-01T00:00:00Z", "stages": [],
}  # fmt: skip


def server_away_for(calls: int) -> httpx.MockTransport:
    left = iter(range(calls))

    def answer(request: httpx.Request) -> httpx.Response:
        if next(left, None) is not None:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(200, json=VIEW)

    return httpx.MockTransport(answer)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes by sleeping only."""
    now = [0.0]
    monkeypatch.setattr(client_module.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(client_module.time, "monotonic", lambda: now[0])


def test_watching_outlives_a_restart_of_the_server() -> None:
    with AlidadeClient("http://server", access_token="t", transport=server_away_for(40)) as client:
        seen = [view.phase for view in client.watch("r1")]
    assert seen == [ReductionPhase.COMPLETED]


def test_watching_ends_when_the_server_stays_away() -> None:
    with (
        AlidadeClient("http://server", access_token="t", transport=server_away_for(10_000)) as client,
        pytest.raises(AlidadeClientError, match="No answer from http://server"),
    ):
        list(client.watch("r1"))
