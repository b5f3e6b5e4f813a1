"""What the gateway offers of catalogs, against the real application of catalogs."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from astropy.io import fits
from astropy.io.votable import parse, parse_single_table

from astro_shared.contracts.auth import ADMIN_SCOPES, ALL_USER_SCOPES, Scope
from astro_shared.testing.tokens import TokenMint
from gateway_service.adapters.catalogs import CatalogsClient

SCS = {"RA": "10", "DEC": "20", "SR": "1"}


@pytest.fixture
async def client(apps: tuple[Any, Any]) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=apps[0])
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


async def upload(client: httpx.AsyncClient, headers: dict[str, str]) -> str:
    """A completed upload of a small table."""
    content = b"id,ra,dec\n1,10,20\n"
    body = {"filename": "mine.csv", "size": len(content), "purpose": "reference"}
    made = (await client.post("/api/v1/uploads", json=body, headers=headers)).json()
    address = httpx.URL(made["url"])
    assert (await client.put(address.raw_path.decode(), content=content)).status_code == 200
    done = await client.post(f"/api/v1/uploads/{made['id']}:complete", headers=headers)
    assert done.status_code == 200, done.text
    return str(made["id"])


async def test_a_polygon_with_cuts_is_a_fits_table_that_says_where_it_is_from(
    client: httpx.AsyncClient, mint: TokenMint, lists: Any
) -> None:
    body = {"name": "anns", "polygon": [[9, 19], [11, 19], [11, 21], [9, 21]], "max_ruwe": 1.4, "mag_limit": 18}
    answer = await client.post("/api/v1/references/cone", json=body, headers=mint.user("ann"))
    assert (answer.status_code, answer.headers["X-Reference-Layer"], answer.headers["X-Reference-Rows"]) == (
        200, "list", "1",
    )  # fmt: skip
    table = fits.open(io.BytesIO(answer.content))[1]
    assert table.data["source_id"].tolist() == [7]
    assert table.header["SKIP1"] == "magnitude: no band at all in the list"
    assert (await client.post("/api/v1/references/cone", json=body, headers=mint.user("bob"))).status_code == 404


async def test_a_cone_search_sees_ones_own_lists(client: httpx.AsyncClient, mint: TokenMint, lists: Any) -> None:
    answer = await client.get("/api/v1/scs/anns", params=SCS, headers=mint.user("ann"))
    assert answer.headers["content-type"].startswith("text/xml")
    assert len(parse_single_table(io.BytesIO(answer.content)).array) == 2
    other = await client.get("/api/v1/scs/anns", params=SCS, headers=mint.user("bob"))
    assert "no reference list anns" in parse(io.BytesIO(other.content)).infos[0].value


@pytest.mark.parametrize(
    "name", ["it's", 'a"b', "a;b", "a\nb", "x" * 10_000, "..%2f..%2fetc", "a' OR '1'='1"]
)  # fmt: skip
async def test_names_that_are_none_are_errors_in_a_votable(
    client: httpx.AsyncClient, mint: TokenMint, lists: Any, name: str
) -> None:
    path = "/api/v1/scs/" + httpx.URL("http://x", params={"n": name}).query.decode().removeprefix("n=")
    answer = await client.get(path, params=SCS, headers=mint.user("ann"))
    if answer.status_code == 200:
        assert parse(io.BytesIO(answer.content)).infos[0].name == "Error"
    else:
        assert answer.status_code in (400, 404, 414, 422)


async def test_without_a_token_only_where_the_operator_allows_it_and_only_lists_for_everyone(
    apps: tuple[Any, Any], client: httpx.AsyncClient, lists: Any
) -> None:
    assert (await client.get("/api/v1/scs/everyones", params=SCS)).status_code == 401
    settings = apps[0].state.factory.settings
    apps[0].state.factory.settings = settings.model_copy(update={"open_cone_search": True})
    found = await client.get("/api/v1/scs/everyones", params=SCS)
    assert len(parse_single_table(io.BytesIO(found.content)).array) == 2
    private = await client.get("/api/v1/scs/anns", params=SCS)
    assert "no reference list anns" in parse(io.BytesIO(private.content)).infos[0].value


async def test_a_cone_search_never_asks_the_outside(client: httpx.AsyncClient, mint: TokenMint) -> None:
    answer = await client.get("/api/v1/scs/gaia", params=SCS, headers=mint.user("ann"))
    assert "nothing outside is asked" in parse(io.BytesIO(answer.content)).infos[0].value


async def test_availability_is_said_also_when_catalogs_is_away(
    apps: tuple[Any, Any], client: httpx.AsyncClient
) -> None:
    assert "<vosi:available>true" in (await client.get("/api/v1/vosi/availability")).text
    apps[0].state.factory.catalogs = CatalogsClient("http://127.0.0.1:9", attempts=1)
    assert "<vosi:available>false" in (await client.get("/api/v1/vosi/availability")).text


async def test_only_an_administrator_sees_the_upstreams_and_mirrors_gaia(
    client: httpx.AsyncClient, mint: TokenMint
) -> None:
    region = {"ra_deg": 10, "dec_deg": 20, "radius_deg": 1}
    for headers in (mint.user("ann"), {}):
        assert (await client.get("/api/v1/admin/upstreams", headers=headers)).status_code in (401, 403)
        assert (await client.post("/api/v1/admin/mirrors", json=region, headers=headers)).status_code in (401, 403)
    admin = mint.user("root", ALL_USER_SCOPES | ADMIN_SCOPES)
    items = (await client.get("/api/v1/admin/upstreams", headers=admin)).json()["items"]
    assert {item["upstream"] for item in items} == {"simbad", "vizier", "skybot", "astro_colibri", "gaia"}
    job = (await client.post("/api/v1/admin/mirrors", json=region, headers=admin)).json()
    assert (job["kind"], job["owner"]) == ("mirror_gaia", "svc:gateway")
    assert (await client.get(f"/api/v1/admin/mirrors/{job['id']}", headers=admin)).json()["id"] == job["id"]


async def test_a_crossmatch_is_a_job_of_its_owner(client: httpx.AsyncClient, mint: TokenMint, lists: Any) -> None:
    ann = mint.user("ann")
    left = await upload(client, ann)
    body = {"left_upload_id": left, "reference": "anns", "pairs": "all"}
    key = {"Idempotency-Key": "match-0001"}
    begun = await client.post("/api/v1/crossmatch", json=body, headers=ann | key)
    work = begun.json()
    assert (work["kind"], work["phase"]) == ("crossmatch", "QUEUED")
    again = (await client.post("/api/v1/crossmatch", json=body, headers=ann | key)).json()
    assert again["id"] == work["id"]
    assert (await client.post("/api/v1/crossmatch", json=body, headers=ann)).json()["id"] != work["id"]
    place = begun.headers["location"]
    assert (await client.get(place, headers=ann)).json()["id"] == work["id"]
    assert (await client.get(place, headers=mint.user("bob"))).status_code == 404
    early = await client.get(f"{place}/files/crossmatch.parquet", headers=ann)
    assert early.status_code == 404 and "has no file crossmatch.parquet" in early.json()["detail"]
    assert (await client.post(f"{place}:abort", headers=ann)).json()["phase"] == "ABORTED"


async def test_a_crossmatch_needs_two_sides_of_ones_own(client: httpx.AsyncClient, mint: TokenMint, lists: Any) -> None:
    ann, bob = mint.user("ann"), mint.user("bob")
    left = await upload(client, ann)
    for body in ({"left_upload_id": left}, {"left_upload_id": left, "right_upload_id": left, "reference": "anns"}):
        assert (await client.post("/api/v1/crossmatch", json=body, headers=ann)).status_code == 422
    body = {"left_upload_id": left, "reference": "everyones"}
    assert (await client.post("/api/v1/crossmatch", json=body, headers=bob)).status_code == 404
    limited = mint.user("ann", {Scope.FRAMES_READ, Scope.CATALOGS_READ})
    assert (await client.post("/api/v1/crossmatch", json=body, headers=limited)).status_code == 403


async def test_a_match_of_surveys_is_a_job_of_its_owner(client: httpx.AsyncClient, mint: TokenMint) -> None:
    ann, key = mint.user("ann"), {"Idempotency-Key": "surveys-0001"}
    body = {"left": "anns", "right": "everyones", "radius_arcsec": 2}
    begun = await client.post("/api/v1/crossmatch/surveys", json=body, headers=ann | key)
    work = begun.json()
    assert (begun.status_code, work["kind"], work["phase"]) == (202, "match_surveys", "QUEUED")
    assert (await client.post("/api/v1/crossmatch/surveys", json=body, headers=ann | key)).json()["id"] == work["id"]
    assert (await client.get(begun.headers["location"], headers=mint.user("bob"))).status_code == 404
    for wrong in ({"left": "anns"}, body | {"radius_arcsec": 61}, body | {"left": "../x"}):
        assert (await client.post("/api/v1/crossmatch/surveys", json=wrong, headers=ann)).status_code == 422
    limited = mint.user("ann", {Scope.FRAMES_READ, Scope.CATALOGS_READ})
    assert (await client.post("/api/v1/crossmatch/surveys", json=body, headers=limited)).status_code == 403
