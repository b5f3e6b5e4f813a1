"""Magnitudes in other systems from Gaia DR3 photometry: G - X as a polynomial of BP - RP.

References
----------
Carrasco & Bellazzini, Gaia DR3 documentation, section 5.5.1, tables 5.8 and 5.9 (coefficients, scatter) and 5.10 (ranges);
Riello et al. (2021), A&A 649, A3, table C.1 (ranges). The coefficient of the linear term of r is 0.08592.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ColorRelation:
    """G - X = sum c_k (BP - RP)^k.

    Attributes
    ----------
    coefficients : mag, ascending powers
    scatter_mag : of single stars about the relation
    color_range : BP - RP between which it was fitted
    """

    band: str
    system: str
    coefficients: tuple[float, ...]
    scatter_mag: float
    color_range: tuple[float, float]

    def inside(self, bp_rp: Array) -> NDArray[np.bool_]:
        """(n,): whether a colour lies in the range; False for NaN."""
        return np.asarray((bp_rp >= self.color_range[0]) & (bp_rp <= self.color_range[1]))

    def magnitude(self, g_mag: Array, bp_rp: Array) -> Array:
        """(n,), mag; NaN outside the range or without a colour."""
        value = g_mag - np.polynomial.polynomial.polyval(bp_rp, self.coefficients)
        return np.where(self.inside(bp_rp), value, np.nan)

    def error(self, g_err: Array, bp_rp: Array, bp_rp_err: Array) -> Array:
        """(n,), mag, one sigma: photon noise carried through, and the scatter of the relation."""
        slope = np.polynomial.polynomial.polyval(bp_rp, np.polynomial.polynomial.polyder(self.coefficients))
        return np.sqrt(g_err**2 + (slope * bp_rp_err) ** 2 + self.scatter_mag**2)


_JOHNSON_COUSINS, _SDSS = "Johnson-Cousins Vega, from Gaia DR3", "SDSS AB, from Gaia DR3"

COLOR_RELATIONS: dict[str, ColorRelation] = {
    relation.band: relation
    for relation in (
        # above BP - RP = 1.75 that of B holds for giants only
        ColorRelation("B", _JOHNSON_COUSINS, (0.01448, -0.6874, -0.3604, 0.06718, -0.006061), 0.0633, (-0.5, 1.75)),
        ColorRelation("V", _JOHNSON_COUSINS, (-0.02704, 0.01424, -0.2156, 0.01426), 0.03017, (-0.5, 5.0)),
        ColorRelation("R", _JOHNSON_COUSINS, (-0.02275, 0.3961, -0.1243, -0.01396, 0.003775), 0.03167, (0.0, 4.0)),
        ColorRelation("I", _JOHNSON_COUSINS, (0.01753, 0.76, -0.0991), 0.03765, (-0.5, 4.5)),
        ColorRelation("g", _SDSS, (0.2199, -0.6365, -0.1548, 0.0064), 0.0745, (0.3, 3.0)),
        ColorRelation("r", _SDSS, (-0.09837, 0.08592, 0.1907, -0.1701, 0.02263), 0.03776, (0.0, 3.0)),
        ColorRelation("i", _SDSS, (-0.293, 0.6404, -0.09609, -0.002104), 0.04092, (0.5, 2.0)),
    )
}
"""Letters of Johnson-Cousins are upper case, those of SDSS lower case."""

_PREFIXES = ("bessell", "johnson", "cousins", "sdss")


def relation_of(name: str | None) -> ColorRelation | None:
    """The relation for a band or filter by the names in use: V, Rc, Ic, r', rp, SDSS_r, Bessell-V; None for others."""
    if name is None:
        return None
    word = name.strip()
    lower = word.lower()
    for prefix in _PREFIXES:
        if lower.startswith(prefix):
            letter = word[len(prefix) :].strip(" _-.'").rstrip("pc'")
            letter = letter.lower() if prefix == "sdss" else letter.upper()
            return COLOR_RELATIONS.get(letter)
    if word in ("Rc", "Ic", "RC", "IC"):
        return COLOR_RELATIONS[word[0]]
    if len(word) == 2 and word[0] in "gri" and word[1] in "p'":
        return COLOR_RELATIONS[word[0]]
    return COLOR_RELATIONS.get(word)
