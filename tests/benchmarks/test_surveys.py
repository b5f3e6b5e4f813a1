"""Two lists of two million stars: our own cross-match in one process against LSDB on two (deploy/testing/tools.sh).

``pytest -m benchmark -s tests/benchmarks/test_surveys.py``; the figures are in docs/algorithms/identification.md.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astro_shared.testing.components import leave_out
from catalogs_service.domain.stars import Stars
from catalogs_service.factory import make_lists

pytestmark = pytest.mark.benchmark
ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("ALIDADE_TOOLS", ROOT / ".tools")) / "catalogs" / "bin" / "python"
SOURCES = os.pathsep.join(str(ROOT / part / "src") for part in ("shared", "services/catalogs"))
STARS = 2_000_000


def usage(folder: Path, workers: int) -> dict[str, Any]:
    command = [PYTHON, ROOT / "tests" / "support" / "survey_usage.py", folder, str(workers)]
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    made = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
    found: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
    return found


def test_surveys_by_lsdb_and_by_ourselves(tmp_path: Path) -> None:
    if not PYTHON.exists():
        leave_out("lsdb is not installed: deploy/testing/tools.sh")
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, STARS), np.degrees(np.arcsin(rng.uniform(-1, 1, STARS)))
    for name in ("left", "right"):
        # a move along the meridian, so that separations are the same everywhere
        seen = np.clip(dec + rng.normal(0, 0.2 / 3600, STARS), -90, 90)
        columns = {"source_id": np.arange(STARS), "ra": ra, "dec": seen}
        make_lists(tmp_path / "data").save(Stars(columns), name=name, scope="global", owner=None, facts={})
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    figures = {workers: usage(tmp_path, workers) for workers in (0, 1, 2)}
    print("".join(f"\n{workers or 'ours'}: {said}" for workers, said in figures.items()))
    assert abs(figures[2]["pairs"] - figures[0]["pairs"]) < 1e-5 * STARS
    assert figures[1]["pairs"] == figures[2]["pairs"]
