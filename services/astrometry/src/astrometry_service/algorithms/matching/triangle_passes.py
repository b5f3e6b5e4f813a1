"""One pass of the triangle matcher: the triangles of one depth against one range of scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astrometry_service.algorithms.matching._triangles import TriangleSearch
from astrometry_service.algorithms.matching.star_grid import StarGrid
from astrometry_service.algorithms.matching.triangle_options import TRIANGLES_PER_CHECK, Attempt, MatchOptions
from astrometry_service.algorithms.matching.triangle_tables import image_triangles, shape_table
from astrometry_service.algorithms.matching.verification import ReferenceField, Verification, verify_prediction
from astrometry_service.domain.solving import NOT_A_MATCH
from astrometry_service.domain.star_lists import ProjectedStars

Floats = NDArray[np.float64]

__all__ = ["MIN_STARS", "Band", "Frame", "Hypothesis", "TrianglePass", "verify_hypothesis"]

MIN_STARS = 5
KEPT_HYPOTHESES = 64
VERIFIED_PER_BLOCK = 3


@dataclass(frozen=True)
class Frame:
    """Image stars about the centre of the frame, brightest first, px."""

    x: Floats
    y: Floats
    width: int
    height: int

    @property
    def diagonal(self) -> float:
        """Length of the diagonal, px."""
        return math.hypot(self.width, self.height)


@dataclass(frozen=True)
class Band:
    """One range of scale; lengths in its nominal pixels.

    Attributes
    ----------
    nominal_deg : deg / px
    scale_low, scale_high : limits of plane pixels per image pixel
    radius : of the disc of reference stars
    stars : numbers of the reference stars in the disc, brightest first
    area_ratio : disc over frame
    u, v : their places
    """

    nominal_deg: float
    scale_low: float
    scale_high: float
    radius: float
    stars: NDArray[np.intp]
    area_ratio: float
    u: Floats
    v: Floats

    @classmethod
    def cut(
        cls, reference: ProjectedStars, frame: Frame, *, scale_deg: float, low: float, high: float, error_deg: float
    ) -> Band:
        """The disc that a frame of this scale, somewhere within the pointing error, can lie on."""
        nominal = scale_deg * math.sqrt(low * high)
        distance = np.hypot(reference.xi_deg, reference.eta_deg)
        radius = min(float(distance.max(initial=0.0)), 0.5 * frame.diagonal * scale_deg * high + error_deg)
        stars = np.flatnonzero(distance <= radius)
        ratio = math.pi * (radius / nominal) ** 2 / (frame.width * frame.height)
        u, v = reference.xi_deg[stars] / nominal, reference.eta_deg[stars] / nominal
        return cls(nominal, math.sqrt(low / high), math.sqrt(high / low), radius / nominal, stars, ratio, u, v)


@dataclass(frozen=True)
class Hypothesis:
    """A similarity z = alpha (x + i parity y) + beta and the triangle that it came from."""

    alpha: complex
    beta: complex
    parity: float
    centre_x: float
    centre_y: float
    size: float

    @classmethod
    def from_row(cls, row: Floats) -> Hypothesis:
        """From a row of the kernel's buffer."""
        values = [float(value) for value in row]
        return cls(complex(values[0], values[1]), complex(values[2], values[3]), values[4], *values[6:9])

    def predict(self, x: Floats, y: Floats) -> Floats:
        """(n, 2) places of image stars in the plane."""
        place = self.alpha * (x + 1j * self.parity * y) + self.beta
        return np.column_stack([place.real, place.imag])

    def sigma(self, x: Floats, y: Floats, sigma_px: float, growth: float) -> Floats:
        """One sigma of the prediction: grows with the distance from the triangle."""
        distance = np.hypot(x - self.centre_x, y - self.centre_y)
        grown = growth * np.maximum(distance - 0.5 * self.size, 0.0) + 0.5 * sigma_px * distance / self.size
        return np.asarray((sigma_px + grown) * abs(self.alpha), dtype=np.float64)


class TrianglePass:
    """A search that can be stopped after a part of the catalogue and taken up again."""

    def __init__(self, frame: Frame, attempt: Attempt, band: Band, options: MatchOptions) -> None:
        self.attempt, self.band = attempt, band
        vertices = min(frame.x.size, attempt.stars)
        wanted = max(attempt.depth * vertices * band.area_ratio, 12)
        self.vertices = int(min(band.stars.size, options.max_catalogue, wanted))
        self._search = _open(frame, attempt, band, options, vertices, self.vertices)
        self._passed = np.empty((KEPT_HYPOTHESES, 9))

    @property
    def checks(self) -> int:
        """Quick checks done so far."""
        return int(self._search.checks) if self._search is not None else 0

    @property
    def triangles(self) -> int:
        """Catalogue triangles made so far."""
        return int(self._search.triangles) if self._search is not None else 0

    @property
    def best_score(self) -> float:
        """Highest log-odds of a quick check so far."""
        return float(self._search.best_score) if self._search is not None else NOT_A_MATCH

    def next_block(self, part: float, work_limit: int) -> list[Hypothesis]:
        """The best hypotheses of the next catalogue vertex that has any; empty when the part is done."""
        if self._search is None:
            return []
        found = self._search.advance(self._passed, work_limit * TRIANGLES_PER_CHECK, math.ceil(part * self.vertices))
        best = np.argsort(-self._passed[:found, 5], kind="stable")[:VERIFIED_PER_BLOCK]
        return [Hypothesis.from_row(self._passed[row]) for row in best]


