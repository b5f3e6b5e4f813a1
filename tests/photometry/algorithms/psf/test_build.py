"""The PSF build against known PSFs and plain-numpy twins of its kernels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import BSpline
from scipy.ndimage import spline_filter

from astro_shared.testing.profiles import add_stars
from photometry_service.algorithms.detection.fit_frame import FitFrame, fit_frame
from photometry_service.algorithms.psf import _build, _model
from photometry_service.algorithms.psf.build import PsfBuildOptions, build_psf
from photometry_service.algorithms.psf.model import (
    evaluate_psf,
    evaluation_tables,
    moffat_psf,
    moffat_values,
    round_shape,
    table_grid,
)
from photometry_service.algorithms.psf.residual import ResidualOptions
from photometry_service.algorithms.psf.shape import ShapeOptions, supported_order
from photometry_service.algorithms.psf.star_step import moffat_step, star_step
from photometry_service.domain.psf import PsfKind

SKY_E = 300.0


def stars(n: int, size: int, seed: int = 1, brightest_e: float = 2e5):
    """Stars on a jittered lattice, so that all stand alone."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(n)))
    step = (size - 40) / side
    gx, gy = np.meshgrid(np.arange(side), np.arange(side))
    x = 20 + (gx.ravel()[:n] + rng.uniform(0.3, 0.7, n)) * step
    y = 20 + (gy.ravel()[:n] + rng.uniform(0.3, 0.7, n)) * step
    return x, y, brightest_e * 10 ** rng.uniform(-1, 0, n)


def noisy(image: np.ndarray, seed: int = 2) -> FitFrame:
    rng = np.random.default_rng(seed)
    data = image + rng.normal(0, np.sqrt(image + SKY_E))
    return fit_frame(data.astype(np.float32), np.full(image.shape, np.sqrt(SKY_E), np.float32))


def moffat_frame(n: int, size: int, *, fwhm=3.2, variation=0.0, e1=0.0, beta=3.0, brightest_e=2e5):
    x, y, flux = stars(n, size, brightest_e=brightest_e)
    image, one = np.zeros((size, size)), np.ones(n)
    width = fwhm * (1 + variation * (2 * x / size - 1))
    add_stars(image, x, y, flux, fwhm=width, e1=e1 * one, e2=0 * one, beta=beta)
    return noisy(image), x, y, flux


def lopsided_frame(n: int, size: int):
    """A PSF that is no Moffat: a second, displaced component holds a quarter of the light."""
    x, y, flux = stars(n, size)
    image, one = np.zeros((size, size)), np.ones(n)
    add_stars(image, x, y, 0.75 * flux, fwhm=2.8 * one, e1=0 * one, e2=0 * one, beta=2.5)
    add_stars(image, x + 1.0, y + 0.6, 0.25 * flux, fwhm=3.6 * one, e1=0 * one, e2=0 * one, beta=8.0)
    return noisy(image), x, y, flux


def test_moffat_parameters_are_recovered_from_a_wrong_start():
    frame, x, y, flux = moffat_frame(100, 600, e1=0.06)
    psf = build_psf(frame, x + 0.4, y - 0.3, 0.7 * flux, round_shape(4.5))
    # 100 stars of S/N 150 to 450 fix the width to some 1e-3
    assert psf.fwhm_px == pytest.approx(3.2, rel=0.004)
    assert psf.shape[1:] == pytest.approx((0.06, 0.0, 3.0), abs=0.05)
    assert psf.shape[1] == pytest.approx(0.06, abs=0.004)
    assert psf.kind is PsfKind.MOFFAT
    assert psf.quality.chi2_red == pytest.approx(1.0, abs=0.03)
    assert psf.quality.n_stars >= 95


def test_width_follows_the_field():
    frame, x, y, flux = moffat_frame(225, 900, variation=0.05)
    psf = build_psf(frame, x, y, flux, round_shape(3.2))
    assert psf.order >= 1
    at = psf.fwhm_at(np.array([100.0, 800.0]), np.array([450.0, 450.0]))
    assert at == pytest.approx([3.2 * (1 - 0.05 * 7 / 9), 3.2 * (1 + 0.05 * 7 / 9)], rel=0.006)


@pytest.mark.parametrize(("n", "order"), [(225, 3), (36, 2), (16, 1), (9, 0)])
def test_highest_order_follows_the_number_of_stars(n, order):
    _, x, y, flux = moffat_frame(n, 600)
    star = np.stack([flux, x, y, np.zeros(n)], axis=1)
    assert supported_order(star, (600, 600), ShapeOptions()) == order


