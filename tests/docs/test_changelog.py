"""Every line for users is where the changelog is made from: towncrier passes over names that have no kind."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
KINDS = {
    kind["directory"] for kind in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]["type"]
}


def test_every_fragment_has_a_kind():
    fragments = sorted(path.name for path in (ROOT / "changelog.d").glob("[!.]*"))
    kinds = [name.removesuffix(".md").rpartition(".")[2] for name in fragments]
    assert fragments
    assert [name for name, kind in zip(fragments, kinds, strict=True) if kind not in KINDS] == []
