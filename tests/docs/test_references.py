"""What sources and pages refer to is in the repository."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("services", "shared/src", "client/src", "tests")
    for pattern in ("*.py", "*.pyx")
    for path in (ROOT / folder).rglob(pattern)
    if "build" not in path.parts and path != Path(__file__)
)
PAGES = [
    page
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("services/*/README.md"))
    if "_build" not in page.parts
]
OUTSIDE = re.compile(
    r"\bspecs?[/,]\s*(section|\w+\.md)|\b(the|this|of) specification\b|\bspecification, section|test catalogue"
)
PAGE = re.compile(r"\bdocs/[\w/.-]+\.md\b")
MODULE = re.compile(r"`([\w./-]+\.pyx?)`")
CODE_FILES = {path.relative_to(ROOT).as_posix() for path in SOURCES} | {
    path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("docs/**/*.py"), *ROOT.glob("*/*.py"))
}


def lines_with(pattern, text):
    return [line.strip() for line in text.splitlines() if pattern.search(line)]


@pytest.mark.parametrize(
    "line", ["as in the specification", "(specs, section 5.5)", "``specs/a.md``", "`specification, section 7`"]
)
def test_a_reference_to_a_document_elsewhere_is_recognised(line):
    assert lines_with(OUTSIDE, line) == [line]


def test_no_source_or_page_cites_a_document_that_is_not_here():
    cited = {path: lines_with(OUTSIDE, path.read_text(encoding="utf-8")) for path in (*SOURCES, *PAGES)}
    assert {path: lines for path, lines in cited.items() if lines} == {}


def test_pages_named_by_sources_exist():
    named = {name for path in SOURCES for name in PAGE.findall(path.read_text(encoding="utf-8"))}
    assert named and {name for name in named if not (ROOT / name).is_file()} == set()


def is_here(name):
    return any(path == name or path.endswith("/" + name) for path in CODE_FILES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_modules_named_by_a_page_exist(page):
    named = set(MODULE.findall(page.read_text(encoding="utf-8")))
    assert {name for name in named if not is_here(name)} == set()
