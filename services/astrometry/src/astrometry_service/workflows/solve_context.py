"""What all steps of solving one frame share: the stars, the reference cones, the limits and the account."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from astrometry_service.algorithms.wcs import WcsCheck, WcsCheckOptions, verify_wcs
from astrometry_service.algorithms.wcs.header_evidence import header_evidence
from astrometry_service.domain.header_evidence import HeaderEvidence
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.sky_index import SkyIndex
from astrometry_service.domain.solution import SkyTransform
from astrometry_service.domain.solving import SolveAttempt, SolveHints, StartMatch, all_scales_arcsec
from astrometry_service.domain.sources import FrameGeometry
from astrometry_service.domain.star_lists import StarList
from astrometry_service.workflows.reference_cones import ReferenceCones
from astrometry_service.workflows.solve_options import SolveOptions

__all__ = ["MARGIN", "Found", "SolveContext", "centre_of", "widened"]

MARGIN = 1.03
"""Reference stars are asked for in the circle around the frame, its radius enlarged by this factor."""


@dataclass(frozen=True)
class Found:
    """A verified solution and the map to go on with."""

    engine: str
    start: StartMatch
    transform: SkyTransform


@dataclass
class SolveContext:
    """One frame on its way through the steps; ``attempts`` grows.

    ``reserved_s`` of the time limit are kept for the engines of this machine: no step before them uses it up.
    """

    stars: StarList
    geometry: FrameGeometry
    hints: tuple[SolveHints, ...]
    cones: ReferenceCones
    options: SolveOptions
    clock: Callable[[], float]
    deadline: float
    reserved_s: float = 0.0
    attempts: list[SolveAttempt] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.geometry.ny, self.geometry.nx

    @property
    def all_scales(self) -> tuple[float, float]:
        """Limits of the scale when nothing is known of it, arcsec / px."""
        return all_scales_arcsec(self.shape)

    def out_of_time(self) -> bool:
        """Whether the limit of all steps is reached."""
        return self.clock() > self.deadline

    def release(self) -> None:
        """Give what was reserved to the steps that follow."""
        self.deadline, self.reserved_s = self.deadline + self.reserved_s, 0.0

    def patterns(self) -> SkyIndex | None:
        """Patterns of the local all-sky list; waiting while they are made, once per machine, is not this frame's time."""
        begun = self.clock()
        index = self.cones.patterns()
        self.deadline += self.clock() - begun
        return index

    def record(self, engine: str, begun: float, outcome: str, detail: str, log_odds: float | None) -> None:
        """Add a line to the account."""
        known = log_odds if log_odds is not None and math.isfinite(log_odds) and log_odds > -90 else None
        self.attempts.append(SolveAttempt(engine, round(self.clock() - begun, 3), outcome, detail, known))

    def check(
        self,
        transform: SkyTransform,
        ra: float,
        dec: float,
        scale_arcsec: float,
        options: WcsCheckOptions | None = None,
    ) -> WcsCheck:
        """Hold a mapping against the reference stars around it."""
        radius = self._radius_deg(scale_arcsec)
        if not 0.0 < radius <= 90.0:
            return WcsCheck(False, (f"a scale of {scale_arcsec:.3g} arcsec per pixel cannot be",), None)
        reference = self.cones.stars(ra, dec, radius)
        return verify_wcs(
            self.stars, reference, transform.pixel_to_sky, shape=self.shape, options=options or self.options.check
        )

    def evidence(self, transform: SkyTransform, ra: float, dec: float, scale_arcsec: float) -> HeaderEvidence | None:
        """What the reference stars say of a mapping that they did not confirm; None where no list could be reached."""
        radius = self._radius_deg(scale_arcsec)
        if not 0.0 < radius <= 90.0:
            return None
        reference = self.cones.stars(ra, dec, radius)
        if not len(reference) and not self.cones.reached:
            return None
        return header_evidence(self.stars, reference, transform, self.shape)

    def _radius_deg(self, scale_arcsec: float) -> float:
        """Of a disc that holds a frame of this scale, with a margin."""
        return MARGIN * 0.6 * self.geometry.diagonal_px * scale_arcsec / 3600


def centre_of(plane: PlaneAffine, geometry: FrameGeometry) -> tuple[float, float]:
    """Where the middle of the frame is: (ra, dec), deg."""
    ra, dec = plane.pixel_to_sky(*geometry.centre_px)
    return float(ra), float(dec)


def widened(scale: tuple[float, float], factor: float) -> tuple[float, float]:
    """Limits moved apart by a factor."""
    return scale[0] / factor, scale[1] * factor
