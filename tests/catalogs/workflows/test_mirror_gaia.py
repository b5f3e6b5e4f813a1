"""A region of Gaia kept at hand: what it covers it answers, what it does not it leaves to others."""

import asyncio

import numpy as np
import pytest

from astro_shared.contracts.catalogs import MirrorGaiaRequest
from astro_shared.errors import ForbiddenError
from astro_shared.jobs.task import LocalLink, TaskContext
from catalogs_service.adapters.gaia.remote_tiles import answer_tiles
from catalogs_service.adapters.reference_store import ReferenceStore
from catalogs_service.algorithms.healpix import cells
from catalogs_service.domain.gaia import GaiaStars
from catalogs_service.domain.regions import Cone
from catalogs_service.domain.stars import Selection, Stars
from catalogs_service.errors import ReferenceUnavailableError
from catalogs_service.factory import make_lists
from catalogs_service.tasks import mirror_gaia
from catalogs_service.workflows.find_reference_stars import FindReferenceStars
from catalogs_service.workflows.mirror_gaia import MirrorGaia


class Tiles:
    """Ten stars in every tile, at its centre."""

    async def tiles(self, tiles, *, release, depth):
        ra = np.full(10 * len(tiles), 120.0) + np.linspace(-1, 1, 10 * len(tiles))
        dec = np.full(len(ra), 30.0)
        ids = (cells(ra, dec, 12) << 35) + np.arange(len(ra))
        columns = {"source_id": ids, "ra": ra, "dec": dec, "phot_g_mean_mag": np.full(len(ra), 12.0, np.float32)}
        return GaiaStars(Stars(columns), "archive", depth)


@pytest.fixture
async def chain(tmp_path):
    lists = ReferenceStore(tmp_path)
    reports = []
    made = await MirrorGaia(lists, Tiles()).run(
        Cone(120.0, 30.0, 0.8), release="dr3", depth_mag=17.0, report=lambda *step: reports.append(step)
    )
    assert reports[-1][0] == reports[-1][1] == len(made.facts["coverage"])
    return FindReferenceStars(lists)


async def test_a_covered_field_comes_from_the_mirror(chain):
    found = await chain.find("gaia", Cone(120.0, 30.0, 0.5), Selection(mag_limit=16.0), owner=None)
    assert found.layer == "mirror"
    assert len(found.stars) > 0


@pytest.mark.parametrize(
    ("cone", "limit", "release", "reason"),
    [
        (Cone(130.0, 30.0, 0.5), 16.0, "dr3", "does not cover"),
        (Cone(120.0, 30.0, 30.0), 16.0, "dr3", "does not cover"),
        (Cone(120.0, 30.0, 0.5), 18.0, "dr3", "ends at G = 17"),
        (Cone(120.0, 30.0, 0.5), 16.0, "dr4", "holds dr3"),
    ],
)
async def test_what_the_mirror_lacks_is_said(chain, cone, limit, release, reason):
    with pytest.raises(ReferenceUnavailableError, match=reason):
        await chain.find("gaia", cone, Selection(mag_limit=limit), owner=None, release=release)


def test_the_job_has_its_worker_fetch_and_is_for_nobody_in_particular(tmp_path):
    def ask(payload):
        return asyncio.run(answer_tiles(Tiles(), payload, tmp_path))

    def run(owner):
        target = {"data_folder": str(tmp_path / "data"), "most_rows": 1, "owner": owner}
        link = LocalLink({"import_target": lambda _: target, "gaia_tiles": ask})
        request = MirrorGaiaRequest(ra_deg=120.0, dec_deg=30.0, radius_deg=0.8, depth_mag=17)
        return mirror_gaia(request, TaskContext(tmp_path, {}, link)).result["reference"]

    info = run(None)
    assert (info["name"], info["scope"], info["release"]) == ("gaia", "global", "dr3")
    assert info["rows"] > 0
    found = make_lists(tmp_path / "data").find("gaia", None).search(Cone(120.0, 30.0, 2.0))
    assert len(found) == info["rows"]
    assert list(tmp_path.glob("gaia-*.parquet")) == []
    with pytest.raises(ForbiddenError):
        run("user-1")
