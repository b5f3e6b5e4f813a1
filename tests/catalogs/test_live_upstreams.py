"""The real services, asked as we always ask them: ``pytest -m remote tests/catalogs/test_live_upstreams.py``.

Answers must have the shape of recorded ones (column names and units), hold a famous object, and be the same from both of
Gaia's sources. A service that is down fails its test: that is what the test is for.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from astro_shared.testing.real_data import MISSING, find_real_data
from catalogs_service.adapters.catalogues.objects import document_of
from catalogs_service.adapters.gaia.places import archive_table, vizier_table
from catalogs_service.adapters.gaia.tap import GaiaTap
from catalogs_service.adapters.upstream.breaker_store import LocalBreakerStore
from catalogs_service.config import CatalogsSettings
from catalogs_service.domain.gaia import GaiaTile
from catalogs_service.domain.questions import Reply, SkyField
from catalogs_service.domain.regions import Cone
from catalogs_service.factory import make_outside_http, make_registry, make_upstreams

pytestmark = [pytest.mark.remote, pytest.mark.timeout(700)]
DATA = find_real_data()
needs_recorded = pytest.mark.skipif(DATA is None, reason=MISSING)

HZ_HER = SkyField(Cone(254.4575, 35.3424, 0.05))
QUASAR_3C273 = SkyField(Cone(187.27791, 2.05239, 0.05))
# the field and the time of the recorded answer
ASTEROIDS = SkyField(Cone(81.2833, 4.49278, 0.2), 2025.0, datetime(2025, 1, 2, tzinfo=UTC), "500")


@pytest.fixture
def settings(tmp_path):
    return CatalogsSettings(
        environment="development", database_url="postgresql://nobody@127.0.0.1:1/none", client_secret="s",
        storage={"kind": "folder", "folder": str(tmp_path), "url_secret": "x" * 32}, data_folder=tmp_path / "data",
    )  # fmt: skip


@pytest.fixture
async def askers(settings):
    async with make_outside_http(settings.upstream) as http:
        yield make_upstreams(settings.upstream, http, LocalBreakerStore())


@pytest.fixture
def ask(settings, askers):
    async def ask(name, field):
        catalogue = make_registry(settings.upstream).find(name)
        reply = await askers[catalogue.upstream].ask(catalogue.question(field))
        return reply, catalogue.read(reply, field)

    return ask


def shape(reply, name):
    """Unit by column of the first table."""
    return {field.name: field.unit for field in document_of(reply, name).tables[0].fields}


@pytest.mark.parametrize(
    ("name", "field", "identifier"),
    [("simbad", HZ_HER, "V* HZ Her"), ("vsx", HZ_HER, "HZ Her"), ("milliquas", QUASAR_3C273, "3C 273"),
     ("I/239/hip_main", SkyField(Cone(279.23474, 38.78369, 0.05)), "91262")],
)  # fmt: skip
async def test_a_famous_object_is_known(ask, name, field, identifier):
    _, found = await ask(name, field)
    assert identifier in found.identifier.tolist()
    place = found.identifier.tolist().index(identifier)
    assert found.ra[place] == pytest.approx(field.cone.ra_deg, abs=0.01)


@needs_recorded
async def test_skybot_answers_in_the_recorded_shape(ask):
    recorded = (Path(str(DATA)) / "catalogs/responses/imcce__skybot_query.vot").read_bytes()
    reply, found = await ask("skybot", ASTEROIDS)
    expected = shape(Reply(200, recorded), "SkyBoT")
    assert expected.items() <= shape(reply, "SkyBoT").items()
    assert "(523748) 2014 UP224" in found.identifier.tolist()


@needs_recorded
async def test_simbad_still_has_the_columns_of_its_recorded_description(ask):
    recorded = (Path(str(DATA)) / "catalogs/responses/simbad__simbad_basic_columns.xml").read_bytes()
    table = document_of(Reply(200, recorded), "SIMBAD").tables[0]
    known = dict(zip(table.columns["column_name"], table.columns["unit"], strict=True))
    reply, _ = await ask("simbad", HZ_HER)
    told = {name: unit for name, unit in shape(reply, "SIMBAD").items() if name in known}
    assert len(told) >= 8
    assert told == {name: known[name] for name in told}


def tap(askers, settings, name):
    given = settings.upstream
    if name == "vizier":
        return GaiaTap("VizieR", askers["vizier"], sync_url=given.vizier_url), vizier_table("dr3")
    archive = GaiaTap(
        "the archive", askers["gaia"], sync_url=f"{given.gaia_url}/sync", async_url=f"{given.gaia_url}/async"
    )
    return archive, archive_table("dr3")


async def test_archive_and_vizier_have_the_same_stars(askers, settings):
    tile = GaiaTile(8, 349_529)
    ours, theirs = [
        (await source.tiles(table, [tile], 17.0))[tile]
        for source, table in (tap(askers, settings, name) for name in ("gaia", "vizier"))
    ]
    assert len(ours) > 5
    a, b = np.argsort(ours["source_id"]), np.argsort(theirs["source_id"])
    assert ours["source_id"][a].tolist() == theirs["source_id"][b].tolist()
    # VizieR rounds: positions to 1e-11 deg, motions to 1 uas/yr, magnitudes to 1e-6
    for name, tolerance in (("ra", 1e-9), ("dec", 1e-9), ("pmra", 2e-3), ("pmdec", 2e-3), ("parallax", 2e-3),
                            ("phot_g_mean_mag", 1e-5), ("ruwe", 1e-3), ("ra_error", 1e-3), ("ra_dec_corr", 1e-3)):  # fmt: skip
        np.testing.assert_allclose(ours[name][a], theirs[name][b], rtol=0, atol=tolerance, err_msg=name)
    assert ours["ref_epoch"].tolist() == theirs["ref_epoch"].tolist()


@needs_recorded
async def test_the_archive_still_has_every_recorded_column(askers, settings):
    recorded = json.loads((Path(str(DATA)) / "catalogs/responses/gaia__cone_search.json").read_text())
    names = {column["name"] for column in recorded["metadata"]}
    source, table = tap(askers, settings, "gaia")
    assert set(table.columns.values()) <= names
    stars = (await source.tiles(table, [GaiaTile(8, 349_529)], 15.0)).popitem()[1]
    assert set(stars.names) == set(table.columns)
