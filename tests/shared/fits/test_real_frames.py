"""Real frames, as published: pixels as astropy reads them, and facts known from elsewhere."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from astro_shared.fits import UnsupportedMediaError, has_sky, read_frame
from astro_shared.fits.keywords import FrameFacts, frame_facts
from astro_shared.testing.real_data import MISSING, find_real_data

DATA = find_real_data()
pytestmark = pytest.mark.skipif(DATA is None, reason=MISSING)
FRAMES = (DATA or Path()) / "frames"
HATP = "hatp32/HATP-32171220013343.FITS"

READABLE = sorted(
    str(p.relative_to(FRAMES)) for p in FRAMES.rglob("*") if p.suffix.lower() in (".fits", ".fit", ".gz", ".fz")
)  # fmt: skip


def facts(name: str) -> FrameFacts:
    return frame_facts(read_frame(FRAMES / name, check=False).header)


@pytest.mark.parametrize("name", READABLE)
def test_pixels_are_those_of_astropy(name):
    frame = read_frame(FRAMES / name, check=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(FRAMES / name) as hdus:
            expected = hdus[frame.hdu_index].data
    while expected.ndim > 2:
        expected = expected[0]
    expected = expected.astype(np.float32)
    assert np.array_equal(frame.mask, ~np.isfinite(expected))
    # we scale integers in double precision, astropy in single: half a unit in the last place
    assert np.allclose(frame.data[~frame.mask], expected[~frame.mask], rtol=1.5e-7, atol=0)


def test_bzip2_is_refused_with_the_way_out():
    with pytest.raises(UnsupportedMediaError, match="unpack it first"):
        read_frame(FRAMES / "sdss_g.fits.bz2")


def test_microobservatory_headers_are_understood():
    f = facts(HATP)
    assert f.date_mid == "2017-12-20T01:34:13.317Z"  # DATE-OBS is 18:33:43.317 -0700, 60 s exposed
    assert f.longitude_deg == -110.88  # the header counts towards the west
    assert (f.ra_deg, f.dec_deg, f.pixel_scale_arcsec) == (31.312099, 46.769087, 5.21)
    assert f.gain_e_per_adu is None


def test_whole_series_is_in_order():
    names = sorted(n for n in READABLE if n.startswith("hatp32"))
    times = [facts(n).mjd_mid for n in names]
    assert len(times) == 12 and times == sorted(times)
    assert 0.19 < times[-1] - times[0] < 0.22  # 20:33 to 01:30 local


def test_a_plate_of_1951_has_its_date_and_exposure():
    f = facts("M6707HH.fits")
    assert f.exposure_s == 3000.0
    assert f.epoch_jyear == pytest.approx(1951.9110, abs=0.002)  # the plate's own EPOCH card
    assert f.longitude_deg == pytest.approx(-116.8633, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "longitude"),
    [("decam_tpv_N6_r.fits", -70.8149), ("kmtnet_tpv_cutout.fits", 20.8106), ("ntt_emmi_na36.fits", -70.7345),
     ("lco_sinistro_mef_raw.fits", -104.0152), ("panoptes_unsolved.fits", -155.58), ("astride_long.fits", 20.8111)],
)  # fmt: skip
def test_observatories_are_where_they_are_on_the_globe(name, longitude):
    assert facts(name).longitude_deg == pytest.approx(longitude, abs=1e-3)


def test_gains_are_those_of_the_pixels():
    assert facts("hst_wfc3_pluto_flc.fits").gain_e_per_adu == 1.0  # electrons
    assert facts("ukidss.fits").gain_e_per_adu == 4.5
    assert facts("lco_sinistro_mef_raw.fits").gain_e_per_adu == 6.42  # of the amplifier, not of the primary
    assert facts("spitzer_irac_glon.fits").gain_e_per_adu is None  # MJy/sr


def test_a_cube_and_a_galactic_frame_keep_their_sky():
    for name in (
        "l1448_13co.fits",
        "spitzer_irac_glon.fits",
        "ukidss.fits",
        "decam_tpv_N6_r.fits",
        "panoptes_solved.fits.fz",
    ):
        assert has_sky(read_frame(FRAMES / name, check=False).header), name


def test_pluto_is_read_with_its_quality_plane():
    plain, masked = (read_frame(FRAMES / "hst_wfc3_pluto_flc.fits", mask_hdu=m) for m in (None, "DQ"))
    quality = fits.getdata(FRAMES / "hst_wfc3_pluto_flc.fits", "DQ")
    assert plain.mask.sum() == 0
    assert np.array_equal(masked.mask, quality != 0)
