"""Magnitudes of count rates against their definition."""

import numpy as np
import pytest

from photometry_service.algorithms.calibration.magnitudes import to_magnitude


def test_magnitudes_and_their_errors():
    flux, error = np.array([[1000.0, 1000.0, 10.0, 0.0, -5.0, np.nan], [10.0, 100.0, 5.0, 1.0, 1.0, 1.0]])
    mag, err = to_magnitude(flux, error, 10.0)
    assert mag[:3] == pytest.approx([-5.0, -5.0, 0.0])
    assert np.isnan(mag[3:]).all()
    assert err[:2] == pytest.approx([0.0108574, 0.108574], rel=1e-4)
    assert np.isnan(err[2:]).all()
