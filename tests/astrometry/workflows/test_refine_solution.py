import json
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from astro_shared.testing.catalogs import CatalogQuality
from astro_shared.testing.frames import Exposure
from astro_shared.testing.optics import Camera, Distortion
from astro_shared.testing.source_lists import SimulatedList, simulate_source_list
from astrometry_service.algorithms.refinement.distortion_prior import (
    DistortionPrior,
    combine_samples,
    measure_distortion,
)
from astrometry_service.algorithms.refinement.options import RefineOptions
from astrometry_service.algorithms.refinement.regions import RegionOptions
from astrometry_service.algorithms.wcs.header import transform_from_cards
from astrometry_service.algorithms.wcs.plane_fit import PixelFrame, fit_plane
from astrometry_service.algorithms.wcs.polynomials import n_terms
from astrometry_service.algorithms.wcs.tpv import TpvTransform
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.domain.solution import AstrometricSolution, SkyTransform
from astrometry_service.domain.sources import FrameGeometry, SourceList
from astrometry_service.domain.wcs_state import WcsState
from astrometry_service.workflows.refine_solution import RefineSolution


def geometry_of(sim: SimulatedList) -> FrameGeometry:
    return FrameGeometry(sim.camera.shape[1], sim.camera.shape[0], sim.exposure.epoch)


def refine(
    sim: SimulatedList, options: RefineOptions | None = None, start: SkyTransform | None = None
) -> AstrometricSolution:
    start = start or PlaneAffine(sim.start_matrix(), sim.sky.ra_deg, sim.sky.dec_deg)
    sources = SourceList.from_columns(sim.columns, position_kind="psf")
    reference = ReferenceStars.from_columns(sim.reference_columns)
    return RefineSolution(options).run(sources, reference, start, geometry_of(sim))


def error_mas(sim: SimulatedList, transform: SkyTransform) -> float:
    ny, nx = sim.camera.shape
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, nx - 1, 40), np.linspace(0, ny - 1, 40)))
    return sim.grid_error_mas(*transform.pixel_to_sky(x, y), x, y)


def floor_mas(sim: SimulatedList, degree: int) -> float:
    """Solution error of an ideal fit to all stars with S/N > 10."""
    columns, (ny, nx) = sim.columns, sim.camera.shape
    good = columns["flux_psf"] > 10 * columns["flux_psf_err"]
    frame = PixelFrame.of(nx, ny)
    design = frame.design(sim.true_x[good], sim.true_y[good], degree)
    variance = (columns["x_var"][good]) * (1000 * sim.camera.scale_arcsec) ** 2
    fit = fit_plane(frame, design, np.zeros((good.sum(), 2)), variance, ra0_deg=0, dec0_deg=0)
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, nx - 1, 40), np.linspace(0, ny - 1, 40)))
    return float(np.sqrt(fit.variance_mas2(frame.design(x, y, degree)).mean()))


@pytest.fixture(scope="module")
def usual() -> SimulatedList:
    return simulate_source_list(
        31, n_stars=2000, camera=Camera(shape=(1500, 2000)), exposure=Exposure(sigma_sys_mas=5.0)
    )


@pytest.fixture(scope="module")
def solution(usual: SimulatedList) -> AstrometricSolution:
    return refine(usual)


def test_reaches_the_floor_with_a_true_error_model(usual: SimulatedList, solution: AstrometricSolution) -> None:
    assert solution.state is WcsState.CALIBRATED and solution.improved and not solution.reasons
    model = solution.report["error_model"]
    assert model["alpha"] == pytest.approx(1.0, abs=3 * model["alpha_err"])
    assert model["sigma_sys_mas"] == pytest.approx(5.0, abs=3 * model["sigma_sys_err_mas"])
    quoted = solution.report["solution_error"]["rms_mas"]
    # 20 coefficients: the rms of one frame scatters by 16 per cent about its expectation.
    assert error_mas(usual, solution.transform) < 1.6 * quoted


@pytest.mark.slow
def test_median_error_over_the_floor_is_near_one() -> None:
    ratios = []
    for seed in range(20):
        sim = simulate_source_list(400 + seed, n_stars=1500, camera=Camera(shape=(1500, 1500)))
        found = refine(sim)
        ratios.append(error_mas(sim, found.transform) / floor_mas(sim, found.report["degree"]))
    assert np.median(ratios) <= 1.25


