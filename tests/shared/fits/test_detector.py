"""Gain, read noise and saturation: of ADU, of rates, of electrons, of stacks; with units in comments."""

from math import pi, sqrt

import pytest
from astropy.io import fits

from astro_shared.contracts.settings import InputSettings
from astro_shared.fits.keywords import FrameFacts, frame_facts
from astro_shared.fits.units import PixelKind, pixel_unit

FRAME = (("GAIN", 1.4), ("RDNOISE", 6.0), ("SATURATE", 60000.0), ("EXPTIME", 60.0, "[s]"))


def facts(*cards, given: InputSettings | None = None) -> FrameFacts:
    return frame_facts(fits.Header([fits.Card(*card) for card in cards]), given)


def words(found: FrameFacts) -> str:
    return " ".join(found.warnings)


RATES = ["adu/s", "ADU s-1", "DN/s", "DN/SEC", "counts/s", "counts per second", "cps", "ct/s", "ADU / sec", "count s**-1",
         "adu.s^-1", "counts s^{-1}", "DN/s/pixel", "(ADU)/(s)", "1/s", "COUNTS/SEC", "Counts sec-1"]  # fmt: skip


@pytest.mark.parametrize("unit", RATES)
def test_counts_per_second_become_electrons_of_the_exposure(unit):
    found = facts(*FRAME[:2], ("SATURATE", 1000.0), FRAME[3], ("BUNIT", unit))
    assert (found.gain_e_per_adu, found.read_noise_e, found.saturation_adu) == (pytest.approx(84.0), 6.0, 1000.0)
    assert "multiplied by the exposure of 60 s" in words(found)


@pytest.mark.parametrize("unit", ["electron/s", "e-/s", "electrons s-1", "ELECTRONS/S", "e/sec", "eps"])
def test_electrons_per_second_have_the_exposure_as_gain(unit):
    assert facts(*FRAME, ("BUNIT", unit)).gain_e_per_adu == 60.0


def test_rates_of_other_times_are_brought_to_seconds():
    assert facts(*FRAME, ("BUNIT", "adu/min")).gain_e_per_adu == pytest.approx(1.4)
    assert facts(*FRAME, ("BUNIT", "adu/ms")).gain_e_per_adu == pytest.approx(84e3)


def test_the_comment_of_a_unit_can_say_per_second():
    assert facts(*FRAME, ("BUNIT", "counts", "counts per second")).gain_e_per_adu == pytest.approx(84.0)


def test_a_unit_that_is_not_understood_is_named_once():
    found = facts(*FRAME, ("BUNIT", "kADU/s"))
    assert found.gain_e_per_adu == 1.4 and words(found).count("'kADU/s' is not understood") == 1


@pytest.mark.parametrize("unit", ["MJy/sr", "Jy", "nanomaggy", "erg/s/cm2/A", "K km/s", "W/m2/um", "mag/arcsec2"])
def test_physical_units_count_nothing(unit):
    assert pixel_unit(unit).kind is PixelKind.PHYSICAL
    assert facts(*FRAME, ("BUNIT", unit)).gain_e_per_adu is None


def test_a_level_in_adu_is_brought_to_the_rate():
    for card in (("SATURATE", 60000.0), ("SATURATE", 60000.0, "[ADU]"), ("SATURATE", 84000.0, "[e-]")):
        found = facts(*FRAME[:2], card, FRAME[3], ("BUNIT", "adu/s"))
        assert found.saturation_adu == pytest.approx(1000.0), card


def test_a_rate_without_an_exposure_is_said():
    found = facts(("GAIN", 1.4), ("BUNIT", "adu/s"))
    assert found.gain_e_per_adu == 1.4 and "exposure is not known" in words(found)


def test_the_exposure_of_the_request_counts():
    found = facts(*FRAME, ("BUNIT", "adu/s"), given=InputSettings(exposure_s=30.0, gain_e_per_adu=2.0))
    assert (found.gain_e_per_adu, found.exposure_s) == (60.0, 30.0)


