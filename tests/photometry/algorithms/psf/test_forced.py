"""Fluxes and limits at given positions."""

from __future__ import annotations

import numpy as np
import pytest

from astro_shared.testing.profiles import add_stars
from photometry_service.algorithms.psf.forced import measure_forced, zero_flux_error
from photometry_service.algorithms.psf.model import moffat_psf, round_shape, table_grid
from photometry_service.algorithms.psf.photometry import measure_psf
from photometry_service.domain.flags import SourceFlag

SKY_E = 300.0
SIZE = 500
PSF = moffat_psf(round_shape(3.2, 3.0), np.zeros((3, 1)), (SIZE, SIZE), table_grid(3.2))
RMS = np.full((SIZE, SIZE), np.sqrt(SKY_E), np.float32)


def frame(x, y, flux, seed=1):
    rng = np.random.default_rng(seed)
    image, one = np.zeros((SIZE, SIZE)), np.ones(len(x))
    add_stars(image, np.asarray(x), np.asarray(y), np.asarray(flux), fwhm=3.2 * one, e1=0 * one, e2=0 * one, beta=3.0)
    return (image + rng.normal(0, np.sqrt(image + SKY_E))).astype(np.float32)


def separated(n: int, seed: int):
    """Positions at least 20 px apart."""
    rng = np.random.default_rng(seed)
    grid = np.arange(20.0, SIZE - 20, 24)
    x, y = (g.ravel() for g in np.meshgrid(grid, grid))
    pick = rng.permutation(x.size)[:n]
    return x[pick] + rng.uniform(-1, 1, n), y[pick] + rng.uniform(-1, 1, n)


def test_empty_sky_gives_signed_fluxes_with_honest_errors_and_limits():
    x, y = separated(350, 2)
    result = measure_forced(frame([], [], []), RMS, PSF, x, y)
    assert abs(result.snr.mean()) < 3 / np.sqrt(350)
    assert result.snr.std() == pytest.approx(1.0, abs=0.12)
    assert (result.flux < 0).sum() == pytest.approx(175, abs=40)
    assert np.array_equal((result.flags & SourceFlag.NEGATIVE_FLUX.value) != 0, result.flux < 0)
    below = result.snr < 3
    assert np.isnan(result.upper_limit[~below]).all()
    expected = np.maximum(result.flux, 0) + 3 * result.flux_err
    assert result.upper_limit[below] == pytest.approx(expected[below])
    predicted = zero_flux_error(PSF, np.sqrt(np.full(350, SKY_E)), x, y)
    assert result.flux_err == pytest.approx(predicted, rel=0.06)  # the fit stamp is a little smaller


def test_positions_that_can_not_be_told_apart_get_one_flux():
    x, y = np.array([100.0, 200.0, 100.0, 100.2, 101.0]), np.array([100.0, 200.0, 100.0, 100.1, 100.0])
    data = frame([100.0, 200.0], [100.0, 200.0], [2e4, 1e4])
    result = measure_forced(data, RMS, PSF, x, y)
    alone = measure_forced(data, RMS, PSF, x[[0, 1, 4]], y[[0, 1, 4]])
    assert np.array_equal(result.flux, alone.flux[[0, 1, 0, 0, 2]])
    assert np.array_equal(result.x, x)
    thousands = measure_forced(data, RMS, PSF, np.full(5000, 100.0), np.full(5000, 100.0))
    assert np.ptp(thousands.flux) == 0 and abs(thousands.flux[0] / 2e4 - 1) < 0.05


def test_limits_lie_above_true_faint_fluxes():
    x, y = separated(300, 3)
    error = zero_flux_error(PSF, np.array([np.sqrt(SKY_E)]), x[:1], y[:1])[0]
    flux = np.full(300, 1.5 * error)
    result = measure_forced(frame(x, y, flux), RMS, PSF, x, y)
    limited = np.isfinite(result.upper_limit)
    assert limited.mean() > 0.8
    assert (result.upper_limit[limited] > flux[limited]).mean() > 0.99
    assert np.mean(result.flux) == pytest.approx(1.5 * error, abs=3 * error / np.sqrt(300))


def test_bright_sources_are_measured_without_bias():
    x, y = separated(200, 4)
    flux = np.geomspace(1e3, 1e6, 200)
    result = measure_forced(frame(x, y, flux), RMS, PSF, x, y)
    pulls = (result.flux * 0.99963**-1 - flux) / result.flux_err  # the table holds unit flux
    assert np.median(np.abs(result.flux / flux - 1)) < 0.02
    assert 1.4826 * np.median(np.abs(pulls)) == pytest.approx(1.0, abs=0.35)
    assert np.isnan(result.upper_limit).all()


def test_known_neighbours_are_taken_into_account():
    x, y = separated(100, 5)
    data = frame(x, y, np.full(100, 5e4))
    known = measure_psf(data, RMS, psf=PSF)
    target_x, target_y = x + 5.0, y
    blind = measure_forced(data, RMS, PSF, target_x, target_y)
    aware = measure_forced(data, RMS, PSF, target_x, target_y, known=known)
    assert np.median(blind.snr) > 10
    assert abs(np.median(aware.snr)) < 0.6
    assert aware.snr.std() == pytest.approx(1.0, abs=0.35)


def test_a_known_source_at_the_position_is_the_source_itself():
    x, y = separated(50, 6)
    data = frame(x, y, np.full(50, 2e4))
    known = measure_psf(data, RMS, psf=PSF)
    result = measure_forced(data, RMS, PSF, known.x, known.y, known=known)
    assert result.flux == pytest.approx(known.flux, rel=1e-3)
    assert np.all(np.abs(result.flux - known.flux) < 0.1 * known.flux_err)


def test_positions_off_the_frame_and_bad_pixels_are_nan_or_flagged():
    data, mask = frame([100.0], [100.0], [1e4]), np.zeros((SIZE, SIZE), bool)
    mask[290:311, 290:311] = True
    mask[200, 201] = True
    saturated = np.zeros_like(mask)
    saturated[250, 250] = True
    x = np.array([np.nan, -3.0, 0.2, 300.0, 200.0, 250.0, 100.0])
    y = np.array([10.0, 10.0, 10.0, 300.0, 200.0, 250.0, 100.0])
    result = measure_forced(data, RMS, PSF, x, y, mask=mask, saturated=saturated)
    assert np.isnan(result.flux).tolist() == [True, True, False, True, False, False, False]
    bit = {f: ((result.flags & f.value) != 0).tolist() for f in SourceFlag}
    assert bit[SourceFlag.TRUNCATED] == [True, True, True, False, False, False, False]
    assert bit[SourceFlag.STAMP_INCOMPLETE] == [False, False, True, True, True, False, False]
    assert bit[SourceFlag.SATURATED] == [False, False, False, False, False, True, False]
    assert result.flags[6] == 0


def test_units_other_than_electrons():
    x, y = separated(50, 7)
    data = frame(x, y, np.full(50, 2e4))
    usual = measure_forced(data, RMS, PSF, x, y)
    scale = np.float32(2.0**-40)
    tiny = measure_forced(data * scale, RMS * scale, PSF, x, y, shot_noise=float(scale))
    assert tiny.flux == pytest.approx(usual.flux * float(scale), rel=1e-6)
    assert tiny.upper_limit == pytest.approx(usual.upper_limit * float(scale), nan_ok=True)


def test_no_positions_give_no_results():
    assert len(measure_forced(frame([], [], []), RMS, PSF, np.empty(0), np.empty(0))) == 0
