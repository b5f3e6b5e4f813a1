"""The pages that come from code say what the code says."""

import importlib.util
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def script(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, DOCS / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


TABLES, REFERENCE, SETTINGS = map(script, ("make_tables.py", "make_reference.py", "operations/make_settings.py"))
PAGES = {**TABLES.pages(), **REFERENCE.pages(), SETTINGS.PLACE: SETTINGS.page()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_is_up_to_date(page):
    assert page.read_text(encoding="utf-8") == PAGES[page], "run: make docs-tables"


def test_secrets_and_what_must_be_set_are_marked():
    settings = {setting.name: setting for setting in SETTINGS.settings_of(SETTINGS.SERVICES["auth"])}
    assert settings["SIGNING_SECRET"].default == "**must be set**"
    assert settings["SIGNING_SECRET"].text.endswith("(secret)")
    assert "SERVICE_CLIENTS__<NAME>__SECRET" in settings


def test_every_problem_code_says_what_it_means():
    rows = [line for line in REFERENCE.problems_page().splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert [row for row in rows if not row.split("|")[-2].strip()] == []


def test_every_processing_setting_is_described():
    rows = [line for line in REFERENCE.settings_page().splitlines() if line.startswith("| `")]
    assert len(rows) > 80
    assert [row for row in rows if row.endswith("|  |")] == []


def test_an_error_that_only_carries_another_has_no_row():
    page = REFERENCE.problems_page()
    assert "`relayed_error`" not in page and "`run_failed`" not in page
