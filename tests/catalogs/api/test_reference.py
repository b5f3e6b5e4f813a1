"""Routes of reference stars and lists."""

import io

import numpy as np
import pytest
from astropy.io import fits

from catalogs_service.domain.stars import Stars


@pytest.fixture
def lists(app):
    return app.state.parts.lists


def stars(n=50, dec=20.0):
    rng = np.random.default_rng(4)
    return Stars(
        {
            "source_id": np.arange(n) + 6636090334814214528,
            "ra": rng.uniform(359.5, 360.5, n) % 360,
            "dec": dec + rng.uniform(-0.4, 0.4, n),
            "ref_epoch": np.full(n, 2000.0),
            "vt_mag": rng.uniform(6, 12, n).astype(np.float32),
        }
    )


def table(response):
    assert response.status_code == 200, response.text
    return fits.open(io.BytesIO(response.content))["REFERENCE"]


async def test_a_cone_is_a_fits_table_that_says_where_it_comes_from(client, mint, lists):
    lists.save(stars(), name="tycho2", scope="user", owner="user-1", facts={})
    body = {
        "name": "tycho2",
        "ra_deg": 0.0,
        "dec_deg": 20.0,
        "radius_deg": 1.0,
        "mag_limit": 10.0,
        "max_rows": 5,
        "max_ruwe": 1.4,
    }
    response = await client.post("/v1/reference/cone", json=body, headers=mint.service(on_behalf_of="user-1"))
    found = table(response)
    assert response.headers["X-Reference-Layer"] == "list"
    assert response.headers["X-Reference-Rows"] == "5"
    assert found.header["REFNAME"] == "tycho2"
    assert found.header["TRUNC"] is True
    assert found.header["REFROWS"] == int(np.sum(stars()["vt_mag"] <= 10))
    assert found.header["SKIP1"].startswith("ruwe")
    assert found.data["vt_mag"].tolist() == np.sort(stars()["vt_mag"])[:5].tolist()
    assert found.data["source_id"].min() >= 6636090334814214528


async def test_a_polygon_across_zero_hours(client, mint, lists):
    lists.save(stars(), name="tycho2", scope="global", owner=None, facts={})
    body = {"name": "tycho2", "polygon": [[359, 19], [1, 19], [1, 21], [359, 21]]}
    response = await client.post("/v1/reference/cone", json=body, headers=mint.service())
    assert len(table(response).data) == 50


async def test_another_users_list_is_absent(client, mint, lists):
    lists.save(stars(), name="mine", scope="user", owner="user-1", facts={})
    body = {"name": "mine", "ra_deg": 0.0, "dec_deg": 20.0, "radius_deg": 1.0, "owner": "user-1"}
    response = await client.post("/v1/reference/cone", json=body, headers=mint.service(on_behalf_of="user-2"))
    assert response.status_code == 404
    assert response.json()["code"] == "reference_not_found"


async def test_without_network_and_mirror_gaia_says_why_layer_by_layer(client, mint):
    body = {"ra_deg": 0.0, "dec_deg": 20.0, "radius_deg": 1.0}
    response = await client.post("/v1/reference/cone", json=body, headers=mint.service())
    assert response.status_code == 503
    assert response.json()["code"] == "reference_unavailable"
    assert "mirror: there is none" in response.json()["detail"]


