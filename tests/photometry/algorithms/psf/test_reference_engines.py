"""photutils behind our result types: it finds, builds and measures the same stars."""

from __future__ import annotations

import numpy as np
import pytest

from astro_shared.testing.profiles import add_stars
from photometry_service.algorithms.psf.model import evaluate_psf, moffat_psf, round_shape, table_grid
from photometry_service.algorithms.psf.photometry import measure_psf
from photometry_service.algorithms.psf.reference_engines import DaoOptions, build_epsf, find_dao, measure_photutils
from photometry_service.domain.flags import SourceFlag
from photometry_service.domain.psf import PsfKind

SKY_E = 300.0
SIZE = 260
PSF = moffat_psf(round_shape(3.2, 3.0), np.zeros((3, 1)), (SIZE, SIZE), table_grid(3.2))
RMS = np.full((SIZE, SIZE), np.sqrt(SKY_E), np.float32)


def field(brightest_e=1e5, faintest_e=3e3):
    rng = np.random.default_rng(1)
    grid = np.arange(8) * 30.0 + 25
    x, y = (g.ravel() + rng.uniform(-2, 2, 64) for g in np.meshgrid(grid, grid))
    flux = np.geomspace(brightest_e, faintest_e, 64)
    image, one = np.zeros((SIZE, SIZE)), np.ones(64)
    add_stars(image, x, y, flux, fwhm=3.2 * one, e1=0 * one, e2=0 * one, beta=3.0)
    return (image + rng.normal(0, np.sqrt(image + SKY_E))).astype(np.float32), x, y, flux


def nearest(found_x, found_y, x, y):
    distance = np.hypot(found_x[:, None] - x, found_y[:, None] - y)
    return distance.argmin(axis=0), distance.min(axis=0)


def test_daofind_finds_the_stars_with_their_shapes():
    data, x, y, _ = field()
    sources, shapes = find_dao(data, RMS, fwhm_px=3.2)
    assert (nearest(sources.x, sources.y, x, y)[1] < 0.5).mean() > 0.95
    assert np.all((shapes.sharpness >= 0.2) & (shapes.sharpness <= 1.0))
    index, _ = nearest(sources.x, sources.y, x, y)
    assert np.all(sources.snr[index] > 10)


def test_daofind_on_noise_and_under_a_mask_finds_nothing():
    data, *_ = field()
    sources, shapes = find_dao(data, RMS, fwhm_px=3.2, mask=np.ones(data.shape, bool))
    assert len(sources) == shapes.sharpness.size == 0


def test_daofind_keeps_off_the_edge_and_peaks_and_to_the_brightest():
    data, x, y, _ = field()
    add_stars(data_edge := np.zeros((SIZE, SIZE)), np.array([1.0]), np.array([130.0]), np.array([5e4]),
              fwhm=np.array([3.2]), e1=np.zeros(1), e2=np.zeros(1), beta=3.0)  # fmt: skip
    data = (data + data_edge).astype(np.float32)
    everything, _ = find_dao(data, RMS, fwhm_px=3.2)
    inner, _ = find_dao(data, RMS, fwhm_px=3.2, options=DaoOptions(exclude_border=True))
    assert everything.x.min() < 2
    assert inner.x.min() > 2
    few, _ = find_dao(data, RMS, fwhm_px=3.2, options=DaoOptions(brightest=5))
    assert sorted(few.flux) == pytest.approx(sorted(everything.flux)[-5:])
    limit = float(np.median([data[round(b), round(a)] for a, b in zip(x, y, strict=True)]))
    faint, _ = find_dao(data, RMS, fwhm_px=3.2, options=DaoOptions(peak_max=limit))
    peaks = [data[round(b), round(a)] for a, b in zip(faint.x, faint.y, strict=True)]
    assert 20 < len(faint) < len(everything)
    assert max(peaks) <= 1.1 * limit


@pytest.mark.slow
def test_epsf_builder_makes_the_psf_of_the_frame():
    data, x, y, flux = field(faintest_e=5e4)
    psf = build_epsf(data, x, y, fwhm_px=3.2)
    assert psf.kind is PsfKind.TABLE
    assert psf.quality.n_stars > 40
    assert psf.fwhm_px == pytest.approx(3.2, rel=0.1)
    place = np.array([100.2]), np.array([100.4])
    ours, truth = evaluate_psf(psf, *place, 5)[0][0], evaluate_psf(PSF, *place, 5)[0][0]
    assert np.abs(ours - truth).max() < 0.06 * truth.max()
    result = measure_psf(data, RMS, psf=psf)
    index, distance = nearest(result.x, result.y, x, y)
    assert np.median(distance) < 0.02
    assert np.median(result.flux[index] / flux) == pytest.approx(1.0, abs=0.03)


def test_epsf_builder_without_complete_stars_says_so():
    data, *_ = field()
    with pytest.raises(ValueError, match="none of 1 stars"):
        build_epsf(data, np.array([3.0]), np.array([4.0]), fwhm_px=3.2)


@pytest.mark.slow
def test_iterative_photometry_agrees_with_ours_star_by_star():
    data, x, y, _ = field()
    theirs, ours = measure_photutils(data, RMS, PSF), measure_psf(data, RMS, psf=PSF)
    assert theirs.summary.engine == "photutils"
    assert np.all(np.diff(theirs.flux) <= 0)
    a, far_a = nearest(theirs.x, theirs.y, x, y)
    b, far_b = nearest(ours.x, ours.y, x, y)
    both = (far_a < 0.5) & (far_b < 0.5)
    assert both.sum() > 60
    difference = (theirs.flux[a] - ours.flux[b])[both] / ours.flux_err[b][both]
    # other weights and another fit region, the same photons
    assert np.median(np.abs(difference)) < 0.8
    assert np.median(theirs.flux_err[a][both] / ours.flux_err[b][both]) == pytest.approx(1.0, abs=0.1)
    assert theirs.residual.shape == data.shape
    assert np.std(theirs.residual) < 1.3 * np.std(ours.residual)


@pytest.mark.slow
def test_photutils_skips_masked_and_reports_saturated_stars():
    data, x, y, _ = field()
    mask, saturated = np.zeros((2, SIZE, SIZE), bool)
    mask[round(y[10]) - 6 : round(y[10]) + 7, round(x[10]) - 6 : round(x[10]) + 7] = True
    saturated[round(y[0]), round(x[0])] = True
    result = measure_photutils(
        np.where(mask, np.nan, data).astype(np.float32), RMS, PSF, mask=mask, saturated=saturated
    )
    index, distance = nearest(result.x, result.y, x, y)
    assert distance[10] > 5
    assert result.flags[index[0]] & SourceFlag.SATURATED.value


def test_photutils_on_an_empty_frame_has_no_sources():
    noise = np.random.default_rng(2).normal(0, np.sqrt(SKY_E) / 10, (80, 80)).astype(np.float32)
    result = measure_photutils(noise, RMS[:80, :80], PSF)
    assert len(result) == 0
    assert result.psf is PSF
