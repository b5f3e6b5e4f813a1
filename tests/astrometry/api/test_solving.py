"""Routes of engines and transforms."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from astro_shared.testing.optics import Camera


@pytest.fixture(scope="module")
def header() -> fits.Header:
    return Camera(shape=(700, 800), mirrored=True).wcs_header(0.01, 60.0)


def body(header: fits.Header, **lists) -> dict:
    return {"header": header.tostring(sep="\n"), "width_px": 800, "height_px": 700, **lists}


async def test_engines_are_listed_with_what_is_missing(client, mint):
    answer = await client.get("/v1/engines", headers=mint.service())
    view = answer.json()
    assert [engine["name"] for engine in view["engines"]] == ["all-sky", "astrometry", "solve-field", "nova", "siril"]
    assert not view["engines"][3]["usable"]
    assert all(engine["usable"] or engine["how_to_install"] for engine in view["engines"])
    assert any("no such folder" in problem for problem in view["index_problems"])


async def test_routes_are_for_services(client, mint):
    assert (await client.get("/v1/engines")).status_code == 401
    assert (await client.get("/v1/engines", headers=mint.user())).status_code in (401, 403)


async def test_pixels_go_to_the_sky_of_astropy_and_come_back(client, mint, header):
    pixels = [[0.0, 0.0], [799.0, 0.0], [400.25, 350.5], [10.0, 690.0]]
    answer = await client.post("/v1/transform", json=body(header, pixels=pixels), headers=mint.service())
    sky = answer.json()
    assert sky["unit"] == "deg" and sky["covariances"] is None
    expected = WCS(header).all_pix2world(np.array(pixels), 0)
    np.testing.assert_allclose(sky["positions"], expected, atol=1e-9)
    back = await client.post("/v1/transform", json=body(header, sky=sky["positions"]), headers=mint.service())
    np.testing.assert_allclose(back.json()["positions"], pixels, atol=1e-6)


async def test_covariances_turn_with_the_frame_and_come_back(client, mint, header):
    given = [[0.04, 0.01, 0.005]]
    request = body(header, pixels=[[200.0, 300.0]], covariances=given)
    sky = (await client.post("/v1/transform", json=request, headers=mint.service())).json()
    xx, yy, xy = sky["covariances"][0]
    # the area of the error ellipse is that of the pixels times the scale squared, 1 arcsec per pixel
    assert np.sqrt(xx * yy - xy**2) == pytest.approx(1e6 * np.sqrt(0.04 * 0.01 - 0.005**2), rel=0.02)
    request = body(header, sky=sky["positions"], covariances=sky["covariances"])
    back = (await client.post("/v1/transform", json=request, headers=mint.service())).json()
    np.testing.assert_allclose(back["covariances"], given, rtol=1e-4)


async def test_a_header_without_a_wcs_is_refused_by_name(client, mint):
    request = body(fits.Header({"OBJECT": "M31"}), pixels=[[1.0, 1.0]])
    answer = await client.post("/v1/transform", json=request, headers=mint.service())
    assert answer.status_code == 422 and answer.json()["code"] == "bad_wcs"


@pytest.mark.parametrize("lists", [{}, {"pixels": [[1, 1]], "sky": [[1, 1]]}, {"pixels": [[1, 1]], "covariances": []}])
async def test_a_request_with_no_or_two_lists_is_refused(client, mint, header, lists):
    answer = await client.post("/v1/transform", json=body(header, **lists), headers=mint.service())
    assert answer.status_code == 422


async def test_empty_lists_and_places_on_the_far_side_are_answered(client, mint, header):
    empty = await client.post("/v1/transform", json=body(header, pixels=[]), headers=mint.service())
    assert empty.json()["positions"] == []
    far = await client.post("/v1/transform", json=body(header, sky=[[180.0, -60.0]]), headers=mint.service())
    assert far.json()["positions"] == [None]


async def test_the_epoch_of_the_positions_is_named_where_the_header_has_it(client, mint, header):
    dated = header.copy()
    dated["JEPOCH"] = 2017.97
    for given, epoch in ((dated, 2017.97), (header, None)):
        answer = await client.post("/v1/transform", json=body(given, pixels=[[1.0, 2.0]]), headers=mint.service())
        assert answer.json()["epoch_jyear"] == epoch
