"""The gateway passes on the public routes of auth, and nothing else of it."""

from __future__ import annotations

import pytest
from fastapi import Request

from astro_shared.errors import NotFoundError
from gateway_service.api.accounts import _public_path


def request(path: str) -> Request:
    return Request({"type": "http", "path": path, "headers": [], "query_string": b""})


@pytest.mark.parametrize("path", ["/api/v1/auth/../../../v1/revocations", "/api/v1/me/..", "/api/v1/me/./settings"])
def test_a_path_that_climbs_is_refused(path: str) -> None:
    with pytest.raises(NotFoundError):
        _public_path(request(path))


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/api/v1/me/settings", "/api/v1/me/settings"),
        ("/api/v1/me/keys/a?b", "/api/v1/me/keys/a%3Fb"),
        ("/api/v1/me/keys/a#b", "/api/v1/me/keys/a%23b"),
        ("/api/v1/me/keys/%2e%2e", "/api/v1/me/keys/%252e%252e"),
    ],
)
def test_a_path_is_quoted_anew(path: str, sent: str) -> None:
    assert _public_path(request(path)) == sent
