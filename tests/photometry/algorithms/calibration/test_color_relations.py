"""Relations between Gaia and other systems: coefficients, ranges, names."""

from __future__ import annotations

import numpy as np
import pytest

from photometry_service.algorithms.calibration.color_relations import COLOR_RELATIONS, relation_of

# The Sun: G = V - 0.15 at BP - RP = 0.82; colours of Ramirez et al. (2012) and of SDSS: B-V 0.653, V-R 0.352, V-I 0.702,
# g-r 0.45, r-i 0.12. The relations scatter by 0.03 to 0.07 mag.
BP_RP_SUN = np.array([0.82])


def magnitude(band: str) -> float:
    return float(COLOR_RELATIONS[band].magnitude(np.array([10.0]), BP_RP_SUN)[0])


@pytest.mark.parametrize(("blue", "red", "color"), [
    ("B", "V", 0.653), ("V", "R", 0.352), ("V", "I", 0.702), ("g", "r", 0.45), ("r", "i", 0.12),
])  # fmt: skip
def test_colours_of_the_sun_come_out(blue: str, red: str, color: float) -> None:
    assert magnitude(blue) - magnitude(red) == pytest.approx(color, abs=0.08)


def test_outside_the_range_there_is_no_magnitude() -> None:
    colors = np.array([-0.6, 0.2, 0.31, 3.1, np.nan])
    values = COLOR_RELATIONS["g"].magnitude(np.full(5, 12.0), colors)
    assert np.isfinite(values).tolist() == [False, False, True, False, False]


def test_error_holds_noise_of_magnitude_and_colour_and_the_scatter() -> None:
    relation = COLOR_RELATIONS["V"]
    step = 1e-5
    up, down = (relation.magnitude(np.array([10.0]), np.array([1.0 + d])) for d in (step, -step))
    slope = float((up - down)[0]) / (2 * step)
    error = relation.error(np.array([0.01]), np.array([1.0]), np.array([0.02]))
    assert error[0] == pytest.approx(np.sqrt(0.01**2 + (0.02 * slope) ** 2 + 0.03017**2), rel=1e-6)


@pytest.mark.parametrize(("name", "band"), [
    ("V", "V"), ("Bessell-V", "V"), ("Rc", "R"), ("Ic", "I"), ("r", "r"), ("rp", "r"), ("g'", "g"), ("SDSS-R", "r"),
    ("sdss_i", "i"), ("Cousins R", "R"), ("G", None), ("Luminance", None), ("w", None), (None, None),
])  # fmt: skip
def test_names_of_bands(name: str | None, band: str | None) -> None:
    relation = relation_of(name)
    assert (relation.band if relation else None) == band
