"""Fixtures of the catalogs tests."""

import importlib.util
import sys
from pathlib import Path

import pytest

_SUPPORT = Path(__file__).parents[1] / "support"


def _load(name):
    spec = importlib.util.spec_from_file_location(name, _SUPPORT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


remote_support = _load("remote_catalogue")


@pytest.fixture
async def remote():
    async with remote_support.remote_catalogue() as server:
        yield server


@pytest.fixture
def play():
    """The faults that a remote catalogue can play."""
    return remote_support


@pytest.fixture
def load_support():
    """Loads another helper of ``tests/support`` by name."""
    return _load
