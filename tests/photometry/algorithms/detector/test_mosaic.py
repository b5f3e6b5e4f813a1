"""The mosaic of a colour camera: every filter in equal parts, stars where they were."""

from __future__ import annotations

import numpy as np
import pytest

from photometry_service.algorithms.detector.mosaic import blend_mosaic, mosaic_pattern


def mosaic(red: float, green: float, blue: float, shape: tuple[int, int] = (40, 50)) -> np.ndarray:
    pixels = np.full(shape, green, np.float32)
    pixels[0::2, 0::2] = red
    pixels[1::2, 1::2] = blue
    return pixels


@pytest.mark.parametrize(
    ("words", "pattern"),
    [(("RGGB",), "RGGB"), ((None, " grbg "), "GRBG"), (("V",), None), ((None, 3), None), (("RGGB_like",), None)],
)
def test_pattern_is_a_whole_word(words: tuple[object, ...], pattern: str | None) -> None:
    assert mosaic_pattern(*words) == pattern


def test_even_light_of_any_colour_becomes_even() -> None:
    data = mosaic(100.0, 220.0, 60.0)
    blended, _ = blend_mosaic(data, np.zeros(data.shape, bool))
    np.testing.assert_allclose(blended, (100 + 2 * 220 + 60) / 4, rtol=1e-6)


def test_position_does_not_follow_the_colour() -> None:
    y, x = np.mgrid[:40, :50]
    star = 1e4 * np.exp(-((x - 24.3) ** 2 + (y - 19.6) ** 2) / (2 * 1.6**2))
    data = (star * mosaic(0.3, 1.0, 0.1)).astype(np.float32)
    blended, _ = blend_mosaic(data, np.zeros(data.shape, bool))
    centre = (blended * x).sum() / blended.sum(), (blended * y).sum() / blended.sum()
    np.testing.assert_allclose(centre, (24.3, 19.6), atol=0.02)  # px; sampling of a star of 3.8 px
    assert blended.sum() == pytest.approx(star.sum() * (0.3 + 2.0 + 0.1) / 4, rel=0.01)


def test_neighbours_of_saturated_and_bad_pixels_say_so() -> None:
    data, mask = mosaic(10.0, 10.0, 10.0), np.zeros((40, 50), bool)
    data[20, 30], mask[5, 6] = 5000.0, True
    blended, bad = blend_mosaic(data, mask, saturation=4000.0)
    assert (blended[19:22, 29:32] >= 4000.0).all()
    assert np.count_nonzero(blended >= 4000.0) == 9
    assert bad[4:7, 5:8].all()
    assert np.count_nonzero(bad) == 9