def test_header_is_the_transform(usual: SimulatedList, solution: AstrometricSolution) -> None:
    wcs = WCS(fits.Header(dict(solution.wcs_cards)))
    x, y = np.random.default_rng(1).uniform(0, 1499, (2, 50))
    back = solution.transform.sky_to_pixel(*wcs.all_pix2world(x, y, 0))
    np.testing.assert_allclose(back, (x, y), atol=1e-6)


def test_every_source_gets_a_place_with_true_errors(usual: SimulatedList, solution: AstrometricSolution) -> None:
    ra, dec = usual.sky.at_epoch(usual.exposure.epoch)
    places = solution.positions
    assert places.ra.shape == (len(usual.sources),) and np.isfinite(places.ra_err_mas).all()
    east = (places.ra - ra[usual.index]) * np.cos(np.radians(places.dec)) * 3.6e6 / places.ra_err_mas
    north = (places.dec - dec[usual.index]) * 3.6e6 / places.dec_err_mas
    pulls = np.concatenate([east, north])
    assert pulls.std() == pytest.approx(1.0, abs=0.08)


def test_pairs_are_right(usual: SimulatedList, solution: AstrometricSolution) -> None:
    pairs = solution.pairs
    truth = np.asarray(usual.reference.meta["truth_index"])[pairs.reference]
    right = truth == usual.index[pairs.source]
    assert right[pairs.kept].mean() > 0.999 and pairs.kept.sum() > 800
    assert not pairs.kept[~pairs.fitted].any()
    columns = pairs.columns()
    assert {c.shape for c in columns.values()} == {(len(pairs.x),)}


def test_report_is_json_and_holds_counts_thresholds_and_seconds(solution: AstrometricSolution) -> None:
    report = json.loads(json.dumps(solution.report, allow_nan=False))
    assert report["thresholds"]["error_threshold"] == 3.72 and report["thresholds"]["regions"]["columns"] == 6
    assert {"reference", "regions", "depth_match_1", "rms_clipping_1", "error_clipping", "final_chi_square"} <= set(
        report["steps"]
    )
    assert all(step["seconds"] >= 0 for step in report["steps"].values())
    chi = report["steps"]["final_chi_square"]
    assert abs(chi["kept"]["reduced"] - chi["kept"]["expected"]) < 3 * chi["kept"]["standard_error"]
    assert set(chi["bins"]) == {"mag", "colour", "radius_px", "snr"} and len(chi["residual_map"]["pairs"]) == 8


def test_same_input_gives_the_same_solution(usual: SimulatedList, solution: AstrometricSolution) -> None:
    again = refine(usual)
    assert again.wcs_cards == solution.wcs_cards
    np.testing.assert_array_equal(again.positions.ra, solution.positions.ra)


@pytest.mark.parametrize(
    ("ra", "dec", "camera"),
    [
        (359.99, -5.0, Camera(shape=(1200, 1600))),
        (40.0, 89.9, Camera(shape=(1200, 1600), mirrored=True)),
        (0.0, -90.0, Camera(shape=(1600, 1200), rotation_deg=200.0)),
        (10.0, 45.0, Camera(shape=(1200, 1600), scale_arcsec=10.0)),
        (10.0, 45.0, Camera(shape=(1200, 1600), distortion=Distortion(cubic_px=60.0, quintic_px=10.0))),
    ],
)
def test_anywhere_on_the_sky_with_any_camera(ra: float, dec: float, camera: Camera) -> None:
    sim = simulate_source_list(32, n_stars=1500, camera=camera, ra_deg=ra, dec_deg=dec)
    found = refine(sim)
    assert found.state is WcsState.CALIBRATED
    assert error_mas(sim, found.transform) < 2 * found.report["solution_error"]["rms_mas"]


def test_false_and_missing_stars_do_no_harm() -> None:
    sim = simulate_source_list(33, n_stars=2000, camera=Camera(shape=(1500, 2000)), spurious=0.15, missing=0.15)
    found = refine(sim)
    assert found.state is WcsState.CALIBRATED
    assert error_mas(sim, found.transform) < 2 * found.report["solution_error"]["rms_mas"]


def test_wrong_covariances_show_in_alpha() -> None:
    sim = simulate_source_list(34, n_stars=2000, camera=Camera(shape=(1500, 2000)), error_scale=2.0)
    model = refine(sim).report["error_model"]
    assert model["alpha"] == pytest.approx(2.0, abs=4 * model["alpha_err"])


