"""Sections of a detector: texts, overscan, amplifiers."""

import numpy as np
import pytest

from photometry_service.algorithms.detector.sections import (
    Amplifier,
    DetectorSection,
    SectionError,
    join_amplifiers,
    parse_section,
    subtract_overscan,
    trim,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1:512,1:512]", DetectorSection(0, 512, 0, 512)),
        (" [ 520 : 540 , 1 : 512 ] ", DetectorSection(519, 540, 0, 512)),
        ("[1025:2048,3072:2049]", DetectorSection(1024, 2048, 2048, 3072, False, True)),
        ("[10:1,1:5]", DetectorSection(0, 10, 0, 5, True, False)),
        ("UNKNOWN", None),
        ("[0:0,0:0]", None),
        ("[1:2]", None),
        ("", None),
        (None, None),
    ],
)
def test_section_texts(text, expected):
    assert parse_section(text) == expected


def test_trimming_copies_the_section():
    plane = np.arange(20.0).reshape(4, 5)
    part = trim(plane, DetectorSection(1, 4, 0, 2))
    assert np.array_equal(part, plane[:2, 1:4])
    part[:] = -1
    assert plane.min() == 0
    with pytest.raises(SectionError, match="leaves"):
        trim(plane, DetectorSection(0, 6, 0, 4))


@pytest.mark.parametrize("transpose", [False, True])
def test_overscan_drift_is_removed_and_its_noise_is_averaged(transpose):
    rng = np.random.default_rng(1)
    rows = np.arange(512)
    drift = 1000 + 3 * np.sin(rows / 250.0)
    data = (drift[:, None] + rng.normal(0, 4, (512, 300))).astype(np.float32)
    data[200, 270:] += 500.0  # a hit in the overscan
    section = DetectorSection(270, 300, 0, 512)
    if transpose:
        data, section = np.ascontiguousarray(data.T), DetectorSection(0, 512, 270, 300)
    before = data.copy()
    cleaned, level = subtract_overscan(data, section)
    # 512 medians of 30 pixels of noise 4, four coefficients: 0.08 ADU.
    assert level == pytest.approx(drift, abs=0.4)
    assert cleaned.dtype == np.float32
    assert np.median(cleaned) == pytest.approx(0.0, abs=0.2)
    assert np.array_equal(data, before)


def test_a_level_without_drift_needs_order_zero_only():
    data = np.full((16, 40), 7.0, np.float32)
    data[:, 30:] = 5.0
    cleaned, level = subtract_overscan(data, DetectorSection(30, 40, 0, 16), order=0)
    assert level == pytest.approx(np.full(16, 5.0))
    assert cleaned[:, :30] == pytest.approx(np.full((16, 30), 2.0))
    with pytest.raises(SectionError, match="short"):
        subtract_overscan(data, DetectorSection(30, 40, 0, 11), order=3)


def amplifier(value, place, size=4, ramp=False):
    data = np.full((size, size), value, np.float32)
    if ramp:
        data += np.arange(size, dtype=np.float32)[None, :] / 10
    return Amplifier(data, np.full((size, size), 2.0, np.float32), np.zeros((size, size), bool), parse_section(place))


def test_four_binned_amplifiers_make_one_detector():
    joined = join_amplifiers(
        [
            amplifier(1.0, "[1:8,1:8]", ramp=True),
            amplifier(2.0, "[16:9,1:8]", ramp=True),
            amplifier(3.0, "[1:8,16:9]"),
            amplifier(4.0, "[16:9,16:9]"),
        ]
    )
    assert joined.data.shape == (8, 8)
    assert not joined.mask.any()
    assert joined.data[0] == pytest.approx([1.0, 1.1, 1.2, 1.3, 2.3, 2.2, 2.1, 2.0])
    assert joined.data[7] == pytest.approx([3, 3, 3, 3, 4, 4, 4, 4])
    assert np.all(joined.variance == 2.0)


def test_gaps_between_amplifiers_are_masked():
    joined = join_amplifiers([amplifier(1.0, "[101:104,1:4]"), amplifier(2.0, "[107:110,1:4]")])
    assert joined.data.shape == (4, 10)
    assert np.array_equal(joined.mask[0], [False] * 4 + [True] * 2 + [False] * 4)
    assert joined.place == DetectorSection(100, 110, 0, 4)


def test_amplifiers_that_do_not_fit_are_refused():
    with pytest.raises(SectionError, match="no amplifiers"):
        join_amplifiers([])
    with pytest.raises(SectionError, match="overlaps"):
        join_amplifiers([amplifier(1.0, "[1:4,1:4]"), amplifier(2.0, "[3:6,1:4]")])
    with pytest.raises(SectionError, match="binned differently"):
        join_amplifiers([amplifier(1.0, "[1:4,1:4]"), amplifier(2.0, "[5:12,1:8]")])
    with pytest.raises(SectionError, match="divide"):
        join_amplifiers([amplifier(1.0, "[1:5,1:4]")])
    with pytest.raises(SectionError, match="too large"):
        join_amplifiers([amplifier(1.0, "[1:4,1:4]"), amplifier(1.0, "[99997:100000,99997:100000]")])