def test_stars_that_are_the_same_everywhere_get_no_field_terms():
    frame, x, y, flux = moffat_frame(225, 900)
    assert build_psf(frame, x, y, flux, round_shape(3.2)).order == 0


def test_ellipticity_that_grows_to_the_corners_is_followed():
    x, y, flux = stars(225, 900)
    image = np.zeros((900, 900))
    u, v = 2 * x / 900 - 1, 2 * y / 900 - 1
    e1, e2 = -0.24 * (u**2 - v**2), -0.48 * u * v
    add_stars(image, x, y, flux, fwhm=2.6 + 0.7 * (u**2 + v**2), e1=e1, e2=e2, beta=3.0)
    psf = build_psf(noisy(image), x, y, flux, round_shape(3.2))
    assert psf.order >= 2
    corner = psf.shapes(np.array([60.0]), np.array([60.0]))[0]
    place = 2 * 60 / 900 - 1
    assert corner[1:3] == pytest.approx([0.0, -0.48 * place**2], abs=0.02)
    assert psf.fwhm_at(np.array([60.0]), np.array([60.0]))[0] == pytest.approx(2.6 + 1.4 * place**2, rel=0.015)
    assert psf.quality.chi2_red == pytest.approx(1.0, abs=0.06)


def test_stars_in_one_corner_make_no_field_terms():
    frame, x, y, flux = moffat_frame(225, 900)
    corner = (x < 300) & (y < 300)
    psf = build_psf(
        frame,
        x[corner],
        y[corner],
        flux[corner],
        round_shape(3.2),
        PsfBuildOptions(shape=ShapeOptions(stars_per_coefficient=3)),
    )
    assert psf.order == 0


@pytest.mark.parametrize("n", [1, 3, 8])
def test_few_stars_still_give_a_width(n):
    frame, x, y, flux = moffat_frame(n, 200)
    psf = build_psf(frame, x, y, flux, round_shape(4.5))
    assert psf.kind is PsfKind.MOFFAT
    assert psf.fwhm_px == pytest.approx(3.2, rel=0.04)
    assert psf.ellipticity < 0.1


def test_a_single_faint_star_leaves_the_start_almost_alone():
    frame, x, y, flux = moffat_frame(1, 100, brightest_e=900.0)
    psf = build_psf(frame, x, y, flux, round_shape(3.4))
    assert 2.0 < psf.fwhm_px < 5.0


def test_no_star_gives_the_start_and_says_so():
    frame = moffat_frame(1, 100)[0]
    none = np.empty(0)
    psf = build_psf(frame, none, none, none, round_shape(4.0))
    assert psf.kind is PsfKind.ASSUMED
    assert psf.fwhm_px == pytest.approx(4.0)


def test_hits_do_not_disturb_the_psf():
    frame, x, y, flux = moffat_frame(100, 600)
    for k in range(0, 100, 5):
        frame.data[round(y[k]) + 2, round(x[k]) + 1] += 0.1 * flux[k]
    psf = build_psf(frame, x, y, flux, round_shape(3.2))
    assert psf.fwhm_px == pytest.approx(3.2, rel=0.005)
    assert psf.shape[3] == pytest.approx(3.0, abs=0.08)


def test_galaxies_are_dropped():
    x, y, flux = stars(100, 600)
    image, one = np.zeros((600, 600)), np.ones(100)
    width = np.where(np.arange(100) % 10 == 0, 4.2, 3.2)
    add_stars(image, x, y, flux, fwhm=width, e1=0 * one, e2=0 * one, beta=3.0)
    psf = build_psf(noisy(image), x, y, flux, round_shape(3.2), PsfBuildOptions(shape=ShapeOptions(order=0)))
    kept = np.hypot(psf.star_x[:, None] - x[None], psf.star_y[:, None] - y[None]).min(axis=0) < 0.5
    assert not kept[::10].any()
    assert kept.sum() >= 85
    assert psf.fwhm_px == pytest.approx(3.2, rel=0.005)


@pytest.mark.parametrize("fwhm_px", [1.5, 6.5])
def test_narrow_and_wide_stars(fwhm_px):
    frame, x, y, flux = moffat_frame(36, 600, fwhm=fwhm_px, brightest_e=4e5)
    psf = build_psf(frame, x, y, flux, round_shape(1.3 * fwhm_px))
    assert psf.fwhm_px == pytest.approx(fwhm_px, rel=0.01)


