"""Frames that tell no date, with lists whose stars have moved since."""

import numpy as np
import pytest

from astrometry_service.algorithms.refinement.options import RefineOptions
from astrometry_service.algorithms.wcs.tpv import TpvTransform
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.domain.sources import FrameGeometry, SourceList
from astrometry_service.workflows.refine_at_epoch import RefineAtEpoch

NX, NY, SCALE = 900, 700, 1.5 / 3600
TRUTH = TpvTransform.linear((210.0, 35.0), np.array([450.0, 350.0]), SCALE * np.array([[-0.8, 0.6], [0.6, 0.8]]))
MOTION = (-60.0, 40.0)


def frame(seed, *, year, spread):
    """Sources of a frame of this year, and a list of 2016 whose stars move by MOTION and by ``spread`` of their own."""
    rng = np.random.default_rng(seed)
    count = 220
    x, y = rng.uniform(5, NX - 5, count), rng.uniform(5, NY - 5, count)
    ra, dec = TRUTH.pixel_to_sky(x, y)
    pm = rng.normal(MOTION, spread, (count, 2))
    years = 2016.0 - year
    mag = rng.uniform(10, 15, count)
    columns = {
        "ra": ra + years * pm[:, 0] / 3.6e6 / np.cos(np.radians(dec)), "dec": dec + years * pm[:, 1] / 3.6e6,
        "pmra": pm[:, 0], "pmdec": pm[:, 1], "pmra_error": np.full(count, 0.1), "pmdec_error": np.full(count, 0.1),
        "ra_error": np.full(count, 0.1), "dec_error": np.full(count, 0.1), "ref_epoch": np.full(count, 2016.0),
        "phot_g_mean_mag": mag,
    }  # fmt: skip
    sigma = 0.03
    sources = {
        "x": x + rng.normal(0, sigma, count), "y": y + rng.normal(0, sigma, count), "x_var": np.full(count, sigma**2),
        "y_var": np.full(count, sigma**2), "xy_cov": np.zeros(count), "flux_psf": 10 ** (0.4 * (20 - mag)),
        "flux_psf_err": 0.01 * 10 ** (0.4 * (20 - mag)),
    }  # fmt: skip
    return SourceList.from_columns(sources, position_kind="psf"), ReferenceStars.from_columns(columns), (ra, dec)


def refined(seed, *, year, spread, epoch=None, err=None):
    sources, reference, (ra, dec) = frame(seed, year=year, spread=spread)
    found = RefineAtEpoch(RefineOptions(), None).run(sources, reference, TRUTH, FrameGeometry(NX, NY, epoch), err)
    places = found.solution.positions
    east = (places.ra - ra) * np.cos(np.radians(dec)) * 3.6e6
    return found, east / places.ra_err_mas, (places.dec - dec) * 3.6e6 / places.dec_err_mas


@pytest.mark.parametrize("year", [1986.0, 2003.0, 2015.5, 2024.0])
def test_motions_of_their_own_tell_the_epoch_of_a_frame_without_a_date(year):
    found, east, north = refined(1, year=year, spread=15.0)
    assert found.epoch_assumed and "no date" in found.note
    assert 0.0 < found.epoch_err_yr < 1.5
    assert found.solution.epoch_jyear == pytest.approx(year, abs=4 * found.epoch_err_yr)
    assert np.std(east) < 1.5 and abs(np.median(east)) < 4 and abs(np.median(north)) < 4


def test_errors_hold_a_common_motion_over_an_epoch_that_nothing_tells():
    found, east, north = refined(2, year=1986.0, spread=0.0)
    assert found.epoch_assumed and found.solution.epoch_jyear == 2016.0 and "2016.0" in found.note
    # thirty years of (-60, 40) mas / yr: as far off as the quoted error, not many times as far
    assert abs(np.median(east)) == pytest.approx(1.0, abs=0.1) and abs(np.median(north)) == pytest.approx(1.0, abs=0.1)


def test_a_known_epoch_is_taken_with_its_own_error():
    found, east, _ = refined(3, year=1986.0, spread=15.0, epoch=1986.0)
    assert not found.epoch_assumed and found.note == "" and found.epoch_err_yr == 0.0
    assert found.solution.epoch_jyear == 1986.0 and np.std(east) < 1.3
    rough, _, _ = refined(3, year=1986.0, spread=15.0, epoch=1986.0, err=0.3)
    more = rough.solution.positions.ra_err_mas**2 - found.solution.positions.ra_err_mas**2
    assert np.allclose(np.sqrt(more), 0.3 * abs(rough.motion_mas_yr[0])) and rough.motion_mas_yr[0] == pytest.approx(
        -60, abs=4
    )