async def test_a_mirror_named_gaia_serves_gaia(client, mint, lists):
    lists.save(stars(), name="gaia", scope="global", owner=None, facts={"release": "dr3"})
    body = {"ra_deg": 0.0, "dec_deg": 20.0, "radius_deg": 1.0}
    response = await client.post("/v1/reference/cone", json=body, headers=mint.service())
    assert table(response).header["REFLAYER"] == "mirror"
    other = await client.post("/v1/reference/cone", json=body | {"release": "dr4"}, headers=mint.service())
    assert "it holds dr3, not dr4" in other.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"ra_deg": 361, "dec_deg": 0, "radius_deg": 1},
        {"ra_deg": 10, "dec_deg": 0, "radius_deg": 0},
        {"ra_deg": 10, "dec_deg": 0, "radius_deg": 180},
        {"ra_deg": 10, "dec_deg": 91, "radius_deg": 1},
        {"ra_deg": 10, "dec_deg": 0},
        {"ra_deg": 10, "dec_deg": 0, "radius_deg": 1, "polygon": [[0, 0], [1, 0], [1, 1]]},
        {"polygon": [[0, 0], [1, 0]]},
        {"ra_deg": 10, "dec_deg": 0, "radius_deg": 1, "name": "a' OR '1'='1"},
        {"ra_deg": 10, "dec_deg": 0, "radius_deg": 1, "name": "../../etc"},
        {"ra_deg": 10, "dec_deg": 0, "radius_deg": 1, "mag_band": "G; DROP TABLE"},
        {"ra_deg": 10, "dec_deg": 0, "radius_deg": 1, "owner_id": "x"},
    ],
)
async def test_senseless_requests_are_refused(client, mint, body):
    response = await client.post("/v1/reference/cone", json=body, headers=mint.service())
    assert response.status_code == 422


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e400", '"10"x', "[1]"])
@pytest.mark.parametrize("name", ["ra_deg", "dec_deg", "radius_deg", "mag_limit", "max_ruwe", "epoch_jyear"])
async def test_what_is_no_finite_number_is_refused(client, mint, name, value):
    fields = {"ra_deg": "10", "dec_deg": "10", "radius_deg": "1"} | {name: value}
    body = "{" + ",".join(f'"{key}": {text}' for key, text in fields.items()) + "}"
    headers = mint.service() | {"Content-Type": "application/json"}
    response = await client.post("/v1/reference/cone", content=body, headers=headers)
    assert response.status_code == 422


async def test_a_concave_polygon_is_refused(client, mint, lists):
    lists.save(stars(), name="tycho2", scope="global", owner=None, facts={})
    body = {"name": "tycho2", "polygon": [[0, 0], [4, 0], [1, 1], [0, 4]]}
    response = await client.post("/v1/reference/cone", json=body, headers=mint.service())
    assert (response.status_code, response.json()["code"]) == (422, "region_invalid")


async def test_lists_of_a_user_and_their_removal(client, mint, lists):
    lists.save(stars(), name="mine", scope="user", owner="user-1", facts={"source": "my.csv", "missing": ["pmra"]})
    lists.save(stars(), name="everyones", scope="global", owner=None, facts={})
    headers = mint.service(on_behalf_of="user-1")
    items = (await client.get("/v1/reference", headers=headers)).json()["items"]
    assert [(item["name"], item["scope"], item["rows"]) for item in items] == [
        ("everyones", "global", 50),
        ("mine", "user", 50),
    ]
    assert items[1]["missing"] == ["pmra"]
    assert items[1]["bands"][0]["name"] == "vt_mag"
    assert (await client.delete("/v1/reference/everyones", headers=headers)).status_code == 404
    assert (await client.delete("/v1/reference/mine", headers=headers)).status_code == 204
    assert (await client.delete("/v1/reference/mine", headers=headers)).status_code == 404
    others = (await client.get("/v1/reference", headers=mint.service(on_behalf_of="user-2"))).json()["items"]
    assert [item["name"] for item in others] == ["everyones"]


async def test_only_services_may_call(client, mint):
    body = {"ra_deg": 0.0, "dec_deg": 20.0, "radius_deg": 1.0}
    assert (await client.post("/v1/reference/cone", json=body)).status_code == 401
    assert (await client.post("/v1/reference/cone", json=body, headers=mint.user())).status_code == 403


def full_stars(n=3000):
    """Stars with every column that a cut needs."""
    rng = np.random.default_rng(8)
    g = rng.uniform(10, 18, n)
    color = rng.uniform(-0.3, 5.0, n)
    variable = np.where(rng.uniform(size=n) < 0.2, "VARIABLE", "NOT_AVAILABLE").astype(object)
    return Stars(
        {
            "source_id": np.arange(n) + 2**60, "ra": rng.uniform(359, 361, n) % 360, "dec": rng.uniform(-1, 1, n),
            "ra_error": rng.uniform(0.02, 1, n).astype(np.float32), "dec_error": rng.uniform(0.02, 1, n).astype(np.float32),
            "pmra": rng.normal(0, 500, n), "pmdec": rng.normal(0, 500, n),
            "pmra_error": np.full(n, 0.1, np.float32), "pmdec_error": np.full(n, 0.1, np.float32),
            "ref_epoch": np.full(n, 2016.0), "phot_g_mean_mag": g.astype(np.float32),
            "phot_bp_mean_mag": (g + 0.5 * color).astype(np.float32),
            "phot_rp_mean_mag": (g - 0.5 * color).astype(np.float32),
            "phot_g_mean_flux_over_error": rng.uniform(5, 500, n).astype(np.float32),
            "phot_bp_rp_excess_factor": (expected_excess(color) + rng.normal(0, 3, n) * excess_sigma(g)).astype(np.float32),
            "ruwe": rng.uniform(0.8, 2, n).astype(np.float32), "duplicated_source": rng.uniform(size=n) < 0.2,
            "phot_variable_flag": variable,
        }
    )  # fmt: skip


