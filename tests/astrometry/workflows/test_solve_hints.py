"""What request and header say of pointing and scale, and every way to read it."""

import pytest
from astropy.io import fits

from astro_shared.contracts.astrometry import SolveRequest
from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.photometry import FrameSummary, PointingHint
from astro_shared.contracts.settings import SolveSettings
from astrometry_service.algorithms.wcs import WcsValidation, validate_header
from astrometry_service.domain.wcs_state import WcsState
from astrometry_service.workflows.solve_hints import reading_note, solve_hints, wcs_hints

NO_WCS = WcsValidation(WcsState.MISSING)

READINGS = (
    PointingHint(ra_deg=5.5333, dec_deg=-0.5, keyword="RA", reading="degrees"),
    PointingHint(ra_deg=83.0, dec_deg=-0.5, keyword="RA", reading="hours"),
)


def request(*, pointings=READINGS, **solve):
    first = pointings[0] if pointings else None
    summary = FrameSummary(
        frame_name="f.fits", hdu=0, width_px=900, height_px=700, gain_e_per_adu=1.0, read_noise_e=5.0,
        noise_model="header", pointings=pointings, ra_pointing_deg=first.ra_deg if first else None,
        dec_pointing_deg=first.dec_deg if first else None, pixel_scale_arcsec=1.5,
    )  # fmt: skip
    frame = ObjectRef(key="f.fits", sha256="0" * 64, size=1)
    return SolveRequest(frame=frame, summary=summary, solve=SolveSettings(**solve))


def test_every_reading_of_the_header_is_a_hint_the_most_plausible_first():
    first, second = solve_hints(request())
    assert first.pointing == (5.5333, -0.5) and not first.other_reading and first.origin == "header pointing"
    assert second.pointing == (83.0, -0.5) and second.other_reading and "hours" in second.origin
    assert second.scale_range_arcsec == first.scale_range_arcsec


def test_what_the_request_says_is_read_otherwise_too_but_after_the_header():
    hints = solve_hints(request(ra_deg=5.0, dec_deg=30.0))
    assert [h.pointing for h in hints] == [(5.0, 30.0), (5.5333, -0.5), (75.0, 30.0), (30.0, 5.0), (83.0, -0.5)]
    assert [h.other_reading for h in hints] == [False, False, True, True, True]
    assert not any("request" in h.origin for h in solve_hints(request(use_header=True)))


def test_the_reading_that_a_solution_has_confirmed_is_said():
    assert "hours, not as degrees" in reading_note(request(), NO_WCS, 83.1, -0.4)
    assert reading_note(request(), NO_WCS, 5.5, -0.5) == "" and reading_note(request(), NO_WCS, 200.0, 10.0) == ""
    assert "exchanged" in reading_note(request(ra_deg=5.0, dec_deg=30.0, pointings=()), NO_WCS, 30.1, 5.0)


def wcs(ra_deg, dec_deg, *, crpix1=450.0):
    """What is found in a header with a WCS of 900 x 700 pixels of 1.44 arcsec."""
    header = fits.Header()
    header.update(
        CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=ra_deg, CRVAL2=dec_deg, CRPIX1=crpix1, CRPIX2=350.0,
        CD1_1=-4e-4, CD1_2=0.0, CD2_1=0.0, CD2_2=4e-4, NAXIS=2, NAXIS1=900, NAXIS2=700,
    )  # fmt: skip
    return validate_header(header, 900, 700)


def test_a_wcs_is_also_read_as_hours_and_as_exchanged():
    own, hours, exchanged = wcs_hints(wcs(310 / 15, 12.0))
    assert own.origin == "header WCS" and not own.other_reading
    assert hours.pointing == pytest.approx((310.0, 12.0), abs=2e-3) and hours.other_reading
    assert exchanged.pointing == pytest.approx((12.0, 310 / 15), abs=2e-3) and exchanged.other_reading
    assert all(hint.scale_range_arcsec == pytest.approx((1.44 / 1.02, 1.44 * 1.02)) for hint in (own, hours, exchanged))


def test_of_a_wcs_in_hours_the_reference_point_moves_and_not_the_frame_about_it():
    (_, hours, *_) = wcs_hints(wcs(20.0, 0.0, crpix1=450.0 + 2500.0))  # the centre lies 1 degree east of CRVAL
    assert hours.pointing == pytest.approx((301.0, 0.0), abs=2e-2)


def test_a_wcs_beyond_24_and_south_has_one_reading():
    assert len(wcs_hints(wcs(150.0, -12.0))) == 1
    assert wcs_hints(NO_WCS) == []


def test_what_was_wrong_with_a_wcs_is_said():
    asked = request(pointings=())
    assert "CRVAL1 counts hours" in reading_note(asked, wcs(310 / 15, 12.0), 310.1, 12.0)
    assert "each other's place" in reading_note(asked, wcs(20.0, 12.0), 12.0, 20.1)
    assert reading_note(asked, wcs(20.0, 12.0), 20.1, 12.0) == ""
    assert reading_note(request(pointings=(), use_header=False), wcs(310 / 15, 12.0), 310.1, 12.0) == ""
