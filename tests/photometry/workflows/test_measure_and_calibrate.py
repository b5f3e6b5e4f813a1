"""A simulated frame through the two workflows, held against its truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.photometry import CalibrateRequest, MeasureRequest
from astro_shared.contracts.settings import InputSettings, ZeroPointSettings
from astro_shared.contracts.tables import CALIBRATED, CALIBRATORS, SOURCES
from astro_shared.fits import RawFrame
from astro_shared.testing.frames import Camera, SimulatedFrame, simulate_frame
from astro_shared.testing.truth import completeness, match_to_truth, robust_sigma
from photometry_service.errors import NoStarsError
from photometry_service.workflows.calibrate_sources import CalibrateSources, Calibration
from photometry_service.workflows.measure_sources import Measurement, MeasureSources
from photometry_service.workflows.prepare_frame import prepare_frame

REF = ObjectRef(key="a", sha256="0" * 64, size=1)


def raw(frame: SimulatedFrame) -> RawFrame:
    data = frame.data.astype(np.float32)
    return RawFrame(data, np.zeros(data.shape, bool), frame.header, (), 0, data.shape)


def measured(image: RawFrame, **sections: object) -> Measurement:
    request = MeasureRequest(frame=REF, frame_name="sky.fits", **sections)  # type: ignore[arg-type]
    return MeasureSources()(prepare_frame(image, request.input, request.frame_name), request, lambda *_: None)


@pytest.fixture(scope="module")
def frame() -> SimulatedFrame:
    return simulate_frame(41, n_stars=300, camera=Camera(shape=(700, 800)))


@pytest.fixture(scope="module")
def measurement(frame: SimulatedFrame) -> Measurement:
    return measured(raw(frame))


def calibrated(frame: SimulatedFrame, measurement: Measurement, **settings: object) -> Calibration:
    ra, dec = frame.wcs.all_pix2world(measurement.columns["x"], measurement.columns["y"], 0)
    request = CalibrateRequest(
        sources=REF, positions=REF, reference=REF, measure=measurement.result,
        ra_center_deg=frame.sky.ra_deg, dec_center_deg=frame.sky.dec_deg, scale_arcsec_px=1.0,
        zero_point=ZeroPointSettings(**settings),  # type: ignore[arg-type]
    )  # fmt: skip
    reference = {name: np.asarray(frame.reference[name]) for name in frame.reference.colnames}
    at_epoch = frame.sky.at_epoch(frame.exposure.epoch)
    assert len(at_epoch[0]) >= len(reference["ra"])
    return CalibrateSources()(
        request, measurement.columns, {"id": measurement.columns["id"], "ra": ra, "dec": dec}, reference
    )


def test_source_table_has_every_column_of_the_contract(measurement: Measurement) -> None:
    assert set(SOURCES.names()) <= set(measurement.columns)
    assert len({len(values) for values in measurement.columns.values()}) == 1


def test_a_flat_field_error_widens_every_flux(frame: SimulatedFrame, measurement: Measurement) -> None:
    columns = measured(raw(frame), psf_photometry={"flat_error": 0.02}).columns
    for kind in ("psf", "aper_2"):
        flux, error = f"flux_{kind}", f"flux_{kind.replace('aper', 'aper_err')}" if "aper" in kind else "flux_psf_err"
        wanted = np.hypot(measurement.columns[error], 0.02 * np.maximum(columns[flux], 0))
        np.testing.assert_allclose(columns[error], wanted, rtol=1e-4)


def test_stars_are_found_and_their_fluxes_right(frame: SimulatedFrame, measurement: Measurement) -> None:
    columns = measurement.columns
    match = match_to_truth(frame.truth, columns["x"], columns["y"], shape=frame.data.shape)
    assert completeness(frame.truth, match, 10.0) >= 0.97
    truth = frame.truth[match.truth]
    good = np.asarray(truth["isolated"]) & (np.asarray(truth["snr"]) > 20) & ~np.asarray(truth["saturated"])
    pulls = (columns["flux_psf"][match.measured] - truth["flux_e"]) / columns["flux_psf_err"][match.measured]
    assert good.sum() > 25
    assert abs(np.median(pulls[good])) < 3 * 1.25 / np.sqrt(good.sum())
    assert 0.6 < robust_sigma(pulls[good]) < 1.5


def test_header_is_believed_and_said(frame: SimulatedFrame, measurement: Measurement) -> None:
    summary = measurement.result.frame
    assert summary.noise_model == "header"
    assert summary.gain_e_per_adu == pytest.approx(frame.camera.gain_e_per_adu)
    assert summary.exposure_s == pytest.approx(60.0)
    assert summary.epoch_jyear == pytest.approx(frame.exposure.epoch, abs=1e-5)


def test_missing_gain_is_assumed_openly(frame: SimulatedFrame) -> None:
    image = raw(frame)
    header = image.header.copy()
    del header["GAIN"]
    summary = measured(replace(image, header=header)).result.frame
    assert summary.noise_model == "assumed"
    assert any("no gain" in warning for warning in summary.warnings)


def test_request_beats_the_header(frame: SimulatedFrame) -> None:
    summary = measured(raw(frame), input=InputSettings(gain_e_per_adu=3.0, exposure_s=10.0)).result.frame
    assert summary.noise_model == "request"
    assert (summary.gain_e_per_adu, summary.exposure_s) == (3.0, 10.0)


def test_empty_sky_says_how_empty(frame: SimulatedFrame) -> None:
    noise = np.random.default_rng(2).normal(300, 12, (256, 256)).astype(np.float32)
    image = RawFrame(noise, np.zeros(noise.shape, bool), frame.header, (), 0, noise.shape)
    with pytest.raises(NoStarsError, match=r"nothing above S/N .* over a sky of"):
        measured(image)


def test_zero_point_is_the_true_one(frame: SimulatedFrame, measurement: Measurement) -> None:
    report = calibrated(frame, measurement).report
    assert report.status == "calibrated" and report.value is not None and report.error is not None
    assert abs(report.value - frame.zero_point_at(report.color_zero or 0.0)) < max(3 * report.error, 0.01)
    assert report.band == "G"


def test_the_flux_scale_counts_in_the_total_error_alone(frame: SimulatedFrame, measurement: Measurement) -> None:
    report = calibrated(frame, measurement).report
    scale = measurement.result.aperture_correction_err_mag
    assert report.error is not None and report.error_total is not None and scale is not None and scale > 0
    assert report.error_total == pytest.approx(np.hypot(report.error, scale))


def test_both_magnitudes_are_right_within_their_errors(frame: SimulatedFrame, measurement: Measurement) -> None:
    done = calibrated(frame, measurement)
    match = match_to_truth(frame.truth, measurement.columns["x"], measurement.columns["y"], shape=frame.data.shape)
    truth = frame.truth[match.truth]
    good = np.asarray(truth["isolated"]) & (np.asarray(truth["snr"]) > 20) & ~np.asarray(truth["saturated"])
    for kind in ("psf", "aper"):
        value, error = (done.calibrated[f"mag_cal_{kind}{part}"][match.measured] for part in ("", "_err_total"))
        pulls = ((value - np.asarray(truth["mag"])) / error)[good]
        assert abs(np.nanmedian(pulls)) < 0.6
        assert 0.6 < robust_sigma(pulls[np.isfinite(pulls)]) < 1.5


def test_every_reference_star_has_its_fate(frame: SimulatedFrame, measurement: Measurement) -> None:
    done = calibrated(frame, measurement)
    assert set(done.calibrators) == set(CALIBRATORS.names())
    assert set(done.calibrated) == set(CALIBRATED.names())
    unused = ~done.calibrators["used"]
    assert np.all(done.calibrators["reason"][unused] != "")
    assert np.all(done.calibrators["reason"][~unused] == "")
    assert len(done.calibrators["used"]) == len(frame.reference)


def test_wrong_band_ends_uncalibrated_with_the_reason(frame: SimulatedFrame, measurement: Measurement) -> None:
    done = calibrated(frame, measurement, band="K")
    assert done.report.status == "uncalibrated"
    assert "no band K" in (done.report.reason or "")
    assert np.isnan(done.calibrated["mag_cal_psf"]).all()


def test_fixed_extinction_moves_the_zero_point_above_the_atmosphere(
    frame: SimulatedFrame, measurement: Measurement
) -> None:
    absorbed = calibrated(frame, measurement)
    fixed = calibrated(frame, measurement, extinction="fixed", extinction_mag=0.2)
    assert fixed.report.value is not None and absorbed.report.value is not None and absorbed.report.airmass is not None
    assert fixed.report.value - absorbed.report.value == pytest.approx(0.2 * absorbed.report.airmass, abs=1e-6)
    assert np.allclose(fixed.calibrated["mag_cal_psf"], absorbed.calibrated["mag_cal_psf"], equal_nan=True)


def test_colour_mosaic_is_blended_and_said() -> None:
    header = fits.Header({"FILTER": "RGGB"})
    noise = np.random.default_rng(3).normal(200.0, 5.0, (64, 64)).astype(np.float32)
    noise[0::2, 0::2] += 300.0
    image = RawFrame(noise, np.zeros(noise.shape, bool), header, (), 0, noise.shape)
    prepared = prepare_frame(image, InputSettings(), "mosaic.fits")
    assert prepared.frame.data.std() < 5.0
    assert any("colour mosaic (RGGB)" in warning for warning in prepared.frame.warnings)


def test_stars_of_one_pixel_are_not_taken_for_cosmic_rays() -> None:
    """Of an unknown noise and hardly wider than a pixel, as in a frame that was reduced sixteen-fold."""
    rng = np.random.default_rng(8)
    data = rng.normal(2770.0, 2.0, (256, 256))
    x, y = rng.integers(8, 248, (2, 60))
    data[y, x] += 10 ** rng.uniform(2.3, 4.5, 60)
    data[y, x + 1] += 0.05 * (data[y, x] - 2770)
    pixels = data.astype(np.float32)
    image = RawFrame(pixels, np.zeros(pixels.shape, bool), fits.Header(), (), 0, pixels.shape)
    found = measured(image)
    near = np.hypot(found.columns["x"][:, None] - x, found.columns["y"][:, None] - y).min(axis=0)
    assert (near < 1.0).mean() > 0.9
    assert any("these are the stars" in warning for warning in found.result.frame.warnings)


def test_band_that_gaia_does_not_have_comes_by_its_colour_relation(
    frame: SimulatedFrame, measurement: Measurement
) -> None:
    report = calibrated(frame, measurement, band="V").report
    assert report.status == "calibrated" and report.band == "V"
    assert "from Gaia DR3" in (report.system or "")
    # G - V is -0.03 to -0.3 for stars of BP - RP 0.3 to 1.2
    plain = calibrated(frame, measurement, band="G").report
    assert report.value is not None and plain.value is not None
    assert 0.0 < report.value - plain.value < 0.6


def test_one_frame_asked_to_fit_the_extinction_absorbs_it_and_says_where_it_is_fitted(
    frame: SimulatedFrame, measurement: Measurement
) -> None:
    done = calibrated(frame, measurement, extinction="fit")
    assert done.report.status == "calibrated" and done.report.extinction == "absorbed"
    assert done.report.value == calibrated(frame, measurement).report.value
    assert any("/api/v1/extinction" in warning for warning in done.report.warnings)


def test_a_difference_image_is_not_calibrated(frame: SimulatedFrame, measurement: Measurement) -> None:
    no_sky = "a difference of two images (OBSTYPE = DIFF)"
    told = replace(measurement, result=measurement.result.model_copy(update={"no_sky": no_sky}))
    done = calibrated(frame, told)
    assert done.report.status == "uncalibrated"
    assert no_sky in (done.report.reason or "")


def test_quality_figures_of_a_simulated_frame_are_healthy(measurement: Measurement) -> None:
    result = measurement.result
    assert result.no_sky is None
    assert result.chi2_median == pytest.approx(1.0, abs=0.15)
    assert result.core_residual_over_noise == pytest.approx(1.0, abs=0.35)
    ratios = [ratio for _, ratio in result.curve_of_growth]
    assert len(ratios) == 4 and ratios == sorted(ratios) and 0.5 < ratios[0] < ratios[-1] < 1.05


def test_completeness_on_request_has_magnitudes_and_repeats(frame: SimulatedFrame, measurement: Measurement) -> None:
    assert measurement.result.completeness is None
    found = measured(raw(frame), products={"completeness": True})
    report = found.result.completeness
    assert report is not None and found.result.noise_flux_e is not None
    assert report == measured(raw(frame), products={"completeness": True}).result.completeness
    share = np.array([np.nan if value is None else value for value in report.fraction])
    assert sum(report.injected) > 50
    assert np.nanmean(share[:3]) < 0.4 and np.nanmean(share[-4:]) > 0.85
    assert report.flux_50_e is not None
    # the threshold is 4.7 times the error of a flux of zero
    assert 3 < report.flux_50_e / found.result.noise_flux_e < 8
    told = replace(measurement, result=measurement.result.model_copy(update={"completeness": report}))
    zero = calibrated(frame, told).report
    assert zero.value is not None and zero.completeness_50_mag is not None
    assert zero.completeness_50_mag == pytest.approx(zero.value - 2.5 * np.log10(report.flux_50_e / 60.0))


def test_positions_are_quoted_near_their_bound(measurement: Measurement) -> None:
    assert measurement.result.position_error_over_bound == pytest.approx(1.1, abs=0.25)
