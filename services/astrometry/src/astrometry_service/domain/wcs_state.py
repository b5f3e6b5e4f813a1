"""How far a world coordinate system can be trusted."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["WcsState"]


class WcsState(StrEnum):
    """States of a WCS, from nothing to everything.

    ============ ===============================================================================
    MISSING      the header has no celestial axes
    MALFORMED    there are cards, but no usable map from pixels to the sky
    UNVERIFIED   a usable map that no star has confirmed
    VALID        confirmed by stars: matched fraction, log-odds and rms within their limits
    CALIBRATED   refined, with an error model that describes the residuals
    ============ ===============================================================================
    """

    MISSING = "missing"
    MALFORMED = "malformed"
    UNVERIFIED = "unverified"
    VALID = "valid"
    CALIBRATED = "calibrated"
