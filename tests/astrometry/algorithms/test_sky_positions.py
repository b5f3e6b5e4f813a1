import numpy as np
import pytest

from astro_shared.testing.optics import Camera
from astrometry_service.algorithms.field_search import (
    contains,
    distance_to_outline_deg,
    frame_cells,
    position_keys,
    search_keys,
)
from astrometry_service.algorithms.sky_positions import (
    footprint,
    positions_of_transform,
    transform_to_pixel,
    transform_to_sky,
)
from astrometry_service.algorithms.wcs.header import transform_from_cards
from astrometry_service.domain.sources import FrameGeometry, SourceList
from astrometry_service.errors import SourceListError

GEOMETRY = FrameGeometry(2000, 1500)


def camera_transform(ra: float, dec: float):  # type: ignore[no-untyped-def]
    return transform_from_cards(Camera(shape=(1500, 2000), rotation_deg=25.0).wcs_header(ra, dec))


@pytest.mark.parametrize(("ra", "dec"), [(150.0, 20.0), (0.05, -40.0), (77.0, 89.9)])
def test_covariances_go_there_and_back(ra: float, dec: float) -> None:
    transform = camera_transform(ra, dec)
    x, y = np.array([100.0, 1000.0, 1900.0]), np.array([50.0, 700.0, 1400.0])
    covariance = np.tile(np.array([[0.01, 0.003], [0.003, 0.02]]), (3, 1, 1))
    sky = transform_to_sky(transform, x, y, covariance)
    back = np.zeros((3, 2, 2))
    back[:, 0, 0], back[:, 1, 1] = sky.ra_err_mas**2, sky.dec_err_mas**2
    back[:, 0, 1] = back[:, 1, 0] = sky.radec_cov_mas2
    px, py, again = transform_to_pixel(transform, sky.ra, sky.dec, back)
    np.testing.assert_allclose((px, py), (x, y), atol=1e-6)
    np.testing.assert_allclose(again, covariance, rtol=1e-5)


def test_errors_are_the_scatter_on_the_sky() -> None:
    """Rotated, one arcsec pixels: a circular pixel error is the same on the sky."""
    transform = camera_transform(150.0, 60.0)
    sky = transform_to_sky(transform, [999.0], [749.0], np.eye(2)[None] * 0.05**2)
    assert sky.ra_err_mas[0] == pytest.approx(50.0, rel=1e-3) and sky.dec_err_mas[0] == pytest.approx(50.0, rel=1e-3)


def test_lists_without_covariances_have_none() -> None:
    transform = camera_transform(150.0, 20.0)
    assert np.isnan(transform_to_sky(transform, [1.0], [1.0]).ra_err_mas[0])
    x, _, covariance = transform_to_pixel(transform, [150.0, 330.0], [20.0, -20.0], np.ones((2, 2, 2)))
    assert np.isfinite(x[0]) and np.isnan(x[1]) and np.isnan(covariance[1]).all()


def test_sources_without_a_place_stay_nan() -> None:
    sources = SourceList.from_columns({"x": [1.0, np.nan], "y": [1.0, 5.0], "flux": [10.0, 5.0]})
    assert not sources.covariance_known and sources.usable.tolist() == [True, False]
    found = positions_of_transform(camera_transform(150.0, 20.0), sources, None)
    assert np.isfinite(found.ra[0]) and np.isnan(found.ra[1])


def test_source_lists_say_what_is_wrong() -> None:
    with pytest.raises(SourceListError, match="columns"):
        SourceList.from_columns({"x": [1.0], "y": [1.0]})
    with pytest.raises(SourceListError, match="positive"):
        SourceList.from_columns({"x": [1.0], "y": [1.0], "flux": [np.nan]})
    with pytest.raises(SourceListError, match="lengths"):
        SourceList.from_columns({"x": [1.0], "y": [1.0, 2.0], "flux": [1.0]})


def test_psf_flux_is_preferred_and_flagged_rows_are_not_usable() -> None:
    columns = {"x": [1.0, 2.0], "y": [1.0, 2.0], "flux_aper_1": [1.0, 1.0], "flux_psf": [30.0, 40.0],
               "flux_psf_err": [3.0, 2.0],
               "x_var": [0.1, 0.0], "y_var": [0.1, 0.1], "position_kind": np.array(["psf", "psf"])}  # fmt: skip
    sources = SourceList.from_columns(columns, bad=[False, False])
    assert sources.flux.tolist() == [30.0, 40.0] and sources.snr.tolist() == [10.0, 20.0]
    # The second has a singular covariance.
    assert sources.usable.tolist() == [True, False] and sources.position_kind == "psf"


@pytest.mark.parametrize(("ra", "dec"), [(150.0, 20.0), (0.02, -40.0), (77.0, 90.0), (10.0, -89.9)])
def test_footprint_holds_its_pixels_and_nothing_else(ra: float, dec: float) -> None:
    transform = camera_transform(ra, dec)
    outline = footprint(transform, GEOMETRY)
    assert outline.shape == (32, 2)
    x_edge, y_edge = transform.sky_to_pixel(*outline.T)
    np.testing.assert_allclose(x_edge[:9], np.linspace(-0.5, 1999.5, 9), atol=1e-3)
    np.testing.assert_allclose(y_edge[8:17], np.linspace(-0.5, 1499.5, 9), atol=1e-3)
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-600, 2600, 400), rng.uniform(-600, 2100, 400)
    inside = (x > -0.5) & (x < 1999.5) & (y > -0.5) & (y < 1499.5)
    edge = np.minimum.reduce([abs(x + 0.5), abs(x - 1999.5), abs(y + 0.5), abs(y - 1499.5)]) < 2
    sky = transform.pixel_to_sky(x, y)
    known = ~edge
    np.testing.assert_array_equal(contains(outline, *sky)[known], inside[known])
    distance = distance_to_outline_deg(outline, *sky)
    assert (distance[inside & known] == 0).all() and (distance[~inside & known] > 0).all()


@pytest.mark.parametrize(("ra", "dec"), [(150.0, 20.0), (0.02, -40.0), (77.0, 90.0)])
def test_cells_find_the_frames_of_a_position(ra: float, dec: float) -> None:
    transform = camera_transform(ra, dec)
    stored = set(frame_cells(footprint(transform, GEOMETRY)))
    assert 0 < len(stored) <= 2000
    rng = np.random.default_rng(2)
    for x, y in rng.uniform(0, 1499, (40, 2)):
        sky = transform.pixel_to_sky(x, y)
        assert set(position_keys(float(sky[0]), float(sky[1]))) & stored
    assert not set(position_keys((ra + 180) % 360, -dec)) & stored
    assert set(search_keys(ra, dec, 0.01)) & stored
    assert not contains(footprint(transform, GEOMETRY), np.nan, 0.0)[0]
