"""Plateaus of cut-off stars: where they are found, where none is made up, and which headers are believed."""

import numpy as np
import pytest

from photometry_service.algorithms.detector.saturation import find_saturation, level_saturated
from photometry_service.algorithms.detector.star_tops import sky_of, star_tops

SIZE = 400
NOTHING = np.zeros((SIZE, SIZE), bool)
LEFT = np.arange(SIZE)[None, :] < SIZE // 2
Y, X = np.mgrid[:SIZE, :SIZE]
VIGNETTING = 1 - 0.4 * ((X - SIZE / 2) ** 2 + (Y - SIZE / 2) ** 2) / (SIZE**2 / 2)


def stars(seed=3, sigma=1.5, count=80, sky=300.0):
    """Gaussian stars whose heights above the sky follow a power law, most of them far above the noise; ADU, not rounded."""
    rng = np.random.default_rng(seed)
    data = rng.normal(sky, 5.0, (SIZE, SIZE))
    at, heights = rng.uniform(15, SIZE - 15, (count, 2)), 3000 * (1 + rng.pareto(0.6, count))
    for (x, y), height in zip(at, heights, strict=True):
        part = (slice(int(y) - 14, int(y) + 16), slice(int(x) - 14, int(x) + 16))
        data[part] += np.minimum(height, 2e6) * np.exp(-((X[part] - x) ** 2 + (Y[part] - y) ** 2) / (2 * sigma**2))
    return data


def found(data, card=None):
    return find_saturation(data.astype(np.float32), NOTHING, card)


@pytest.mark.parametrize("level", [30000, 65535, 32767, 16383, 4095])
@pytest.mark.parametrize("card", [None, 99999.0])
@pytest.mark.parametrize("sigma", [0.9, 1.5, 3.0])
def test_a_clipped_frame_gives_its_level_whatever_the_header_says(level, card, sigma):
    saturation = found(np.minimum(np.rint(stars(sigma=sigma)), level), card)
    assert saturation.level == saturation.lowest == level
    assert saturation.lower.size == 0
    assert len(saturation.sentences) == 1
    assert f"pixels pile up at {level} ADU" in saturation.sentences[0]
    assert ("the header says 99999" if card else "the header gives no saturation") in saturation.sentences[0]


def test_a_header_that_is_right_is_not_spoken_of():
    data = np.minimum(np.rint(stars()), 65535)
    for card in (65535.0, 65000.0, 60000.0):
        saturation = found(data, card)
        assert saturation.level == card
        assert saturation.sentences == ()


@pytest.mark.parametrize("sigma", [0.9, 1.5, 3.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_stars_that_are_not_cut_off_make_no_plateau(sigma, seed):
    data = stars(seed, sigma)
    for pixels in (data, np.rint(data)):
        saturation = found(pixels)
        assert saturation.level == np.inf
        assert saturation.sentences == ()


def test_a_plateau_divided_by_a_flat_field_is_found():
    """Pixels differ by 1 %, and by 40 % from the middle to the corners; truth: every pixel that was cut off before."""
    rng = np.random.default_rng(5)
    raw = stars(count=120) * VIGNETTING
    flat = VIGNETTING * rng.normal(1, 0.01, raw.shape)
    truth, data = raw >= 30000, (np.minimum(raw, 30000) / flat).astype(np.float32)
    saturation = find_saturation(data, NOTHING, 65000.0)
    marked = level_saturated(data, saturation) >= saturation.level
    assert marked[truth].mean() > 0.95
    # what is marked beside them lies on the slopes of cut-off stars, within 6 % of the plateau
    assert np.all(raw[marked & ~truth] > 0.9 * 30000)
    assert "the header says 65000" in saturation.sentences[0]


def test_every_amplifier_has_its_own_plateau():
    limit = np.where(LEFT, 30000, 36000)
    data = np.minimum(np.rint(stars(count=120)), limit).astype(np.float32)
    saturation = find_saturation(data, NOTHING, 65000.0)
    assert (saturation.level, saturation.lowest) == (36000, 30000)
    marked = level_saturated(data, saturation) >= saturation.level
    assert np.array_equal(marked, data == limit)
    assert "30000 and 36000 ADU" in saturation.sentences[0]


def test_a_level_of_the_header_below_sharp_stars_is_not_believed():
    data = np.rint(stars())
    without, clipped = found(data, 8000.0), found(np.minimum(data, 65535), 8000.0)
    assert without.level == np.inf
    assert clipped.level == 65535
    for saturation in (without, clipped):
        assert "the header says that pixels saturate at 8000 ADU" in saturation.sentences[0]


def test_a_level_above_which_stars_are_blunt_is_believed():
    """A detector that gives up slowly: above 20000 only a fifth of the light is counted."""
    data = stars(sigma=2.0, count=120)
    blunt = np.where(data > 20000, 20000 + 0.2 * (np.minimum(data, 2e5) - 20000), data)
    assert found(blunt, 20000.0).level <= 20000


def test_the_request_is_obeyed():
    data = np.minimum(stars(), 30000).astype(np.float32)
    assert find_saturation(data, NOTHING, 65000.0, given=50000.0).level == 50000


def test_smooth_frames_hot_pixels_and_nebulae_have_no_plateau():
    rng = np.random.default_rng(4)
    coarse = np.rint(rng.normal(10, 0.6, (SIZE, SIZE)))
    hot = rng.normal(300, 5, (SIZE, SIZE))
    hot.ravel()[rng.choice(hot.size, 400, replace=False)] = rng.uniform(1000, 60000, 400)
    nebula = rng.poisson(300 + 60000 * np.exp(-((X - 200) ** 2 + (Y - 180) ** 2) / 2 / 60.0**2))
    for data in (
        coarse,
        rng.normal(10, 5, (SIZE, SIZE)),
        hot,
        nebula,
        np.full((SIZE, SIZE), 7.0),
        np.zeros((SIZE, SIZE)),
    ):
        assert found(data).level == np.inf
        assert found(data, 65000.0).sentences == ()


def test_stars_out_of_focus_are_flat_but_not_equally_high():
    rng = np.random.default_rng(6)
    data = rng.normal(300, 5, (SIZE, SIZE))
    for x, y, height in zip(*rng.uniform(20, 380, (2, 40)), 1000 * (1 + rng.pareto(0.7, 40)), strict=True):
        r = np.hypot(X - x, Y - y)
        data += height * ((r < 7) & (r > 2))
    assert found(data).level == np.inf


def test_masked_plateaus_are_not_looked_at():
    data = np.minimum(np.rint(stars()), 30000).astype(np.float32)
    assert find_saturation(data, data == 30000).level == np.inf


def test_a_scale_of_the_frame_does_not_matter():
    data = np.minimum(stars(), 30000) * 1e-12
    saturation = found(data)
    assert saturation.level == pytest.approx(3e-8, rel=1e-6)


def test_tops_of_stars_are_described():
    data = np.minimum(np.rint(stars(count=30)), 30000).astype(np.float32)
    sky, sigma = sky_of(data, NOTHING)
    assert sky == pytest.approx(300, abs=2)
    tops = star_tops(data, NOTHING, np.flatnonzero(data > sky + 50 * sigma), sky)
    assert tops.star_like.sum() > 20
    assert np.all(tops.high[tops.flat] == 30000)
    assert tops.flat.any()
