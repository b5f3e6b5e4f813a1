"""Planes of quality, errors and weights beside an image are used, or it is said why not."""

import numpy as np
import pytest
from astropy.io import fits

from astro_shared.fits import open_fits, read_frame

RNG = np.random.default_rng(5)
SIZE = (60, 80)


def image(level=300.0):
    return RNG.normal(level, 5.0, SIZE).astype(np.float32)


def dots(value, dtype, n=40):
    """A plane with ``value`` on n pixels, and where they are."""
    plane = np.zeros(SIZE, dtype)
    where = np.unravel_index(RNG.choice(plane.size, n, replace=False), SIZE)
    plane[where] = value
    return plane, plane != 0


def written(path, *planes, first=None, **cards):
    """A file with planes (name, pixels, cards)."""
    hdus = [fits.PrimaryHDU(first, fits.Header(list(cards.items())))]
    hdus += [fits.ImageHDU(pixels, fits.Header(list(more.items())), name=name) for name, pixels, *(more,) in planes]
    fits.HDUList(hdus).writeto(path / "frame.fits")
    return path / "frame.fits"


@pytest.mark.parametrize(
    ("name", "dtype", "value"),
    [
        ("DQ", "i2", 4),
        ("BPM", "i4", 1),
        ("MASK", "u1", 1),
        ("BADPIX", "i4", 8),
        ("SCI_DQ", "i2", 1),
        ("dataquality", "i4", 16),
    ],
)
def test_planes_of_many_names_are_masks(tmp_path, name, dtype, value):
    flags, bad = dots(value, dtype)
    frame = read_frame(written(tmp_path, ("SCI", image(), {}), (name, flags, {})), mask_hdu="auto")
    assert np.array_equal(frame.mask, bad)
    assert any("masks 0.83% of the pixels" in note for note in frame.warnings)


def test_a_mask_beside_a_primary_image_and_one_that_comes_first(tmp_path):
    flags, bad = dots(1, "u1")
    assert np.array_equal(read_frame(written(tmp_path, ("BPM", flags, {}), first=image()), mask_hdu="auto").mask, bad)
    (tmp_path / "frame.fits").unlink()
    path = written(tmp_path, ("BPM", flags, {}), ("SCI", image(), {}))
    with open_fits(path) as opened:
        assert opened.find().name == "SCI"
    assert np.array_equal(read_frame(path, mask_hdu="auto").mask, bad)


def test_planes_go_with_their_extension_version(tmp_path):
    (one, bad_one), (two, bad_two) = dots(1, "i2"), dots(1, "i2")
    planes = [("SCI", image(), {"EXTVER": 1}), ("SCI", image(), {"EXTVER": 2})]
    planes += [("DQ", two, {"EXTVER": 2}), ("DQ", one, {"EXTVER": 1})]
    path = written(tmp_path, *planes)
    assert np.array_equal(read_frame(path, 1, mask_hdu="auto").mask, bad_one)
    assert np.array_equal(read_frame(path, 2, mask_hdu="auto").mask, bad_two)


def test_a_mask_in_which_one_means_good_is_turned_over(tmp_path):
    _, bad = dots(1, "u1")
    frame = read_frame(written(tmp_path, ("SCI", image(), {}), ("MASK", (~bad).astype("u1"), {})), mask_hdu="auto")
    assert np.array_equal(frame.mask, bad)
    assert any("zero is taken for bad" in note for note in frame.warnings)


def test_a_bit_on_half_the_frame_is_left_out_and_an_unbelievable_plane_is_not_used(tmp_path):
    flags, bad = dots(4, "i4")
    flags[:, :40] |= 512
    frame = read_frame(written(tmp_path, ("SCI", image(), {}), ("DQ", flags, {})), mask_hdu="auto")
    assert np.array_equal(frame.mask, bad)
    assert any("bits 512 stand on a quarter of the frame" in note for note in frame.warnings)
    (tmp_path / "frame.fits").unlink()
    half = np.zeros(SIZE, "u1")
    half[:30] = 1
    frame = read_frame(written(tmp_path, ("SCI", image(), {}), ("MASK", half, {})), mask_hdu="auto")
    assert not frame.mask.any()
    assert any("not used: it would mask 50%" in note for note in frame.warnings)


def test_a_plane_of_another_size_is_named(tmp_path):
    path = written(tmp_path, ("SCI", image(), {}), ("DQ", np.ones((30, 40), "i2"), {}))
    frame = read_frame(path, mask_hdu="auto")
    assert not frame.mask.any()
    assert any("not used: it is 40 x 30 pixels, the image 80 x 60" in note for note in frame.warnings)


@pytest.mark.parametrize(
    ("cards", "saturated_bit", "bad_bit", "harmless_bit"),
    [
        ({"TELESCOP": "JWST"}, 2, 1, 4),
        ({"TELESCOP": "HST"}, 256, 16, 0),
        ({"ORIGIN": "LCOGT"}, 2, 1, 0),
        ({"MP_BAD": 0, "MP_SAT": 1, "MP_DETECTED": 5}, 2, 1, 32),
    ],
)
def test_saturated_pixels_get_one_level_and_no_mask(tmp_path, cards, saturated_bit, bad_bit, harmless_bit):
    data, flags = image(), np.zeros(SIZE, "i4")
    data[10, 10:13] = (41000.0, 43000.0, 42000.0)
    flags[10, 10:13], flags[20, 20], flags[30, 30] = saturated_bit, bad_bit, harmless_bit
    frame = read_frame(written(tmp_path, ("SCI", data, {}), ("DQ", flags, {}), **cards), mask_hdu="auto")
    assert np.argwhere(frame.mask).tolist() == [[20, 20]]
    assert frame.header["SATURATE"] == 43000.0
    assert np.all(frame.data[10, 10:13] == 43000.0)


def test_high_bits_do_not_hide_low_ones(tmp_path):
    flags = np.zeros(SIZE, "i4")
    flags[3, 3] = (1 << 30) | 1
    path = written(tmp_path, ("SCI", image(), {}), ("DQ", flags, {}), TELESCOP="JWST")
    assert read_frame(path, mask_hdu="auto").mask[3, 3]


@pytest.mark.parametrize(
    ("name", "none"), [("ERR", np.nan), ("VARIANCE", 0.0), ("WHT", 0.0), ("IVAR", 0.0), ("CONFIDENCE", 0.0)]
)
def test_pixels_without_an_error_or_a_weight_are_masked(tmp_path, name, none):
    _, bad = dots(1, "u1")
    values = np.where(bad, none, 7.0).astype(np.float32)
    frame = read_frame(written(tmp_path, ("SCI", image(), {}), (name, values, {})), mask_hdu="auto")
    assert np.array_equal(frame.mask, bad)
    assert any(f"in the plane {name}" in note for note in frame.warnings)


def test_without_auto_no_plane_is_used(tmp_path):
    flags, _ = dots(4, "i2")
    assert not read_frame(written(tmp_path, ("SCI", image(), {}), ("DQ", flags, {}))).mask.any()
