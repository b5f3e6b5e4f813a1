"""Every way to read a pointing, the most plausible first."""

import pytest
from astropy.io import fits

from astro_shared.fits.keywords import frame_facts
from astro_shared.fits.pointing import MAX_READINGS, pointing_readings


def readings(*cards):
    return pointing_readings(fits.Header([fits.Card(*card) for card in cards]))[0]


def places(*cards):
    return [(round(r.ra_deg, 4), round(r.dec_deg, 4)) for r in readings(*cards)]


def test_a_small_number_is_degrees_first_and_hours_second():
    found = readings(("RA", 5.5), ("DEC", -0.5))
    assert [(r.ra_deg, r.dec_deg, r.reading) for r in found[:2]] == [(5.5, -0.5, "degrees"), (82.5, -0.5, "hours")]


@pytest.mark.parametrize("comment", ["hours", "[h]", "(h)", "RA in hrs", "[hh:mm:ss]", "right ascension, hourangle"])
def test_hours_of_the_comment_come_first(comment):
    assert places(("RA", 5.5, comment), ("DEC", 10.0))[0] == (82.5, 10.0)


@pytest.mark.parametrize("value", ["5.5h", "5.5 hours", "5,5h"])
def test_hours_behind_the_number_come_first(value):
    assert places(("RA", value), ("DEC", "10.0 deg"))[0] == (82.5, 10.0)


def test_sexagesimal_text_beyond_24_counts_degrees():
    assert places(("RA", "82:30:00"), ("DEC", "+10:00:00"))[0] == (82.5, 10.0)
    stated = places(("RA", "05:30:00", "[deg]"), ("DEC", "+10:00:00"))
    assert stated[0] == (5.5, 10.0) and (82.5, 10.0) in stated


def test_radians_are_read_where_the_header_says_so():
    assert places(("RA", 1.5, "[rad]"), ("DEC", -0.5, "radians"))[0] == (85.9437, -28.6479)


def test_exchanged_values_come_first_only_where_nothing_else_is_a_place():
    assert places(("RA", -20.0), ("DEC", 150.0))[0] == (150.0, -20.0)
    assert places(("RA", 20.0), ("DEC", 50.0))[0] == (20.0, 50.0)
    assert (50.0, 20.0) in places(("RA", 20.0), ("DEC", 50.0))
    assert (83.0, 20.0) in places(("RA", "+20:00:00"), ("DEC", "05:32:00"))


def test_the_exchange_is_said():
    facts = frame_facts(fits.Header([("RA", -20.0), ("DEC", 150.0)]))
    assert (facts.ra_deg, facts.dec_deg) == (150.0, -20.0)
    assert "exchanged" in " ".join(facts.warnings) and "can not be read" not in " ".join(facts.warnings)


def test_other_keywords_come_before_doubts():
    found = readings(("RA", 20.5), ("DEC", 30.0), ("TELRA", 100.0), ("TELDEC", 31.0))
    assert [(r.ra_deg, r.keyword) for r in found[:3]] == [(20.5, "RA"), (100.0, "TELRA"), (307.5, "RA")]


def test_every_place_is_given_once_and_their_number_is_bounded():
    pairs = ("RA", "DEC"), ("TELRA", "TELDEC"), ("OBJRA", "OBJDEC"), ("RA_TARG", "DEC_TARG"), ("RA-D", "DEC-D")
    cards = [card for n, (ra, dec) in enumerate(pairs) for card in ((ra, 1.0 + n), (dec, 2.0 + n))]
    found = places(*cards)
    assert len(found) == len(set(found)) == MAX_READINGS
    assert len(readings(("RA", 200.0), ("DEC", 80.5), ("TELRA", 200.0), ("TELDEC", 80.5))) == 1
