"""What reference stars say of the WCS of a header that they did not confirm."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HeaderEvidence"]

# The odds against a header that make it refused, one to twelve: four stars that must be there and are not.
AGAINST_LOG_ODDS = -2.5


@dataclass(frozen=True)
class HeaderEvidence:
    """What the stars say of a header's WCS that they did not confirm.

    Attributes
    ----------
    expected : reference stars that it puts on the frame; of a list deeper than the frame the brightest
    seen : of these, how many have a detected star within 15 pixels
    log_odds : natural log of the odds of this count, right header against wrong
    """

    expected: int
    seen: int
    log_odds: float

    @property
    def against(self) -> bool:
        """Whether the header is refuted, and not only unconfirmed."""
        return self.log_odds < AGAINST_LOG_ODDS

    @property
    def words(self) -> str:
        """The count, for people."""
        stars = "reference star is" if self.expected == 1 else "reference stars are"
        return f"{self.expected} {stars} expected on the frame, {self.seen} seen"