def test_a_lopsided_psf_gets_a_table_that_describes_it():
    frame, x, y, flux = lopsided_frame(100, 600)
    bare = build_psf(frame, x, y, flux, round_shape(3.2), PsfBuildOptions(use_table=False, shape=ShapeOptions(order=0)))
    psf = build_psf(frame, x, y, flux, round_shape(3.2), PsfBuildOptions(shape=ShapeOptions(order=0)))
    assert psf.kind is PsfKind.MOFFAT_TABLE
    assert psf.quality.cross_validation_gain > 10
    assert psf.quality.ripple < 0.001
    # against the truth, centres and scale free (they are conventions of a lopsided PSF)
    truth = np.zeros((31, 31))
    one = np.ones(1)
    add_stars(truth, 15 * one, 15 * one, 0.75 * one, fwhm=2.8 * one, e1=0 * one, e2=0 * one, beta=2.5)
    add_stars(truth, 16 * one, 15.6 * one, 0.25 * one, fwhm=3.6 * one, e1=0 * one, e2=0 * one, beta=8.0)
    assert _misfit(psf, truth) < 0.006
    assert _misfit(bare, truth) > 0.015


def _misfit(psf, truth: np.ndarray) -> float:
    """Largest difference over the peak at the best place and scale."""
    best = np.inf
    for dx in np.linspace(-0.1, 0.6, 36):
        for dy in np.linspace(-0.1, 0.4, 26):
            value = evaluate_psf(psf, np.array([100 + dx]), np.array([100 + dy]), 9)[0][0].astype(float)
            shown = truth[6:25, 6:25]
            scale = (value * shown).sum() / (value**2).sum()
            best = min(best, np.abs(scale * value - shown).max())
    return best / truth.max()


def test_a_moffat_gets_no_table():
    frame, x, y, flux = moffat_frame(64, 500)
    psf = build_psf(frame, x, y, flux, round_shape(3.2))
    assert (psf.kind, psf.quality.table_prior) == (PsfKind.MOFFAT, 0.0)
    forced = PsfBuildOptions(residual=ResidualOptions(smallest_gain=1e9))
    assert build_psf(frame, x, y, flux, round_shape(3.2), forced).quality.table_prior == 0.0


def test_star_step_equals_a_plain_gauss_newton_step():
    frame, x, y, flux = moffat_frame(4, 120)
    shape = round_shape(3.4, 2.8)
    begin = np.stack([0.9 * flux, x + 0.2, y - 0.1, np.zeros(4)], axis=1)
    shapes = np.tile(shape, (4, 1))
    done = moffat_step(frame, begin, shapes, radius_px=10.0, clip_sigma=1e9, weight_floor=0.005)
    for k in range(4):
        n, b, chi2, pixels = _equations_twin(frame, shape, begin[k], 10)
        own = np.linalg.solve(n[:4, :4], b[:4])
        own[1:3] = np.clip(own[1:3], -0.3, 0.3)
        assert done.star[k] == pytest.approx(begin[k] + own, rel=1e-3, abs=2e-3)
        schur = n[4:, 4:] - n[4:, :4] @ np.linalg.solve(n[:4, :4], n[:4, 4:])
        assert np.abs(done.matrix[k] - schur).max() < 5e-3 * np.abs(schur).max()
        right = b[4:] - n[4:, :4] @ np.linalg.solve(n[:4, :4], b[:4])
        assert np.abs(done.vector[k] - right).max() < 5e-3 * np.abs(right).max()
        assert done.chi2_red[k] == pytest.approx(chi2 / (pixels - 4), rel=2e-3)


def test_tables_and_moffats_move_a_star_alike():
    frame, x, y, flux = moffat_frame(4, 120)
    shape = round_shape(3.4, 2.8)
    psf = moffat_psf(shape, np.zeros((3, 1)), frame.shape, table_grid(3.4))
    begin = np.stack([flux, x + 0.1, y, np.zeros(4)], axis=1)
    same = {"radius_px": 10.0, "clip_sigma": 8.0, "weight_floor": 0.005, "misfit": 0.01}
    by_table = star_step(frame, begin, evaluation_tables(psf.tables, psf.oversampling), np.ones((4, 1)), **same)
    by_moffat = moffat_step(frame, begin, np.tile(shape, (4, 1)), **same)
    assert by_table.star == pytest.approx(by_moffat.star, rel=2e-3, abs=0.01)
    without = moffat_step(frame, begin, np.tile(shape, (4, 1)), **{**same, "misfit": 0.0})
    assert (by_moffat.chi2_red < without.chi2_red).all(), "an error of the model takes weight away"


