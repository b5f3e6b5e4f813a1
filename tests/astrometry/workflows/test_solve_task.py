"""The task ``solve`` on a small simulated frame: detector, plain lists, products."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from astro_shared.contracts import products
from astro_shared.contracts.astrometry import AstrometryReport, SolveRequest
from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.photometry import FrameSummary
from astro_shared.contracts.settings import AstrometrySettings, ProductSettings, SolveSettings
from astro_shared.contracts.solutions import SolutionRequest
from astro_shared.contracts.tables import TableSchema
from astro_shared.errors import UpstreamError
from astro_shared.fits.tables import read_columns, write_columns
from astro_shared.jobs.task import LocalLink, TaskContext, TaskOutput
from astro_shared.testing.frames import Camera, Exposure, SimulatedFrame, simulate_frame
from astro_shared.testing.truth import solution_error
from astrometry_service.adapters.distortion_plot import distortion_px, distortion_title, draw_distortion
from astrometry_service.adapters.sky_index_store import SkyIndexStore
from astrometry_service.algorithms.matching.sky_index import IndexOptions
from astrometry_service.algorithms.wcs.fits_transform import FitsTransform
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.star_lists import SkyMap
from astrometry_service.errors import NothingToSolveError, SourceListError
from astrometry_service.tasks import solution, solve
from astrometry_service.workflows.report_words import report_in_words


@pytest.fixture(scope="module")
def sim() -> SimulatedFrame:
    return simulate_frame(41, n_stars=700, camera=Camera(shape=(700, 800)), exposure=Exposure(cosmic_rays=None))


def ref(path: Path) -> ObjectRef:
    content = path.read_bytes()
    return ObjectRef(key=path.name, sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def summary(sim: SimulatedFrame) -> FrameSummary:
    ny, nx = sim.camera.shape
    return FrameSummary(
        frame_name="f.fits", hdu=0, width_px=nx, height_px=ny, epoch_jyear=sim.exposure.epoch,
        gain_e_per_adu=sim.camera.gain_e_per_adu, read_noise_e=sim.camera.read_noise_e, noise_model="header",
        saturation_e=0.98 * sim.camera.saturation_adu * sim.camera.gain_e_per_adu,
        ra_pointing_deg=sim.sky.ra_deg, dec_pointing_deg=sim.sky.dec_deg, pixel_scale_arcsec=sim.camera.scale_arcsec,
    )  # fmt: skip


def run(sim: SimulatedFrame, folder: Path, *, plots: bool = False, debug: bool = False, **inputs: Path) -> TaskOutput:
    def reference_stars(payload: dict) -> dict:
        path = folder / "reference_in.fits"
        sim.write_reference(path)
        return {"path": str(path), "layer": "list"}

    detector = "sep" if "frame" in inputs else "photometry"
    request = SolveRequest(
        summary=summary(sim), solve=SolveSettings(blind=False), products=ProductSettings(plots=plots),
        astrometry=AstrometrySettings(detector=detector, debug=debug), **{name: ref(path) for name, path in inputs.items()},
    )  # fmt: skip
    context = TaskContext(
        folder, {path.name: path for path in inputs.values()}, LocalLink({"reference_stars": reference_stars})
    )
    return solve(request, context)


def bright(sim: SimulatedFrame):
    """Stars that a person would write into a list."""
    return sim.truth[(np.asarray(sim.truth["snr"]) > 20) & ~np.asarray(sim.truth["saturated"])]


@pytest.fixture(scope="module")
def by_sep(sim: SimulatedFrame, tmp_path_factory: pytest.TempPathFactory) -> TaskOutput:
    folder = tmp_path_factory.mktemp("sep")
    stars = bright(sim)
    columns = {
        "id": np.arange(500, 500 + len(stars)), "x": np.asarray(stars["x"]), "y": np.asarray(stars["y"]),
        "flux": np.asarray(stars["flux_e"]), "x_var": np.full(len(stars), 1e-4), "y_var": np.full(len(stars), 1e-4),
    }  # fmt: skip
    write_columns(folder / "table.fits", columns, TableSchema("sources", ()))
    return run(sim, folder, plots=True, debug=True, frame=sim.write(folder / "f.fits"), sources=folder / "table.fits")


def report_of(output: TaskOutput) -> AstrometryReport:
    return AstrometryReport.model_validate(output.result["astrometry"])


def test_sep_works_on_the_frame_and_gives_places_for_the_ids_of_the_table(sim, by_sep):
    report = report_of(by_sep)
    assert report.state == "calibrated"
    positions = read_columns(by_sep.files[products.POSITIONS].path)
    stars = bright(sim)
    assert positions["id"].tolist() == list(range(500, 500 + len(stars)))
    # SEP's own list is longer than the table that was given
    assert report.n_sources > len(stars)
    east = (positions["ra"] - stars["ra"]) * np.cos(np.radians(stars["dec"])) * 3.6e6
    assert np.median(np.abs(east)) < 15.0
    assert np.all(positions["ra_err_mas"] >= 9.9)


def test_the_limit_of_a_systematic_scatter_that_is_not_seen_reaches_the_report(sim, tmp_path):
    stars = bright(sim)
    rng = np.random.default_rng(3)
    columns = {"id": np.arange(len(stars)), "flux": np.asarray(stars["flux_e"]), "x_var": np.full(len(stars), 1e-3)}
    columns |= {"y_var": columns["x_var"], "x": stars["x"] + rng.normal(0, 1e-3**0.5, len(stars))}
    columns |= {"y": stars["y"] + rng.normal(0, 1e-3**0.5, len(stars))}
    write_columns(tmp_path / "table.fits", columns, TableSchema("sources", ()))
    report = report_of(run(sim, tmp_path, sources=tmp_path / "table.fits"))
    assert report.sigma_sys_upper_mas == pytest.approx(report.report["error_model"]["upper_limit_mas"])
    assert 0.0 < report.sigma_sys_upper_mas < 30.0
    assert f"systematic scatter below {report.sigma_sys_upper_mas:.2f} mas" in report_in_words(report)


def test_pairs_of_sep_carry_the_ids_of_the_table(by_sep):
    identifiers = read_columns(by_sep.files[products.PAIRS].path)["id"]
    assert np.count_nonzero(identifiers >= 500) > 50
    assert set(np.unique(identifiers[identifiers < 500])) <= {0}


def test_sip_header_is_the_same_sky_within_what_the_report_says(sim, by_sep):
    tpv, sip = (
        WCS(fits.getheader(by_sep.files[name].path)) for name in (products.WCS, products.WCS_SIP)
    )  # fmt: skip
    apart_mas = solution_error(sip, tpv, sim.camera.shape).max_mas
    assert sip.sip is not None
    for name in (products.WCS, products.WCS_SIP):
        assert fits.getheader(by_sep.files[name].path)["JEPOCH"] == pytest.approx(sim.exposure.epoch, abs=1e-6)
    stated = report_of(by_sep).sip_max_deviation_px
    assert apart_mas <= 1000 * sim.camera.scale_arcsec * stated + 0.01
    assert stated < 0.01


def test_solution_is_right(sim, by_sep):
    wcs = WCS(fits.getheader(by_sep.files[products.WCS].path))
    report = report_of(by_sep)
    assert solution_error(wcs, sim.wcs, sim.camera.shape).rms_axis_mas < 3 * report.solution_error_mas
    assert 0 < report.rms_bright_mas < report.rms_mas


def test_debug_keeps_regions_rounds_and_matches(by_sep):
    names = {name for name in by_sep.files if name.startswith("debug/")}
    assert names == {"debug/regions.json", "debug/clipping.json", "debug/depth_match.fits"}
    regions = json.loads(by_sep.files["debug/regions.json"].path.read_text())
    assert regions["regions"] and regions["mean_affine"] is not None
    rounds = json.loads(by_sep.files["debug/clipping.json"].path.read_text())
    assert "error_clipping" in rounds
    matches = read_columns(by_sep.files["debug/depth_match.fits"].path)
    assert matches["kept"].sum() == report_of(by_sep).n_used or matches["kept"].sum() > 50


def test_words_say_where_and_how_well(by_sep):
    text = by_sep.files[products.ASTROMETRY_WORDS].path.read_text()
    report = report_of(by_sep)
    assert f"{report.ra_center_deg:.6f}" in text and "calibrated" in text and "mas rms per axis" in text


def test_words_of_a_failure_say_why_and_what_to_try():
    report = AstrometryReport(
        state="missing", solved=False, reason="3 stars, need 5", advice=("expose longer",), header_wcs="missing"
    )
    text = report_in_words(report)
    assert "3 stars, need 5" in text and "expose longer" in text


@pytest.mark.parametrize("kind", ["csv", "fits"])
def test_a_plain_list_of_x_y_flux_is_enough(sim, tmp_path, kind):
    stars = bright(sim)
    path = tmp_path / f"list.{kind}"
    if kind == "csv":
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["x", "y", "flux"])
            writer.writerows(zip(stars["x"], stars["y"], stars["flux_e"], strict=True))
    else:
        columns = {"x": np.asarray(stars["x"]), "y": np.asarray(stars["y"]), "flux": np.asarray(stars["flux_e"])}
        write_columns(path, columns, TableSchema("list", ()))
    output = run(sim, tmp_path, sources=path)
    assert report_of(output).solved and report_of(output).n_used > 50
    assert report_of(output).chi2_dof is not None
    assert read_columns(output.files[products.POSITIONS].path)["id"].tolist() == list(range(1, len(stars) + 1))


def solved_alone(sim, folder, request, **inputs):
    def reference_stars(payload: dict) -> dict:
        sim.write_reference(folder / "reference_in.fits")
        return {"path": str(folder / "reference_in.fits"), "layer": "list"}

    link = LocalLink({"reference_stars": reference_stars})
    return solution(request, TaskContext(folder, {path.name: path for path in inputs.values()}, link))


def test_a_list_inside_the_request_is_solved_without_any_file(sim, tmp_path):
    stars, (ny, nx) = bright(sim), sim.camera.shape
    columns = {"x": stars["x"].tolist(), "y": stars["y"].tolist(), "flux": stars["flux_e"].tolist()}
    scale = sim.camera.scale_arcsec
    hints = {
        "ra_deg": sim.sky.ra_deg % 360,
        "dec_deg": sim.sky.dec_deg,
        "scale_low_arcsec": scale / 1.02,
        "scale_high_arcsec": scale * 1.02,
    }
    request = SolutionRequest(
        name="list", stars=columns, width_px=nx, height_px=ny, epoch_jyear=sim.exposure.epoch,
        solve=SolveSettings(blind=False, **hints), products=ProductSettings(plots=False),
    )  # fmt: skip
    report = report_of(solved_alone(sim, tmp_path, request))
    assert report.solved and report.n_used > 50 and report.epoch_jyear == pytest.approx(sim.exposure.epoch)


def test_a_frame_alone_is_solved_with_what_its_header_says(sim, tmp_path):
    path = sim.write(tmp_path / "f.fits")
    request = SolutionRequest(
        name="f.fits", frame=ref(path), solve=SolveSettings(blind=False), products=ProductSettings(plots=False)
    )
    report = report_of(solved_alone(sim, tmp_path, request, frame=path))
    assert report.state == "calibrated"


def test_sep_without_a_frame_is_refused_not_ignored(sim, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("x,y,flux\n1,2,3\n")
    request = SolveRequest(summary=summary(sim), sources=ref(path), astrometry=AstrometrySettings(detector="sep"))
    with pytest.raises(NothingToSolveError, match="needs the frame"):
        solve(request, TaskContext(tmp_path, {path.name: path}, LocalLink()))


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "x,y,flux\n1,2\n", ""])
def test_a_list_that_is_none_is_refused_by_name(sim, tmp_path, text):
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(SourceListError):
        run(sim, tmp_path, sources=path)


def test_distortion_map_is_that_of_the_camera(sim, by_sep):
    x, y, dx, dy = (np.array(json.loads(by_sep.files["plots/distortion.json"].path.read_text())[k])
                    for k in ("x", "y", "dx_px", "dy_px"))  # fmt: skip
    true = distortion_px(FitsTransform(dict(sim.wcs_header)), sim.camera.shape)
    np.testing.assert_allclose([dx, dy], [true[2].ravel(), true[3].ravel()], atol=0.05)
    assert 1.0 < np.hypot(dx, dy).max() < 12.0
    # what is left of a linear map has no linear part
    design = np.stack([np.ones(x.size), x, y], axis=1)
    assert np.abs(np.linalg.lstsq(design, np.stack([dx, dy], axis=1), rcond=None)[0]).max() < 1e-3


def test_a_linear_map_is_said_to_be_one_and_its_rounding_is_not_drawn(tmp_path):
    plane = PlaneAffine(np.array([[-1e-3, 0.0, 0.3], [0.0, 1e-3, -0.3]]), 150.0, 20.0)
    drawn = draw_distortion(tmp_path, plane, (600, 600))
    data = json.loads(drawn["distortion.json"].read_text())
    assert max(map(abs, data["dx_px"])) < 1e-3
    assert distortion_title(5e-6).startswith("The map is linear") and "2.5 px" in distortion_title(2.5)


@pytest.mark.parametrize("accepted", [False, True])
def test_a_header_that_no_star_confirms_gives_places_only_where_it_is_accepted(sim, tmp_path, accepted):
    stars = bright(sim)
    columns = {"id": np.arange(1, len(stars) + 1), "x": stars["x"], "y": stars["y"], "flux": stars["flux_e"]}
    write_columns(tmp_path / "table.fits", columns, TableSchema("sources", ()))
    (tmp_path / "header.txt").write_text(sim.wcs_header.tostring(sep="\n"))
    request = SolveRequest(
        summary=summary(sim), solve=SolveSettings(blind=False, accept_header=accepted, limit_s=3.0),
        astrometry=AstrometrySettings(), products=ProductSettings(plots=False), sources=ref(tmp_path / "table.fits"),
        header=ref(tmp_path / "header.txt"),
    )  # fmt: skip

    def no_stars(payload: dict) -> dict:
        raise UpstreamError("the catalogues are away")

    files = {name: tmp_path / name for name in ("table.fits", "header.txt")}
    done = solve(request, TaskContext(tmp_path, files, LocalLink({"reference_stars": no_stars})))
    report = report_of(done)
    assert (report.solved, report.state) == (False, "unverified") and report.reason
    if not accepted:
        assert products.POSITIONS not in done.files and report.ra_center_deg is None
        assert any("accept_header" in tip for tip in report.advice)
        return
    places = read_columns(done.files[products.POSITIONS].path)
    np.testing.assert_allclose(places["ra"], stars["ra"], atol=2e-4)
    np.testing.assert_allclose(places["dec"], stars["dec"], atol=2e-4)
    assert np.isnan(places["ra_err_mas"]).all() and products.REFERENCE not in done.files
    assert any("no star has confirmed" in warning for warning in report.warnings)
    sky = WCS(fits.getheader(done.files[products.WCS].path))
    assert sky.pixel_to_world_values(0, 0)[0] == pytest.approx(float(sim.wcs.pixel_to_world_values(0, 0)[0]), abs=1e-3)


@pytest.mark.parametrize(("on_frame", "kept"), [(0, True), (3, True), (40, False)])
def test_a_header_is_kept_where_the_reference_is_too_shallow_to_judge_it(sim, tmp_path, on_frame, kept):
    """Stars of the frame that the list does not hold; those of the list that must be seen are nowhere."""
    stars = bright(sim)
    columns = {"id": np.arange(1, len(stars) + 1), "x": stars["x"], "y": stars["y"], "flux": stars["flux_e"]}
    write_columns(tmp_path / "table.fits", columns, TableSchema("sources", ()))
    (tmp_path / "header.txt").write_text(sim.wcs_header.tostring(sep="\n"))
    request = SolveRequest(
        summary=summary(sim), solve=SolveSettings(blind=False, limit_s=3.0), astrometry=AstrometrySettings(),
        products=ProductSettings(plots=False), sources=ref(tmp_path / "table.fits"), header=ref(tmp_path / "header.txt"),
    )  # fmt: skip

    def shallow(payload: dict) -> dict:
        rng = np.random.default_rng(5)
        seen = np.stack([stars["x"], stars["y"]], axis=1)
        places = rng.uniform((0, 0), (799, 699), (4000, 2))
        free = places[np.hypot(*(places[:, None] - seen[None]).T).min(axis=0) > 20.0][:on_frame]
        places = np.concatenate([free, [[-300.0, -200.0], [1100.0, 900.0]]])
        ra, dec = sim.wcs.pixel_to_world_values(*places.T)
        star = {"source_id": np.arange(len(ra)), "ra": ra, "dec": dec, "phot_g_mean_mag": np.full(len(ra), 9.0)}
        write_columns(tmp_path / "shallow.fits", star, TableSchema("reference", ()))
        return {"path": str(tmp_path / "shallow.fits"), "layer": "list"}

    files = {name: tmp_path / name for name in ("table.fits", "header.txt")}
    done = solve(request, TaskContext(tmp_path, files, LocalLink({"reference_stars": shallow})))
    report = report_of(done)
    assert (report.solved, report.state, report.header_kept) == (False, "unverified", kept)
    assert (report.n_reference_expected, report.n_reference_seen) == (on_frame, 0)
    assert (products.POSITIONS in done.files, products.WCS in done.files) == (kept, kept)
    told = " ".join(report.warnings)
    if kept:
        assert f"{on_frame} reference stars are expected on the frame, 0 seen, too few to judge it" in told
        assert not any("accept_header" in tip or "hours" in tip for tip in report.advice)
        assert "unverified, without errors" in report_in_words(report)
    else:
        assert "speak against" in told and any("accept_header" in tip for tip in report.advice)


def test_a_list_of_another_field_costs_the_magnitudes_and_not_the_solution(sim, tmp_path):
    """It is solved by the local all-sky list; numbers of its stars were looked up among those of the other field."""
    stars = bright(sim)
    columns = {"id": np.arange(1, len(stars) + 1), "x": stars["x"], "y": stars["y"], "flux": stars["flux_e"]}
    write_columns(tmp_path / "table.fits", columns, TableSchema("sources", ()))
    sim.write_reference(tmp_path / "all-sky.fits")
    known = read_columns(tmp_path / "all-sky.fits")
    SkyIndexStore(tmp_path / "sky").build(
        SkyMap.from_columns(known["ra"], known["dec"], known["phot_g_mean_mag"]), "test",
        options=IndexOptions(smallest_deg=0.15, levels=2),
    )  # fmt: skip

    def reference_stars(payload: dict) -> dict:
        nothing = {"source_id": np.zeros(0, int), **dict.fromkeys(("ra", "dec", "r_mag"), np.zeros(0))}
        write_columns(tmp_path / "other.fits", nothing, TableSchema("reference", ()))
        return {"path": str(tmp_path / "other.fits"), "layer": "list"}

    request = SolveRequest(
        summary=summary(sim), solve=SolveSettings(blind=True, limit_s=10.0), products=ProductSettings(plots=False),
        sources=ref(tmp_path / "table.fits"),
    )  # fmt: skip
    answers = {"reference_stars": reference_stars, "sky_patterns": lambda _: {"folder": str(tmp_path / "sky")}}
    done = solve(request, TaskContext(tmp_path, {"table.fits": tmp_path / "table.fits"}, LocalLink(answers)))
    report = report_of(done)
    assert report.solved and report.n_matched > 100 and report.reference_name == "all-sky"
    assert any("no stars on this frame" in warning for warning in report.warnings)
    reference = read_columns(done.files[products.REFERENCE].path)
    assert set(reference) >= {"ra", "dec", "source_id", "ra_obs"} and not [n for n in reference if n.endswith("_mag")]
    assert np.abs(reference["dec"] - sim.sky.dec_deg).max() < 5.0


def test_errors_of_places_in_the_names_of_sep_weigh_as_our_own(sim, tmp_path):
    """Every other place is off by 0.3 pixel and says so."""
    stars, rng = bright(sim), np.random.default_rng(8)
    sigma = np.where(np.arange(len(stars)) % 2, 0.3, 0.01)
    given = {"x": stars["x"] + rng.normal(0, sigma), "y": stars["y"] + rng.normal(0, sigma), "flux": stars["flux_e"]}
    errors, alphas = {}, {}
    for names in (("errx2", "erry2", "errxy"), ("x_var", "y_var", "xy_cov"), ("a", "b", "theta")):
        columns = given | dict(zip(names, (sigma**2, sigma**2, 0 * sigma), strict=True))
        write_columns(tmp_path / f"{names[0]}.fits", columns, TableSchema("list", ()))
        report = report_of(run(sim, tmp_path, sources=tmp_path / f"{names[0]}.fits"))
        assert any("not used: a, b, theta" in warning for warning in report.warnings) == (names[0] == "a")
        errors[names[0]] = report.solution_error_mas
        alphas[names[0]] = report.alpha
    assert errors["errx2"] == errors["x_var"] != errors["a"]
    assert alphas["errx2"] == pytest.approx(1.0, abs=0.2)


def test_places_that_a_refinement_could_not_better_have_the_scatter_of_the_start(sim, tmp_path, monkeypatch):
    """The places of a table, with SEP on the frame, had the errors of their centroids and nothing for the map."""

    def fails(*_, **__):
        raise ValueError("array must not be empty")

    monkeypatch.setattr("astrometry_service.workflows.refine_solution.first_fit", fails)
    stars = bright(sim)
    columns = {"id": np.arange(len(stars)), "x": stars["x"], "y": stars["y"], "flux": stars["flux_e"]}
    columns |= {"x_var": np.full(len(stars), 1e-6), "y_var": np.full(len(stars), 1e-6)}
    write_columns(tmp_path / "table.fits", columns, TableSchema("sources", ()))
    done = run(sim, tmp_path, frame=sim.write(tmp_path / "f.fits"), sources=tmp_path / "table.fits")
    report = report_of(done)
    assert report.solved and report.n_matched == 0 and "array must not be empty" in report.reason
    places = read_columns(done.files[products.POSITIONS].path)
    np.testing.assert_allclose(places["dec_err_mas"], report.report["start_scatter_mas"], rtol=1e-3)
    off = (places["dec"] - stars["dec"]) * 3.6e6
    assert 0.3 < np.sqrt(np.mean(off**2)) / np.median(places["dec_err_mas"]) < 2.0
