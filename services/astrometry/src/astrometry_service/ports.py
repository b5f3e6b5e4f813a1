"""What the workflows need from outside, and several things can give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from astro_shared.frame_warnings import FrameWarning
from astrometry_service.domain.distortion import DistortionSample
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.domain.sky_index import SkyIndex
from astrometry_service.domain.solving import EngineAnswer, EngineStatus, SolveHints
from astrometry_service.domain.star_lists import SkyMap, StarList

__all__ = ["AllSkyStars", "EarlierDistortions", "ReferenceCatalogue", "ReferenceCone", "SolveEngine"]


@dataclass(frozen=True)
class ReferenceCone:
    """An answer of a reference catalogue.

    Attributes
    ----------
    stars : brightest first, at their own epochs
    name : of the list, e.g. ``gaia``
    layer : where the rows came from: list, mirror, cache, archive, vizier
    truncated : fainter stars were left out
    notes : cuts that could not be made, and the like
    """

    stars: ReferenceStars
    name: str
    layer: str
    truncated: bool = False
    notes: tuple[FrameWarning, ...] = ()


class ReferenceCatalogue(Protocol):
    """Reference stars around a position."""

    def cone(
        self,
        ra_deg: float,
        dec_deg: float,
        radius_deg: float,
        *,
        mag_limit: float | None = None,
        max_rows: int | None = None,
        epoch_jyear: float | None = None,
    ) -> ReferenceCone:
        """The brightest stars of a disc; an empty list where there are none.

        Raises
        ------
        AlidadeError
            The catalogue could not be reached (retryable) or does not exist.
        """
        ...


class AllSkyStars(Protocol):
    """A local list of bright stars all over the sky, for fields without any pointing."""

    def load(self) -> SkyMap | None:
        """The whole list, or None when there is none here. May be called often: it is read once."""
        ...

    def patterns(self) -> SkyIndex | None:
        """Patterns of these stars for fields of which nothing is known; None where none were made."""
        ...


class EarlierDistortions(Protocol):
    """Distortions that earlier frames of the same camera and filter showed."""

    def samples(self, nx: int, ny: int) -> tuple[int | None, list[DistortionSample]]:
        """Those of frames of this size, oldest first, and the version: the number of the newest."""
        ...

    def keep(self, sample: DistortionSample) -> None:
        """Add the distortion of this frame."""
        ...


class SolveEngine(Protocol):
    """A program that finds where a list of stars is on the sky. What it says is verified before it is believed."""

    @property
    def name(self) -> str:
        """Short name, as in reports."""
        ...

    @property
    def remote(self) -> bool:
        """Whether star lists leave this machine; such an engine has a time limit of its own."""
        ...

    def status(self) -> EngineStatus:
        """Whether it can be used here; must be quick and start nothing."""
        ...

    def solve(self, stars: StarList, shape: tuple[int, int], hints: SolveHints, *, limit_s: float) -> EngineAnswer:
        """Look for a solution for at most ``limit_s`` seconds. Never raises for a field that it cannot solve."""
        ...
