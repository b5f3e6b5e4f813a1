"""Extinction of simulated nights, against the numbers they were made with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from astro_shared.testing.truth import robust_sigma
from photometry_service.algorithms.calibration.extinction import Series, SeriesTooShortError, fit_extinction

K, K2, ZERO, COLOR_TERM = 0.16, -0.03, 24.3, 0.05


def night(
    seed: int, *, frames: int = 12, stars: int = 40, airmass: tuple[float, float] = (1.0, 2.0), sigma_frame: float = 0.008,
    sigma_star: float = 0.02, seen: float = 0.8,
) -> Series:  # fmt: skip
    """Each star is seen on ``seen`` of the frames."""
    rng = np.random.default_rng(seed)
    x_frame = np.linspace(*airmass, frames)
    frame, star = (part.ravel() for part in np.indices((frames, stars)))
    rows = rng.random(len(frame)) < seen
    frame, star = frame[rows], star[rows]
    color = rng.uniform(-0.8, 1.2, stars)[star]
    error = rng.uniform(0.003, 0.02, stars)[star]
    x = x_frame[frame] + rng.normal(0, 0.002, len(frame))
    difference = ZERO - K * x + COLOR_TERM * color - K2 * x * color
    difference += rng.normal(0, sigma_frame, frames)[frame] + rng.normal(0, sigma_star, stars)[star]
    return Series(frame, star, difference + rng.normal(0, error), error, x, color)


def test_the_numbers_of_the_night_come_back_with_true_errors() -> None:
    fits = [fit_extinction(night(seed)) for seed in range(80)]
    pulls = {
        "k": [(fit.k - K) / fit.k_err for fit in fits],
        "k2": [(fit.k2 - K2) / fit.k2_err for fit in fits],
        "zero": [(fit.zero_point - ZERO) / fit.zero_point_err for fit in fits],
        "color": [(fit.color_term - COLOR_TERM) / fit.color_term_err for fit in fits],
    }
    for name, values in pulls.items():
        # 80 seeds: the mean is known to 0.11, the width to 8 %; twelve frames tell their own scatter to a fifth
        assert abs(np.mean(values)) < 0.4, name
        assert 0.8 < np.std(values) < 1.3, name
    assert np.median([fit.k_err for fit in fits]) < 0.012
    assert np.median([fit.sigma_frame for fit in fits]) == pytest.approx(0.008, rel=0.2)
    assert np.median([fit.sigma_star for fit in fits]) == pytest.approx(0.02, rel=0.15)


def test_frames_are_returned_with_their_own_offsets() -> None:
    series = night(1, sigma_frame=0.03)
    fit = fit_extinction(series)
    line = ZERO - K * series.airmass + COLOR_TERM * series.color - K2 * series.airmass * series.color
    truth = np.array([np.median((series.difference - line)[series.frame == n]) for n in range(12)])
    assert robust_sigma(fit.offset - truth) < 0.02
    assert np.corrcoef(fit.offset, truth)[0, 1] > 0.9


def test_a_cloudy_frame_is_left_out_and_changes_nothing() -> None:
    clear = night(2)
    clouds = np.where(clear.frame == 11, -0.5, 0.0)
    fit = fit_extinction(replace(clear, difference=clear.difference + clouds))
    assert not fit.frames_used[11] and fit.frames_used[:11].all()
    assert np.isnan(fit.offset[11])
    assert abs(fit.k - K) < 4 * fit.k_err


def test_wild_measurements_are_left_out() -> None:
    series = night(3)
    wild = np.zeros(len(series.frame), bool)
    wild[::25] = True
    fit = fit_extinction(replace(series, difference=series.difference + np.where(wild, 1.0, 0.0)))
    assert not fit.rows_used[wild].any()
    assert abs(fit.k - K) < 4 * fit.k_err and abs(fit.k2 - K2) < 4 * fit.k2_err


def test_without_colours_there_is_no_second_order() -> None:
    series = night(4)
    grey = replace(series, color=np.full(len(series.frame), np.nan))
    narrow = replace(series, color=series.color * 0.05)
    for case in (grey, narrow):
        fit = fit_extinction(case)
        assert fit.k2 is None and fit.color_term is None
    assert abs(fit_extinction(narrow).k - K) < 0.05


def test_fields_without_a_common_star_still_give_k() -> None:
    series = night(5, seen=1.0, stars=60)
    own = replace(series, star=series.star + 1000 * series.frame)
    fit = fit_extinction(own)
    assert abs(fit.k - K) < 4 * fit.k_err
    assert fit.k_err > 0.005


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (night(6, frames=4), "4 usable frames"),
        (night(6, airmass=(1.0, 1.2)), "span 0.2"),
        (night(6, stars=2, seen=1.0), "0 usable frames"),
        (night(6).only(np.zeros(len(night(6).frame), bool)), "0 usable frames"),
    ],
)
def test_a_series_that_cannot_tell_is_refused_with_the_numbers(made: Series, words: str) -> None:
    with pytest.raises(SeriesTooShortError, match=words):
        fit_extinction(made)
