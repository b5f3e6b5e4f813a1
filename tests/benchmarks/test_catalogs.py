"""Reference stars and matching: ratios and times of one run, printed with the size of the machine.

``pytest -m benchmark -s tests/benchmarks/test_catalogs.py``; when all of them ran, their section of docs/validation.md is
written anew.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import uvicorn
from astropy.coordinates import SkyCoord, match_coordinates_sky

from astro_shared.testing.tokens import TokenMint
from catalogs_service.adapters.fits_table import table_bytes
from catalogs_service.adapters.mirror import Mirror
from catalogs_service.adapters.mirror_writer import write_mirror
from catalogs_service.adapters.partition_cache import PartitionCache
from catalogs_service.algorithms.selection import select_stars
from catalogs_service.algorithms.sky_match import match_sky
from catalogs_service.config import CatalogsSettings
from catalogs_service.domain.positions import SkyPositions
from catalogs_service.domain.regions import Cone
from catalogs_service.domain.stars import Selection, Stars
from catalogs_service.factory import make_import, make_lists
from catalogs_service.main import create_app

pytestmark = pytest.mark.benchmark

STARS = 2_000_000
MATCHED_ROWS = 5_000_000
SUPPORT = Path(__file__).parents[1] / "support"
ROWS = 10

Figures = list[tuple[str, str, str]]


@pytest.fixture(scope="module")
def figures() -> Iterator[Figures]:
    """What was measured and what was wanted, for the page."""
    found: Figures = []
    load = os.getloadavg()[0]
    yield found
    if len(found) != ROWS:
        return
    spec = importlib.util.spec_from_file_location("validation_page", SUPPORT / "validation_page.py")
    assert spec is not None and spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    lines = page.table(("what", "measured", "wanted"), found)
    lines += ["", f"Mirrors of {STARS:,} stars with 17 columns; load of the machine at the start {load:.1f}."]
    page.write_section("catalogs", "Catalogues", lines, command="pytest -m benchmark tests/benchmarks/test_catalogs.py")


def sky(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


def gaia_like(n: int, *, dense: bool = False) -> Stars:
    """Gaia's seventeen most used columns, over the whole sky or in ten by ten degrees."""
    rng = np.random.default_rng(2)
    ra, dec = (rng.uniform(80, 90, n), rng.uniform(20, 30, n)) if dense else sky(n)
    columns = {"source_id": np.arange(n), "ra": ra, "dec": dec, "ref_epoch": np.full(n, 2016.0)}
    for name in ("pmra", "pmdec", "parallax"):
        columns[name] = rng.normal(0, 10, n)
    for name in ("ra_error", "dec_error", "pmra_error", "pmdec_error", "parallax_error", "ra_dec_corr", "ruwe"):
        columns[name] = rng.uniform(0, 1, n).astype(np.float32)
    for name in ("phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag"):
        columns[name] = rng.uniform(8, 20, n).astype(np.float32)
    return Stars(columns)


def median_ms(times: list[float]) -> float:
    return float(np.median(times) * 1e3)