def expected_excess(color):
    """Riello et al. 2021, A&A 649, A3, table 2: flux excess of a well behaved source by BP-RP."""
    return np.select(
        [color < 0.5, color < 4.0],
        [
            1.154360 + 0.033772 * color + 0.032277 * color**2,
            1.162004 + 0.011464 * color + 0.049255 * color**2 - 0.005879 * color**3,
        ],
        1.057572 + 0.140537 * color,
    )


def excess_sigma(g):
    """The same, equation 18."""
    return 0.0059898 + 8.817481e-12 * g**7.618399


async def test_all_cuts_together_leave_what_each_of_them_leaves(client, mint, lists):
    lists.save(full_stars(), name="gaia", scope="global", owner=None, facts={"release": "dr4"})
    body = {
        "ra_deg": 0.0, "dec_deg": 0.0, "radius_deg": 0.8, "release": "dr4", "mag_limit": 17.0, "max_ruwe": 1.4,
        "color_range": [0.2, 4.5], "drop_duplicated": True, "drop_variable": True, "min_flux_over_error": 50.0,
        "max_excess_sigma": 3.0,
    }  # fmt: skip
    found = table(await client.post("/v1/reference/cone", json=body, headers=mint.service()))
    assert "SKIP1" not in found.header
    assert found.header["RELEASE"] == "dr4"
    s = full_stars()
    color = s["phot_bp_mean_mag"].astype(float) - s["phot_rp_mean_mag"]
    g = s["phot_g_mean_mag"].astype(float)
    x = (s["ra"] + 180) % 360 - 180
    radius = np.degrees(np.arccos(np.cos(np.radians(x)) * np.cos(np.radians(s["dec"]))))
    excess = np.abs(s["phot_bp_rp_excess_factor"] - expected_excess(color)) / excess_sigma(g)
    keep = (
        (radius <= 0.8) & (g <= 17.0) & (s["ruwe"] <= 1.4) & (color >= 0.2) & (color <= 4.5) & ~s["duplicated_source"]
        & (s["phot_variable_flag"] != "VARIABLE") & (s["phot_g_mean_flux_over_error"] >= 50) & (excess <= 3)
    )  # fmt: skip
    assert 20 < keep.sum() < 2000
    assert sorted(found.data["source_id"]) == sorted(s["source_id"][keep])


async def test_positions_are_moved_to_an_epoch_on_request_only(client, mint, lists):
    lists.save(full_stars(), name="gaia", scope="global", owner=None, facts={"release": "dr3"})
    body = {"ra_deg": 0.0, "dec_deg": 0.0, "radius_deg": 0.5, "epoch_jyear": 2036.0}
    plain = table(await client.post("/v1/reference/cone", json=body, headers=mint.service()))
    moved = table(await client.post("/v1/reference/cone", json=body | {"propagate": True}, headers=mint.service()))
    assert "POSEPOCH" not in plain.header
    assert moved.header["POSEPOCH"] == 2036.0
    s = full_stars()
    there = {i: k for k, i in enumerate(s["source_id"])}
    k = [there[i] for i in moved.data["source_id"]]
    assert sorted(plain.data["source_id"]) == sorted(moved.data["source_id"])
    # 20 years at most 2 arcsec a year near the equator: the plane is good to a microarcsecond
    np.testing.assert_allclose((moved.data["dec"] - s["dec"][k]) * 3.6e6, 20 * s["pmdec"][k], atol=0.1)
    np.testing.assert_allclose(moved.data["dec_error"], np.hypot(s["dec_error"][k], 20 * 0.1), rtol=1e-4)
    radius = np.hypot((moved.data["ra"] + 180) % 360 - 180, moved.data["dec"])
    assert radius.max() <= 0.5001