def test_refraction_by_colour_is_found_only_where_it_is() -> None:
    camera = Camera(shape=(1500, 2000))
    with_colour = refine(simulate_source_list(35, n_stars=3000, camera=camera, exposure=Exposure(dcr_mas_per_mag=20.0)))
    east, north = with_colour.report["colour_term_mas_per_mag"]
    # The term displaces sources to the north of their reference stars: reference minus fit is negative.
    assert north == pytest.approx(-20.0, abs=5.0) and east == pytest.approx(0.0, abs=5.0)
    without = refine(simulate_source_list(35, n_stars=3000, camera=camera))
    assert without.report["colour_term_mas_per_mag"] is None


@pytest.mark.parametrize("seed", [36, 136, 236])
def test_a_perfect_start_is_kept(seed: int) -> None:
    """Nothing can be gained on the true map: the fit, whose map has the error of its stars, must not replace it."""
    sim = simulate_source_list(seed, n_stars=600, camera=Camera(shape=(1000, 1000)))
    truth = transform_from_cards(sim.camera.wcs_header(sim.sky.ra_deg, sim.sky.dec_deg))
    found = refine(sim, start=truth)
    assert found.transform is truth and not found.improved and found.distortion is None and not found.wcs_cards
    assert found.state is WcsState.VALID and found.reasons[0].startswith("cross-validated score")
    assert found.report["score"] >= found.report["start_score"]
    np.testing.assert_array_equal(found.positions.ra, truth.pixel_to_sky(sim.columns["x"], sim.columns["y"])[0])
    assert found.positions.ra_err_mas.min() > found.report["solution_error"]["rms_mas"]


def test_a_start_that_was_fitted_to_the_same_stars_is_not_kept_for_its_own_residuals() -> None:
    """The least that an affine leaves of some thirty stars: cross-validation of the same affine never comes below it."""
    improved, gain = [], []
    for seed in range(60, 72):
        camera = Camera(shape=(1000, 1000), distortion=Distortion(0.0, 0.0, 0.0))
        sim = simulate_source_list(seed, n_stars=80, camera=camera)
        columns = sim.columns
        x, y, weight = columns["x"], columns["y"], 1.0 / np.sqrt(columns["x_var"])
        true = PlaneAffine(sim.start_matrix(shift_px=0.0, rotation=0.0), sim.sky.ra_deg, sim.sky.dec_deg)
        good = (np.hypot(sim.true_x - x, sim.true_y - y) < 1.0) & (weight > 0)
        design, plane = (
            np.stack([x, y, np.ones(x.size)], axis=1)[good],
            np.stack([sim.true_x, sim.true_y, np.ones(x.size)]),
        )
        target = (true.matrix @ plane).T[good] * weight[good, None]
        fitted = np.linalg.lstsq(design * weight[good, None], target, rcond=None)[0].T
        start = PlaneAffine(fitted, sim.sky.ra_deg, sim.sky.dec_deg)
        found = refine(sim, start=start)
        improved.append(found.improved)
        gain.append(error_mas(sim, found.transform) / error_mas(sim, start))
    assert sum(improved) >= 10 and np.median(gain) < 1.05


def test_unresolved_neighbours_do_not_carry_the_fit() -> None:
    """A third of the stars have an equal companion 0.8 FWHM to the east, and the frame shows the two as one."""
    sim = simulate_source_list(
        43, n_stars=1200, camera=Camera(shape=(1500, 1500), distortion=Distortion(0.0, 0.0, 0.0))
    )
    reference, columns = dict(sim.reference_columns), sim.columns
    apart_mas = 0.8 * 3.0 * 1000 * sim.camera.scale_arcsec
    pick = np.arange(0, reference["ra"].size, 3)
    double = {name: values[pick].copy() for name, values in reference.items()}
    double["ra"] = double["ra"] + apart_mas / 3.6e6 / np.cos(np.radians(double["dec"]))
    double["source_id"] = double["source_id"] + 10**12
    rows = np.asarray(sim.reference.meta["truth_index"])
    shown = np.isin(sim.index, rows[pick])
    east_px = np.linalg.solve(sim.camera.cd_deg, np.array([0.5 * apart_mas / 3.6e6, 0.0]))
    columns["x"] = columns["x"] + shown * east_px[0]
    columns["y"] = columns["y"] + shown * east_px[1]
    found = RefineSolution(RefineOptions(fwhm_px=3.0)).run(
        SourceList.from_columns(columns, position_kind="psf"),
        ReferenceStars.from_columns({name: np.concatenate([reference[name], double[name]]) for name in reference}),
        PlaneAffine(sim.start_matrix(), sim.sky.ra_deg, sim.sky.dec_deg), geometry_of(sim),
    )  # fmt: skip
    blended = shown[found.pairs.source]
    assert blended.sum() > 50 and not found.pairs.fitted[blended].any() and not found.pairs.kept[blended].any()
    assert found.pairs.fitted[~blended].mean() > 0.8
    # Half of the distance to a companion would be seen as a shift of 400 mas of a third of the stars.
    assert error_mas(sim, found.transform) < 30.0 and found.report["error_model"]["sigma_sys_mas"] < 10.0