@pytest.mark.parametrize("comment", ["[ADU/e-]", "ADU per electron", "adu/e", "DN/electron", "conversion from electrons to ADU",
                                     "counts/electron"])  # fmt: skip
def test_a_gain_in_adu_per_electron_is_inverted_and_said(comment):
    found = facts(("GAIN", 0.5, comment))
    assert found.gain_e_per_adu == pytest.approx(2.0) and "ADU per electron" in words(found)


@pytest.mark.parametrize("comment", ["[e-/ADU]", "electrons per ADU", "e/DN conversion", "[electrons/count]", "CCD gain", "",
                                     "Conversion from ADUs to electrons"])  # fmt: skip
def test_a_gain_in_electrons_per_adu_stays(comment):
    assert facts(("GAIN", 0.5, comment)).gain_e_per_adu == 0.5


def test_a_reciprocal_pair_shows_which_is_which():
    assert facts(("GAIN", 0.5), ("EGAIN", 2.0)).gain_e_per_adu == 2.0
    found = facts(("HIERARCH ESO DET OUT1 GAIN", 0.5), ("HIERARCH ESO DET OUT1 CONAD", 2.0))
    assert found.gain_e_per_adu == 2.0
    assert facts(("HIERARCH ESO DET OUT1 GAIN", 0.5)).gain_e_per_adu == 2.0


@pytest.mark.parametrize("card", [("GAIN", 0.0, "[dB]"), ("GAIN", 12.5, "gain in dB"), ("GAIN", 20, "Sensor gain"),
                                  ("GAIN", 5, "camera gain setting"), ("GAIN", 100), ("GAIN", 800, "ISO")])  # fmt: skip
def test_the_setting_of_a_camera_is_no_gain(card):
    found = facts(card)
    assert found.gain_e_per_adu is None and "setting of a camera" in words(found)
    assert facts(card, ("CVF", 0.8, "[e-/ADU]")).gain_e_per_adu == 0.8


def test_noise_and_levels_in_other_units():
    assert facts(("GAIN", 2.0), ("RDNOISE", 4.0, "read noise in ADU")).read_noise_e == 8.0
    assert facts(("GAIN", 2.0), ("RDNOISE", 4.0, "[DN] rms")).read_noise_e == 8.0
    assert facts(("GAIN", 2.0), ("RDNOISE", 4.0, "electrons, not ADU")).read_noise_e == 4.0
    assert facts(("GAIN", 2.0), ("SATURATE", 1e5, "in electrons")).saturation_adu == 5e4
    assert facts(("GAIN", 2.0), ("FULLWELL", 1e5)).saturation_adu == 5e4
    assert facts(("BUNIT", "electron"), ("GAIN", 2.0), ("SATURATE", 5e4, "[ADU]")).saturation_adu == 1e5
    unknown = facts(("SATURATE", 1e5, "[e-]"))
    assert unknown.saturation_adu is None and "gain is not known" in words(unknown)


COUNT = ("NCOMBINE", 4)


@pytest.mark.parametrize("card", [("NCOMBINE", 4), ("NCOMB", 4), ("STACKCNT", 4), ("NSTACK", 4),
                                  ("NIMAGES", 4, "images averaged"), ("NFRAMES", 4, "frames combined (mean)")])  # fmt: skip
def test_a_mean_has_the_electrons_of_all_frames(card):
    found = facts(*FRAME, card)
    assert (found.gain_e_per_adu, found.read_noise_e) == (pytest.approx(5.6), pytest.approx(12.0))
    assert (found.saturation_adu, found.exposure_s) == (60000.0, 240.0)
    assert "of one frame" in words(found) and "mean" in words(found)


def test_a_sum_has_the_gain_of_one_frame():
    found = facts(*FRAME, ("NCOMBINE", 4, "number of frames summed"))
    assert (found.gain_e_per_adu, found.read_noise_e, found.saturation_adu) == (1.4, 12.0, 240000.0)
    assert found.exposure_s == 60.0 and "all frames together" in words(found)


