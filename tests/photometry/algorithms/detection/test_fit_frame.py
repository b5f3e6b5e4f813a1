"""What is bad, what is saturated, and scaling by powers of two."""

from __future__ import annotations

import numpy as np
import pytest

from photometry_service.algorithms.detection.fit_frame import BAD, SATURATED, fit_frame


def test_whatever_is_not_usable_is_bad():
    data, rms = np.ones((4, 5), np.float32), np.full((4, 5), 2, np.float32)
    data[0, 0], data[0, 1] = np.nan, np.inf
    rms[1, 0], rms[1, 1], rms[1, 2] = 0, np.nan, -1
    mask, saturated = np.zeros((2, 4, 5), bool)
    mask[2, 0] = saturated[2, 0] = saturated[3, 4] = True
    frame = fit_frame(data, rms, mask, saturated)
    bad = {(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0)}
    assert {tuple(p) for p in np.argwhere(frame.state == BAD).tolist()} == bad
    assert np.argwhere(frame.state == SATURATED).tolist() == [[3, 4]]
    assert np.isfinite(frame.rms).all()
    assert frame.typical_rms == 2


def test_frames_in_tiny_units_are_scaled_without_rounding():
    rng = np.random.default_rng(1)
    data = (rng.normal(0, 1, (30, 30)) * 1e-12).astype(np.float32)
    frame = fit_frame(data, np.full((30, 30), 1e-12, np.float32), shot_noise=1e-13)
    assert 0.5 <= frame.typical_rms <= 1
    assert np.array_equal(frame.data * np.float32(frame.unit), data)
    assert frame.shot_noise * frame.unit == pytest.approx(1e-13)


def test_usual_frames_are_not_copied():
    data = np.zeros((20, 20), np.float32)
    assert fit_frame(data, np.ones_like(data)).data is data


def test_wrong_shapes_and_negative_shot_noise_are_refused():
    data = np.zeros((20, 20), np.float32)
    with pytest.raises(ValueError, match="noise"):
        fit_frame(data, np.ones((20, 21), np.float32))
    with pytest.raises(ValueError, match="shot noise"):
        fit_frame(data, np.ones_like(data), shot_noise=-1.0)