def _equations_twin(frame, shape, star, radius):
    """Normal equations of (flux, x, y, sky, ln s, e1, e2, beta) of one star, derivatives by differences."""
    flux, x, y, sky = star
    cx, cy = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
    points, weights = np.polynomial.legendre.leggauss(7)

    def value(parameters):
        x, y, log_s, e1, e2, beta = parameters
        g = np.arange(-radius, radius + 1)
        total = np.zeros((g.size, g.size))
        for p, w in zip(points / 2, weights / 2, strict=True):
            for q, v in zip(points / 2, weights / 2, strict=True):
                u1, u2 = (cx + g - x + p)[None], (cy + g - y + q)[:, None]
                r2 = np.exp(log_s) * ((1 + e1) * u1**2 + 2 * e2 * u1 * u2 + (1 - e1) * u2**2)
                total += w * v * (1 + r2) ** -beta
        return total * (beta - 1) / np.pi * np.exp(log_s) * np.sqrt(1 - e1**2 - e2**2)

    at = np.array([x, y, *shape])
    p = value(at)
    slopes = []
    for k in range(6):
        step = np.zeros(6)
        step[k] = 1e-4
        slopes.append(flux * (value(at + step) - value(at - step)) / 2e-4)
    columns = [p, slopes[0], slopes[1], np.ones_like(p), *slopes[2:]]
    box = (slice(cy - radius, cy + radius + 1), slice(cx - radius, cx + radius + 1))
    g = np.arange(-radius, radius + 1)
    disc = (g[None] ** 2 + g[:, None] ** 2 <= radius**2) & (frame.state[box] == 0)
    model = flux * p
    r = frame.data[box] - model - sky
    w = 1 / (frame.rms[box].astype(float) ** 2 + model + (0.005 * model) ** 2)
    a = np.stack([c[disc].astype(float) for c in columns])
    return (a * w[disc]) @ a.T, (a * w[disc]) @ r[disc], (w * r**2)[disc].sum(), disc.sum()


def test_residual_equations_equal_a_dense_least_squares():
    frame, x, y, flux = moffat_frame(3, 100)
    shape, grid = round_shape(3.4, 2.8), table_grid(3.4)
    planes = evaluation_tables(
        spline_filter(moffat_values(np.array([shape]), grid)[0], 3, mode="mirror")[None], grid.oversampling
    )
    star = np.stack([flux, x, y, np.full(3, 5.0)], axis=1)
    nodes, spacing, half = 15, 1.0, 5
    band, vector = np.zeros((nodes**2, 3 * nodes + 4)), np.zeros(nodes**2)
    _build.residual_equations(
        frame.data, frame.state, frame.rms, 1.0, planes.planes, 1, np.ones((3, 1), np.float32), grid.oversampling,
        grid.half_px, half, 5.0, 0.005, 1e9, 0.0, star, np.ones(3), spacing, nodes, band, vector,
    )  # fmt: skip
    matrix, right = _residual_twin(frame, planes, star, nodes, spacing, half)
    dense = np.zeros_like(matrix)
    for k in range(band.shape[1]):
        np.fill_diagonal(dense[k:], band[: nodes**2 - k, k])
    assert np.abs(np.tril(dense) - np.tril(matrix)).max() < 1e-4 * matrix.max()
    assert np.abs(vector - right).max() < 1e-4 * np.abs(right).max()


def _residual_twin(frame, planes, star, nodes, spacing, half):
    """The same sums with every B-spline written out."""
    centre = nodes // 2
    matrix, right = np.zeros((nodes**2, nodes**2)), np.zeros(nodes**2)
    out = np.empty((3, 3, 2 * half + 1, 2 * half + 1), np.float32)
    _model.evaluate_stamps(
        planes.planes, 1, planes.oversampling, planes.half_px, np.ones((3, 1), np.float32),
        star[:, 1].copy(), star[:, 2].copy(), half, out,
    )  # fmt: skip
    spline = BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)
    for k in range(3):
        flux, x, y, sky = star[k]
        cx, cy = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        for j in range(-half, half + 1):
            for i in range(-half, half + 1):
                if i * i + j * j > half**2:
                    continue
                u = (i - (x - cx)) / spacing - np.arange(-centre, centre + 1)
                v = (j - (y - cy)) / spacing - np.arange(-centre, centre + 1)
                row = np.outer(np.nan_to_num(spline(v)), np.nan_to_num(spline(u))).ravel()
                p = float(out[k, 0, j + half, i + half])
                model = flux * p
                w = flux**2 / (SKY_E + model + (0.005 * model) ** 2)
                r = (frame.data[cy + j, cx + i] - model - sky) / flux
                matrix += w * np.outer(row, row)
                right += w * r * row
    return matrix, right
