"""Every setting that a user can give is read by some service."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from astro_shared.contracts.settings import ProcessingSettings

ROOT = Path(__file__).parents[2]
FIELDS = [
    (section, name)
    for section, field in ProcessingSettings.model_fields.items()
    for name in field.annotation.model_fields  # type: ignore[union-attr]
]


@pytest.fixture(scope="module")
def code() -> str:
    # algorithms have options of their own, often of the same name
    files = [path for path in ROOT.glob("services/*/src/**/*.py") if "algorithms" not in path.parts]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


@pytest.mark.parametrize(("section", "name"), FIELDS)
def test_a_setting_is_read_somewhere(code: str, section: str, name: str) -> None:
    assert re.search(rf"""\.{name}\b|["']{name}["']""", code), f"{section}.{name} has no effect"
