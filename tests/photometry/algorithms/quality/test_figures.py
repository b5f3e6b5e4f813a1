"""Difference images are told from pictures; figures of quality against what was put in."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from photometry_service.algorithms.quality.figures import (
    core_residual,
    curve_of_growth,
    dark_objects,
    difference_words,
    position_error_over_bound,
    shape_warnings,
    stacked_residual,
)
from photometry_service.domain.flags import SourceFlag


def picture(sign: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    data = rng.normal(0, 10, (300, 300)).astype(np.float32)
    y, x = np.mgrid[-4:5, -4:5]
    star = np.exp(-(x**2 + y**2) / 4.0)
    for n in range(60):
        j, i = rng.integers(10, 290, 2)
        data[j - 4 : j + 5, i - 4 : i + 5] += (sign if n % 2 else 1.0) * 400 * star
    return data


def test_dark_stars_give_a_difference_away_and_bright_ones_do_not() -> None:
    mask = np.zeros((300, 300), bool)
    assert dark_objects(picture(1.0), mask, rms=10.0, level=0.0) is None
    assert str(dark_objects(picture(-1.0), mask, rms=10.0, level=3.0)).startswith("a difference of two images (")
    assert str(dark_objects(picture(-1.0), mask, rms=10.0, level=900.0)).startswith("an uneven frame")


def test_dark_bands_and_dead_pixels_are_no_dark_stars() -> None:
    data, mask = picture(1.0), np.zeros((300, 300), bool)
    data[:5] = -500
    data[50:290:5, 10:290:20] = -500
    data[50:290:5, 11:290:20] = -500
    assert dark_objects(data, mask, rms=10.0, level=0.0) is None


def shapes(odd: int, snr: float = 20.0) -> dict[str, np.ndarray]:
    flags = np.zeros(20, np.int32)
    flags[:odd] = SourceFlag.NOT_POINT_LIKE.value
    return {"flags": flags, "snr": np.full(20, snr)}


def test_a_frame_of_odd_shapes_is_warned_about() -> None:
    assert shape_warnings(shapes(9), "moffat", 3.0) == ()
    assert "15 of 20 sources above S/N 10" in shape_warnings(shapes(15), "moffat", 3.0)[0]
    assert "15 of 20 sources do not" in shape_warnings(shapes(15, snr=5.0), "moffat", 3.0)[0]
    assert shape_warnings({"flags": np.empty(0, np.int32), "snr": np.empty(0)}, "moffat", 3.0) == ()


def test_an_assumed_profile_is_said() -> None:
    (sentence,) = shape_warnings(shapes(0), "assumed", 3.5)
    assert "3.5 px was assumed" in sentence


def test_stars_within_a_pixel_are_said_to_be() -> None:
    assert shape_warnings(shapes(0), "moffat", 1.1) == ()
    (sentence,) = shape_warnings(shapes(0), "moffat", 0.37)
    assert "FWHM 0.37 px" in sentence


def test_a_trail_and_a_profile_of_one_star_are_said_to_be() -> None:
    assert shape_warnings(shapes(0), "moffat", 3.0, ellipticity=0.2, stars=3) == ()
    (long,) = shape_warnings(shapes(0), "moffat", 3.0, ellipticity=0.6, stars=40)
    assert "minor axis 0.40 of the major" in long
    (lonely,) = shape_warnings(shapes(0), "moffat", 3.0, stars=1)
    assert "from 1 star only" in lonely


def test_masked_holes_are_no_dark_stars() -> None:
    data, mask = picture(1.0), np.zeros((300, 300), bool)
    data[100:120, 100:120] = -5000
    mask[100:120, 100:120] = True
    assert dark_objects(data, mask, rms=10.0, level=0.0) is None


@pytest.mark.parametrize(("card", "value", "comment", "is_one"), [
    ("IMAGETYP", "DIFFERENCE", "", True), ("OBSTYPE", "EXPOSE", "", False), ("CONVD", "REF", "MeLOn: SFFT", True),
    ("PROGRAM", "hotpants 5.1", "", True), ("OBJECT", "Diffuse nebula", "", False), ("FILTER", "SUBLIME", "", False),
])  # fmt: skip
def test_words_of_the_header(card: str, value: str, comment: str, is_one: bool) -> None:
    header = fits.Header([(card, value, comment)])
    comments = {c.keyword: c.comment for c in header.cards}
    assert (difference_words(header, comments) is not None) == is_one


def columns(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    return {
        "x": rng.uniform(10, 290, n), "y": rng.uniform(10, 290, n), "flags": np.zeros(n, np.int32),
        "snr": np.full(n, 200.0), "flux_psf": np.full(n, 1e4),
        **{f"flux_aper_{k}": np.full(n, 1e4 * share) for k, share in enumerate((0.6, 0.8, 0.9, 0.97), 1)},
    }  # fmt: skip


def test_pure_noise_in_the_cores_is_one() -> None:
    rng = np.random.default_rng(3)
    data = np.full((300, 300), 300.0, np.float32)
    residual = rng.normal(0, np.sqrt(100.0 + 300.0), (300, 300)).astype(np.float32)
    # the median of means of nine chi-square values is 0.93: the root of that
    assert core_residual(residual, data, 10.0, columns(250)) == pytest.approx(np.sqrt(0.93), abs=0.05)


def test_curve_of_growth_is_the_share_in_each_aperture() -> None:
    points = curve_of_growth(columns(10), np.array([3.0, 4.5, 6.0, 9.0]))
    assert points == ((3.0, 0.6), (4.5, 0.8), (6.0, 0.9), (9.0, 0.97))


def test_flagged_stars_do_not_count() -> None:
    table = columns(10)
    table["flags"][:] = int(SourceFlag.SATURATED)
    assert curve_of_growth(table, np.array([3.0, 4.5, 6.0, 9.0])) == ()
    assert np.isnan(core_residual(np.zeros((300, 300), np.float32), np.zeros((300, 300), np.float32), 1.0, table))


def gaussian(half: int = 12, sigma: float = 1.5) -> np.ndarray:
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    return np.exp(-(x**2 + y**2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)


def bright(rows: int, **columns: object) -> dict[str, np.ndarray]:
    plain = {"flags": np.zeros(rows, np.int32), "snr": np.full(rows, 300.0), "flux_psf": np.full(rows, 1e5)}
    return plain | {name: np.asarray(values) for name, values in columns.items()}  # type: ignore[arg-type]


def test_position_error_of_a_gaussian_without_sky_is_its_bound() -> None:
    # without sky the bound is sigma / sqrt(flux); finite differences of 1 px make it 10 % larger at sigma = 1.5 px
    bound = 1.5**2 / 1e5
    columns = bright(5, x_var=np.full(5, 4 * bound), y_var=np.full(5, 4 * bound))
    assert position_error_over_bound(columns, gaussian(), 1e-3) == pytest.approx(2.0, rel=0.2)
    assert np.isnan(position_error_over_bound(bright(0, x_var=[], y_var=[]), gaussian(), 1.0))


def test_stacked_residual_is_what_all_stars_leave() -> None:
    rng = np.random.default_rng(4)
    residual = rng.normal(0, 1, (200, 200)).astype(np.float32)
    x, y = np.meshgrid(np.arange(20, 190, 20), np.arange(20, 190, 20))
    left = 0.05 * 1e5 * gaussian(5)
    for column, row in zip(x.ravel(), y.ravel(), strict=True):
        residual[row - 5 : row + 6, column - 5 : column + 6] += left
    columns = bright(x.size, x=x.ravel() + 0.2, y=y.ravel() - 0.3)
    stacked = stacked_residual(residual, columns, peak=float(gaussian().max()), half_px=4)
    np.testing.assert_allclose(stacked, 0.05 * gaussian(4) / gaussian().max(), atol=1e-4)
    assert np.isnan(stacked_residual(residual, bright(2, x=[50, 90], y=[50, 90]), peak=1.0, half_px=4)).all()
