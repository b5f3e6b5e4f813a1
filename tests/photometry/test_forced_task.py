"""The job ``forced`` after ``measure``, on files, as the worker runs it."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from astropy.time import Time
from pydantic import ValidationError

from astro_shared.contracts.photometry import ForcedPosition, ZeroPointTerms
from astro_shared.fits.tables import read_columns
from astro_shared.testing.exposures import Exposure
from astro_shared.testing.frames import Camera, SimulatedFrame, simulate_frame
from astro_shared.testing.truth import robust_sigma
from photometry_service.workflows.frame_extinction import airmass_at
from photometry_service.workflows.measure_positions import PositionsError

CONSTANT = ZeroPointTerms(coefficients=(25.0,), covariance=((0.03**2,),))


@pytest.fixture(scope="module")
def frame() -> SimulatedFrame:
    return simulate_frame(51, n_stars=300, camera=Camera(shape=(620, 620)))


@pytest.fixture(scope="module")
def folder(frame: SimulatedFrame, job_folder: Any) -> Any:
    folder = job_folder(frame)
    folder.measure(products={"plots": False, "maps": False})
    return folder


def test_known_stars_have_their_fluxes_by_sky_position(frame: SimulatedFrame, folder: Any) -> None:
    truth = frame.truth[np.asarray(frame.truth["isolated"]) & ~np.asarray(frame.truth["saturated"])]
    truth = truth[(np.asarray(truth["snr"]) > 15) & (np.abs(np.asarray(truth["x"]) - 310) < 280)]
    places = [ForcedPosition(ra_deg=row["ra"], dec_deg=row["dec"], name=str(n)) for n, row in enumerate(truth)]
    rows = folder.forced(places, wcs=True, zero_point=CONSTANT, extinction_mag=0.4).fluxes
    pulls = np.array([(row.flux_e - t) / row.flux_err_e for row, t in zip(rows, truth["flux_e"], strict=True)])
    assert len(pulls) > 15
    assert abs(np.median(pulls)) < 3 * 1.25 / np.sqrt(len(pulls))
    assert robust_sigma(pulls) < 1.6
    first = rows[0]
    assert first.mag == pytest.approx(24.6 - 2.5 * np.log10(first.flux_e / 60.0))
    assert first.upper_limit_e is None
    assert first.mag_err_total == pytest.approx(np.hypot(first.mag_err_stat, 0.03))


@pytest.fixture(scope="module")
def uneven(job_folder: Any) -> Any:
    """Calibrated; its sensitivity falls by 0.3 mag from left to right, which the sky flat did not tell."""
    plain = simulate_frame(52, n_stars=900, camera=Camera(shape=(620, 620)), exposure=Exposure(cosmic_rays=None))
    response = 10 ** (-0.4 * 0.3 * (np.arange(620) / 619 - 0.5))
    folder = job_folder(replace(plain, data=np.rint(plain.data * response).astype(np.uint16)))
    report = folder.calibrate(folder.measure(products={"plots": False, "maps": False}))
    assert report.terms is not None and report.spatial_order is not None and report.spatial_order > 0
    return folder, report


def test_magnitudes_are_those_of_the_catalogue_where_the_zero_point_varies(uneven: Any) -> None:
    folder, report = uneven
    tables = {name: read_columns(folder.path / f"{name}.fits") for name in ("sources", "calibrated", "calibrators")}
    stars = tables["calibrators"]
    colors = {n: color for n, color in zip(stars["id"], stars["color_ref"], strict=True) if np.isfinite(color)}
    sources, calibrated = tables["sources"], tables["calibrated"]
    bright = np.flatnonzero(sources["snr"] > 20)
    places = [ForcedPosition(x=sources["x"][n], y=sources["y"][n], color=colors.get(sources["id"][n])) for n in bright]
    rows = folder.forced(places, zero_point=report.terms).fluxes
    mag, total = (np.array([getattr(row, name) for row in rows], float) for name in ("mag", "mag_err_total"))
    pulls = (mag - calibrated["mag_cal_psf"][bright]) / calibrated["mag_cal_psf_err_stat"][bright]
    # the same pixels and profile: only what was doubtful, blended or found in the residual is weighted otherwise, and
    # fits end where a step is below a tenth of the error
    assert np.median(np.abs(pulls)) < 0.06 and np.quantile(np.abs(pulls), 0.9) < 0.5
    assert np.quantile(np.abs(total / calibrated["mag_cal_psf_err_total"][bright] - 1), 0.95) < 0.05
    # with the value alone a tenth of a magnitude is missed at the edges
    flat = folder.forced(places, zero_point=ZeroPointTerms(coefficients=(report.value,), covariance=((0.0,),))).fluxes
    slope = np.polyfit(sources["x"][bright] / 310 - 1, [row.mag for row in flat] - calibrated["mag_cal_psf"][bright], 1)
    assert abs(slope[0]) > 0.1


def test_positions_have_the_extinction_of_their_own_airmass_where_the_catalogue_has(job_folder: Any) -> None:
    folder = job_folder(simulate_frame(53, n_stars=500, camera=Camera(shape=(620, 620))))
    files = {"plots": False, "maps": False}
    place = {"latitude_deg": 30.0, "longitude_deg": 0.0}
    summary = folder.measure(products=files, input=place).frame
    center = np.array([folder.frame.sky.ra_deg]), np.array([folder.frame.sky.dec_deg])
    low = next(  # a site from which the field is low, so that airmasses differ over it
        place | {"longitude_deg": float(east)}
        for east in range(-180, 180, 5)
        if 2.5
        < (airmass_at(summary.model_copy(update={"longitude_deg": float(east)}), *center, "pickering") or [0])[0]
        < 4
    )
    zero_point = {"extinction": "fixed", "extinction_mag": 5.0, "spatial_order": 0, "color_term": "off"}
    report = folder.calibrate(folder.measure(products=files, input=low), zero_point=zero_point)
    assert report.differential_extinction and report.airmass is not None
    sources, calibrated = (read_columns(folder.path / f"{name}.fits") for name in ("sources", "calibrated"))
    bright = np.flatnonzero(sources["snr"] > 30)
    places = [ForcedPosition(x=sources["x"][n], y=sources["y"][n]) for n in bright]
    given = {"zero_point": report.terms, "airmass": report.airmass, "extinction_mag": 5.0 * report.airmass}
    off = {}
    for per_airmass in (0.0, 5.0):
        rows = folder.forced(places, wcs=True, input=low, extinction_per_airmass_mag=per_airmass, **given).fluxes
        off[per_airmass] = np.array([row.mag for row in rows]) - calibrated["mag_cal_psf"][bright]
    # over the frame the airmass changes by a hundredth and more
    assert np.quantile(np.abs(off[0.0]), 0.9) > 0.02
    assert np.quantile(np.abs(off[5.0]), 0.9) < 0.002


def test_a_star_without_a_colour_has_the_error_of_it(uneven: Any) -> None:
    folder, report = uneven
    sources = read_columns(folder.path / "sources.fits")
    place = {"x": sources["x"][3], "y": sources["y"][3]}
    known, unknown, red = folder.forced(
        [ForcedPosition(**place, color=c) for c in (report.terms.color_zero, None, report.terms.color_zero + 1)],
        zero_point=report.terms,
    ).fluxes
    assert unknown.mag == known.mag
    assert red.mag == pytest.approx(known.mag + report.color_term, abs=1e-6)
    by_color = abs(report.color_term) * report.terms.color_scatter
    assert by_color > 0.005
    assert unknown.mag_err_total == pytest.approx(np.hypot(known.mag_err_total, by_color), rel=1e-6)


def test_the_table_has_the_same_rows_as_csv(folder: Any) -> None:
    table = folder.forced([ForcedPosition(x=100.0, y=100.0, name="=1+1"), ForcedPosition(x=-50.0, y=3.0, name="off")])
    with (folder.path / "forced.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["'=1+1", "off"]
    assert float(rows[0]["flux_e"]) == table.fluxes[0].flux_e
    assert rows[1]["flux_e"] == "" and table.fluxes[1].flux_e is None


def test_every_row_says_where_when_and_in_what_light(frame: SimulatedFrame, folder: Any) -> None:
    row = frame.truth[np.argmax(np.asarray(frame.truth["snr"]))]
    ra, dec, x, y = (float(row[name]) for name in ("ra", "dec", "x", "y"))
    asked, found = folder.forced([ForcedPosition(ra_deg=ra, dec_deg=dec), ForcedPosition(x=x, y=y)], wcs=True).fluxes
    assert (asked.ra_deg, asked.dec_deg) == (ra, dec)
    assert (found.ra_deg, found.dec_deg) == (pytest.approx(ra, abs=1e-5), pytest.approx(dec, abs=1e-5))
    middle = Time(asked.date_mid.rstrip("Z"))
    assert asked.mjd_mid == pytest.approx(middle.mjd, abs=1e-8) and asked.exposure_s == 60.0 and asked.band
    assert abs(asked.bjd_tdb_mid - middle.tdb.jd) * 86400 < 505 and asked.bjd_tdb_mid != middle.tdb.jd
    plain = folder.forced([ForcedPosition(x=x, y=y)]).fluxes[0]
    assert plain.ra_deg is None and plain.bjd_tdb_mid is None and plain.mjd_mid == asked.mjd_mid


def test_empty_sky_scatters_around_zero_with_its_error(frame: SimulatedFrame, folder: Any) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.uniform(25, 595, (2, 600))
    stars = np.column_stack([frame.truth["x"], frame.truth["y"]])
    far = np.min(np.hypot(x[:, None] - stars[:, 0], y[:, None] - stars[:, 1]), axis=1) > 25
    rows = folder.forced([ForcedPosition(x=a, y=b) for a, b in zip(x[far], y[far], strict=True)]).fluxes
    pulls = np.array([row.flux_e / row.flux_err_e for row in rows])
    assert 0.8 < robust_sigma(pulls) < 1.25
    assert abs(np.median(pulls)) < 3 * 1.25 / np.sqrt(len(pulls)) + 0.1
    assert any(row.flux_e < 0 for row in rows)
    assert all(row.upper_limit_e is not None for row in rows if row.snr < 3)
    assert all(row.mag is None for row in rows)


def test_off_the_frame_is_null(folder: Any) -> None:
    row = folder.forced([ForcedPosition(x=-50.0, y=10.0)]).fluxes[0]
    assert row.flux_e is None and row.upper_limit_e is None


def test_sky_positions_without_a_solution_are_refused(folder: Any) -> None:
    with pytest.raises(PositionsError, match="no WCS"):
        folder.forced([ForcedPosition(ra_deg=150.1, dec_deg=22.2)])


@pytest.mark.parametrize("fields", [{"x": 1.0}, {}, {"x": 1.0, "y": 2.0, "ra_deg": 3.0, "dec_deg": 4.0}])
def test_half_a_position_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="either x and y"):
        ForcedPosition(**fields)