def _open(
    frame: Frame, attempt: Attempt, band: Band, options: MatchOptions, vertices: int, catalogue_vertices: int
) -> TriangleSearch | None:
    """Tables and grids of a pass; None when there is no usable triangle, or too few stars fall on the disc."""
    if band.stars.size < MIN_STARS or frame.x.size * min(band.area_ratio, 1.0) < MIN_STARS:
        return None
    # no more stars in the quick check than the catalogue can answer for
    answerable = int(1.5 * band.stars.size / band.area_ratio)
    checked = min(frame.x.size, max(2 * attempt.stars, 30), max(vertices, answerable))
    deep = int(min(band.stars.size, max(1.5 * attempt.depth * checked * band.area_ratio, 20)))
    longest, shortest = _longest_side(frame, band, options, catalogue_vertices), options.longest_low * frame.diagonal
    x, y = np.ascontiguousarray(frame.x[:checked]), np.ascontiguousarray(frame.y[:checked])
    corners, shapes = image_triangles(x[:vertices], y[:vertices], shortest, longest, options.thinnest)
    if not len(corners):
        return None
    cells = int(1.0 / attempt.ratio_tolerance)
    start, members = shape_table(shapes, attempt.ratio_tolerance, cells)
    u, v = np.ascontiguousarray(band.u[:deep]), np.ascontiguousarray(band.v[:deep])
    grid = StarGrid.build(u, v)
    high = longest * band.scale_high
    room = (int(grid.columns * grid.cell / high) + 1) * (int(grid.rows * grid.cell / high) + 1)
    # a catalogue disc smaller than the frame: fewer image stars are expected to fall on it
    cover = 0.4 * min(1.0, math.pi * band.radius**2 / (0.5 * frame.diagonal**2))
    return TriangleSearch(
        x, y, corners, shapes, start, members, cells, u, v, catalogue_vertices, grid,
        low=shortest * band.scale_low, high=high, thinnest=options.thinnest, tolerance=attempt.ratio_tolerance,
        scale_low=band.scale_low, scale_high=band.scale_high, disc_radius=band.radius, cover=cover,
        sigma=options.verification.sigma_px, growth=attempt.growth, unmatched=options.unmatched,
        give_up=options.give_up, passing=options.passing, triangle_limit=options.max_triangles,
        work_int=np.empty(room + 2 * catalogue_vertices, dtype=np.int32), work_float=np.empty(catalogue_vertices),
    )  # fmt: skip


def _longest_side(frame: Frame, band: Band, options: MatchOptions, catalogue_vertices: int) -> float:
    """Length that holds about ``neighbours`` catalogue vertices within it, px."""
    length = math.sqrt(options.neighbours / catalogue_vertices) * band.radius
    highest = options.longest_high if frame.x.size > options.whole_frame_below else 1.0
    return min(max(length, 0.12 * frame.diagonal), highest * frame.diagonal)


def verify_hypothesis(
    frame: Frame, hypothesis: Hypothesis, growth: float, band: Band, options: MatchOptions
) -> Verification:
    """Test a hypothesis against the reference stars under the frame; its pairs count within the band's stars."""
    opts = options.verification
    x, y = frame.x[: opts.stars], frame.y[: opts.stars]
    depth = int(min(band.stars.size, max(2.0 * x.size * band.area_ratio, 20)))
    reach = 0.6 * frame.diagonal * abs(hypothesis.alpha)
    du, dv = band.u[:depth] - hypothesis.beta.real, band.v[:depth] - hypothesis.beta.imag
    near = np.flatnonzero(du * du + dv * dv < reach * reach)
    if near.size < MIN_STARS:
        reason = f"{near.size} reference stars under the frame, need {MIN_STARS}"
        return Verification(NOT_A_MATCH, reason, None, np.zeros((0, 2), dtype=np.intp), math.nan, 0)
    result = verify_prediction(
        x, y, hypothesis.predict(x, y), hypothesis.sigma(x, y, opts.sigma_px, growth),
        ReferenceField.build(band.u[near], band.v[near]),
        disc_radius=band.radius, magnification=abs(hypothesis.alpha), options=opts,
    )  # fmt: skip
    pairs = np.column_stack([result.pairs[:, 0], near[result.pairs[:, 1]]])
    return Verification(result.log_odds, result.refused, result.affine, pairs, result.rms_px, result.tested)
