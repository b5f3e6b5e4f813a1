"""The second simulator is right itself: light, places, noise and bounds against what theory says of them."""

import numpy as np
import pytest

from independent_sky import KINDS, draw_kind, random_frame
from independent_sky.compose import Camera, Field, Sky, compose, tangent_map
from independent_sky.light import draw_stars, field_curvature, flux_bounds, gaussian, moffat

PLACE = np.array([40.3]), np.array([31.7])


def moments(image):
    """x, y, and second moments xx, yy, xy of an image, px."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    total = image.sum()
    mx, my = (image * x).sum() / total, (image * y).sum() / total
    xx, yy = (image * (x - mx) ** 2).sum() / total, (image * (y - my) ** 2).sum() / total
    return mx, my, xx, yy, (image * (x - mx) * (y - my)).sum() / total


def frame_of(stars, **sky):
    field = Field(n_stars=len(stars[0]))
    return compose(
        "one", 1, profile=gaussian(3.0), camera=Camera(shape=(80, 96)), field=field, sky=Sky(**sky),
        rng=np.random.default_rng(1), stars=stars,
    )  # fmt: skip


def test_all_electrons_of_a_star_are_drawn_at_its_place():
    drawn = draw_stars((80, 96), *PLACE, np.array([5e4]), gaussian(3.0))
    x, y, *_ = moments(drawn.image_e)
    assert drawn.image_e.sum() == pytest.approx(5e4, rel=1e-4)
    assert drawn.flux_e[0] == pytest.approx(drawn.image_e.sum(), rel=1e-12)
    assert (x, y) == pytest.approx((40.3, 31.7), abs=1e-3)


def test_the_width_of_a_gaussian_is_the_one_asked_for():
    *_, xx, yy, _ = moments(draw_stars((80, 96), *PLACE, np.array([1.0]), gaussian(3.0)).image_e)
    sigma2 = (3.0 / 2.3548) ** 2 + 1 / 12  # the pixel adds its own variance
    assert (xx, yy) == pytest.approx((sigma2, sigma2), rel=2e-3)


def test_stars_in_the_corner_are_elongated_along_the_radius():
    profile = field_curvature(3.0, 3.0, 0.4, beta=6.0)
    image = draw_stars((201, 201), np.array([199.0]), np.array([199.0]), np.array([1.0]), profile).image_e
    *_, xx, yy, xy = moments(image[175:, 175:] * 1.0)
    assert xy > 0.2 * (xx + yy) / 2
    assert xx == pytest.approx(yy, rel=0.05)
    *_, xx, yy, xy = moments(
        draw_stars((201, 201), np.array([100.0]), np.array([100.0]), np.array([1.0]), profile).image_e
    )
    assert abs(xy) < 1e-6 and xx == pytest.approx(yy, rel=1e-6)


def test_the_bound_of_a_faint_flux_is_that_of_a_gaussian_on_a_flat_sky():
    drawn = draw_stars((80, 96), *PLACE, np.array([1.0]), gaussian(3.5))
    sigma = np.sqrt((3.5 / 2.3548) ** 2 + 1 / 12)
    (bound,) = flux_bounds(drawn, np.full((80, 96), 400.0))
    assert bound == pytest.approx(20.0 * np.sqrt(4 * np.pi) * sigma, rel=0.01)


def test_the_noise_of_the_sky_is_poisson_and_read_noise():
    frame = frame_of((np.array([-500.0]), np.array([-500.0]), np.array([15.0])), sky_e=400.0)
    assert frame.data_e.mean() == pytest.approx(400.0, abs=5 * 21 / np.sqrt(7680))
    assert frame.data_e.std() == pytest.approx(np.sqrt(400 + 36 + 1.5**2 / 12), rel=0.04)


def test_half_of_the_light_arrives_through_half_a_transmission():
    star = np.array([40.0]), np.array([40.0]), np.array([15.0])
    whole, half = (frame_of(star, transmission=share).truth.stars for share in (1.0, 0.5))
    assert half.flux_e[0] == pytest.approx(whole.flux_e[0] / 2, rel=1e-9)
    assert half.mag[0] == whole.mag[0]


def test_a_clipped_star_is_saturated_and_a_faint_one_is_not():
    stars = np.array([30.0, 60.0]), np.array([40.0, 40.0]), np.array([10.0, 18.0])
    frame = frame_of(stars, sky_e=100.0)
    assert frame.truth.stars.saturated.tolist() == [True, False]
    assert frame.hdus[0].data.max() == 65_535


def test_a_neighbour_of_a_fiftieth_of_the_light_ends_isolation():
    bright, near, far = 15.0, 15.0 + 2.5 * np.log10(40), 15.0
    stars = np.array([30.0, 35.0, 70.0]), np.array([40.0, 40.0, 40.0]), np.array([bright, near, far])
    assert frame_of(stars).truth.stars.isolated.tolist() == [False, False, True]


@pytest.mark.parametrize(("mirrored", "sign"), [(False, -1), (True, 1)])
def test_east_is_left_where_the_frame_is_not_mirrored(mirrored, sign):
    field = Field(scale_arcsec_px=2.0, mirrored=mirrored)
    ra, dec = tangent_map(field, (101, 101)).all_pix2world([51.0, 50.0], [50.0, 51.0], 0)
    east = (ra - field.ra_deg) * 3600 * np.cos(np.radians(field.dec_deg))
    assert east == pytest.approx([2.0 * sign, 0.0], abs=1e-4)
    assert (dec - field.dec_deg) * 3600 == pytest.approx([0.0, 2.0], abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_repeated_by_its_seed(kind):
    one, two = (draw_kind(kind, 3, side_px=96, n_stars=8) for _ in range(2))
    assert one.data_e.shape == (96, 96) and np.isfinite(one.data_e).all()
    assert np.array_equal(one.data_e, two.data_e)
    stars = one.truth.stars
    assert np.isfinite(stars.flux_e).all() and (stars.flux_e > 0).all()
    assert len(one.reference["ra"]) == stars.x.size


def test_random_frames_differ_in_all_they_can():
    frames = [random_frame(seed) for seed in (1, 3, 8)]
    assert len({frame.data_e.shape for frame in frames}) == 3
    assert len({frame.truth.gain_e_per_adu for frame in frames}) == 3
    again = random_frame(3)
    assert np.array_equal(again.data_e, frames[1].data_e)


def test_a_moffat_loses_little_outside_of_its_square():
    drawn = draw_stars((80, 96), *PLACE, np.array([1e4]), moffat(3.0, 3.0))
    assert drawn.flux_e[0] == pytest.approx(1e4, rel=1e-3)
