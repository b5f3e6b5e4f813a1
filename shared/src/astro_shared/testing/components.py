"""Tests that need a program of the machine: left out where it is absent, failing where it was promised.

`make test-integration` installs all of them and sets ``ALIDADE_ALL_COMPONENTS``, so that nothing is left out unseen there.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

VARIABLE = "ALIDADE_ALL_COMPONENTS"


def leave_out(reason: str) -> NoReturn:
    """Skip the running test or fixture, or fail it where every component is promised."""
    if os.environ.get(VARIABLE):
        pytest.fail(f"{reason}, though {VARIABLE} promises it", pytrace=False)
    pytest.skip(reason)


def needs(present: bool, reason: str) -> pytest.MarkDecorator:
    """Mark for tests of something that may be absent; they run, and say themselves what is missing, where it is promised."""
    return pytest.mark.skipif(not present and not os.environ.get(VARIABLE), reason=reason)
