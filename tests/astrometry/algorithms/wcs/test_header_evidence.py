"""Stars that must be on a frame and are not, against stars that are too few to say anything."""

import numpy as np
import pytest

from astro_shared.science.tangent_plane import deproject
from astrometry_service.algorithms.wcs.header_evidence import header_evidence
from astrometry_service.algorithms.wcs.tpv import TpvTransform
from astrometry_service.domain.star_lists import SkyStars, StarList

NX, NY, SCALE = 1000, 800, 1.0 / 3600
TRUTH = TpvTransform.linear((10.0, -30.0), np.array([500.0, 400.0]), SCALE * np.array([[-1.0, 0.0], [0.0, 1.0]]))
WRONG = TpvTransform.linear((12.0, -31.0), np.array([500.0, 400.0]), SCALE * np.array([[-1.0, 0.0], [0.0, 1.0]]))


def scene(expected, detected, *, seed=1, seen_share=1.0, transform=TRUTH):
    """A list with ``expected`` stars on the frame (and some beside it), and a frame of ``detected`` stars that shows them."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, NX - 1, expected), rng.uniform(0, NY - 1, expected)
    outside = deproject(rng.uniform(0.3, 0.5, 30), rng.uniform(0.3, 0.5, 30), ra0_deg=10.0, dec0_deg=-30.0)
    ra, dec = (np.append(a, b) for a, b in zip(TRUTH.pixel_to_sky(x, y), outside, strict=True))
    shown = rng.random(expected) < seen_share
    more = max(detected - int(shown.sum()), 0)
    stars = StarList.from_columns(
        np.append(x[shown], rng.uniform(0, NX, more)), np.append(y[shown], rng.uniform(0, NY, more)),
        rng.uniform(1, 2, int(shown.sum()) + more),
    )  # fmt: skip
    sky = SkyStars.from_columns(ra, dec, np.append(rng.uniform(8, 11, expected), np.full(30, 12.0)))
    return header_evidence(stars, sky, transform, (NY, NX))


@pytest.mark.parametrize("detected", [0, 5, 40, 3000])
@pytest.mark.parametrize("expected", [0, 1, 3])
def test_three_stars_or_fewer_speak_against_nothing(expected, detected):
    for share in (0.0, 1.0):
        found = scene(expected, detected, seen_share=share)
        assert found.expected == expected and not found.against
    assert f"{expected} reference star" in found.words


@pytest.mark.parametrize(("expected", "detected"), [(5, 8), (12, 60), (60, 200), (400, 600)])
def test_stars_that_are_not_there_speak_against_a_header(expected, detected):
    assert sum(scene(expected, detected, seed=seed, seen_share=0.0).against for seed in range(50)) >= 44


@pytest.mark.parametrize(("expected", "detected"), [(6, 30), (12, 60), (60, 200), (60, 2000), (400, 600)])
def test_a_right_header_is_not_refuted_where_half_of_the_stars_are_too_bright_or_blended(expected, detected):
    assert sum(scene(expected, detected, seed=seed, seen_share=0.6).against for seed in range(50)) <= 2
    found = scene(expected, detected, seen_share=1.0)
    assert found.seen == found.expected and not found.against


def test_a_list_deeper_than_the_frame_is_asked_for_its_brightest_stars_alone():
    found = scene(3000, 0, seen_share=0.01)
    assert 20 < found.expected < 100
