"""A frame of which nothing is known, solved through a local server that plays nova.astrometry.net."""

import asyncio
import hashlib
import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from astro_shared.contracts.astrometry import SolveRequest
from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.photometry import FrameSummary
from astro_shared.contracts.settings import ProductSettings, SolveSettings
from astro_shared.contracts.tables import TableSchema
from astro_shared.fits.tables import write_columns
from astro_shared.jobs.task import LocalLink, TaskContext
from astro_shared.testing.frames import Camera, Exposure, simulate_frame
from astrometry_service.adapters.engine_settings import ENGINE_SETTINGS, engine_settings
from astrometry_service.adapters.nova_relay import NovaRelay
from astrometry_service.adapters.relayed_engine import SOLVE_REMOTE
from astrometry_service.tasks import solve

_PATH = Path(__file__).parents[2] / "support" / "nova_server.py"
KEY = "key-of-the-user"
RUN = SimpleNamespace(job=SimpleNamespace(owner="user-1"))


@pytest.fixture(scope="module")
def nova_site():
    spec = importlib.util.spec_from_file_location("nova_server", _PATH)
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["nova_server"] = module
    spec.loader.exec_module(module)
    return module.nova_site


@pytest.fixture(scope="module")
def sim():
    return simulate_frame(41, n_stars=700, camera=Camera(shape=(700, 800)), exposure=Exposure(cosmic_rays=None))


def run(sim, site, folder, *, key=KEY, remote=True):
    stars = sim.truth[(np.asarray(sim.truth["snr"]) > 20) & ~np.asarray(sim.truth["saturated"])]
    table = folder / "list.fits"
    columns = {"x": np.asarray(stars["x"]), "y": np.asarray(stars["y"]), "flux": np.asarray(stars["flux_e"])}
    write_columns(table, columns, TableSchema("list", ()))

    async def open_key(user, name):
        return key

    relay = NovaRelay(open_key, online=True, url=site.url, poll_s=0.01, proxy=None, ca_file=None)

    def parent(answer):
        return lambda payload: json.loads(json.dumps(asyncio.run(answer(payload, RUN))))

    def reference_stars(payload):
        sim.write_reference(folder / "reference.fits")
        return {"path": str(folder / "reference.fits"), "layer": "list"}

    link = LocalLink({
        "reference_stars": reference_stars, ENGINE_SETTINGS: parent(engine_settings((), relay)),
        SOLVE_REMOTE: parent(relay.answer),
    })  # fmt: skip
    content = table.read_bytes()
    ny, nx = sim.camera.shape
    request = SolveRequest(
        sources=ObjectRef(key="list.fits", sha256=hashlib.sha256(content).hexdigest(), size=len(content)),
        summary=FrameSummary(
            frame_name="f.fits", hdu=0, width_px=nx, height_px=ny, epoch_jyear=sim.exposure.epoch, gain_e_per_adu=1.0,
            read_noise_e=1.0, noise_model="header",
        ),
        # what other engines do is not asked here
        solve=SolveSettings(remote=remote, limit_s=0.2, remote_limit_s=20.0), products=ProductSettings(plots=False),
    )  # fmt: skip
    return solve(request, TaskContext(folder, {"list.fits": table}, link)).result["astrometry"]


def test_a_frame_without_any_hint_is_solved_by_its_star_list_alone(sim, nova_site, tmp_path):
    with nova_site(KEY, sim.wcs_header) as site:
        report = run(sim, site, tmp_path)
    assert report["solved"] and report["engine"] == "nova"
    assert report["ra_center_deg"] == pytest.approx(sim.sky.ra_deg, abs=0.01)
    [sent] = site.submissions
    assert sent["publicly_visible"] == "n" and len(sent["x"]) == len(sent["y"]) > 100
    assert set(site.paths) == {"/api/login", "/api/upload", "/api/submissions/7", "/api/jobs/11", "/wcs_file/11"}


def test_a_wrong_answer_of_nova_is_not_believed(sim, nova_site, tmp_path):
    elsewhere = sim.wcs_header.copy()
    elsewhere["CRVAL1"] += 20.0
    with nova_site(KEY, elsewhere) as site:
        report = run(sim, site, tmp_path)
    assert not report["solved"]
    tried = [attempt for attempt in report["attempts"] if attempt["engine"].startswith("nova")]
    assert tried and tried[0]["outcome"] == "refused"


def test_a_key_that_nova_refuses_is_said(sim, nova_site, tmp_path):
    with nova_site(KEY, sim.wcs_header) as site:
        report = run(sim, site, tmp_path, key="another")
    assert not report["solved"] and any("bad apikey" in attempt["detail"] for attempt in report["attempts"])


def test_nothing_is_sent_unless_it_is_switched_on(sim, nova_site, tmp_path):
    with nova_site(KEY, sim.wcs_header) as site:
        report = run(sim, site, tmp_path, remote=False)
    assert not report["solved"] and site.paths == []
    assert any("solve.remote" in line for line in report["advice"])
