"""The tabulated PSF against independent integration, finite differences and scipy's own spline evaluation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from astro_shared.testing.profiles import integrated_moffat
from photometry_service.algorithms.psf.model import (
    TableGrid,
    evaluate_psf,
    moffat_psf,
    moffat_values,
    psf_from_arrays,
    psf_stamp,
    psf_to_arrays,
    psf_values,
    quadrature,
    round_shape,
    shape_fwhm,
    table_grid,
    unit_flux,
)
from photometry_service.domain.psf import PsfModel

CONSTANT = np.zeros((3, 1))


def elongated_shape(fwhm_px: float, beta: float = 3.0) -> tuple[float, float, float, float]:
    return (round_shape(fwhm_px, beta)[0], 0.10, -0.05, beta)


def elongated_psf(fwhm_px: float = 3.2) -> PsfModel:
    return moffat_psf(elongated_shape(fwhm_px), CONSTANT, (200, 300), table_grid(fwhm_px))


def varying_psf() -> PsfModel:
    field = np.zeros((3, 6))
    field[0] = [0, 0.04, -0.05, 0.03, 0.0, 0.02]
    field[1, 1], field[2, 2] = 0.03, -0.04
    return moffat_psf(elongated_shape(3.2), field, (1000, 1000), table_grid(3.2))


@pytest.mark.parametrize("fwhm_px", [1.2, 2.0, 3.2, 5.9, 12.0])
def test_stamps_agree_with_an_independent_integration(fwhm_px):
    psf = elongated_psf(fwhm_px)
    rng = np.random.default_rng(1)
    x, y = rng.uniform(60, 90, (2, 30))
    half = round(2 * fwhm_px) + 1
    value = evaluate_psf(psf, x, y, half)[0]
    one = np.ones(x.size)
    dx, dy = x - np.floor(x + 0.5), y - np.floor(y + 0.5)
    truth = integrated_moffat(dx, dy, fwhm=psf.fwhm_px * one, e1=0.10 * one, e2=-0.05 * one, beta=3.0, half=half)
    inside_table = truth.sum() / value.sum()  # the table holds unit flux, the Moffat reaches further
    assert inside_table == pytest.approx(1.0, abs=2e-3)
    # a cubic spline through 5 to 6 nodes per FWHM errs by some 1e-4 of the peak
    assert np.abs(value * inside_table - truth).max() < 8e-4 * truth.max()


def test_tables_of_several_shapes_are_those_of_each():
    shapes = np.array([elongated_shape(3.2), elongated_shape(4.0), round_shape(2.4, 4.0)])
    together = moffat_values(shapes, table_grid(3.2))
    for k in range(3):
        alone = moffat_values(shapes[k : k + 1], table_grid(3.2))[0]
        assert np.abs(together[k] - alone).max() < 1e-4 * alone.max(), "the narrowest shape sets the quadrature of all"
        assert together[k].sum() / table_grid(3.2).oversampling ** 2 == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("fwhm_px", [1.5, 3.2, 7.0])
def test_kernel_agrees_with_scipy_spline_evaluation(fwhm_px):
    psf = elongated_psf(fwhm_px)
    rng = np.random.default_rng(2)
    x, y = rng.uniform(50, 60, (2, 20))
    half = 5
    value = evaluate_psf(psf, x, y, half)[0]
    centre, offset = psf.tables.shape[1] // 2, np.arange(-half, half + 1)
    for k in range(x.size):
        v = centre + (offset + np.floor(y[k] + 0.5) - y[k]) * psf.oversampling
        u = centre + (offset + np.floor(x[k] + 0.5) - x[k]) * psf.oversampling
        twin = map_coordinates(psf.tables[0], np.meshgrid(v, u, indexing="ij"), order=3, prefilter=False)
        assert np.abs(value[k] - twin).max() < 1e-6 * twin.max()  # single precision


def test_slopes_are_derivatives_to_the_position():
    psf = varying_psf()
    x, y = np.array([300.2, 701.7]), np.array([500.1, 120.4])
    slope_x, slope_y = evaluate_psf(psf, x, y, 6)[1:]
    step = 0.01
    by_x = (evaluate_psf(psf, x + step, y, 6)[0] - evaluate_psf(psf, x - step, y, 6)[0]) / (2 * step)
    by_y = (evaluate_psf(psf, x, y + step, 6)[0] - evaluate_psf(psf, x, y - step, 6)[0]) / (2 * step)
    assert np.abs(slope_x - by_x).max() < 1e-3 * np.abs(slope_x).max()
    assert np.abs(slope_y - by_y).max() < 1e-3 * np.abs(slope_y).max()


def strongly_varying_psf() -> PsfModel:
    """Stars that grow from 2.6 to 4 px and are elongated along the radius, to an ellipticity of 0.4 in the corners."""
    field = np.zeros((3, 6))
    field[0, [3, 5]] = 0.27
    field[1, 3], field[1, 5], field[2, 4] = -0.125, 0.125, -0.25
    return moffat_psf(round_shape(2.6, 3.0), field, (1000, 1000), table_grid(2.6))


@pytest.mark.parametrize("make", [varying_psf, strongly_varying_psf])
def test_tables_follow_the_shape_over_the_field(make):
    psf = make()
    x, y = np.array([0.0, 999.0, 500.0, 250.0]), np.array([0.0, 999.0, 0.0, 800.0])
    value = evaluate_psf(psf, x, y, 6)[0]
    grid = TableGrid(psf.oversampling, psf.half_px)
    for k, shape in enumerate(psf.shapes(x, y)):
        exact = moffat_psf(tuple(shape), CONSTANT, psf.frame_shape, grid)
        truth = evaluate_psf(exact, x[k : k + 1], y[k : k + 1], 6)[0][0]
        assert np.abs(value[k] - truth).max() < 1e-3 * truth.max()
        assert psf.fwhm_at(x[k : k + 1], y[k : k + 1])[0] == pytest.approx(shape_fwhm(tuple(shape))[0])


def test_strong_variation_reaches_its_axis_ratio():
    psf = strongly_varying_psf()
    _, e1, e2, _ = psf.shapes(np.array([0.0]), np.array([0.0]))[0]
    e = np.hypot(e1, e2)
    assert 1 - np.sqrt((1 - e) / (1 + e)) == pytest.approx(0.4, abs=0.03)


def test_components_that_change_nothing_are_left_out():
    field = np.zeros((3, 3))
    field[0, 1] = 0.02
    psf = moffat_psf(elongated_shape(3.2), field, (100, 100), table_grid(3.2))
    assert psf.tables.shape[0] <= 3
    field[0, 1] = 0.0
    assert moffat_psf(elongated_shape(3.2), field, (100, 100), table_grid(3.2)).tables.shape[0] == 1


def test_flux_of_a_table_is_one():
    psf = unit_flux(varying_psf())
    value = evaluate_psf(psf, np.array([500.0]), np.array([500.0]), psf.half_px - 3)[0]
    assert value.sum() == pytest.approx(1.0, abs=3e-3)  # the stamp ends 3 pixels before the table
    assert psf.tables[0].sum() / psf.oversampling**2 == pytest.approx(1.0)


def test_central_stamp_is_the_evaluation_at_a_pixel_centre():
    for fwhm_px in (1.4, 3.2, 8.0):
        psf = elongated_psf(fwhm_px)
        value = evaluate_psf(psf, np.array([40.0]), np.array([50.0]), 4)[0][0]
        assert np.abs(psf_stamp(psf, 4) - value).max() < 1e-6 * value.max()


def test_width_and_direction_are_those_of_the_ellipse():
    # axis ratio 0.5, long axis 30 degrees from +x towards +y
    ratio, angle = 0.5, np.radians(30.0)
    e = (1 - ratio**2) / (1 + ratio**2)
    shape = (round_shape(3.0)[0], -e * np.cos(2 * angle), -e * np.sin(2 * angle), 2.5)
    psf = moffat_psf(shape, CONSTANT, (100, 100), TableGrid(2, 20))
    assert psf.axis_ratio == pytest.approx(ratio)
    assert psf.position_angle_deg == pytest.approx(30.0)
    stamp = psf_stamp(psf, 15)
    g = np.arange(-15, 16)
    moments = np.array(
        [[np.sum(stamp * g[None] ** 2), np.sum(stamp * np.outer(g, g))], [0, np.sum(stamp * g[:, None] ** 2)]]
    )
    moments[1, 0] = moments[0, 1]
    major = np.linalg.eigh(moments)[1][:, 1]
    assert np.degrees(np.arctan2(major[1], major[0])) % 180 == pytest.approx(30.0, abs=1.0)
    assert psf.major_fwhm_px * psf.axis_ratio * psf.major_fwhm_px == pytest.approx(psf.fwhm_px**2)


def test_arrays_hold_everything_needed_to_evaluate():
    psf = varying_psf()
    again = psf_from_arrays(psf_to_arrays(psf))
    x, y = np.array([10.3, 900.9]), np.array([77.7, 5.1])
    assert np.array_equal(evaluate_psf(psf, x, y, 5)[0], evaluate_psf(again, x, y, 5)[0])
    assert (again.kind, again.shape, again.frame_shape) == (psf.kind, psf.shape, psf.frame_shape)
    assert repr(again.quality) == repr(psf.quality)


def test_values_alone_are_those_of_the_full_evaluation():
    psf, x, y = varying_psf(), np.array([10.3, 900.9]), np.array([77.7, 5.1])
    assert np.array_equal(psf_values(psf, x, y, 6), evaluate_psf(psf, x, y, 6)[0])


def test_a_stamp_larger_than_the_tables_is_refused():
    psf = elongated_psf()
    with pytest.raises(ValueError, match="half size 18 px"):
        evaluate_psf(psf, np.array([50.0]), np.array([50.0]), 18)


def test_moffats_are_integrated_like_their_formula():
    shape = np.array([-1.3, 0.15, -0.1, 2.7])
    grid = table_grid(3.2)
    log_s, e1, e2, beta = shape
    place = (np.arange(grid.nodes) - grid.nodes // 2) / grid.oversampling
    v, u = np.meshgrid(place, place, indexing="ij")

    def square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.exp(log_s) * ((1 + e1) * u**2 + 2 * e2 * u * v + (1 - e1) * v**2)

    def integrated(points: int) -> np.ndarray:
        node, weight = np.polynomial.legendre.leggauss(points)
        total = np.zeros_like(u)
        for dy, wy in zip(node / 2, weight / 2, strict=True):
            for dx, wx in zip(node / 2, weight / 2, strict=True):
                total += wy * wx * (1 + square(u + dx, v + dy)) ** -beta
        return (beta - 1) / np.pi * np.exp(log_s) * np.sqrt(1 - e1**2 - e2**2) * total

    minor = shape_fwhm(tuple(shape))[0] ** 2 / shape_fwhm(tuple(shape))[1]
    inner, outer = (rule.shape[1] for rule in quadrature(minor))
    expected = np.where(square(u, v) < 9 * (2 ** (1 / beta) - 1), integrated(inner), integrated(outer))
    np.testing.assert_allclose(moffat_values(shape[None], grid)[0], expected, rtol=1e-12)
