"""A frame refuses what a kernel could not read."""

import numpy as np
import pytest

from photometry_service.domain.frame import Frame, NoiseModel

DATA, MASK = np.zeros((4, 6), np.float32), np.zeros((4, 6), bool)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": DATA.astype(np.float64)},
        {"data": DATA.astype(">f4")},
        {"data": DATA[0]},
        {"data": np.zeros((6, 4), np.float32).T},
        {"mask": MASK.astype(np.uint8)},
        {"mask": MASK[:3]},
        {"variance": DATA[:3]},
        {"gain_e_per_adu": 0.0},
        {"gain_e_per_adu": np.nan},
        {"read_noise_e": -1.0},
        {"saturation_e": 0.0},
        {"saturation_e": np.nan},
    ],
)
def test_wrong_arrays_and_constants_are_refused(changes):
    with pytest.raises(ValueError, match=r"must|mask is|variance is"):
        Frame(**({"data": DATA, "mask": MASK} | changes))


def test_a_frame_says_what_was_assumed():
    frame = Frame(DATA, MASK)
    assert frame.noise_model is NoiseModel.ASSUMED
    assert frame.saturation_e == np.inf
    assert frame.shape == (4, 6)


def test_changes_give_new_frames():
    frame = Frame(DATA, MASK, 1.5, 5.0, warnings=("first",))
    other = frame.with_pixels(DATA + 1).with_warning("second", "third")
    assert other.warnings == ("first", "second", "third")
    assert frame.warnings == ("first",)
    assert other.data.max() == 1
    assert frame.data.max() == 0
    assert other.mask is frame.mask
    assert other.gain_e_per_adu == 1.5
    assert frame.with_pixels(DATA, ~MASK).mask.all()
