"""A list of which nothing is known, solved by a site that plays nova.astrometry.net with the key that its user has stored."""

from __future__ import annotations

import csv
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from alidade.client import AlidadeClient
from alidade.processing import use_reference
from astro_shared.testing.embedded import EmbeddedPlatform, free_port, public_folder, run_alidade
from astro_shared.testing.frames import Camera, Exposure, SimulatedFrame, simulate_frame

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
KEY = "the-key-of-this-user"


def nova_server() -> ModuleType:
    path = Path(__file__).parents[1] / "support" / "nova_server.py"
    spec = importlib.util.spec_from_file_location("nova_server", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["nova_server"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sim() -> SimulatedFrame:
    return simulate_frame(41, n_stars=700, camera=Camera(shape=(700, 800)), exposure=Exposure(cosmic_rays=None))


@pytest.fixture
def site(sim: SimulatedFrame) -> Iterator[object]:
    with nova_server().nova_site(KEY, sim.wcs_header) as site:
        yield site


@pytest.fixture
def platform(site: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedPlatform]:
    monkeypatch.setenv("ASTROMETRY_NOVA__URL", site.url)  # type: ignore[attr-defined]
    monkeypatch.setenv("ASTROMETRY_NOVA__POLL_S", "0.05")
    with public_folder() as folder:
        made = EmbeddedPlatform(folder / "data", free_port())
        (folder / "data").mkdir(mode=0o755)
        made.start()
        yield made
        made.stop()


def test_the_stored_key_opens_nova_and_only_the_list_goes_there(
    platform: EmbeddedPlatform, site: object, sim: SimulatedFrame, tmp_path: Path
) -> None:
    stars = sim.truth[(np.asarray(sim.truth["snr"]) > 20) & ~np.asarray(sim.truth["saturated"])]
    with (tmp_path / "list.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["x", "y", "flux"])
        rows.writerows(zip(stars["x"], stars["y"], stars["flux_e"], strict=True))
    sim.write_reference(tmp_path / "stars.fits")
    with AlidadeClient(platform.url, personal_token=platform.token) as client:
        name = use_reference(client, str(tmp_path / "stars.fits"), say=lambda text: None)
    solve = ("solve", tmp_path / "list.csv", "--size", "800,700", "--epoch", sim.exposure.epoch, "--reference", name,
             "--out", tmp_path / "out", "--set", "solve.remote=true", "--set", "solve.limit_s=1")  # fmt: skip

    ended = run_alidade(platform.folder, *solve)
    assert ended.returncode == 2 and "keys set nova_api_key" in " ".join(ended.stdout.split()) and not site.submissions  # type: ignore[attr-defined]

    stored = run_alidade(platform.folder, "keys", "set", "nova_api_key", "--value", KEY)
    assert stored.returncode == 0, stored.stderr
    listed = run_alidade(platform.folder, "keys", "list").stdout
    assert "nova_api_key" in listed and KEY[-4:] in listed and KEY not in listed

    ended = run_alidade(platform.folder, *solve)
    assert ended.returncode == 0 and "by nova" in " ".join(ended.stdout.split()), ended.stdout + ended.stderr
    [sent] = site.submissions  # type: ignore[attr-defined]
    assert sent["publicly_visible"] == "n" and len(sent["x"]) > 100
    assert KEY not in (platform.folder / "up.log").read_text()

    assert run_alidade(platform.folder, "keys", "remove", "nova_api_key").returncode == 0
    assert "No key is stored" in run_alidade(platform.folder, "keys", "list").stderr