@pytest.mark.parametrize("dense", [False, True])
def test_cone_of_one_degree_in_process(tmp_path: Path, dense: bool, figures: Figures) -> None:
    stars = gaia_like(STARS, dense=dense)
    write_mirror(tmp_path, stars, name="sky", created_at=datetime.now(UTC), facts={})
    mirror = Mirror(tmp_path, PartitionCache(1 << 30))
    rng = np.random.default_rng(3)
    centres = rng.uniform([81.2, 21.2], [88.8, 28.8], (60, 2)) if dense else np.stack(sky(60, 4), axis=1)
    for label, selection in (
        ("all", Selection()),
        ("G < 15 at the epoch", Selection(mag_limit=15, epoch_jyear=2026.5)),
    ):
        times, fits, rows = [], [], []
        for ra, dec in [*centres, *centres]:
            cone = Cone(float(ra), float(dec), 1.0)
            began = time.process_time()
            around = cone.padded(mirror.padding_deg(selection.epoch_jyear))
            found, _, _ = select_stars(mirror.search(around), cone, selection)
            times.append(time.process_time() - began)
            began = time.process_time()
            table_bytes(found.columns, name="X")
            fits.append(time.process_time() - began)
            rows.append(len(found))
        cold, warm = median_ms(times[:60]), median_ms(times[60:])
        print(f"\ndense={dense} {label}: {np.median(rows):.0f} rows, first {cold:.2f} ms, again {warm:.2f} ms,"
              f" FITS {median_ms(fits):.2f} ms")  # fmt: skip
        where = "20,000 stars per square degree" if dense else "whole sky"
        figures.append(
            (f"cone of 1 degree in process, {where}, {label}: {np.median(rows):,.0f} rows, median of processor time",
             f"{warm:.2f} ms (first touch of a partition {cold:.1f} ms)", "" if dense else "< 5 ms")
        )  # fmt: skip
        if not dense:
            assert warm < 5.0


def test_cone_of_one_degree_over_http(tmp_path: Path, figures: Figures) -> None:
    settings = CatalogsSettings(
        environment="development", database_url="postgresql://nobody@127.0.0.1:1/none", client_secret="s",
        storage={"kind": "folder", "folder": str(tmp_path), "url_secret": "x" * 32}, data_folder=tmp_path / "data",
        log_level="ERROR", upstream={"mode": "offline"},
    )  # fmt: skip
    make_lists(settings.data_folder).save(gaia_like(STARS), name="gaia", scope="global", owner=None, facts={})
    mint = TokenMint()
    app = create_app(settings)
    app.state.authenticator = mint.authenticator
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    times = []
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=mint.service(), trust_env=False) as client:
        for _ in range(2):
            for ra, dec in zip(*sky(60, 4), strict=True):
                began = time.perf_counter()
                answer = client.post("/v1/reference/cone", json={"ra_deg": ra, "dec_deg": dec, "radius_deg": 1.0})
                times.append(time.perf_counter() - began)
                assert answer.status_code == 200
    server.should_exit = True
    thread.join(10)
    print(f"\nHTTP: first {median_ms(times[:60]):.1f} ms, again {median_ms(times[60:]):.1f} ms")
    figures.append(
        (
            "the same over HTTP with token check, FITS bytes, whole sky, all",
            f"{median_ms(times[60:]):.1f} ms",
            "< 15 ms",
        )
    )
    assert median_ms(times[60:]) < 15.0


def test_import_speed(tmp_path: Path, figures: Figures) -> None:
    stars = gaia_like(1_000_000)
    file = tmp_path / "list.csv"
    pacsv.write_csv(pa.table(dict(stars.columns)), file)
    began = time.process_time()
    make_import(tmp_path / "data", 2_000_000).run(file, name="x", source="x", scope="global", owner=None)
    rate = len(stars) / (time.process_time() - began)
    print(f"\nimport: {rate:,.0f} rows per processor second, {len(stars.names)} columns")
    figures.append(("import of a CSV file with 1 million rows", f"{rate:,.0f} rows per processor second", ">= 200,000"))
    assert rate > 200_000


