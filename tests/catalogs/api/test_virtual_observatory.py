"""Simple Cone Search as astropy reads it, errors as the standard says, and the state of upstreams."""

import io

import httpx
import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse, parse_single_table

from catalogs_service.algorithms.healpix import cells, region_cells
from catalogs_service.domain.gaia import GaiaTile
from catalogs_service.domain.regions import Cone
from catalogs_service.domain.stars import Stars


@pytest.fixture
def lists(app):
    stars = Stars(
        {
            "source_id": np.array([6636090334814214528, 2]), "name": np.array(["a<b", "c&d"], object),
            "ra": np.array([0.1, 359.9]), "dec": np.array([10.0, 10.1]), "ref_epoch": np.full(2, 2016.0),
            "pmra": np.array([1.5, np.nan]), "vt_mag": np.array([8.5, 9.5], np.float32),
            "duplicated_source": np.array([True, False]),
        }
    )  # fmt: skip
    app.state.parts.lists.save(stars, name="mine", scope="user", owner="user-1", facts={})


async def search(client, mint, **parameters):
    headers = mint.service(on_behalf_of="user-1")
    answer = await client.get("/v1/scs/mine", params=parameters, headers=headers)
    assert answer.status_code == 200
    return answer


async def test_a_cone_search_is_a_votable_with_the_three_marked_columns(client, mint, lists):
    answer = await search(client, mint, RA="0", DEC="10", SR="0.5", VERB="3")
    assert answer.headers["content-type"].startswith("text/xml")
    table = parse_single_table(io.BytesIO(answer.content))
    ucds = {field.ucd: field.name for field in table.fields}
    assert [ucds[name] for name in ("ID_MAIN", "POS_EQ_RA_MAIN", "POS_EQ_DEC_MAIN")] == ["source_id", "ra", "dec"]
    rows = table.to_table()
    assert rows["source_id"].tolist() == ["6636090334814214528", "2"]
    assert rows["name"].tolist() == ["a<b", "c&d"]
    assert rows["vt_mag"].tolist() == [8.5, 9.5]
    assert rows["duplicated_source"].tolist() == [True, False]
    assert np.isnan(float(rows["pmra"].filled(np.nan)[1]))
    assert str(rows["ra"].unit) == "deg"


async def test_verbosity_chooses_the_columns(client, mint, lists):
    names = {}
    for verbosity in "123":
        answer = await search(client, mint, RA="0", DEC="10", SR="0.5", VERB=verbosity)
        names[verbosity] = [field.name for field in parse_single_table(io.BytesIO(answer.content)).fields]
    assert names["1"] == ["source_id", "ra", "dec"]
    assert "vt_mag" in names["2"]
    assert "name" not in names["2"]
    assert "name" in names["3"]


async def test_no_radius_gives_the_columns_only(client, mint, lists):
    table = parse_single_table(io.BytesIO((await search(client, mint, RA="0", DEC="10", SR="0")).content))
    assert len(table.array) == 0
    assert len(table.fields) > 3


@pytest.mark.parametrize(
    "parameters",
    [{}, {"RA": "0", "DEC": "0"}, {"RA": "x", "DEC": "0", "SR": "1"}, {"RA": "361", "DEC": "0", "SR": "1"},
     {"RA": "0", "DEC": "91", "SR": "1"}, {"RA": "0", "DEC": "0", "SR": "-1"}, {"RA": "0", "DEC": "0", "SR": "180"},
     {"RA": "nan", "DEC": "0", "SR": "1"}, {"RA": "0", "DEC": "0", "SR": "1", "VERB": "9"}],
)  # fmt: skip
async def test_errors_are_votables_with_status_200(client, mint, lists, parameters):
    answer = await search(client, mint, **parameters)
    infos = parse(io.BytesIO(answer.content)).infos
    assert [info.name for info in infos] == ["Error"]
    assert infos[0].value


async def test_an_unknown_list_is_such_an_error(client, mint):
    answer = await client.get("/v1/scs/other", params={"RA": 1, "DEC": 1, "SR": 1}, headers=mint.service())
    assert "no reference list other" in parse(io.BytesIO(answer.content)).infos[0].value


@pytest.mark.parametrize("name", ["%00", "..", "%2e%2e", "a%0ab", "It's", "x" * 10_000, "a%22%3bb", "%c3%a4"])
async def test_a_name_that_no_list_can_have_is_such_an_error(client, mint, name):
    answer = await client.get(f"/v1/scs/{name}?RA=1&DEC=1&SR=1", headers=mint.service())
    if answer.status_code == 200:
        assert "is not the name of a reference list" in parse(io.BytesIO(answer.content)).infos[0].value
    else:
        assert (answer.status_code, name) in (
            (404, ".."), (404, "%2e%2e"), (400, "%00"), (400, "a%0ab"), (414, "x" * 10_000),
        )  # fmt: skip


