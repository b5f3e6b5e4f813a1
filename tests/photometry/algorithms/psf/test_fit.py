"""PSF fits against a plain-numpy estimator, truth and their own error bars."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from astro_shared.testing.profiles import add_stars, crlb
from photometry_service.algorithms.detection.fit_frame import FitFrame, fit_frame
from photometry_service.algorithms.psf import _model
from photometry_service.algorithms.psf.fit import FitOptions, fit_psf
from photometry_service.algorithms.psf.groups import LARGEST_GROUP, close_groups
from photometry_service.algorithms.psf.model import evaluate_psf, moffat_psf, round_shape, table_grid

SKY_E = 300.0
PSF = moffat_psf(round_shape(3.2, 3.0), np.zeros((3, 1)), (400, 400), table_grid(3.2))
IN_TABLE = 0.99963  # flux of this Moffat within the table


def simulated(x, y, flux, size=400, seed=1, noise=True) -> FitFrame:
    rng = np.random.default_rng(seed)
    image, one = np.zeros((size, size)), np.ones(len(x))
    add_stars(
        image,
        np.asarray(x),
        np.asarray(y),
        np.asarray(flux) / IN_TABLE,
        fwhm=3.2 * one,
        e1=0 * one,
        e2=0 * one,
        beta=3.0,
    )
    if noise:
        image = image + rng.normal(0, np.sqrt(image + SKY_E))
    return fit_frame(image.astype(np.float32), np.full((size, size), np.sqrt(SKY_E), np.float32))


def lattice(n_side: int, size: int, seed: int):
    rng = np.random.default_rng(seed)
    grid = (np.arange(n_side) + 0.5) * size / n_side
    x, y = (g.ravel() + rng.uniform(-2, 2, n_side**2) for g in np.meshgrid(grid, grid))
    return x, y


def test_fluxes_and_places_scatter_as_the_bound_and_the_errors_say():
    x, y = lattice(18, 400, 2)
    rng = np.random.default_rng(3)
    flux = 10 ** rng.uniform(3.2, 5.0, x.size)
    frame = simulated(x, y, flux)
    fit = fit_psf(frame, PSF, x + rng.normal(0, 0.3, x.size), y + rng.normal(0, 0.3, x.size), 0.8 * flux)
    sigma_f, sigma_x = crlb(flux, np.full(x.size, SKY_E), np.full(x.size, 3.2), beta=3.0)
    # 324 stars: the width of a normal distribution is known to 4 %
    assert np.std((fit.flux - flux) / sigma_f) == pytest.approx(1.03, abs=0.12)
    assert np.std((fit.flux - flux) / np.sqrt(fit.flux_var)) == pytest.approx(1.0, abs=0.12)
    assert abs(np.mean((fit.flux - flux) / np.sqrt(fit.flux_var))) < 3 / np.sqrt(x.size)
    for place, truth, variance in ((fit.x, x, fit.x_var), (fit.y, y, fit.y_var)):
        assert np.std((place - truth) / np.sqrt(variance)) == pytest.approx(1.0, abs=0.12)
        assert np.std((place - truth) / sigma_x) < 1.2
    assert np.median(fit.chi2_red) == pytest.approx(1.0, abs=0.05)
    assert np.all(fit.last_step_px < 0.05)


def test_fit_equals_the_plain_estimator_and_its_covariance():
    x, y, flux = np.array([40.3]), np.array([50.8]), np.array([2e4])
    frame = simulated(x, y, flux, size=100)
    floor = 0.02
    fit = fit_psf(frame, PSF, x, y, flux, FitOptions(sweeps=20, full_sweeps=20, weight_floor=floor))
    theta = np.array([flux[0], x[0], y[0]])
    for _ in range(20):
        n, m, b = _estimator_twin(frame, theta, floor)
        theta = theta + np.linalg.solve(n, b)
    covariance = np.linalg.solve(n, m) @ np.linalg.inv(n)
    assert [fit.flux[0], fit.x[0], fit.y[0]] == pytest.approx(theta, rel=2e-5)
    ours = [fit.flux_var[0], fit.x_var[0], fit.y_var[0]]
    assert ours == pytest.approx(np.diag(covariance), rel=1e-3)
    scale = np.sqrt(covariance[1, 1] * covariance[2, 2])
    assert fit.xy_cov[0] == pytest.approx(covariance[1, 2], abs=1e-3 * scale)
    assert fit.flux_x_cov[0] == pytest.approx(covariance[0, 1], abs=1e-3 * np.sqrt(covariance[0, 0] * covariance[1, 1]))


def _disc(frame, x, y, half):
    cx, cy = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
    box = (slice(cy - half, cy + half + 1), slice(cx - half, cx + half + 1))
    g = np.arange(-half, half + 1)
    return box, (g[None] ** 2 + g[:, None] ** 2 <= half**2 + 1) & (frame.state[box] == 0)


def _estimator_twin(frame, theta, floor, half=4):
    """N, the middle of the sandwich and the right side for one isolated star."""
    flux, x, y = theta
    value, sx, sy = (s[0].astype(float) for s in evaluate_psf(PSF, np.array([x]), np.array([y]), half))
    box, disc = _disc(frame, x, y, half)
    model = np.maximum(flux * value, 0)
    variance = frame.rms[box].astype(float) ** 2 + model
    w = (1 / (variance + (floor * model) ** 2))[disc]
    g = np.stack([value[disc], flux * sx[disc], flux * sy[disc]])
    r = (frame.data[box] - flux * value)[disc]
    return (g * w) @ g.T, (g * w**2 * variance[disc]) @ g.T, (g * w) @ r


def test_the_residual_is_the_frame_without_the_models():
    x, y = lattice(6, 150, 4)
    flux = np.geomspace(2e3, 1e5, x.size)
    frame = simulated(x, y, flux, size=150, noise=False)
    fit = fit_psf(frame, PSF, x, y, flux)
    # models are drawn out to a tenth of the noise: that is what may be left, of each of the neighbours
    assert np.abs(fit.residual).max() < 0.4 * np.sqrt(SKY_E)
    assert fit.flux == pytest.approx(flux, rel=2e-3)


def test_two_touching_stars_are_fitted_jointly_with_honest_errors():
    rng = np.random.default_rng(6)
    x, y = lattice(14, 400, 5)
    angle = rng.uniform(0, 2 * np.pi, x.size)
    x2, y2 = x + 2.6 * np.cos(angle), y + 2.6 * np.sin(angle)
    flux = np.concatenate([np.full(x.size, 2e4), np.full(x.size, 1e4)])
    frame = simulated(np.append(x, x2), np.append(y, y2), flux)
    start = np.append(x, x2) + rng.normal(0, 0.2, flux.size), np.append(y, y2) + rng.normal(0, 0.2, flux.size)
    joint = fit_psf(frame, PSF, *start, flux)
    alone = fit_psf(frame, PSF, *start, flux, FitOptions(group_fwhm=0.0))
    assert joint.group.max() == x.size
    assert not alone.group.any()
    pulls = (joint.flux - flux) / np.sqrt(joint.flux_var)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.13)
    assert np.std((joint.x - np.append(x, x2)) / np.sqrt(joint.x_var)) == pytest.approx(1.0, abs=0.13)
    # single fits believe that the neighbour is known
    assert np.std((alone.flux - flux) / np.sqrt(alone.flux_var)) > 1.3


def test_joint_fit_equals_a_plain_joint_least_squares():
    x, y, flux = np.array([50.2, 52.3]), np.array([49.9, 51.4]), np.array([2e4, 1.5e4])
    frame = simulated(x, y, flux, size=100)
    options = FitOptions(weight_floor=0.0, group_rounds=25)
    fit = fit_psf(frame, PSF, x, y, flux, options)
    theta = np.stack([flux, x, y], axis=1)
    for _ in range(30):
        n, b = _joint_twin(frame, theta)
        theta = theta + np.linalg.solve(n, b).reshape(2, 3)
    assert fit.flux == pytest.approx(theta[:, 0], rel=2e-4)
    assert fit.x == pytest.approx(theta[:, 1], abs=1e-3)
    # with weights equal to the inverse variances the sandwich is the inverse of N
    assert fit.flux_var == pytest.approx(np.diag(np.linalg.inv(n))[[0, 3]], rel=2e-3)


def _joint_twin(frame, theta, half=4):
    size = frame.shape[0]
    model = np.zeros((size, size))
    slopes = np.zeros((6, size, size))
    used = np.zeros((size, size), bool)
    for k, (flux, x, y) in enumerate(theta):
        stamps = evaluate_psf(PSF, np.array([x]), np.array([y]), 16)
        cx, cy = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        box = (slice(cy - 16, cy + 17), slice(cx - 16, cx + 17))
        for i, stamp in enumerate(stamps):
            slopes[3 * k + i][box] = stamp[0] * (flux if i else 1)
        model[box] += flux * stamps[0][0]
        inner, disc = _disc(frame, x, y, half)
        used[inner] |= disc
    w = 1 / (frame.rms.astype(float) ** 2 + np.maximum(model, 0))[used]
    g = slopes[:, used]
    return (g * w) @ g.T, (g * w) @ (frame.data - model)[used]


def test_masked_and_saturated_pixels_have_no_weight():
    x, y, flux = np.array([50.3, 20.0]), np.array([49.8, 20.0]), np.array([5e4, 3e4])
    clean = simulated(x, y, flux, size=100)
    spoilt = simulated(x, y, flux, size=100)
    spoilt.state[50, 50], spoilt.state[49, 52] = 2, 1
    spoilt.data[50, 50], spoilt.data[49, 52] = -1e6, np.nan
    before, after = fit_psf(clean, PSF, x, y, flux), fit_psf(spoilt, PSF, x, y, flux)
    assert abs(after.flux[0] - flux[0]) < 4 * np.sqrt(after.flux_var[0])
    assert after.flux_var[0] > 1.05 * before.flux_var[0]
    assert (after.saturated.tolist(), after.missing.tolist()) == ([1, 0], [1, 0])
    assert after.flux[1] == before.flux[1]


def test_a_star_with_a_saturated_centre_is_fitted_on_its_wings():
    x, y, flux = np.array([60.2]), np.array([59.7]), np.array([2e6])
    frame = simulated(x, y, flux, size=120)
    g = np.mgrid[:120, :120]
    core = np.hypot(g[1] - 60, g[0] - 60) < 4.5
    frame.state[core] = 2
    frame.data[core] = 5e4
    fit = fit_psf(frame, PSF, x + 0.3, y, np.array([3e5]), FitOptions(sweeps=15, full_sweeps=15))
    assert fit.flux[0] == pytest.approx(2e6, rel=0.02)
    assert fit.saturated[0] == core.sum()


def test_a_star_without_pixels_has_no_result():
    frame = simulated([50.0], [50.0], [1e4], size=100)
    frame.state[40:61, 40:61] = 1
    fit = fit_psf(frame, PSF, np.array([50.0, -40.0]), np.array([50.0, 20.0]), np.array([1e4, 1e4]))
    assert np.isnan(fit.flux_var).all()
    assert np.isnan(fit.snr).all()


def test_faint_stars_are_fitted_in_flux_alone():
    frame = simulated([50.0], [50.0], [250.0], size=100, seed=11)
    fit = fit_psf(frame, PSF, np.array([50.0]), np.array([50.0]), np.array([250.0]))
    assert np.isnan(fit.x_var[0])
    assert fit.x[0] == 50.0
    assert fit.flux_var[0] > 0


def test_fixed_places_give_unbiased_signed_fluxes():
    rng = np.random.default_rng(12)
    frame = simulated([10.0], [10.0], [0.0], size=300, seed=13)
    x, y = rng.uniform(10, 290, (2, 400))
    fit = fit_psf(frame, PSF, x, y, np.zeros(400), FitOptions(group_fwhm=0), fit_position=False)
    pulls = fit.flux / np.sqrt(fit.flux_var)
    # places overlap a little, so fewer than 400 independent values
    assert abs(pulls.mean()) < 0.2
    assert pulls.std() == pytest.approx(1.0, abs=0.15)
    assert (fit.flux < 0).sum() > 100


def test_the_same_input_gives_the_same_bits():
    x, y = lattice(8, 200, 14)
    flux = np.geomspace(1e3, 1e5, x.size)
    frame = simulated(x, y, flux, size=200)
    one, other = (fit_psf(frame, PSF, x, y, flux) for _ in range(2))
    assert one.flux.tobytes() == other.flux.tobytes()
    assert one.residual.tobytes() == other.residual.tobytes()


def test_a_fit_without_room_to_keep_local_psfs_is_the_same(monkeypatch):
    grid = table_grid(3.2)
    field = np.zeros((3, 3))
    field[1, 1:] = 0.1, -0.15
    psf = moffat_psf(round_shape(3.2, 3.0), field, (200, 200), grid)
    x, y = lattice(8, 200, 14)
    flux = np.geomspace(1e3, 1e5, x.size)
    frame = simulated(x, y, flux, size=200)
    kept = fit_psf(frame, psf, x, y, flux)
    monkeypatch.setattr(_model, "StarPsfs", partial(_model.StarPsfs, room=0))
    anew = fit_psf(frame, psf, x, y, flux)
    assert np.array_equal(kept.flux, anew.flux)
    assert np.array_equal(kept.residual, anew.residual)


def test_a_constant_psf_of_several_equal_tables_fits_like_one():
    two = replace(PSF, tables=np.concatenate([PSF.tables, PSF.tables]), mixing=np.array([[0.75], [0.25]]))
    x, y = lattice(8, 200, 14)
    flux = np.geomspace(1e3, 1e5, x.size)
    frame = simulated(x, y, flux, size=200)
    one, other = fit_psf(frame, PSF, x, y, flux), fit_psf(frame, two, x, y, flux)
    np.testing.assert_allclose(one.flux, other.flux, rtol=1e-6)


def test_the_order_of_the_stars_does_not_matter_beyond_rounding():
    x, y = lattice(8, 200, 14)
    flux = np.geomspace(1e3, 1e5, x.size)
    frame = simulated(x, y, flux, size=200)
    shuffled = np.random.default_rng(15).permutation(x.size)
    one, other = fit_psf(frame, PSF, x, y, flux), fit_psf(frame, PSF, x[shuffled], y[shuffled], flux[shuffled])
    assert np.array_equal(one.flux[shuffled], other.flux)


def test_no_stars_leave_the_frame_as_it_is():
    frame = simulated([50.0], [50.0], [1e4], size=100)
    none = np.empty(0)
    fit = fit_psf(frame, PSF, none, none, none)
    assert fit.flux.size == 0
    assert np.array_equal(fit.residual, frame.data)


def test_groups_are_friends_of_friends_of_limited_size():
    members, start = close_groups(np.array([0.0, 2, 4, 20, 21, 50]), np.zeros(6), 2.5)
    assert [members[a:b].tolist() for a, b in pairwise(start)] == [[0, 1, 2], [3, 4]]
    members, start = close_groups(np.arange(40.0), np.zeros(40), 1.5)
    assert np.diff(start).max() <= LARGEST_GROUP
    assert len(set(members.tolist())) == members.size
    assert close_groups(np.array([np.nan, np.nan]), np.zeros(2), 5.0)[0].size == 0
