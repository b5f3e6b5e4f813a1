"""Quality flags of a source: one table of bit, name and meaning; everything else is derived from it.

Bits 0 to 7 mean what SExtractor's ``FLAGS`` mean, so that a filter written for SExtractor keeps its sense here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

__all__ = ["FLAG_DTYPE", "FLAG_TABLE", "FlagDefinition", "SourceFlag", "flag_names"]

FLAG_DTYPE = "int32"
"""Type of the ``flags`` column."""


class SourceFlag(IntFlag):
    """Bits of the ``flags`` column."""

    CROWDED = 1 << 0
    BLENDED = 1 << 1
    SATURATED = 1 << 2
    TRUNCATED = 1 << 3
    APERTURE_INCOMPLETE = 1 << 4
    STAMP_INCOMPLETE = 1 << 5
    NOT_CONVERGED = 1 << 8
    SHIFTED = 1 << 9
    COSMIC_RAY_IN_APERTURE = 1 << 10
    COSMIC_RAY_IN_CORE = 1 << 11
    NEGATIVE_FLUX = 1 << 12
    FOUND_ON_RESIDUAL = 1 << 13
    COLOUR_UNKNOWN = 1 << 14
    USED_FOR_PSF = 1 << 15
    USED_FOR_ZERO_POINT = 1 << 16
    CLIPPED_FROM_ZERO_POINT = 1 << 17
    NOT_POINT_LIKE = 1 << 18


@dataclass(frozen=True)
class FlagDefinition:
    """One row of the table: which bit, what it is called, what it means."""

    flag: SourceFlag
    meaning: str

    @property
    def bit(self) -> int:
        """Position of the bit, from 0."""
        return int(self.flag).bit_length() - 1

    @property
    def name(self) -> str:
        """Name in lower case, as it appears in documents and interfaces."""
        return (self.flag.name or "").lower()


FLAG_TABLE: tuple[FlagDefinition, ...] = (
    FlagDefinition(
        SourceFlag.CROWDED, "a neighbour contributes more than 10 % of the flux in the aperture, or 10 % of it is bad"
    ),
    FlagDefinition(SourceFlag.BLENDED, "blended: deblended or fitted in a group"),
    FlagDefinition(SourceFlag.SATURATED, "a pixel at or above saturation"),
    FlagDefinition(SourceFlag.TRUNCATED, "touches the edge of the frame"),
    FlagDefinition(SourceFlag.APERTURE_INCOMPLETE, "aperture data incomplete: masked pixels or beyond the edge"),
    FlagDefinition(SourceFlag.STAMP_INCOMPLETE, "fit stamp incomplete: masked pixels or beyond the edge"),
    FlagDefinition(SourceFlag.NOT_CONVERGED, "the PSF fit did not converge"),
    FlagDefinition(SourceFlag.SHIFTED, "the PSF fit moved more than 1 FWHM from the detection"),
    FlagDefinition(SourceFlag.COSMIC_RAY_IN_APERTURE, "a cosmic-ray pixel in the aperture"),
    FlagDefinition(SourceFlag.COSMIC_RAY_IN_CORE, "a cosmic-ray pixel in the 3x3 core"),
    FlagDefinition(SourceFlag.NEGATIVE_FLUX, "negative flux"),
    FlagDefinition(SourceFlag.FOUND_ON_RESIDUAL, "found on the residual image, after other stars were subtracted"),
    FlagDefinition(SourceFlag.COLOUR_UNKNOWN, "colour missing or outside the range of the colour relation"),
    FlagDefinition(SourceFlag.USED_FOR_PSF, "used to build the PSF"),
    FlagDefinition(SourceFlag.USED_FOR_ZERO_POINT, "used for the zero point"),
    FlagDefinition(SourceFlag.CLIPPED_FROM_ZERO_POINT, "rejected by the clipping of the zero point"),
    FlagDefinition(SourceFlag.NOT_POINT_LIKE, "not point-like, by sharpness, roundness or chi2"),
)
"""All flags in the order of their bits; bits 6 and 7 are reserved."""


def flag_names(value: int) -> list[str]:
    """Names of the bits set in ``value``, in the order of the bits; unknown bits read ``bit<N>``."""
    known = {row.bit: row.name for row in FLAG_TABLE}
    return [known.get(bit, f"bit{bit}") for bit in range(value.bit_length()) if value >> bit & 1]
