"""Real frames and catalogues for tests: too many to keep in the repository, skipped with a reason when absent."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "ALIDADE_TEST_DATA"
MISSING = f"real data are not here: set {VARIABLE} to the folder that holds frames/ and catalogs/"


def find_real_data() -> Path | None:
    """The folder with ``frames/`` and ``catalogs/``: ``ALIDADE_TEST_DATA``, else ``../shared/data`` of the repository."""
    named = os.environ.get(VARIABLE)
    folder = Path(named) if named else Path(__file__).resolve().parents[4].parent / "shared" / "data"
    return folder if (folder / "frames").is_dir() else None
