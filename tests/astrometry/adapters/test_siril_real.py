"""One real solve by a real Siril, made by tests/support/make_siril_tree.sh or installed on the machine."""

import os
from pathlib import Path

import numpy as np
import pytest

from astro_shared.science.tangent_plane import project
from astro_shared.testing.components import leave_out
from astrometry_service.adapters.index_folders import IndexSkyStars, find_indexes
from astrometry_service.adapters.siril import SirilEngine
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.solving import SolveHints
from astrometry_service.domain.star_lists import StarList

pytestmark = pytest.mark.integration


def test_siril_solves_a_real_field():
    program = os.environ.get("ALIDADE_TEST_SIRIL", "siril-cli")
    scratch = Path(program).parent / "tmp" / "scratch"
    engine = SirilEngine(program=program, scratch=scratch if scratch.is_dir() else None)
    if not engine.status().usable:
        leave_out(f"Siril: {engine.status().reason}; see tests/support/make_siril_tree.sh")
    sky = IndexSkyStars(find_indexes().files).load()
    if sky is None:
        leave_out("no index files of astrometry.net on this machine")
    # three degrees wide: a field that Tycho-2 alone gives a hundred stars
    linear = 15.0 / 3600 * np.diag([-1.0, 1.0])
    truth = PlaneAffine(np.column_stack([linear, -linear @ [399.5, 299.5]]), 303.0, 46.0)
    x, y = truth.plane_to_pixel(*project(sky.ra_deg, sky.dec_deg, ra0_deg=303.0, dec0_deg=46.0))
    on = (x > 0) & (x < 800) & (y > 0) & (y < 600)
    stars = StarList.from_columns(x[on], y[on], 10 ** (-0.4 * sky.mag[on]))
    hints = SolveHints(303.2, 46.1, 1.0, 14.4, 15.6)
    answer = engine.solve(stars, (600, 800), hints, limit_s=120)
    assert answer.outcome == "solved", answer
    for corner in ((0.0, 0.0), (799.0, 599.0)):
        back = truth.sky_to_pixel(*answer.plane.pixel_to_sky(*corner))
        assert np.hypot(back[0] - corner[0], back[1] - corner[1]) < 1.0
