"""Parity, scale and their signs of a linear map to the tangent plane."""

import numpy as np
import pytest

from astrometry_service.domain.plane_affine import PlaneAffine


@pytest.mark.parametrize("rotation_deg", [0.0, 30.0, 145.0, 260.0])
@pytest.mark.parametrize("parity", [-1, 1])
def test_parity_and_scale_are_those_of_the_matrix(rotation_deg: float, parity: int) -> None:
    c, s = np.cos(np.radians(rotation_deg)), np.sin(np.radians(rotation_deg))
    turned = np.array([[c, -s], [s, c]]) @ np.diag([parity * 2.0, 2.0]) / 3600.0
    made = PlaneAffine(np.column_stack([turned, [0.1, -0.2]]), 10.0, 20.0)
    assert made.parity == parity
    assert made.scale_arcsec == pytest.approx(2.0)
