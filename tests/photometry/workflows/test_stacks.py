"""Images made of several frames, whose header does not say how: the noise of the sky does."""

import numpy as np
import pytest
from astropy.io import fits

from astro_shared.contracts.settings import InputSettings
from astro_shared.fits import RawFrame
from photometry_service.algorithms.detector.noise_hypotheses import noise_ratio, told_apart
from photometry_service.workflows.prepare_frame import PreparedFrame, prepare_frame

GAIN, READ_NOISE_E, SKY_E, FRAMES = 1.4, 6.0, 400.0, 4


def stacked(combine, *, level_adu: float = 0.0, **cards) -> PreparedFrame:
    rng = np.random.default_rng(1)
    frames = rng.poisson(SKY_E, (FRAMES, 200, 200)) + rng.normal(0, READ_NOISE_E, (FRAMES, 200, 200))
    data = (combine(frames, axis=0) / GAIN + level_adu).astype(np.float32)
    header = fits.Header(
        [("GAIN", GAIN), ("RDNOISE", READ_NOISE_E), ("EXPTIME", 60.0), ("NCOMBINE", FRAMES), *cards.items()]
    )
    raw = RawFrame(data, np.zeros(data.shape, bool), header, (), 0, (200, 200))
    return prepare_frame(raw, InputSettings(), "stack.fits")


def test_a_sum_is_told_by_its_noise():
    made = stacked(np.sum)
    assert made.frame.gain_e_per_adu == GAIN and made.frame.read_noise_e == pytest.approx(12.0)
    assert made.frame.exposure_s == 60.0
    assert "a sum (the noise of the sky shows it)" in " ".join(made.frame.warnings)


def test_a_mean_is_told_by_its_noise():
    made = stacked(np.mean)
    assert made.frame.gain_e_per_adu == FRAMES * GAIN and made.frame.exposure_s == 240.0
    assert "a mean (the noise of the sky shows it)" in " ".join(made.frame.warnings)


def test_a_sky_that_was_taken_off_tells_nothing_and_a_mean_is_assumed():
    made = stacked(np.sum, level_adu=-FRAMES * SKY_E / GAIN)
    assert made.frame.gain_e_per_adu == FRAMES * GAIN
    assert "assumed: the header does not say how" in " ".join(made.frame.warnings)


def test_what_the_header_says_is_not_doubted():
    assert stacked(np.sum, COMBINET="average").frame.gain_e_per_adu == FRAMES * GAIN


def test_noise_between_two_hypotheses_tells_neither():
    assert told_apart([1.0, 2.0]) == 0 and told_apart([0.4, 0.9]) == 1
    assert told_apart([1.2, 1.3]) is None and told_apart([2.0, 3.0]) is None and told_apart([None, 1.0]) is None
    assert noise_ratio(100.0, 10.0, 1.0, 0.0) == pytest.approx(1.0)
