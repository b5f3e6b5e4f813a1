"""The likelihood error model of an astrometric solution: alpha and sigma_sys with their errors.

    C_i = alpha^2 J_i C_pix,i J_i^T + sigma_sys^2 I + C_cat,i
    ln L = -1/2 sum [ r^T C^-1 r + ln det C + 2 ln 2 pi ] - 1/2 ln det( X^T C^-1 X )

The last term (restricted likelihood) takes out what fitting the distortion to the same stars takes from the residuals. It is
maximised by Fisher scoring in the variances a = alpha^2 and s = sigma_sys^2, which are linear in C and may reach zero.

The errors of the reference list are taken at their word until the residuals are smaller than they allow; then they get
a factor of their own, found by the same scoring with the parts exchanged.

References
----------
Patterson & Thompson 1971, Biometrika 58, 545 (restricted likelihood); Harville 1977, JASA 72, 320 (scoring).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from astrometry_service.algorithms.error_model._likelihood import misfit, slopes
from astrometry_service.algorithms.error_model.terms import (
    ErrorModel,
    ErrorModelOptions,
    Residuals,
    leverage,
    total_covariance,
)

__all__ = ["ErrorModel", "ErrorModelOptions", "Residuals", "fit_error_model", "leverage", "total_covariance"]

Floats = NDArray[np.float64]

LEAST_ALPHA = 0.01
# Chi-square per degree of freedom below which errors that are held are looked at again.
DOUBTFUL_CHI_SQUARE = 0.8
# Drop of ln L at the 95 per cent limit of one parameter.
LIKELIHOOD_DROP_95 = 1.92


def fit_error_model(
    residuals: Residuals,
    options: ErrorModelOptions | None = None,
    *,
    design: Floats | None = None,
    truncation: float = 1.0,
    weights: Floats | None = None,
    start: ErrorModel | None = None,
    limits: bool = True,
) -> ErrorModel:
    """Maximum (restricted) likelihood of alpha and sigma_sys.

    Parameters
    ----------
    residuals : of the kept pairs
    design : (n, n_terms), of the distortion fit that made the residuals; None: the distortion was not fitted to them
    truncation : expected d^2 / 2 of pairs clipped at some d^2: 1 - (q/2) e^(-q/2) / (1 - e^(-q/2)); 1 without clipping
    weights : (n,), responsibilities of a mixture; None: one each
    start : a model nearby; without one, two starts are tried (sigma_sys zero, sigma_sys = rms)
    limits : work out the upper limit where sigma_sys is not significant

    Returns
    -------
    ErrorModel
    """
    options = options or ErrorModelOptions()
    weights = np.ones(len(residuals)) if weights is None else weights

    def fit(given: Residuals, begin: ErrorModel | None = None, *, free: bool = False) -> ErrorModel:
        fitter = _Scoring(given, options, design, truncation, weights)
        return fitter.best(None, False) if free else _fit_two(fitter, options, begin, limits=limits)

    model = fit(residuals, start)
    if not _catalogue_in_doubt(residuals, model, weights, truncation):
        return model
    factor = _catalogue_factor(residuals, model, lambda given: fit(given, free=True))
    if factor == 1.0:
        return model
    smaller = replace(residuals, catalogue=residuals.catalogue.scaled(factor**2))
    return replace(fit(smaller), catalogue_factor=factor)


def _fit_two(fitter: _Scoring, options: ErrorModelOptions, start: ErrorModel | None, *, limits: bool) -> ErrorModel:
    """alpha and sigma_sys with the errors of the catalogue as they are."""
    residuals = fitter.residuals
    fixed, note = options.fix_alpha, "asked" if options.fix_alpha else ""
    if not fixed and not np.any(residuals.pixel.mean > 0):
        fixed, note = True, "no_centroid_errors"
    best = fitter.best(start, fixed)
    if not fixed:
        note = _unidentified(residuals, best, options)
        if note:
            held = fitter.best(None, True)
            # Centroid errors that are all too large leave nothing for sigma_sys and must show in alpha.
            too_large = held.sigma_sys_mas <= 0.0 and best.log_likelihood - held.log_likelihood > LIKELIHOOD_DROP_95
            if not too_large:
                fixed, best = True, held
    model = replace(best, alpha_fixed=fixed, note=note)
    if not fixed and _at_bound(model.alpha):
        model = replace(model, alpha_err=float("nan"), alpha_upper=fitter.alpha_limit(model), note="alpha_at_bound")
    # The error of sigma is that of sigma^2 over 2 sigma.
    weak = not model.sigma_sys_mas > 2.0 * options.limit_sigmas * model.sigma_sys_err_mas
    if limits and weak:
        model = replace(model, upper_limit_mas=fitter.upper_limit(model, fixed))
    return model


def _at_bound(alpha: float) -> bool:
    return alpha <= 1.001 * LEAST_ALPHA


def _catalogue_in_doubt(residuals: Residuals, model: ErrorModel, weights: Floats, truncation: float) -> bool:
    """Whether the residuals may be smaller than the errors of the catalogue allow: nothing is left for the rest."""
    if model.sigma_sys_mas > 0.0 or not np.any(residuals.catalogue.mean > 0):
        return False
    if not model.alpha_fixed:
        return _at_bound(model.alpha) or model.alpha + 3.0 * model.alpha_err < 1.0
    square = total_covariance(residuals, model).inverse().quadratic(residuals.rx, residuals.ry)
    return bool(np.sum(weights * square) < DOUBTFUL_CHI_SQUARE * 2.0 * truncation * np.sum(weights))


def _catalogue_factor(residuals: Residuals, model: ErrorModel, fit: Callable[[Residuals], ErrorModel]) -> float:
    """Factor on the catalogue's errors that is significantly more likely than one: with the
    centroid errors at their word, or with one factor on both."""
    pixel, catalogue = residuals.pixel, residuals.catalogue
    word = fit(replace(residuals, pixel=catalogue, catalogue=pixel))
    both = fit(replace(residuals, pixel=catalogue.plus(pixel), catalogue=catalogue.scaled(0.0)))
    better = max((word, both), key=lambda candidate: candidate.log_likelihood)
    if better.alpha >= 1.0 or better.log_likelihood - model.log_likelihood < LIKELIHOOD_DROP_95:
        return 1.0
    return 0.0 if _at_bound(better.alpha) else better.alpha


def _unidentified(residuals: Residuals, model: ErrorModel, options: ErrorModelOptions) -> str:
    """Why alpha cannot be told from sigma_sys, or nothing."""
    noisy = int(np.count_nonzero(model.alpha**2 * residuals.pixel.mean > model.sigma_sys_mas**2))
    if noisy < max(options.min_side_stars, options.min_side_fraction * len(residuals)):
        return "all_stars_below_sigma_sys"
    if not model.alpha_err < options.max_alpha_error * model.alpha:
        return "alpha_uncertain"
    return ""


class _Scoring:
    """Fisher scoring of (a, s) = (alpha^2, sigma_sys^2) for one set of residuals."""

    def __init__(
        self,
        residuals: Residuals,
        options: ErrorModelOptions,
        design: Floats | None,
        truncation: float,
        weights: Floats,
    ) -> None:
        self.residuals = residuals
        self.options = options
        self.design = design
        self.weights = np.ascontiguousarray(weights, dtype=np.float64)
        # Clipping takes the tail; unclipped residuals would be larger by this.
        scale = 1.0 / np.sqrt(truncation)
        pixel, catalogue = residuals.pixel, residuals.catalogue
        self.pairs = np.stack(
            [
                residuals.rx * scale, residuals.ry * scale, pixel.xx, pixel.yy, pixel.xy,
                catalogue.xx, catalogue.yy, catalogue.xy,
            ]
        )  # fmt: skip
        square = self.pairs[0] ** 2 + self.pairs[1] ** 2
        self.rms2 = float(np.sum(weights * square) / 2.0 / max(np.sum(weights), 1e-300))
        self.constant = 2.0 * np.log(2.0 * np.pi) * float(np.sum(weights))
        self.seen = weights
        floor = float(np.median(pixel.mean + catalogue.mean))
        self.jitter = 1e-12 * max(floor, self.rms2, 1e-12)

    def best(self, start: ErrorModel | None, fixed: bool) -> ErrorModel:
        """Best of the starts."""
        if start is not None:
            starts = [(start.alpha**2 if not fixed else 1.0, start.sigma_sys_mas**2)]
        else:
            starts = [(1.0, 1e-4 * self.rms2), (1.0, 0.7 * self.rms2)]
        self._leverage(*starts[0])
        models = [self._climb(a, s, fixed) for a, s in starts]
        return max(models, key=lambda model: model.log_likelihood)

    def upper_limit(self, model: ErrorModel, fixed: bool) -> float:
        """sigma_sys at which the profile likelihood is lower by 1.92 than at its maximum."""
        top = self._value(model.alpha**2, model.sigma_sys_mas**2)
        low, high = model.sigma_sys_mas**2, max(model.sigma_sys_mas**2, 0.1 * self.rms2, 1e-12)

        def drop(s: float) -> float:
            return top - self._value(self._alpha_given(model.alpha**2, s, fixed), s)

        for _ in range(40):
            if drop(high) > LIKELIHOOD_DROP_95:
                break
            high *= 2.0
        for _ in range(30):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if drop(middle) < LIKELIHOOD_DROP_95 else (low, middle)
            if high - low < 1e-3 * high:
                break
        return float(np.sqrt(high))

    def alpha_limit(self, model: ErrorModel) -> float:
        """alpha at which the likelihood is lower by 1.92 than at its bound, the systematic scatter held."""
        s = model.sigma_sys_mas**2
        top = self._value(model.alpha**2, s)
        low, high = model.alpha, 2.0 * model.alpha
        while high < 1e6 and top - self._value(high**2, s) < LIKELIHOOD_DROP_95:
            high *= 2.0
        for _ in range(20):
            middle = 0.5 * (low + high)
            dropped = top - self._value(middle**2, s) > LIKELIHOOD_DROP_95
            low, high = (low, middle) if dropped else (middle, high)
        return high

    def _variance(self, a: float, s: float) -> Floats:
        """Variance per axis of every pair."""
        return self.residuals.catalogue.mean + a * self.residuals.pixel.mean + (s + self.jitter)

    def _leverage(self, a: float, s: float) -> None:
        if self.design is not None:
            self.seen = self.weights * (1.0 - leverage(self.design, self._variance(a, s)))

    def _value(self, a: float, s: float) -> float:
        value = -0.5 * (misfit(self.pairs, self.weights, a, s + self.jitter) + self.constant)
        if self.design is not None:
            normal = self.design.T @ (self.design / self._variance(a, s)[:, None])
            value -= float(np.linalg.slogdet(normal)[1])
        return value

    def _derivatives(self, a: float, s: float) -> tuple[Floats, Floats]:
        """Gradient and Fisher matrix in (a, s)."""
        g_a, g_s, f_aa, f_as, f_ss = slopes(self.pairs, self.weights, self.seen, a, s + self.jitter)
        return np.array([g_a, g_s]), np.array([[f_aa, f_as], [f_as, f_ss]])

    def _climb(self, a: float, s: float, fixed: bool) -> ErrorModel:
        """Scoring with step halving; a parameter pushed below zero rests there."""
        value = self._value(a, s)
        for step in range(self.options.max_steps):
            if step in (2, 5):
                self._leverage(a, s)
            gradient, fisher = self._derivatives(a, s)
            da, ds = _step(gradient, fisher, fixed, s)
            scale = 1.0
            for _ in range(12):
                trial = (max(a + scale * da, LEAST_ALPHA**2), max(s + scale * ds, 0.0))
                trial_value = self._value(*trial)
                if trial_value >= value - 1e-9 * abs(value):
                    break
                scale *= 0.5
            change = abs(trial[0] - a) / a + abs(trial[1] - s) / max(self.rms2, 1e-300)
            (a, s), value = trial, trial_value
            if change < self.options.tolerance and step > 2:
                break
        return self._model(a, s, value, fixed)

    def _alpha_given(self, a: float, s: float, fixed: bool) -> float:
        if fixed:
            return a
        for _ in range(6):
            gradient, fisher = self._derivatives(a, s)
            a = max(a + gradient[0] / fisher[0, 0], 1e-2 * a)
        return a

    def _model(self, a: float, s: float, value: float, fixed: bool) -> ErrorModel:
        _, fisher = self._derivatives(a, s)
        if fixed:
            var_a, var_s, cov = float("nan"), 1.0 / fisher[1, 1], float("nan")
        else:
            det = fisher[0, 0] * fisher[1, 1] - fisher[0, 1] ** 2
            good = det > 0
            var_a = fisher[1, 1] / det if good else float("inf")
            var_s = fisher[0, 0] / det if good else float("inf")
            cov = -fisher[0, 1] / np.sqrt(fisher[0, 0] * fisher[1, 1]) if good else float("nan")
        alpha, sigma = float(np.sqrt(a)), float(np.sqrt(s))
        return ErrorModel(
            alpha=alpha,
            alpha_err=float(np.sqrt(var_a) / (2.0 * alpha)),
            sigma_sys_mas=sigma,
            sigma_sys_err_mas=float(np.sqrt(var_s) / (2.0 * sigma)) if sigma > 0 else float("nan"),
            correlation=float(cov),
            log_likelihood=value,
            pairs=len(self.residuals),
        )


def _step(gradient: Floats, fisher: Floats, fixed: bool, s: float) -> tuple[float, float]:
    """Scoring step; alone along one parameter where the other is held or rests at zero."""
    if fixed:
        return 0.0, float(gradient[1] / fisher[1, 1])
    if s <= 0.0 and gradient[1] <= 0.0:
        return float(gradient[0] / fisher[0, 0]), 0.0
    det = fisher[0, 0] * fisher[1, 1] - fisher[0, 1] ** 2
    if det <= 1e-12 * fisher[0, 0] * fisher[1, 1]:
        return 0.0, float(gradient[1] / fisher[1, 1])
    da = (fisher[1, 1] * gradient[0] - fisher[0, 1] * gradient[1]) / det
    ds = (fisher[0, 0] * gradient[1] - fisher[0, 1] * gradient[0]) / det
    if s + ds < 0.0:
        # To the boundary, and the best alpha for that step.
        ds = -s
        da = (gradient[0] - fisher[0, 1] * ds) / fisher[0, 0]
    return float(da), float(ds)
