"""Refine an astrometric solution: from any verified start to a TPV map with an error model that is true.

Steps, in order: reference positions at the epoch; regions; first low-degree fit of their pairs; depth match; rms
clipping; degree by cross-validation; error model, error clipping and refits to a fixed point; final chi-square. The start is
kept where cross-validation shows no gain, and where there are too few pairs for anything better.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_shared.science.sky_time import mean_direction, separation_deg
from astro_shared.science.tangent_plane import project
from astrometry_service.algorithms.error_model import ErrorModel, total_covariance
from astrometry_service.algorithms.reference_positions import positions_at_epoch
from astrometry_service.algorithms.refinement import (
    ChainResult,
    FirstFit,
    MapState,
    PairSet,
    PlaneTargets,
    RefineOptions,
    SortedSources,
    blended,
    build_pairs,
    chi_square_report,
    choose_degree,
    clip_pairs,
    clipping_record,
    depth_pairs,
    first_model,
    list_notes,
    measure_distortion,
    model_notes,
    pair_residuals,
    settle_pairs,
    solution_reasons,
    solution_summary,
    thresholds,
)
from astrometry_service.algorithms.refinement.first_fit import first_fit
from astrometry_service.algorithms.sky_positions import positions_of_fit, positions_of_transform
from astrometry_service.algorithms.wcs import MAX_DEGREE, PlaneFit, n_terms, tpv_cards
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.reference import ReferencePositions, ReferenceStars
from astrometry_service.domain.solution import AstrometricSolution, Pairs, SkyTransform
from astrometry_service.domain.sources import FrameGeometry, SourceList
from astrometry_service.domain.wcs_state import WcsState
from astrometry_service.errors import RefinementError
from astrometry_service.workflows.kept_start import NUMERICAL_FAILURES, kept_start

__all__ = ["RefineSolution"]

Floats = NDArray[np.float64]


@dataclass
class _Progress:
    """Records of the steps: counts, thresholds and seconds, in the order in which they ran."""

    clock: Callable[[], float]
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    since: float = 0.0

    def begin(self) -> None:
        self.since = self.clock()

    def done(self, step: str, **facts: Any) -> None:
        now = self.clock()
        self.steps[step] = {**facts, "seconds": round(now - self.since, 4)}
        self.since = now


@dataclass(frozen=True)
class _Frame:
    """What a refinement is about, with both lists on the tangent plane about the frame's centre."""

    list: SourceList
    reference: ReferenceStars
    places: ReferencePositions
    start: SkyTransform
    geometry: FrameGeometry
    sources: SortedSources
    targets: PlaneTargets
    target_xy: tuple[Floats, Floats]


@dataclass(frozen=True)
class _Matched:
    """Pairs of the last depth match with a preliminary fit and error model."""

    pairs: PairSet
    kept: NDArray[np.bool_]
    fit: PlaneFit
    model: ErrorModel

    def for_degree(self) -> tuple[PairSet, NDArray[np.bool_], Floats]:
        """Pairs, kept ones, and the variance per axis of each."""
        return self.pairs, self.kept, total_covariance(pair_residuals(self.pairs, self.fit), self.model).mean