def plain_list(sim: SimulatedList) -> dict[str, np.ndarray]:
    """The sky as it was at the exposure, as ra, dec and a magnitude: no errors, no motions, no epoch."""
    ra, dec = sim.sky.at_epoch(sim.exposure.epoch)
    rows = np.asarray(sim.reference.meta["truth_index"])
    return {"ra": ra[rows], "dec": dec[rows], "r_mag": sim.reference_columns["phot_g_mean_mag"]}


@pytest.mark.parametrize("scale", [0.1, 0.9, 6.0])
@pytest.mark.parametrize("years", [8, 60])
def test_a_list_without_errors_and_motions_is_not_given_any(scale: float, years: int) -> None:
    """10 mas a year of assumed motion over a residual of 6 mas made every pair a chance pair."""
    camera = Camera(shape=(1000, 1000), scale_arcsec=scale, rotation_deg=20.0)
    sim = simulate_source_list(
        44, n_stars=500, camera=camera, exposure=Exposure(date_obs=f"{2016 + years}-01-01T00:00:00")
    )
    found = RefineSolution().run(
        SourceList.from_columns(sim.columns, position_kind="psf"), ReferenceStars.from_columns(plain_list(sim)),
        PlaneAffine(sim.start_matrix(), sim.sky.ra_deg, sim.sky.dec_deg), geometry_of(sim),
    )  # fmt: skip
    model = found.report["error_model"]
    assert found.state is WcsState.CALIBRATED and found.report["kept"] > 150
    assert model["alpha"] == pytest.approx(1.0, abs=4 * model["alpha_err"]) and model["catalogue_factor"] == 1.0
    assert error_mas(sim, found.transform) < 1.6 * found.report["solution_error"]["rms_mas"]
    assert "no errors of position and no proper motions" in found.notes[0]


def test_errors_of_a_list_that_are_far_too_large_do_not_cost_the_solution() -> None:
    sim = simulate_source_list(45, n_stars=700, camera=Camera(shape=(1000, 1000)))
    stars = plain_list(sim)
    n = stars["ra"].size
    stars |= {"ra_error": np.full(n, 2000.0), "dec_error": np.full(n, 2000.0)}
    found = RefineSolution().run(
        SourceList.from_columns(sim.columns, position_kind="psf"), ReferenceStars.from_columns(stars),
        PlaneAffine(sim.start_matrix(), sim.sky.ra_deg, sim.sky.dec_deg), geometry_of(sim),
    )  # fmt: skip
    assert found.state is WcsState.CALIBRATED
    assert found.report["error_model"]["catalogue_factor"] < 0.02
    assert any("smaller than the errors of the reference list" in note for note in found.notes)
    assert error_mas(sim, found.transform) < 2 * found.report["solution_error"]["rms_mas"]


@pytest.mark.parametrize("error", [ValueError("array must not be empty"), ZeroDivisionError("x"), IndexError("out")])
@pytest.mark.parametrize("step", ["first_fit", "depth_pairs", "settle_pairs", "chi_square_report"])
def test_a_numerical_failure_of_any_step_keeps_the_start_with_the_reason(
    usual: SimulatedList, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(f"astrometry_service.workflows.refine_solution.{step}", fails)
    start = PlaneAffine(usual.start_matrix(), usual.sky.ra_deg, usual.sky.dec_deg)
    found = refine(usual, start=start)
    assert found.transform is start and found.state is WcsState.VALID and not found.improved
    assert str(error) in found.reasons[0] and found.reasons[0] in found.notes
    assert str(error) in found.report["failure"]["error"] and found.pairs.x.size == 0
    # The start is off by 3 pixels in x and in y: its places must not be given the errors of their centroids.
    assert np.nanmedian(found.positions.ra_err_mas) > 2000.0


def test_a_mistake_of_the_program_is_not_taken_for_a_failure_of_numbers(
    usual: SimulatedList, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise AttributeError("no such name")

    monkeypatch.setattr("astrometry_service.workflows.refine_solution.first_fit", fails)
    with pytest.raises(AttributeError):
        refine(usual)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.0])
