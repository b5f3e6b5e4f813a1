"""What solving a field speaks of: matches, refusals, hints and answers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from astro_shared.frame_warnings import FrameWarning
from astrometry_service.domain.header_evidence import HeaderEvidence
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.domain.solution import SkyTransform

NOT_A_MATCH = -99.0
FIELD_WIDTHS_DEG = (0.1, 180.0)
"""Widths of the longer side of a frame that are looked for when its scale is unknown."""


@dataclass(frozen=True)
class StartMatch:
    """A verified match of an image to the sky.

    Attributes
    ----------
    plane : the mapping, pixel -> tangent plane
    log_odds : natural log of the odds that the match is real against chance
    pairs : (n, 2), index into the image list, index into the reference list, both as they were given
    rms_px : rms separation of the pairs after the verification's own fit
    tested : image stars that took part in the verification
    """

    plane: PlaneAffine
    log_odds: float
    pairs: NDArray[np.intp]
    rms_px: float
    tested: int
    hypotheses: int = 0
    attempt: str = ""

    @property
    def matched_fraction(self) -> float:
        """Pairs over image stars tested."""
        return len(self.pairs) / self.tested if self.tested else 0.0


@dataclass(frozen=True)
class NoMatch:
    """Why no match was found, and how near the best hypothesis came.

    ``stopped`` says that a limit ended the search before every hypothesis was tried; ``spent`` is the work done, in
    quick checks.
    """

    reasons: tuple[str, ...]
    best_log_odds: float = NOT_A_MATCH
    hypotheses: int = 0
    verified: int = 0
    stopped: bool = False
    spent: int = 0


@dataclass(frozen=True)
class SolveHints:
    """What is known of a field before it is solved; every part may be unknown.

    Attributes
    ----------
    ra_deg, dec_deg : deg, ICRS, pointing
    radius_deg : error of the pointing
    scale_low_arcsec, scale_high_arcsec : arcsec / px
    epoch_jyear : Julian year of the exposure
    origin : where this is known from, in words
    other_reading : the same words as an earlier hint, read otherwise: looked at, not around
    """

    ra_deg: float | None = None
    dec_deg: float | None = None
    radius_deg: float = 0.5
    scale_low_arcsec: float | None = None
    scale_high_arcsec: float | None = None
    epoch_jyear: float | None = None
    origin: str = "request"
    other_reading: bool = False

    @property
    def pointing(self) -> tuple[float, float] | None:
        """(ra, dec) in degrees when both are known."""
        if self.ra_deg is None or self.dec_deg is None:
            return None
        return self.ra_deg, self.dec_deg

    @property
    def scale_range_arcsec(self) -> tuple[float, float] | None:
        """Smallest and largest scale when both are known."""
        if self.scale_low_arcsec is None or self.scale_high_arcsec is None:
            return None
        return self.scale_low_arcsec, self.scale_high_arcsec


def all_scales_arcsec(shape: tuple[int, int]) -> tuple[float, float]:
    """Limits of the scale of a frame of which nothing is known, arcsec / px.

    Parameters
    ----------
    shape : (ny, nx), px
    """
    low, high = (3600.0 * width / max(shape) for width in FIELD_WIDTHS_DEG)
    return low, high


@dataclass(frozen=True)
class EngineStatus:
    """Whether an engine can be used here, why (not), and what would make it usable."""

    name: str
    usable: bool
    reason: str
    how_to_install: str = ""
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EngineAnswer:
    """What a solving engine said, before anyone believes it.

    ``outcome`` is one of ``solved``, ``no_solution``, ``unavailable``, ``time_limit``, ``error``.
    """

    engine: str
    outcome: str
    seconds: float
    plane: PlaneAffine | None = None
    log_odds: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class SolveAttempt:
    """One way that was tried.

    ``outcome`` is one of ``solved``, ``no_solution``, ``refused``, ``unavailable``, ``time_limit``, ``error``.
    """

    engine: str
    seconds: float
    outcome: str
    detail: str = ""
    log_odds: float | None = None


@dataclass(frozen=True)
class SolveOutcome:
    """Where a frame is, or a full account of what was tried.

    Attributes
    ----------
    start : the verified match; its pairs count in the lists that it was made with
    transform : the map to start a refinement from: the header's own where that is valid, else that of ``start``
    engine : what found it
    header_valid : stars confirm the WCS of the header
    header_reason : why it is not valid, in words; empty when there is none to judge
    attempts : everything that was tried, in order
    reason : why there is no solution
    advice : what to try
    reference : reference stars of the frame, for the refinement
    reference_name, reference_layer : where they come from
    notes : what a reader should know, e.g. that a catalogue could not be reached
    evidence : what the stars say of a header's WCS that they did not confirm
    """

    start: StartMatch | None
    transform: SkyTransform | None
    engine: str | None
    header_valid: bool
    header_reason: str
    attempts: tuple[SolveAttempt, ...]
    reason: str = ""
    advice: tuple[str, ...] = ()
    reference: ReferenceStars | None = None
    reference_name: str = ""
    reference_layer: str = ""
    notes: tuple[FrameWarning, ...] = ()
    evidence: HeaderEvidence | None = None

    @property
    def solved(self) -> bool:
        """Whether there is a verified solution."""
        return self.start is not None
