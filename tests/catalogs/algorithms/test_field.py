"""The field of a frame, and the coarse cone it is asked about."""

import numpy as np
import pytest

from catalogs_service.algorithms.field import MARGIN_DEG, field_of, snapped
from catalogs_service.algorithms.sphere import separation_deg
from catalogs_service.domain.regions import Cone


@pytest.mark.parametrize("dec", [-90.0, -89.95, -60.0, 0.0, 45.0, 89.99, 90.0])
@pytest.mark.parametrize("radius", [0.01, 0.13, 0.25, 1.0, 9.0])
def test_a_snapped_cone_holds_the_given_one_and_is_little_larger(dec, radius):
    rng = np.random.default_rng(1)
    for ra in [0.0, 359.9999, *rng.uniform(0, 360, 30)]:
        cone = snapped(Cone(float(ra), dec, radius))
        shift = separation_deg(ra, dec, cone.ra_deg, cone.dec_deg)
        assert shift + radius <= cone.radius_deg
        assert cone.radius_deg < 1.27 * radius


def test_dithered_frames_ask_the_same_question():
    rng = np.random.default_rng(2)
    cones = {snapped(Cone(120 + dx, 30 + dy, 0.3)) for dx, dy in rng.uniform(-0.005, 0.005, (50, 2))}
    assert len(cones) <= 4


def test_the_field_of_positions_has_a_margin():
    cone = field_of(np.array([359.9, 0.1]), np.array([0.0, 0.0]))
    assert separation_deg(cone.ra_deg, cone.dec_deg, 0.0, 0.0) < 1e-6
    assert cone.radius_deg == pytest.approx(0.1 + MARGIN_DEG, abs=1e-6)