@pytest.mark.parametrize("where", ["sky", "field"])
def test_match_against_astropy(where: str, figures: Figures) -> None:
    rng = np.random.default_rng(5)
    ra, dec = sky(1_000_000) if where == "sky" else rng.uniform([80, 20], [90, 30], (1_000_000, 2)).T
    chosen = rng.choice(len(ra), 100_000, replace=False)
    source_ra = ra[chosen] + rng.normal(0, 0.3 / 3600, 100_000) / np.cos(np.radians(dec[chosen]))
    source_dec = np.clip(dec[chosen] + rng.normal(0, 0.3 / 3600, 100_000), -90, 90)
    ours, theirs = [], []
    for _ in range(5):
        began = time.process_time()
        found = match_sky(SkyPositions(source_ra, source_dec, 0.3), SkyPositions(ra, dec, 0.01))
        ours.append(time.process_time() - began)
        # the list's tree is kept with the coordinates: new ones each time
        sources, others = SkyCoord(source_ra, source_dec, unit="deg"), SkyCoord(ra, dec, unit="deg")
        began = time.process_time()
        match_coordinates_sky(sources, others)
        theirs.append(time.process_time() - began)
    ratio = np.median(theirs) / np.median(ours)
    right = np.mean(chosen[found.source[found.best]] == found.entry[found.best])
    print(
        f"\nmatch, {where}: {median_ms(ours):.0f} ms, astropy {median_ms(theirs):.0f} ms, {ratio:.1f} times; right {right:.5f}"
    )
    figures.append(
        (f"100,000 sources to 1 million stars, {where}, with ranks and one-to-one choice",
         f"{median_ms(ours):.0f} ms, `match_to_catalog_sky` {median_ms(theirs):.0f} ms: {ratio:.1f} times", ">= 5 times")
    )  # fmt: skip
    assert ratio >= 5.0


def test_crossmatch_of_millions_of_rows_in_bounded_memory(tmp_path: Path, figures: Figures) -> None:
    """Two files with errors and motions, moved to another epoch, in a process of their own."""
    stars = gaia_like(MATCHED_ROWS)
    names = (
        "source_id",
        "ra",
        "dec",
        "ra_error",
        "dec_error",
        "pmra",
        "pmdec",
        "pmra_error",
        "pmdec_error",
        "ref_epoch",
    )
    for side in ("left", "right"):
        pq.write_table(pa.table({name: stars[name] for name in names}), tmp_path / f"{side}.parquet")
    del stars
    command = [sys.executable, SUPPORT / "crossmatch_usage.py", tmp_path]
    said = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    print(f"\ncrossmatch: {said}")
    per_row = (said["peak_mb"] - said["base_mb"]) * 1e6 / MATCHED_ROWS / 2
    figures.append(
        (f"{MATCHED_ROWS:,} rows to {MATCHED_ROWS:,}, moved to an epoch, one to one, files to file",
         f"{said['cpu_seconds']:.1f} processor s, peak {said['peak_mb']:,.0f} MB ({per_row:.0f} bytes per row)", "bounded")
    )  # fmt: skip
    assert said["matched"] >= 0.999 * MATCHED_ROWS
    assert per_row < 150


def test_identification_waits_little_for_a_dead_network(tmp_path: Path, figures: Figures) -> None:
    from catalogs_service.domain.questions import SkyField
    from catalogs_service.factory import CatalogsParts

    dead = {f"{name}_url": "http://127.0.0.1:9/x" for name in ("simbad", "vizier", "skybot", "astro_colibri", "gaia")}
    settings = CatalogsSettings(
        environment="development", database_url="postgresql://nobody@127.0.0.1:1/none", client_secret="s",
        storage={"kind": "folder", "folder": str(tmp_path), "url_secret": "x" * 32}, data_folder=tmp_path / "data",
        upstream=dead,
    )  # fmt: skip

    async def ask() -> float:
        parts = CatalogsParts(settings)
        field = SkyField(Cone(10.0, 20.0, 0.3), 2025.0, datetime(2025, 1, 1, tzinfo=UTC))
        began = time.perf_counter()
        found = await parts.ask_catalogues.ask(
            ("gaia", "simbad", "vsx", "milliquas", "skybot"),
            field,
            owner=None,
            release="dr3",
            key=parts.user_keys(None).key,
        )
        took = time.perf_counter() - began
        await parts.close()
        assert {(answer.status, answer.cause) for answer in found} == {("failed", "unreachable")}
        return took

    first, again = asyncio.run(ask()), asyncio.run(ask())
    print(f"\ndead network: first {first:.1f} s, again {again:.1f} s")
    figures.append(("five catalogues of a dead network have said so", f"{first:.1f} s", ""))
    assert first < 6.0
