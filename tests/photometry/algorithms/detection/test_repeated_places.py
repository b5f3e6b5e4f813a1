"""What stands at the same place beside several bright stars is a part of these: spikes drawn through a pupil by galsim."""

from __future__ import annotations

import galsim
import numpy as np
import pytest
from scipy.spatial import cKDTree

from independent_sky import light
from photometry_service.algorithms.psf import measure_psf, repeated_words
from photometry_service.algorithms.psf.verdict import PARTS_OF_BRIGHT_STARS
from photometry_service.domain.psf import PsfPhotometry, PsfSummary

SIDE_PX, SKY_E = 480, 400.0
FEW = 4


def measured(x: np.ndarray, y: np.ndarray, flux: np.ndarray, profile: light.Profile) -> PsfPhotometry:
    image = light.draw_stars((SIDE_PX, SIDE_PX), x, y, flux, profile).image_e
    rng = np.random.default_rng(3)
    image = image + rng.normal(0, np.sqrt(np.maximum(image, 0) + SKY_E))
    return measure_psf(image.astype(np.float32), np.full(image.shape, np.sqrt(SKY_E), np.float32))


def stars(bright: int, faint: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    place = 100.0 * np.stack(np.meshgrid(np.arange(4), np.arange(4))).reshape(2, -1) + 90 + rng.uniform(-9, 9, (2, 16))
    x, y = np.concatenate([place[:, :bright], rng.uniform(20, SIDE_PX - 20, (2, faint))], axis=1)
    return x, y, np.concatenate([10 ** rng.uniform(6.2, 6.7, bright), 10 ** rng.uniform(3.5, 4.5, faint)])


def false_of(found: PsfPhotometry, x: np.ndarray, y: np.ndarray) -> int:
    return int(np.count_nonzero(cKDTree(np.c_[x, y]).query(np.c_[found.x, found.y])[0] > 2))


@pytest.mark.parametrize(("bright", "faint"), [(12, 120), (FEW, 0)])
def test_spikes_are_no_sources(bright: int, faint: int):
    x, y, flux = stars(bright, faint)
    found = measured(x, y, flux, light.spikes(2.0, 4, 0.02, 20.0, 1.2))
    assert false_of(found, x, y) <= max(1, 0.015 * len(found))
    assert found.summary.n_repeated > 3
    (words,) = repeated_words(found.summary, len(found))
    assert words.startswith(f"{PARTS_OF_BRIGHT_STARS}: {found.summary.n_repeated} detections")
    away = cKDTree(np.c_[found.x, found.y]).query(np.c_[x, y])[0]
    assert np.mean(away < 1) > 0.95


def test_ghosts_at_a_fixed_offset_are_no_sources():
    """A reflection: a faint image of every star, 31 px to the right and 17 below."""
    star = galsim.Moffat(beta=3.0, fwhm=3.0)
    with_ghost = galsim.Add(star, star.withFlux(3e-4).shift(31.0, -17.0))
    x, y, flux = stars(12, 120)
    found = measured(x, y, flux, light.same(with_ghost, 3.0, half_px=40))
    assert false_of(found, x, y) <= 1
    assert 10 <= found.summary.n_repeated <= 12


def test_companions_of_bright_stars_are_kept():
    """Each bright star has three faint ones, in directions of their own."""
    rng = np.random.default_rng(4)
    x, y, flux = stars(12, 0)
    r, angle = rng.uniform(14, 40, 36), rng.uniform(0, 2 * np.pi, 36)
    at_x, at_y = np.repeat(x, 3) + r * np.cos(angle), np.repeat(y, 3) + r * np.sin(angle)
    x, y, flux = np.append(x, at_x), np.append(y, at_y), np.append(flux, rng.uniform(1500, 6000, 36))
    found = measured(x, y, flux, light.moffat(3.0, 3.0))
    assert found.summary.n_repeated == 0
    away = cKDTree(np.c_[found.x, found.y]).query(np.c_[x, y])[0]
    assert np.mean(away < 1.5) > 0.95


def test_one_by_chance_is_not_worth_a_word():
    assert repeated_words(PsfSummary(n_repeated=1), 100) == ()
    assert repeated_words(PsfSummary(n_repeated=9), 10_000) == ()
