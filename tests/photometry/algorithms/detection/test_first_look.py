"""Widths and directions guessed without a PSF, and the choice of PSF stars."""

from __future__ import annotations

import numpy as np
import pytest

from astro_shared.testing.profiles import add_stars
from photometry_service.algorithms.detection.first_look import FirstLook, first_look
from photometry_service.algorithms.detection.fit_frame import FitFrame, fit_frame
from photometry_service.algorithms.psf.stars import StarSelection, select_psf_stars


def star_frame(fwhm_px: float, n: int = 40, size: int = 400, trail_px: float = 0.0, flux_e: float = 2e4) -> FitFrame:
    rng = np.random.default_rng(3)
    image = np.zeros((size, size))
    x, y = rng.uniform(20, size - 20, (2, n))
    flux = flux_e * rng.uniform(0.5, 5, n) * (fwhm_px / 3) ** 2
    one = np.ones(n)
    steps = np.linspace(-0.5, 0.5, 1 + 2 * int(trail_px)) * trail_px
    for step in steps:
        add_stars(
            image, x + 0.8 * step, y + 0.6 * step, flux / steps.size,
            fwhm=fwhm_px * one, e1=0 * one, e2=0 * one, beta=3.0,
        )  # fmt: skip
    image = image + rng.normal(0, np.sqrt(image + 300))
    return fit_frame(image.astype(np.float32), np.full((size, size), np.sqrt(300), np.float32))


@pytest.mark.parametrize("fwhm_px", [1.5, 2.2, 3.2, 5.0, 8.0, 12.0])
def test_width_is_right_within_a_third(fwhm_px):
    look = first_look(star_frame(fwhm_px))
    # the guess contains the pixel: about sqrt(w^2 + 1) for narrow stars
    assert look.fwhm_px == pytest.approx(np.hypot(fwhm_px, 0.9), rel=0.33)
    assert len(look.sources) >= 30


def test_trails_are_seen_with_their_direction():
    look = first_look(star_frame(3.0, trail_px=9.0))
    values, vectors = np.linalg.eigh(look.covariance)
    assert look.major_fwhm_px > 1.3 * look.fwhm_px
    major = vectors[:, 1]
    assert np.degrees(np.arctan2(major[1], major[0])) % 180 == pytest.approx(36.9, abs=5)
    assert 30 <= len(look.sources) <= 50, "a trail must not fall apart"
    assert values[1] > values[0]


def test_an_empty_frame_has_no_sources():
    rng = np.random.default_rng(5)
    noise = rng.normal(0, 10, (200, 200)).astype(np.float32)
    assert len(first_look(fit_frame(noise, np.full_like(noise, 10))).sources) == 0


def test_a_constant_frame_has_no_sources():
    constant = np.zeros((100, 100), np.float32)
    assert len(first_look(fit_frame(constant, constant)).sources) == 0


def chosen(frame: FitFrame, rules: StarSelection | None = None) -> tuple[FirstLook, np.ndarray]:
    look = first_look(frame)
    return look, select_psf_stars(frame, look, rules)


def test_psf_stars_are_bright_alone_and_inside():
    frame = star_frame(3.0, n=150)
    look, index = chosen(frame)
    s = look.sources
    assert index.size >= 10
    assert np.all(np.diff(s.flux[index]) <= 0)
    assert s.snr[index].min() > 50
    for k in index:
        distance = np.hypot(s.x - s.x[k], s.y - s.y[k])
        near = (distance > 0) & (distance < 4 * look.major_fwhm_px)
        assert not np.any(s.flux[near] > 0.05 * s.flux[k])


def test_saturated_masked_and_cosmic_ray_like_sources_make_no_psf():
    frame = star_frame(3.0)
    _, before = chosen(frame)
    look = first_look(frame)
    iy, ix = np.rint(look.sources.y[before]).astype(int), np.rint(look.sources.x[before]).astype(int)
    frame.state[iy[0], ix[0]] = 2
    frame.state[iy[1] + 1, ix[1]] = 1
    frame.data[120:122, 200] += 3e4  # a hit of two pixels
    _, after = chosen(frame)
    places = {(round(x), round(y)) for x, y in zip(*_places(frame, after), strict=True)}
    assert (ix[0], iy[0]) not in places
    assert (ix[1], iy[1]) not in places
    assert not any(abs(x - 200) < 3 and abs(y - 120) < 3 for x, y in places)
    assert len(places) >= before.size - 3


def _places(frame: FitFrame, index: np.ndarray) -> tuple[list[float], list[float]]:
    look = first_look(frame)
    return look.sources.x[index].tolist(), look.sources.y[index].tolist()


def test_rules_are_relaxed_when_stars_are_few():
    frame = star_frame(3.0, n=12, size=120, flux_e=1.2e3)
    look, index = chosen(frame)
    assert look.sources.snr.max() < 120
    assert index.size >= 3


def test_the_number_of_stars_is_limited():
    assert chosen(star_frame(3.0, n=150), StarSelection(largest_number=20))[1].size == 20
