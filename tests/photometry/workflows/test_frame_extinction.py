"""Extinction star by star, against astropy's altitudes."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time

from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.photometry import CalibrateRequest, FrameSummary, MeasureResult
from astro_shared.contracts.settings import ZeroPointSettings
from photometry_service.workflows.frame_extinction import FrameExtinction, frame_extinction

REF = ObjectRef(key="any", sha256="0" * 64, size=1)
EPOCH = Time("2026-03-01T04:00:00")
RA, DEC, K = 150.0, -10.0, 0.2
PLACES = RA + np.linspace(-0.7, 0.7, 9), DEC + np.linspace(0.7, -0.7, 9)


def extinction(width_px: int, *, latitude_deg: float | None = -30.0, **settings: object) -> FrameExtinction:
    frame = FrameSummary(
        frame_name="a.fits", hdu=0, width_px=width_px, height_px=width_px, gain_e_per_adu=1.0, read_noise_e=5.0,
        noise_model="header", epoch_jyear=EPOCH.jyear, latitude_deg=latitude_deg, longitude_deg=-70.0, elevation_m=2000.0,
        airmass_header=1.3,
    )  # fmt: skip
    measure = MeasureResult(
        frame=frame, sources=9, saturated=0, fwhm_psf_px=3.0, fwhm_marginal_px=3.0, psf_kind="moffat", psf_stars=9,
        background_e=1.0, background_rms_e=1.0, flux_kind="psf",
    )  # fmt: skip
    request = CalibrateRequest(
        sources=REF, positions=REF, reference=REF, measure=measure, ra_center_deg=RA, dec_center_deg=DEC,
        scale_arcsec_px=1.0, zero_point=ZeroPointSettings(extinction_mag=K, **settings),
    )  # type: ignore[arg-type]  # fmt: skip
    return frame_extinction(request, *PLACES)


def test_stars_of_a_wide_field_have_their_own_airmass() -> None:
    wide = extinction(5000, extinction="fixed")
    site = EarthLocation(lat=-30 * u.deg, lon=-70 * u.deg, height=2000 * u.m)
    zenith = 90 - SkyCoord(*PLACES, unit="deg").transform_to(AltAz(obstime=EPOCH, location=site)).alt.deg
    assert wide.differential
    # the secant of the true zenith distance differs from Pickering's formula by less than 0.001 above 45 degrees
    np.testing.assert_allclose(wide.source_mag, K / np.cos(np.radians(zenith)), atol=K * 2e-3)
    assert np.ptp(wide.source_mag) > 1e-3
    assert wide.center_mag == pytest.approx(np.median(wide.source_mag), abs=K * 2e-3)


def test_stars_of_a_narrow_field_share_one() -> None:
    narrow = extinction(1000, extinction="fixed")
    assert not narrow.differential
    assert set(narrow.source_mag) == {narrow.center_mag}


def test_without_a_site_the_header_counts_for_all_and_that_is_said() -> None:
    unknown = extinction(5000, latitude_deg=None, extinction="fixed")
    assert unknown.airmass == 1.3 and not unknown.differential
    assert any("centre of the field" in warning for warning in unknown.warnings)


@pytest.mark.parametrize("kind", ["absorbed", "fit"])
def test_nothing_is_taken_off_what_the_zero_point_absorbs(kind: str) -> None:
    absorbed = extinction(5000, extinction=kind)
    assert absorbed.kind == "absorbed" and absorbed.center_mag == 0 and not absorbed.source_mag.any()
    assert bool(absorbed.warnings) == (kind == "fit")
