from __future__ import annotations

import pytest
from fastapi import Request

from astro_shared.web.errors import PreconditionFailedError, PreconditionRequiredError
from astro_shared.web.etags import check_if_match, etag_of, is_not_modified


def request(**headers: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": pairs})


TAG = etag_of({"a": 1, "b": [2]})


def test_a_tag_depends_on_the_state_and_not_on_the_order() -> None:
    assert etag_of({"b": [2], "a": 1}) == TAG
    assert etag_of({"a": 1, "b": [3]}) != TAG
    assert TAG.startswith('"')
    assert TAG.endswith('"')


@pytest.mark.parametrize(("header", "same"), [(TAG, True), (f'"x", W/{TAG}', True), ("*", True), ('"x"', False)])
def test_if_none_match(header: str, same: bool) -> None:
    assert is_not_modified(request(if_none_match=header), TAG) is same


def test_without_if_none_match_everything_is_sent() -> None:
    assert not is_not_modified(request(), TAG)


def test_a_change_needs_if_match() -> None:
    with pytest.raises(PreconditionRequiredError):
        check_if_match(request(), TAG)


@pytest.mark.parametrize("header", ['"x"', f"W/{TAG}", TAG.strip('"')])
def test_another_or_a_weak_tag_does_not_match(header: str) -> None:
    with pytest.raises(PreconditionFailedError):
        check_if_match(request(if_match=header), TAG)


def test_a_star_matches_what_exists() -> None:
    check_if_match(request(if_match="*"), TAG)
    check_if_match(request(if_match=f'"x", {TAG}'), TAG)
    with pytest.raises(PreconditionFailedError):
        check_if_match(request(if_match="*"), None)