class RefineSolution:
    """Use case: refine one frame."""

    def __init__(self, options: RefineOptions | None = None, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._options = options or RefineOptions()
        self._clock = clock

    def run(
        self, sources: SourceList, reference: ReferenceStars, start: SkyTransform, geometry: FrameGeometry
    ) -> AstrometricSolution:
        """Refine.

        Parameters
        ----------
        sources : detections of the frame
        reference : reference stars around the frame, at their own epochs
        start : verified map from pixels to the sky, good to some tens of pixels
        geometry : size of the frame, and its epoch

        Returns
        -------
        AstrometricSolution
            Never worse than the start: where refining fails or does not help, the start with state ``valid`` and the
            reason.
        """
        progress = _Progress(self._clock)
        progress.begin()
        places = positions_at_epoch(
            reference, geometry.epoch_jyear, cuts=self._options.cuts, parallax=self._options.parallax
        )
        progress.done(
            "reference", stars=len(reference), good=int(places.good.sum()), epoch_jyear=places.epoch_jyear,
            cuts=dict(places.applied), skipped=list(places.skipped),
        )  # fmt: skip
        try:
            frame = self._frame(sources, reference, places, start, geometry)
            found = self._refine(frame, progress)
        except (RefinementError, *NUMERICAL_FAILURES) as error:
            record = {"steps": progress.steps, "thresholds": thresholds(self._options)}
            found = kept_start(start, sources, places, geometry, error, record)
        return replace(found, notes=(*list_notes(reference, places.epoch_jyear), *found.notes))

    def _refine(self, frame: _Frame, progress: _Progress) -> AstrometricSolution:
        options, geometry = self._options, frame.geometry
        first = self._first(frame, progress)
        frame = self._without_blends(frame, first)
        matched = self._match(frame, first, progress)
        pairs = matched.pairs
        chain = self._settle(matched, geometry, progress)
        chi = chi_square_report(pairs, frame.sources, frame.targets, chain, geometry, options)
        progress.done("final_chi_square", **chi)
        summary = solution_summary(pairs, chain, geometry, start=self._start_score(frame.start, pairs, chain))
        progress.done("solution_error")
        table = build_pairs(pairs, frame.sources, frame.targets, frame.reference, frame.places, chain)
        report = {**summary, "steps": progress.steps, "thresholds": thresholds(options)}
        products = _products(frame, first, matched) if options.debug else {}
        if not summary["score"] <= summary["start_score"]:
            reason = f"cross-validated score {summary['score']:.4f} is above the start's {summary['start_score']:.4f}"
            return self._kept(frame, chain, (reason,), table, report, products)
        reasons = solution_reasons(pairs, frame.sources, chain, chi, geometry, options)
        transform = chain.settled.fit.polynomial.to_tpv()
        return AstrometricSolution(
            WcsState.VALID if reasons else WcsState.CALIBRATED, transform, tpv_cards(transform), True, reasons,
            frame.places.epoch_jyear, positions_of_fit(chain.settled.fit, frame.list, chain.settled.model), table,
            report, products, measure_distortion(chain.settled.fit, geometry.nx, geometry.ny),
            model_notes(chain.settled.model),
        )  # fmt: skip

    def _frame(
        self,
        sources: SourceList,
        reference: ReferenceStars,
        places: ReferencePositions,
        start: SkyTransform,
        geometry: FrameGeometry,
    ) -> _Frame:
        """Cut the reference stars to the frame and its margin and put both lists on one plane."""
        x, y = geometry.centre_px
        corners = geometry.corners_px
        ra, dec = start.pixel_to_sky(np.append(corners[:, 0], x), np.append(corners[:, 1], y))
        ra0, dec0 = float(ra[-1]), float(dec[-1])
        if not np.isfinite(ra0 + dec0):
            ra0, dec0 = mean_direction(ra, dec)
        reach = 1.15 * float(np.nanmax(separation_deg(ra, dec, ra0, dec0)))
        near = np.flatnonzero(separation_deg(places.ra, places.dec, ra0, dec0) <= reach)
        px, py = start.sky_to_pixel(places.ra[near], places.dec[near])
        # Wide: a linear start may be off by a hundred pixels in the corners of a distorted frame.
        pad = self._options.regions.margin_px + 0.05 * geometry.diagonal_px
        inside = (px > -pad) & (px < geometry.nx + pad) & (py > -pad) & (py < geometry.ny + pad)
        targets = PlaneTargets.of(
            reference, places, near[inside], ra0_deg=ra0, dec0_deg=dec0, errors=self._options.catalogue_errors
        )
        on_frame = SortedSources.of(sources, geometry, self._highest(), min_snr=self._options.min_snr)
        fewest, needed = min(on_frame.row.size, targets.row.size), self._options.min_pairs
        if fewest < needed:
            raise RefinementError(
                f"{on_frame.row.size} sources and {targets.row.size} reference stars on the frame, need {needed}",
                found=fewest, needed=needed,
            )  # fmt: skip
        back = np.full(len(reference), -1, np.intp)
        back[near] = np.arange(near.size)
        rows = back[targets.row]
        return _Frame(sources, reference, places, start, geometry, on_frame, targets, (px[rows], py[rows]))

    def _first(self, frame: _Frame, progress: _Progress) -> FirstFit:
        first = first_fit(frame.sources, frame.targets, frame.target_xy, frame.start, frame.geometry, self._options)
        methods = [region.method or region.reason for region in first.regions]
        progress.done(
            "regions", regions=len(first.regions), matched=sum(1 for r in first.regions if r.method),
            accepted=sum(r.accepted for r in first.regions),
            methods={name: methods.count(name) for name in sorted(set(methods))},
            refused=sorted({r.reason for r in first.regions if r.reason}), source=first.source, pairs=first.pairs,
            degree=first.degree, rms_mas=first.sigma_mas, rms_px=first.sigma_mas / first.scale_mas,
            zero_point_mag=first.zero_point, scale_arcsec=first.scale_mas / 1000.0,
        )  # fmt: skip
        return first

    def _without_blends(self, frame: _Frame, first: FirstFit) -> _Frame:
        """Reference stars that the seeing cannot separate must not carry the fit."""
        targets = frame.targets
        radius = self._options.blend_fwhm * self._options.fwhm_px * first.scale_mas / 3.6e6
        blends = blended(targets.plane, targets.mag, radius, self._options.blend_mag)
        return replace(frame, targets=replace(targets, good=targets.good & ~blends))

    def _match(self, frame: _Frame, first: FirstFit, progress: _Progress) -> _Matched:
        """Depth match and rms clipping, again and again about the better map, until no more pairs turn up."""
        options, before = self._options, 0
        matched: _Matched | None = None
        about = MapState(first.fit, first.sigma_mas, 1.0)
        for turn in range(1, options.match_rounds + 1):
            pairs, record = depth_pairs(frame.sources, frame.targets, about, first, options.depth)
            fitted = int(pairs.fitted.sum())
            progress.done(f"depth_match_{turn}", fitted=fitted, **record)
            if fitted < options.min_pairs:
                raise RefinementError(
                    f"The depth match found {fitted} pairs, need {options.min_pairs}",
                    found=fitted,
                    needed=options.min_pairs,
                )
            degree = max([d for d in range(1, options.first_degree + 1) if fitted >= 5 * n_terms(d)], default=1)
            if fitted >= 3 * n_terms(first.degree):
                # A stiffer map than the one that was matched about leaves residuals as wide as the match.
                degree = max(degree, first.degree)
            if matched is not None:
                degree = max(degree, choose_degree(*matched.for_degree(), frame.geometry, options).degree)
            clipped, rounds, fit = clip_pairs(pairs, degree, options)
            model, kept = first_model(pairs, fit, options)
            matched = _Matched(pairs, kept, fit, model)
            about = MapState(fit, rounds[-1].sigma_mas if rounds else about.sigma_mas, max(model.alpha, 1.0))
            progress.done(
                f"rms_clipping_{turn}",
                degree=degree,
                clipped=int((pairs.fitted & ~clipped).sum()),
                kept=int(kept.sum()),
                rounds=clipping_record(rounds),
            )
            if turn >= 2 and len(pairs) <= 1.002 * before:
                break
            before = len(pairs)
        if matched is None:
            raise RefinementError("no round of depth matching was allowed", found=0, needed=options.min_pairs)
        return matched

    def _settle(self, matched: _Matched, geometry: FrameGeometry, progress: _Progress) -> ChainResult:
        pairs, kept, variance = matched.for_degree()
        chain = settle_pairs(pairs, kept, matched.model, variance, geometry, self._options)
        progress.done(
            "error_clipping",
            error_threshold=self._options.error_threshold,
            rounds=list(chain.settled.rounds),
            converged=chain.settled.converged,
            kept=int(chain.settled.kept.sum()),
        )
        return chain

    def _kept(
        self,
        frame: _Frame,
        chain: ChainResult,
        reasons: tuple[str, ...],
        table: Pairs,
        report: dict[str, Any],
        products: dict[str, Any],
    ) -> AstrometricSolution:
        """The start, since the fit is no better: its map is taken to be as well known as that of the fit."""
        model = chain.settled.model
        sigma_mas = float(np.hypot(model.sigma_sys_mas, np.nan_to_num(report["solution_error"]["rms_mas"])))
        places = positions_of_transform(frame.start, frame.list, replace(model, sigma_sys_mas=sigma_mas))
        return AstrometricSolution(
            WcsState.VALID, frame.start, {}, False, reasons, frame.places.epoch_jyear, places, table, report, products,
            notes=model_notes(model),
        )  # fmt: skip

    def _start_score(self, start: SkyTransform, pairs: PairSet, chain: ChainResult) -> tuple[float, float]:
        """Score (mean of capped z^2, as in the cross-validation) and rms per axis in mas of the start.

        A linear start was fitted to these stars, which its residuals therefore flatter: it is no better than what
        cross-validation says of an affine.
        """
        rows = chain.settled.kept
        ra, dec = start.pixel_to_sky(pairs.x[rows], pairs.y[rows])
        xi, eta = project(ra, dec, ra0_deg=pairs.ra0_deg, dec0_deg=pairs.dec0_deg)
        square = ((xi - pairs.plane[rows, 0]) ** 2 + (eta - pairs.plane[rows, 1]) ** 2) * 3.6e6**2
        if not np.all(np.isfinite(square)):
            return float("inf"), float("inf")
        variance = total_covariance(chain.settled.residuals, chain.settled.model).mean[rows]
        score = float(np.mean(np.minimum(square / variance, self._options.degree.score_cap)))
        if isinstance(start, PlaneAffine):
            score = max(score, chain.choice.scores.get(1, score))
        return score, float(np.sqrt(np.mean(square) / 2.0))

    def _highest(self) -> int:
        """Highest degree that any step may ask for."""
        if self._options.prior is not None:
            return MAX_DEGREE
        degrees = (self._options.degree.highest, self._options.fixed_degree or 1, self._options.first_degree + 1)
        return min(max(degrees), MAX_DEGREE)


def _products(frame: _Frame, first: FirstFit, matched: _Matched) -> dict[str, Any]:
    """Regions with their matches and affines, the mean affine, and the pairs of the last depth match."""
    pairs = matched.pairs
    return {
        "regions": first.regions,
        "mean_affine": first.mean,
        "depth_match": {
            "source": frame.sources.row[pairs.source],
            "reference": frame.targets.row[pairs.target],
            "fitted": pairs.fitted,
            "kept": matched.kept,
        },
    }
