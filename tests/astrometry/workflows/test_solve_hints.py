"""What request and header say of pointing and scale, and every way to read it."""

from astro_shared.contracts.astrometry import SolveRequest
from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.photometry import FrameSummary, PointingHint
from astro_shared.contracts.settings import SolveSettings
from astrometry_service.workflows.solve_hints import reading_note, solve_hints

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
    assert "hours, not as degrees" in reading_note(request(), 83.1, -0.4)
    assert reading_note(request(), 5.5, -0.5) == "" and reading_note(request(), 200.0, 10.0) == ""
    assert "exchanged" in reading_note(request(ra_deg=5.0, dec_deg=30.0, pointings=()), 30.1, 5.0)
