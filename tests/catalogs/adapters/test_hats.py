"""Lists as `hats` and LSDB read them (an environment of their own: deploy/testing/tools.sh)."""

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from astro_shared.testing.components import leave_out
from catalogs_service.adapters.mirror import Mirror
from catalogs_service.adapters.mirror_writer import write_mirror
from catalogs_service.adapters.partition_cache import PartitionCache
from catalogs_service.domain.regions import Cone
from catalogs_service.domain.stars import Stars

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]
PYTHON = Path(os.environ.get("ALIDADE_TOOLS", ROOT / ".tools")) / "catalogs" / "bin" / "python"
CONE = Cone(0.0, 80.0, 12.0)


def sky(seed, n=60_000):
    """The same stars for every seed, seen with an error of 0.1 arcsec; dense around one place, so that partitions differ."""
    rng = np.random.default_rng(1)
    ra = np.r_[rng.uniform(0, 360, n), rng.uniform(40, 50, n)]
    dec = np.degrees(np.arcsin(np.r_[rng.uniform(-1, 1, n), rng.uniform(0.3, 0.4, n)]))
    shift = np.random.default_rng(seed).normal(0, 0.1 / 3600, 2 * n)
    return Stars(
        {
            "source_id": np.arange(2 * n) + 6636090334814214528, "ra": ra, "dec": np.clip(dec + shift, -90, 90),
            "phot_g_mean_mag": rng.uniform(10, 20, 2 * n).astype(np.float32),
            "duplicated_source": np.zeros(2 * n, bool), "phot_variable_flag": np.full(2 * n, b"VARIABLE"),
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    if not PYTHON.exists():
        leave_out("lsdb is not installed: deploy/testing/tools.sh")
    folders = []
    for seed in (1, 2):
        folders.append(tmp_path_factory.mktemp(f"list{seed}"))
        write_mirror(folders[-1], sky(seed), name=f"list{seed}", created_at=datetime.now(UTC), facts={}, threshold=5000)
    place = [str(value) for value in (CONE.ra_deg, CONE.dec_deg, CONE.radius_deg, 1.0)]
    command = [PYTHON, ROOT / "tests" / "support" / "read_hats.py", *folders, *place]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout), folders[0]


def test_a_list_is_a_valid_hats_catalogue(read):
    said, _ = read
    assert said["valid"]
    assert said["rows"] == len(sky(1))
    assert said["pixels"] > 12
    assert said["columns"] == {
        "source_id": "int64[pyarrow]", "ra": "double[pyarrow]", "dec": "double[pyarrow]",
        "phot_g_mean_mag": "float[pyarrow]", "duplicated_source": "bool[pyarrow]",
        "phot_variable_flag": "string[pyarrow]",
    }  # fmt: skip


def test_lsdb_finds_the_same_cone(read):
    said, folder = read
    ours = Mirror(folder, PartitionCache(1 << 28)).search(CONE)
    assert len(ours) > 500
    assert said["cone"] == sorted(ours["source_id"].tolist())


def test_lsdb_matches_survey_against_survey(read):
    said, _ = read
    pairs = np.array(said["pairs"])
    # a pair that lies across the border of a partition is lost where the right catalogue has no margin
    assert len(pairs) > 0.999 * len(sky(1))
    assert np.mean(pairs[:, 0] == pairs[:, 1]) > 0.999
