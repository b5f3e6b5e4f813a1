"""The table of warnings holds what sources give, and nothing else."""

import re
from pathlib import Path

from astro_shared.frame_warnings import WarningCode

ROOT = Path(__file__).parents[2]
GIVEN = re.compile(r"\bWarningCode\.([A-Z_]+)\b")


def test_every_code_of_the_table_is_given_somewhere():
    sources = [path for folder in ("services", "shared/src") for path in (ROOT / folder).rglob("*.py")]
    given = {name for path in sources for name in GIVEN.findall(path.read_text(encoding="utf-8"))}
    assert given == {code.name for code in WarningCode}
