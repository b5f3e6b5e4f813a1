"""The whole chain on simulated skies of known truth, and on frames that are no skies."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from scipy.spatial import cKDTree

from astro_shared.testing.frames import Camera, Exposure, SimulatedFrame, simulate_frame
from astro_shared.testing.profiles import add_stars
from photometry_service.algorithms.background.estimate import BackgroundOptions, estimate_background
from photometry_service.algorithms.psf.photometry import MeasureOptions, find_psf_stars, measure_psf
from photometry_service.domain.flags import SourceFlag
from photometry_service.domain.psf import PsfKind, PsfPhotometry, Sources

FULL_E = 0.98 * 55000 * 1.5


@lru_cache
def sky(seed: int, n_stars: int, size: int) -> SimulatedFrame:
    return simulate_frame(seed, n_stars=n_stars, camera=Camera(shape=(size, size)), exposure=Exposure(cosmic_rays=None))


def measure(data, mask=None, *, scale=1.0, box=64, options=None, background=True) -> PsfPhotometry:
    mask = np.zeros(data.shape, bool) if mask is None else mask
    mesh = estimate_background(data, mask, BackgroundOptions(box_px=box))

    def again(residual, bad):
        new = estimate_background(residual, bad, BackgroundOptions(box_px=box))
        return new.level_map(), new.rms_map()

    return measure_psf(
        mesh.subtract_from(data), mesh.rms_map(), mask=mask, saturated=data >= FULL_E * scale,
        shot_noise=scale, remeasure_background=again if background else None, options=options,
    )  # fmt: skip


def matched(result: PsfPhotometry, truth, radius=1.2):
    """Index of the result for each true star, -1 where it is missing; one to one."""
    places = np.stack([truth["x"], truth["y"]], axis=1)
    found = np.stack([result.x, result.y], axis=1)
    distance, index = cKDTree(found).query(places)
    back = cKDTree(places).query(found)[1]
    return np.where((distance < radius) & (back[index] == np.arange(len(places))), index, -1)


def test_a_sparse_sky_is_measured_to_its_error_bars():
    frame = sky(1, 900, 1024)
    result = measure(frame.data_e)
    truth = frame.truth
    index = matched(result, truth)
    inside = np.all([(truth[k] > 15) & (truth[k] < 1008) for k in ("x", "y")], axis=0)
    snr, flux = np.asarray(truth["snr"]), np.asarray(truth["flux_e"])
    assert (index >= 0)[inside & (snr > 10)].mean() > 0.98
    assert (index >= 0)[inside & (snr > 5) & (snr < 10)].mean() > 0.85
    nearest = cKDTree(np.stack([truth["x"], truth["y"]], axis=1)).query(np.stack([result.x, result.y], axis=1))[0]
    assert (nearest > 3).mean() < 0.02
    good = (index >= 0) & inside & (snr > 10) & np.asarray(truth["isolated"]) & ~np.asarray(truth["saturated"])
    k = index[good]
    relative = result.flux[k] / flux[good] - 1
    assert abs(np.median(relative)) < 0.005
    pulls = (result.flux[k] - flux[good]) / result.flux_err[k]
    robust = 1.4826 * np.median(np.abs(pulls - np.median(pulls)))
    assert robust == pytest.approx(1.0, abs=0.2)  # about 200 stars
    place = (result.x[k] - truth["x"][good]) / np.sqrt(result.x_var[k])
    assert 1.4826 * np.median(np.abs(place)) == pytest.approx(1.0, abs=0.2)
    assert result.psf is not None
    assert result.psf.fwhm_px == pytest.approx(3.2, rel=0.01)
    assert result.psf.kind is PsfKind.MOFFAT


def test_rows_are_sorted_numbered_and_flagged():
    frame = sky(1, 900, 1024)
    result = measure(frame.data_e)
    assert np.array_equal(result.id, np.arange(1, len(result) + 1))
    assert np.all(np.diff(result.flux) <= 0)
    assert np.allclose(result.snr, result.flux / result.flux_err)
    assert np.all(result.flux_err_scaled >= result.flux_err)
    has = {flag: (result.flags & flag.value) != 0 for flag in SourceFlag}
    assert has[SourceFlag.USED_FOR_PSF].sum() == pytest.approx(result.psf.quality.n_stars, abs=2)
    assert np.array_equal(has[SourceFlag.BLENDED], result.group > 0)
    assert has[SourceFlag.FOUND_ON_RESIDUAL].sum() <= result.summary.n_residual
    edge = np.minimum.reduce([result.x, result.y, 1023 - result.x, 1023 - result.y])
    assert np.array_equal(has[SourceFlag.TRUNCATED], edge < 3.5)
    saturated = np.asarray(frame.truth["saturated"])
    index = matched(result, frame.truth, 2.0)
    assert saturated.any()
    found = index[saturated & (index >= 0)]
    assert has[SourceFlag.SATURATED][found].all()
    assert not has[SourceFlag.NEGATIVE_FLUX].any()
    stars = (result.snr > 20) & (result.flags == 0)
    assert 0.4 < np.nanmedian(result.sharpness[stars]) < 0.9
    assert abs(np.nanmedian(result.roundness2[stars])) < 0.1


def test_the_same_frame_gives_the_same_bits():
    frame = sky(2, 150, 400)
    one, other = measure(frame.data_e), measure(frame.data_e)
    for name in ("x", "y", "flux", "flux_err", "flags", "residual"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()


def test_the_unit_of_the_frame_does_not_matter():
    frame = sky(2, 150, 400)
    scale = 2.0**-46
    usual = measure(frame.data_e)
    tiny = measure((frame.data_e * np.float32(scale)).astype(np.float32), scale=scale)
    assert len(tiny) == len(usual)
    assert tiny.flux == pytest.approx(usual.flux * scale, rel=1e-4)
    assert tiny.flags.tolist() == usual.flags.tolist()


def test_a_crowded_field_measures_its_background_again():
    frame = sky(3, 1500, 700)
    calls = []

    def again(residual, bad):
        calls.append(residual.shape)
        mesh = estimate_background(residual, bad)
        return mesh.level_map(), mesh.rms_map()

    mesh = estimate_background(frame.data_e)
    result = measure_psf(
        mesh.subtract_from(frame.data_e), mesh.rms_map(), saturated=frame.data_e >= FULL_E, remeasure_background=again
    )
    assert calls
    assert result.summary.background_remeasured
    index, snr = matched(result, frame.truth), np.asarray(frame.truth["snr"])
    inside = np.all([(frame.truth[k] > 15) & (frame.truth[k] < 684) for k in ("x", "y")], axis=0)
    assert (index >= 0)[inside & (snr > 10)].mean() > 0.97
    assert (index >= 0)[inside & (snr > 5) & (snr < 10)].mean() > 0.75


def test_masked_regions_and_bad_pixels_cost_only_what_they_cover():
    frame = sky(4, 300, 500)
    rng = np.random.default_rng(1)
    clean = measure(frame.data_e)
    mask = rng.uniform(size=frame.data_e.shape) < 0.01
    data = frame.data_e.copy()
    data[mask] = rng.choice(np.array([np.nan, 6e4, -500.0], np.float32), mask.sum())
    spoilt = measure(np.where(np.isfinite(data), data, 0).astype(np.float32), mask)
    assert len(spoilt) == pytest.approx(len(clean), rel=0.05)
    block = np.zeros_like(mask)
    block[100:200, 150:300] = True
    hole = measure(np.where(block, 0, frame.data_e).astype(np.float32), block)
    inside = block[np.clip(np.rint(hole.y), 0, 499).astype(int), np.clip(np.rint(hole.x), 0, 499).astype(int)]
    assert inside.sum() <= 0.02 * len(hole)
    covered = block[np.rint(clean.y).astype(int), np.rint(clean.x).astype(int)].sum()
    assert len(hole) == pytest.approx(len(clean) - covered, abs=6)


def test_unmasked_cosmic_rays_are_dropped_only_when_asked():
    frame = sky(4, 300, 500)
    rng = np.random.default_rng(2)
    data = frame.data_e.copy()
    y, x = rng.integers(20, 480, (2, 60))
    data[y, x] += rng.uniform(800, 5000, 60).astype(np.float32)
    flagged = measure(data)
    dropped = measure(data, options=MeasureOptions(cosmic_rays_masked=False))
    hits = cKDTree(np.stack([x, y], axis=1))

    def at_hits(result: PsfPhotometry) -> np.ndarray:
        return hits.query(np.stack([result.x, result.y], axis=1))[0] < 1.5

    assert at_hits(flagged).sum() > 30
    assert ((flagged.flags[at_hits(flagged)] & SourceFlag.NOT_POINT_LIKE.value) != 0).mean() > 0.8
    assert at_hits(dropped).sum() < 0.3 * at_hits(flagged).sum()
    assert len(dropped) > 0.9 * len(measure(frame.data_e))


@pytest.mark.parametrize("n_stars", [0, 1, 3])
def test_few_or_no_stars(n_stars):
    rng = np.random.default_rng(7)
    data = rng.poisson(320, (200, 200)).astype(np.float32)
    g = np.mgrid[:200, :200]
    for k in range(n_stars):
        r2 = (g[1] - 60 - 30 * k) ** 2 + (g[0] - 90) ** 2
        data += (3e3 * np.exp(-r2 / 3.6)).astype(np.float32)
    result = measure(data)
    assert len(result) == n_stars
    assert (result.psf is None) == (n_stars == 0)
    if n_stars:
        assert result.flux == pytest.approx(3e3 * np.pi * 3.6, rel=0.1)


def test_frames_without_a_sky_have_no_sources():
    assert len(measure(np.full((100, 100), 7, np.float32))) == 0
    everything = np.ones((64, 64), bool)
    noise = np.random.default_rng(1).normal(0, 1, (64, 64)).astype(np.float32)
    result = measure_psf(noise, np.ones_like(noise), mask=everything)
    assert len(result) == 0
    nan = np.full((64, 64), np.nan, np.float32)
    assert len(measure_psf(nan, np.ones_like(nan))) == 0


def test_a_frame_of_32_pixels():
    rng = np.random.default_rng(8)
    g = np.mgrid[:32, :32]
    data = rng.poisson(100 + 5e3 * np.exp(-((g[1] - 15.3) ** 2 + (g[0] - 16.8) ** 2) / 3.6)).astype(np.float32)
    result = measure(data, box=32)
    assert len(result) >= 1
    assert np.hypot(result.x[0] - 15.3, result.y[0] - 16.8) < 0.05


def test_saturated_stars_alone_do_not_stop_the_chain():
    frame = sky(4, 300, 500)
    data = np.minimum(frame.data_e, 700).astype(np.float32)
    mesh = estimate_background(data)
    result = measure_psf(mesh.subtract_from(data), mesh.rms_map(), saturated=data >= 700)
    assert len(result) > 0.9 * len(measure(frame.data_e))
    everything = measure_psf(mesh.subtract_from(data), mesh.rms_map(), saturated=np.ones(data.shape, bool))
    assert len(everything) == 0


def test_correlated_noise_raises_thresholds_and_errors():
    frame = sky(2, 150, 400)
    rng, one = np.random.default_rng(9), np.ones(len(frame.truth))
    white = rng.normal(0, 18, (400, 400))
    correlated = sum(np.roll(white, (j, i), axis=(0, 1)) for j in (0, 1) for i in (0, 1)) / 2  # still 18 per pixel
    signal = np.zeros((400, 400))
    add_stars(
        signal,
        *(
            np.asarray(frame.truth[k])
            for k in (
                "x",
                "y",
                "flux_e",
            )
        ),
        fwhm=3.2 * one,
        e1=0 * one,
        e2=0 * one,
        beta=3.0,
    )
    data = (signal + correlated).astype(np.float32)
    rms = np.full_like(data, 18)
    result = measure_psf(data, rms, shot_noise=0.0)
    # sqrt(sum (K convolved with the average)^2 / sum K^2) of a PSF of 3.2 px; 160,000 pixels fix it to a few percent
    assert result.summary.noise_factor == pytest.approx(1.87, abs=0.1)
    plain = measure_psf((signal + white).astype(np.float32), rms, shot_noise=0.0, psf=result.psf)
    assert plain.summary.noise_factor == 1.0
    ratio = np.quantile(result.flux_err, 0.2) / np.quantile(plain.flux_err, 0.2)  # of stars that stand alone
    assert ratio == pytest.approx(result.summary.noise_factor, rel=0.03)
    blank = measure_psf(correlated.astype(np.float32) + 3000 * (np.hypot(*(np.mgrid[:400, :400] - 200)) < 1.5), rms)
    assert len(blank) <= 3


def test_a_resampled_sky_is_measured_to_its_error_bars():
    frame = sky(1, 900, 1024)
    x, y = 0.5, 0.5  # shifted by these, linear between pixels
    along = (1 - x) * frame.data_e + x * np.roll(frame.data_e, 1, axis=1)
    result = measure(((1 - y) * along + y * np.roll(along, 1, axis=0)).astype(np.float32))
    truth = frame.truth.copy()
    truth["x"], truth["y"] = truth["x"] + x, truth["y"] + y
    index = matched(result, truth)
    inside = np.all([(truth[k] > 15) & (truth[k] < 1008) for k in ("x", "y")], axis=0)
    snr, flux = np.asarray(truth["snr"]), np.asarray(truth["flux_e"])
    assert result.summary.correlation is not None
    assert result.summary.correlation.neighbours == pytest.approx((0.5, 0.5), abs=0.03)
    assert result.summary.shot_noise == pytest.approx(1 / result.summary.correlation.total)
    assert (index >= 0)[inside & (snr > 10)].mean() > 0.98
    assert (index >= 0)[inside & (snr > 5) & (snr < 10)].mean() > 0.8
    nearest = cKDTree(np.stack([truth["x"], truth["y"]], axis=1)).query(np.stack([result.x, result.y], axis=1))[0]
    assert (nearest > 3).mean() < 0.015
    whole = (index >= 0) & inside & np.asarray(truth["isolated"]) & ~np.asarray(truth["saturated"])
    for good in (whole & (snr > 10) & (snr < 50), whole & (snr > 50)):  # 80 and 44 stars
        k = index[good]
        pulls = (result.flux[k] - flux[good]) / result.flux_err[k]
        assert 1.4826 * np.median(np.abs(pulls - np.median(pulls))) == pytest.approx(1.0, abs=0.25)
        for at, true, variance in ((result.x, truth["x"], result.x_var), (result.y, truth["y"], result.y_var)):
            place = (at[k] - true[good]) / np.sqrt(variance[k])
            assert 1.4826 * np.median(np.abs(place)) == pytest.approx(1.0, abs=0.25)


def test_units_that_cannot_be_electrons_have_no_shot_noise():
    frame = sky(2, 150, 400)
    mesh = estimate_background(frame.data_e)
    data, rms = mesh.subtract_from(frame.data_e) * np.float32(1e-13), mesh.rms_map() * np.float32(1e-13)
    result = measure_psf(data, rms, gain_is_assumed=True)
    assert result.summary.shot_noise == 0
    assert len(result) == pytest.approx(len(measure(frame.data_e)), rel=0.06)
    assert measure_psf(mesh.subtract_from(frame.data_e), mesh.rms_map(), gain_is_assumed=True).summary.shot_noise == 1


def test_a_given_psf_is_used_as_it_is():
    frame = sky(2, 150, 400)
    psf = measure(frame.data_e).psf
    mesh = estimate_background(frame.data_e)
    again = measure_psf(mesh.subtract_from(frame.data_e), mesh.rms_map(), psf=psf)
    assert again.psf is psf


def test_a_given_list_of_sources_is_measured_instead_of_a_search():
    frame = sky(2, 150, 400)
    usual = measure(frame.data_e)
    mesh = estimate_background(frame.data_e)
    some = Sources(usual.x[:20].copy(), usual.y[:20].copy(), 0.5 * usual.flux[:20], usual.snr[:20].copy())
    result = measure_psf(
        mesh.subtract_from(frame.data_e), mesh.rms_map(), saturated=frame.data_e >= FULL_E, sources=some,
        options=MeasureOptions(residual_rounds=0),
    )  # fmt: skip
    assert len(result) == 20
    distance, index = cKDTree(np.stack([result.x, result.y], axis=1)).query(np.stack([some.x, some.y], axis=1))
    assert np.quantile(distance, 0.9) < 0.2
    # some have lost a faint neighbour that was fitted along
    assert np.median(np.abs(result.flux[index] - usual.flux[:20]) / usual.flux_err[:20]) < 0.5


def test_flat_field_error_enters_the_errors_only():
    frame = sky(2, 150, 400)
    usual, floored = measure(frame.data_e), measure(frame.data_e, options=MeasureOptions(flat_error=0.02))
    assert np.array_equal(usual.flux, floored.flux)
    assert floored.flux_err == pytest.approx(np.hypot(usual.flux_err, 0.02 * usual.flux))
    assert floored.snr.max() < 50


def test_psf_stars_for_other_builders():
    frame = sky(2, 150, 400)
    mesh = estimate_background(frame.data_e)
    stars, fwhm = find_psf_stars(mesh.subtract_from(frame.data_e), mesh.rms_map())
    assert fwhm == pytest.approx(3.3, abs=0.4)
    assert len(stars) >= 5
    assert np.all(np.diff(stars.flux) <= 0)
    result = measure(frame.data_e)
    used = (result.flags & SourceFlag.USED_FOR_PSF.value) != 0
    assert used.sum() == pytest.approx(len(stars), abs=2)


@pytest.mark.slow
@pytest.mark.parametrize("trail_px", [6.0, 12.0])
def test_trailed_stars_are_single_sources(trail_px):
    frame = simulate_frame(
        4,
        n_stars=400,
        camera=Camera(shape=(800, 800)),
        exposure=replace(Exposure(), cosmic_rays=None, trail_px=trail_px),
    )
    result = measure(frame.data_e)
    assert result.psf is not None
    assert result.psf.position_angle_deg == pytest.approx(30.0, abs=3.0)
    index, snr = matched(result, frame.truth, 3.0), np.asarray(frame.truth["snr"])
    assert (index >= 0)[snr > 30].mean() > 0.95
    assert len(result) < 1.1 * (snr > 4).sum()