def test_a_median_has_the_level_of_a_mean_and_more_noise():
    found = facts(*FRAME, COUNT, ("COMBMETH", "median"))
    assert found.gain_e_per_adu == pytest.approx(5.6) and found.read_noise_e == pytest.approx(6 * sqrt(2 * pi))


@pytest.mark.parametrize(
    "line",
    ["imcombine: combine=average, 4 images", "Images were mean combined", "coadd of science frames: method mean"],
)
def test_history_tells_the_method(line):
    found = facts(*FRAME, COUNT, ("HISTORY", line), ("HISTORY", "bias: median combined"))
    assert found.gain_e_per_adu == pytest.approx(5.6) and "assumed: the header does not say how" not in words(found)


def test_a_count_that_may_be_of_anything_is_only_said():
    found = facts(*FRAME, ("NFRAMES", 4, "frames requested"))
    assert (found.gain_e_per_adu, found.exposure_s) == (1.4, 60.0) and "NFRAMES = 4" in words(found)


def test_one_frame_is_no_stack():
    assert facts(*FRAME, ("NCOMBINE", 1)) == facts(*FRAME)


def test_a_gain_of_the_stack_is_not_multiplied():
    found = facts(("GAIN", 5.6, "effective gain of the combined image"), COUNT, FRAME[3])
    assert found.gain_e_per_adu == 5.6
    given = facts(*FRAME, COUNT, given=InputSettings(gain_e_per_adu=5.0, read_noise_e=10.0))
    assert (given.gain_e_per_adu, given.read_noise_e) == (5.0, 10.0)


@pytest.mark.parametrize(
    ("cards", "total_s"),
    [
        ([("EXPTIME", 60.0), ("TOTEXP", 240.0)], 240.0),
        ([("EXPTIME", 240.0), ("TEXPTIME", 240.0)], 240.0),
        ([("EXPTIME", 240.0, "[s] total exposure")], 240.0),
        ([("EXPTIME", 60.0, "[s] per frame")], 240.0),
        ([("EXPTIME", 240.0), ("DATE-OBS", "2024-01-01T00:00:00"), ("DATE-END", "2024-01-01T00:05:00")], 240.0),
        ([("EXPTIME", 60.0), ("DATE-OBS", "2024-01-01T00:00:00"), ("DATE-END", "2024-01-01T00:05:00")], 240.0),
    ],
)
def test_the_exposure_of_a_stack_is_found_out(cards, total_s):
    assert facts(COUNT, *cards).exposure_s == pytest.approx(total_s)


def test_a_mean_of_rates_has_the_electrons_of_all_frames():
    found = facts(*FRAME, COUNT, ("BUNIT", "adu/s"), ("TOTEXP", 240.0))
    assert found.gain_e_per_adu == pytest.approx(1.4 * 240.0)


@pytest.mark.parametrize(
    "cards",
    [
        [("XPIXSZ", 9.0), ("FOCALLEN", 2000.0)],
        [("XPIXSZ", 9.0, "microns"), ("FOCALLEN", 2.0, "[m]")],
        [("XPIXSZ", 0.009, "[mm]"), ("FOCALLEN", 200.0, "cm")],
        [("XPIXSZ", 9e-6), ("FOCALLEN", 2.0)],
        [("XPIXSZ", 0.009), ("FOCALLEN", 78.74016, "inches")],
        [("PIXSCALE", 0.9281916 / 60, "arcmin/pixel")],
        [("PIXSCALE", 928.1916, "[mas]")],
        [("SECPIX", 0.9281916)],
        [("PIXSCALE", 0.9281916 / 3600, "deg/pix")],
    ],
)
def test_scales_and_optics_in_other_units(cards):
    assert facts(*cards).pixel_scale_arcsec == pytest.approx(0.9281916, rel=1e-5)
