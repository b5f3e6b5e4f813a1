"""Exposure times in every unit, without one, and contradicting each other."""

import pytest
from astropy.io import fits

from astro_shared.fits.exposure_time import EXPOSURE_KEYWORDS, read_exposure_time
from astro_shared.fits.keywords import frame_facts
from astro_shared.fits.units import SECONDS_PER, time_unit


def header(*cards) -> fits.Header:
    return fits.Header([fits.Card(*card) for card in cards])


def exposure(*cards, span_s=None, frames=1):
    return read_exposure_time(header(*cards), span_s, frames=frames)


@pytest.mark.parametrize(
    ("comment", "unit"),
    [("exposure time in ms", "ms"), ("[ms]", "ms"), ("(ms)", "ms"), ("milliseconds", "ms"), ("Exposure, msec", "ms"),
     ("ms", "ms"), ("Exposure time [milliseconds]", "ms"), ("units: ms", "ms"), ("in 1/1000 s", "ms"),
     ("exposure time in us", "us"), ("[usec]", "us"), ("microseconds", "us"), ("[??s]", "us"), ("[min]", "min"),
     ("Exposure time minutes", "min"),
     ("total exposure, min", "min"), ("[h]", "h"), ("in hours", "h"), ("[d] time on source", "d"), ("[s] exposure", "s"),
     ("(s)", "s"), ("Exposure time in seconds", "s"), ("exposure duration (seconds)--calculated", "s"), ("secs", "s"),
     ("time on source", None), ("Actual integration time", None), ("Dome exposure", None), ("", None),
     ("Integration time per exposure", None)],
)  # fmt: skip
@pytest.mark.parametrize("keyword", ["EXPTIME", "EXPOSURE"])
def test_units_of_comments_are_obeyed(keyword, comment, unit):
    assert time_unit(comment) == unit
    told = exposure((keyword, 60.0 / SECONDS_PER[unit or "s"], comment))
    assert told.seconds == pytest.approx(60.0) and not told.notes


@pytest.mark.parametrize(
    "value", ["60", "60 s", "60000 ms", "1 min", "6.0D+01", "60,0", "00:01:00", "120/2 s", "60000000us"]
)
def test_units_behind_the_number_are_obeyed(value):
    assert exposure(("EXPTIME", value)).seconds == pytest.approx(60.0)


@pytest.mark.parametrize("keyword", EXPOSURE_KEYWORDS)
def test_every_keyword_is_read(keyword):
    assert exposure((keyword, 12.5)).seconds == 12.5


@pytest.mark.parametrize(
    ("keyword", "unit"),
    [("EXP_MS", "ms"), ("EXPTIMMS", "ms"), ("EXPTIMEM", "ms"), ("EXPMSEC", "ms"), ("EXPTMS", "ms"), ("EXPOSMS", "ms"),
     ("HIERARCH EXPOSURE_TIME_MS", "ms"), ("HIERARCH exposure-us", "us"), ("EXP_US", "us"), ("INTMSEC", "ms"),
     ("EXPTIMES", "s"),
     ("EXP_MIN", "min")],
)  # fmt: skip
def test_keywords_that_name_their_unit_are_obeyed(keyword, unit):
    assert exposure((keyword, 60.0 / SECONDS_PER[unit])).seconds == pytest.approx(60.0)


def test_a_text_that_is_no_duration_is_named():
    assert "'long' in the header is not understood" in " ".join(exposure(("EXPTIME", "long")).notes)


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ([("EXPTIME", 60000), ("EXPOSURE", 60)], "EXPOSURE = 60 shows it"),
        ([("EXPTIME", 60000, "[s]"), ("EXPOSURE", 60, "[s]")], "EXPOSURE = 60 shows it"),
        ([("EXPTIME", 60000), ("EXPOSURE", 60000, "[ms]")], "EXPOSURE shows it"),
        ([("EXPTIME", 60000), ("EXPOSURE", 1.0, "minutes")], "EXPOSURE shows it"),
        ([("EXPTIME", 1.0), ("EXPOSURE", 60.0)], "EXPOSURE = 60 shows it"),
        ([("EXPTIME", 60.0), ("EXPOSURE", 60000.0)], "60 s are used"),
        ([("EXPTIME", 60.0), ("EXPOSURE", 1.0)], "60 s are used"),
        ([("EXPOSURE", 6e7), ("EXP_TIME", 60)], "EXP_TIME = 60 shows it"),
    ],
)
def test_another_card_shows_the_unit(cards, words):
    told = exposure(*cards)
    assert told.seconds == pytest.approx(60.0) and words in " ".join(told.notes)


@pytest.mark.parametrize(
    ("card", "span_s"),
    [(("EXPTIME", 60000), 60.0), (("EXPTIME", 60000), 75.0), (("EXPTIME", 60000, "[s]"), 61.0), (("EXPTIME", 6e7), 60.0),
     (("EXPTIME", 1.0), 60.0)],
)  # fmt: skip
def test_start_and_end_show_the_unit(card, span_s):
    told = exposure(card, span_s=span_s)
    assert told.seconds == pytest.approx(60.0) and f"{span_s:g} s apart" in " ".join(told.notes)


def test_a_span_that_explains_nothing_is_said():
    told = exposure(("EXPTIME", 600.0, "[s]"), span_s=60.0)
    assert told.seconds == 600.0 and "although" in " ".join(told.notes)
    assert exposure(("EXPTIME", 60.0), span_s=75.0) == exposure(("EXPTIME", 60.0))


def test_what_is_too_long_for_seconds_is_not_believed_and_said():
    told = exposure(("EXPTIME", 60000))
    assert told.seconds is None and "not believed" in " ".join(told.notes)
    assert exposure(("EXPTIME", 60000, "[s]")).seconds == 60000
    assert exposure(("EXPTIME", 60000), frames=100).seconds == 60000
    assert exposure(("EXPTIME", 60000, "total of all images")).seconds == 60000
    assert exposure(("EXPTIME", 60000), span_s=62000.0).seconds == 60000


def test_a_difference_is_said():
    told = exposure(("EXPTIME", 60.0), ("EXPOSURE", 100.0))
    assert told.seconds == 60.0 and "differ" in " ".join(told.notes)
    assert not exposure(("EXPTIME", 60.0), ("EXPOSURE", 600.0), frames=10).notes


def test_negative_and_zero_exposures_give_way():
    assert exposure(("EXPTIME", -1), ("EXPOSURE", 5)).seconds == 5
    assert exposure(("EXPTIME", 0.0)).seconds is None and not exposure(("EXPTIME", 0.0)).notes


def test_the_date_of_the_middle_follows_the_unit():
    facts = frame_facts(header(("EXPTIME", 60000, "exposure time in ms"), ("DATE-OBS", "2024-03-15T02:30:00")))
    assert (facts.exposure_s, facts.date_mid) == (60.0, "2024-03-15T02:30:30.000Z")


def test_start_and_end_alone_give_the_exposure():
    facts = frame_facts(header(("DATE-OBS", "2024-03-15T02:30:00"), ("DATE-END", "2024-03-15T02:31:00")))
    assert (facts.exposure_s, facts.date_mid) == (60.0, "2024-03-15T02:30:30.000Z")
    assert "from its start to its end" in " ".join(facts.warnings)