def test_one_source_whose_error_cannot_be_one_does_not_cost_the_solution(value: float) -> None:
    """A single NaN among the variances left the depth match without any pair."""
    sim = simulate_source_list(46, n_stars=500, camera=Camera(shape=(1000, 1000)))
    without, columns = refine(sim), sim.columns
    bad = int(np.argsort(-columns["flux_psf"])[20])
    for name in ("x_var", "y_var"):
        columns[name] = np.where(np.arange(len(columns[name])) == bad, value, columns[name])
    found = RefineSolution().run(
        SourceList.from_columns(columns), ReferenceStars.from_columns(sim.reference_columns),
        PlaneAffine(sim.start_matrix(), sim.sky.ra_deg, sim.sky.dec_deg), geometry_of(sim),
    )  # fmt: skip
    assert found.state is WcsState.CALIBRATED and found.report["kept"] >= without.report["kept"] - 3
    assert bad not in found.pairs.source and np.isfinite(found.positions.ra[bad])
    assert error_mas(sim, found.transform) < 1.6 * found.report["solution_error"]["rms_mas"]


def test_too_few_stars_keep_the_start_and_say_so() -> None:
    sim = simulate_source_list(37, n_stars=2000, camera=Camera(shape=(1500, 2000)))
    start = PlaneAffine(sim.start_matrix(), sim.sky.ra_deg, sim.sky.dec_deg)
    three = {name: values[:3] for name, values in sim.columns.items()}
    found = RefineSolution().run(
        SourceList.from_columns(three), ReferenceStars.from_columns(sim.reference_columns), start, geometry_of(sim)
    )
    assert found.state is WcsState.VALID and not found.improved and found.transform is start
    assert (
        "need 6" in found.reasons[0]
        and "failure" not in found.report
        and found.positions.ra.shape == (3,)
        and found.pairs.x.size == 0
    )


def test_a_wrong_start_is_not_made_into_a_calibrated_solution() -> None:
    sim = simulate_source_list(38, n_stars=800, camera=Camera(shape=(1500, 2000)))
    wrong = PlaneAffine(sim.start_matrix(shift_px=300.0, rotation=0.5), sim.sky.ra_deg, sim.sky.dec_deg)
    assert refine(sim, start=wrong).state is not WcsState.CALIBRATED


def test_stars_on_one_side_are_told() -> None:
    sim = simulate_source_list(39, n_stars=3000, camera=Camera(shape=(1500, 2000)))
    left = sim.true_x < 700
    found = RefineSolution().run(
        SourceList.from_columns({name: values[left] for name, values in sim.columns.items()}),
        ReferenceStars.from_columns(sim.reference_columns),
        PlaneAffine(sim.start_matrix(), sim.sky.ra_deg, sim.sky.dec_deg),
        geometry_of(sim),
    )
    error = found.report["solution_error"]
    assert error["hull_fraction"] < 0.5 and error["corner_max_mas"] > 5 * error["rms_mas"] / 2


def test_duplicate_positions_are_survived() -> None:
    sim = simulate_source_list(40, n_stars=1000, camera=Camera(shape=(1000, 1000)))
    doubled = {name: np.concatenate([values, values]) for name, values in sim.columns.items()}
    found = RefineSolution().run(
        SourceList.from_columns(doubled), ReferenceStars.from_columns(sim.reference_columns),
        PlaneAffine(sim.start_matrix(), sim.sky.ra_deg, sim.sky.dec_deg), geometry_of(sim),
    )  # fmt: skip
    assert found.pairs.reference.size == np.unique(found.pairs.reference).size
    assert error_mas(sim, found.transform) < 20.0