async def test_gaia_answers_from_tiles_at_hand_as_the_other_route_does(app, client, mint):
    tiles = [GaiaTile(6, int(pixel)) for pixel in region_cells(Cone(120.0, 30.0, 0.3), 6)]
    stars = Stars(
        {
            "source_id": np.array([5, 6, 7]), "ra": 120.0 + np.array([0.0, 0.1, 0.2]),
            "dec": np.full(3, 30.0), "phot_g_mean_mag": np.array([12.0, 14.0, 20.5], np.float32),
            "ref_epoch": np.full(3, 2016.0),
        }
    )  # fmt: skip
    home = GaiaTile(6, int(cells(np.array([120.0]), np.array([30.0]))[0] >> 46))
    cache = app.state.parts.find_stars_at_hand._gaia._cache
    for tile in tiles:
        cache.put("dr3", tile, 21.0, stars if tile == home else stars.take(np.empty(0, np.int64)))
    body = {"name": "gaia", "ra_deg": 120.0, "dec_deg": 30.0, "radius_deg": 0.25}
    direct = await client.post("/v1/reference/cone", json=body, headers=mint.service())
    assert direct.headers["X-Reference-Layer"] == "cache"
    answer = await client.get("/v1/scs/gaia", params={"RA": 120, "DEC": 30, "SR": 0.25}, headers=mint.service())
    rows = parse_single_table(io.BytesIO(answer.content)).to_table()
    with fits.open(io.BytesIO(direct.content)) as table:
        assert sorted(map(int, rows["source_id"])) == sorted(table[1].data["source_id"].tolist()) == [5, 6, 7]
    beyond = await client.get("/v1/scs/gaia", params={"RA": 200, "DEC": 30, "SR": 0.25}, headers=mint.service())
    assert "not all of the field is in it" in parse(io.BytesIO(beyond.content)).infos[0].value


async def test_availability(client):
    assert "<vosi:available>true" in (await client.get("/v1/vosi/availability")).text


async def test_the_state_of_upstreams(app, client, mint):
    gate = app.state.parts.upstreams["simbad"].gate
    for _ in range(5):
        await gate.failed("timeout")
    await gate.count_cache(hit=True)
    items = (await client.get("/v1/upstreams", headers=mint.service())).json()["items"]
    states = {item["upstream"]: item for item in items}
    assert set(states) == {"simbad", "vizier", "skybot", "astro_colibri", "gaia"}
    assert (states["simbad"]["breaker"], states["simbad"]["last_cause"], states["simbad"]["cache_hits"]) == (
        "open",
        "timeout",
        1,
    )
    assert states["vizier"]["breaker"] == "closed"
    assert states["simbad"]["requests_per_s"] == 5.0


async def test_the_state_of_upstreams_as_metrics(app, client):
    gate = app.state.parts.upstreams["simbad"].gate
    await gate.succeeded()
    for _ in range(5):
        await gate.failed("timeout")
    for hit in (True, True, False):
        await gate.count_cache(hit=hit)
    text = (await client.get("/metrics")).text
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("upstream_"))
    assert samples['upstream_breaker{state="open",upstream="simbad"}'] == "1.0"
    assert samples['upstream_breaker{state="closed",upstream="simbad"}'] == "0.0"
    assert samples['upstream_breaker{state="closed",upstream="vizier"}'] == "1.0"
    assert samples['upstream_cache_total{result="hit",upstream="simbad"}'] == "2.0"
    assert samples['upstream_cache_total{result="miss",upstream="simbad"}'] == "1.0"
    assert samples['upstream_failures{upstream="simbad"}'] == "5.0"
    assert samples['upstream_requests_per_second_limit{upstream="simbad"}'] == "5.0"
    assert float(samples['upstream_last_success_timestamp_seconds{upstream="simbad"}']) > 1.7e9
    assert float(samples['upstream_asked_again_timestamp_seconds{upstream="simbad"}']) > 1.7e9
    assert samples['upstream_last_failure_timestamp_seconds{upstream="vizier"}'] == "0.0"


async def test_strangers_see_nothing(client: httpx.AsyncClient, mint):
    for path in ("/v1/upstreams", "/v1/scs/mine?RA=0&DEC=0&SR=1"):
        assert (await client.get(path)).status_code == 401
        assert (await client.get(path, headers=mint.user())).status_code == 403
