"""Survey against survey through LSDB, as a job, in an environment of its own (deploy/testing/tools.sh)."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import psutil
import pytest

from astro_shared.testing.components import leave_out
from catalogs_service.algorithms.healpix import cells
from catalogs_service.algorithms.sky_match import MatchRadius, match_sky
from catalogs_service.domain.positions import SkyPositions

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[3]
PYTHON = Path(os.environ.get("ALIDADE_TOOLS", ROOT / ".tools")) / "catalogs" / "bin" / "python"
SOURCES = os.pathsep.join(str(ROOT / part / "src") for part in ("shared", "services/catalogs"))
# 0h, both poles, and corners of base cells: where cells are split and borders are odd
PLACES = ((0.0, 0.0), (0.0, 90.0), (120.0, -90.0), (45.0, 41.8103149), (0.0, 41.8103149), (200.0, 10.0))


def sky(rng, n_dense=90_000, n_wide=20_000):
    """Positions so dense around each place that its cells are split deep, and a few everywhere."""
    ra, dec = [rng.uniform(0, 360, n_wide)], [np.degrees(np.arcsin(rng.uniform(-1, 1, n_wide)))]
    for ra0, dec0 in PLACES:
        distance, angle = 0.15 * np.sqrt(rng.random(n_dense)), rng.uniform(0, 2 * np.pi, n_dense)
        if abs(dec0) == 90.0:
            ra.append(np.degrees(angle))
            dec.append(np.copysign(90 - distance, dec0))
        else:
            dec.append(dec0 + distance * np.sin(angle))
            ra.append((ra0 + distance * np.cos(angle) / np.cos(np.radians(dec[-1]))) % 360.0)
    return np.concatenate(ra), np.concatenate(dec)


def seen(rng, ra, dec, error_arcsec=0.3):
    """The same positions with errors."""
    step = error_arcsec / 3600
    there = np.clip(dec + rng.normal(0, step, len(dec)), -90, 90)
    return (ra + rng.normal(0, step, len(ra)) / np.maximum(np.cos(np.radians(dec)), 1e-6)) % 360.0, there


def run_job(database, folder, sides, request, *, abort=False, memory_mb=1500):
    for name, (ra, dec) in sides.items():
        np.savez(folder / f"{name}.npz", source_id=np.arange(len(ra)), ra=ra, dec=dec)
    given = {"database": database, "folder": str(folder), "request": request, "abort": abort, "memory_mb": memory_mb}
    done = subprocess.run(
        [PYTHON, ROOT / "tests" / "support" / "survey_job.py", json.dumps(given)],
        capture_output=True, text=True, timeout=800, env={**os.environ, "PYTHONPATH": SOURCES},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(autouse=True)
def lsdb_is_there():
    if not PYTHON.exists():
        leave_out("lsdb is not installed: deploy/testing/tools.sh")


def test_no_pair_is_lost_between_partitions(database, tmp_path):
    """Against our own match, which knows no partitions: all pairs within the radius, both ways round."""
    rng = np.random.default_rng(6)
    ra, dec = sky(rng)
    left, right = seen(rng, ra, dec), seen(rng, ra, dec)
    # half of the sky is a gap of the right list, and its edge one more border
    kept = cells(*right, order=8) % 2 == 0
    right = right[0][kept], right[1][kept]
    request = {"left": "left", "right": "right", "radius_arcsec": 1.5, "neighbours": 60}
    job = run_job(database, tmp_path, {"left": left, "right": right}, request)
    assert job["phase"] == "COMPLETED", job["error"]
    ours = match_sky(SkyPositions(*left), SkyPositions(*right), MatchRadius(floor_arcsec=1.5))
    expected = set(zip(ours.source.tolist(), ours.entry.tolist(), strict=True))
    found = np.load(tmp_path / "pairs.npz")
    pairs = list(zip(found["source_id_left"].tolist(), found["source_id_right"].tolist(), strict=True))
    assert len(pairs) == len(set(pairs)) == len(expected) > 100_000
    assert set(pairs) == expected
    distance = dict(zip(pairs, found["_dist_arcsec"].tolist(), strict=True))
    theirs = [distance[pair] for pair in zip(ours.source.tolist(), ours.entry.tolist(), strict=True)]
    np.testing.assert_allclose(theirs, ours.sep_arcsec, atol=1e-6)
    at = [cells(*side, order=9) for side in (left, right)]
    crossing = at[0][ours.source] != at[1][ours.entry]
    result = job["result"]
    assert crossing.sum() > 500 and result["margin_rows"] > 500
    assert result["matched"] == len(np.unique(ours.source))
    assert (result["left_rows"], result["right_rows"], result["pairs"]) == (len(left[0]), len(right[0]), len(expected))
    assert result["partitions"] > 20
    assert {"margin", "match"} <= set(job["steps"])


def test_lists_without_a_pair_and_lists_that_are_not_there(database, make_database, tmp_path):
    rng = np.random.default_rng(7)
    ra, dec = rng.uniform(0, 360, 500), rng.uniform(10, 80, 500)
    sides = {"left": (ra, dec), "right": (ra, -dec)}
    (tmp_path / "one").mkdir()
    job = run_job(database, tmp_path / "one", sides, {"left": "left", "right": "right"})
    assert job["phase"] == "COMPLETED", job["error"]
    assert (job["result"]["pairs"], job["result"]["matched"]) == (0, 0)
    (tmp_path / "other").mkdir()
    job = run_job(make_database(), tmp_path / "other", sides, {"left": "left", "right": "nobodys"})
    assert (job["phase"], job["error"]["code"]) == ("ERROR", "reference_not_found")


def test_a_cluster_with_too_little_memory_ends_and_says_what_to_set(database, tmp_path):
    rng = np.random.default_rng(9)
    ra, dec = rng.uniform(45.0, 45.3, 39_000), rng.uniform(5.0, 5.3, 39_000)
    sides = {"left": seen(rng, ra, dec), "right": seen(rng, ra, dec)}
    request = {"left": "left", "right": "right", "radius_arcsec": 60, "neighbours": 100, "columns": "all"}
    job = run_job(database, tmp_path, sides, request, memory_mb=512)
    assert (job["phase"], job["attempt"], job["error"]["code"]) == ("ERROR", 1, "surveys_out_of_memory")
    assert "CATALOGS_SURVEYS__WORKER_MEMORY_MB" in job["error"]["message"]


def test_a_match_that_is_stopped_leaves_no_process(database, tmp_path):
    rng = np.random.default_rng(8)
    ra, dec = sky(rng)
    sides = {"left": seen(rng, ra, dec), "right": seen(rng, ra, dec)}
    job = run_job(database, tmp_path, sides, {"left": "left", "right": "right", "neighbours": 10}, abort=True)
    assert job["phase"] == "ABORTED"
    left_over = [p.pid for p in psutil.process_iter(["cmdline"]) if str(PYTHON) in (p.info["cmdline"] or [])]
    assert left_over == []