def test_plain_lists_and_catalogues_without_errors_work() -> None:
    """x, y, flux against ra, dec, mag: no covariances, no proper motions, no epoch."""
    sim = simulate_source_list(
        41, n_stars=1000, camera=Camera(shape=(1000, 1000)), catalog=CatalogQuality(error_scale=0.0)
    )
    columns, reference = sim.columns, sim.reference_columns
    ra, dec = sim.sky.at_epoch(sim.exposure.epoch)
    rows = np.asarray(sim.reference.meta["truth_index"])
    found = RefineSolution().run(
        SourceList.from_columns({"x": columns["x"], "y": columns["y"], "flux": columns["flux_psf"]}),
        ReferenceStars.from_columns({"ra": ra[rows], "dec": dec[rows], "g_mag": reference["phot_g_mean_mag"]}),
        PlaneAffine(sim.start_matrix(), sim.sky.ra_deg, sim.sky.dec_deg),
        replace(geometry_of(sim), epoch_jyear=None),
    )
    assert found.improved and error_mas(sim, found.transform) < 60.0
    assert {"epoch", "proper_motion", "parallax"} <= set(found.report["steps"]["reference"]["skipped"])


def test_a_reference_without_magnitudes_is_matched_as_deeply() -> None:
    sim = simulate_source_list(41, n_stars=1000, camera=Camera(shape=(1000, 1000)))
    reference = dict(sim.reference_columns)
    with_magnitudes = refine(sim)
    for name in [name for name in reference if name.startswith("phot_")]:
        del reference[name]
    found = RefineSolution().run(
        SourceList.from_columns(sim.columns, position_kind="psf"), ReferenceStars.from_columns(reference),
        PlaneAffine(sim.start_matrix(), sim.sky.ra_deg, sim.sky.dec_deg), geometry_of(sim),
    )  # fmt: skip
    assert found.report["kept"] >= 0.95 * with_magnitudes.report["kept"]


def test_debug_keeps_the_regions() -> None:
    sim = simulate_source_list(42, n_stars=1500, camera=Camera(shape=(1200, 1600)))
    found = refine(sim, RefineOptions(debug=True, regions=RegionOptions(seeds="astroalign")))
    assert len(found.products["regions"]) == 24 and found.products["mean_affine"].shape == (2, 3)


def test_prior_makes_a_sparse_frame_as_good_as_a_rich_one() -> None:
    camera = Camera(shape=(1500, 2000), distortion=Distortion(cubic_px=8.0))
    samples = []
    for seed in range(5):
        rich = simulate_source_list(600 + seed, n_stars=2000, camera=replace(camera, rotation_deg=70.0 * seed))
        columns, (ny, nx) = rich.columns, camera.shape
        frame = PixelFrame.of(nx, ny)
        truth = transform_from_cards(rich.camera.wcs_header(rich.sky.ra_deg, rich.sky.dec_deg))
        target = np.stack(truth.pixel_to_plane(columns["x"], columns["y"]), axis=1)
        noise = np.random.default_rng(seed).normal(size=target.shape) * np.sqrt(columns["x_var"])[:, None] / 3600
        variance = columns["x_var"] * 1e6
        fit = fit_plane(
            frame, frame.design(columns["x"], columns["y"], 3), target + noise, variance, ra0_deg=0, dec0_deg=0
        )
        samples.append(measure_distortion(fit, nx, ny))
    prior = combine_samples(samples)
    assert prior is not None and prior.degree == 3 and prior.frames == 5 and prior.mean_px.shape == (2, n_terms(3) - 3)
    sparse = simulate_source_list(700, n_stars=50, camera=replace(camera, rotation_deg=33.0, mirrored=False))
    alone, helped = refine(sparse), refine(sparse, RefineOptions(prior=prior))
    assert helped.report["degree"] == 3 and helped.report["thresholds"]["prior_frames"] == 5
    assert error_mas(sparse, helped.transform) < 0.2 * error_mas(sparse, alone.transform)
    assert error_mas(sparse, helped.transform) < 2 * helped.report["solution_error"]["rms_mas"] + 5.0
    assert combine_samples(samples[:2]) is None and combine_samples([]) is None


def test_prior_of_another_frame_size_is_left_alone(usual: SimulatedList, solution: AstrometricSolution) -> None:
    zeros = np.zeros((2, 7))
    prior = DistortionPrior(100, 100, zeros, np.eye(7), 9)
    found = refine(usual, RefineOptions(prior=prior))
    assert found.report["degree"] == solution.report["degree"]
    assert isinstance(found.transform, TpvTransform)
