"""Sources that a fit has put on one star: which of them go.

Two models on one star share its light in any proportion, one of them often with a flux below zero, and neither flux has
a meaning. Dropped one by one, the last has all of the light again; dropped together, the star is lost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from photometry_service.algorithms.psf.fit import PsfFit
from photometry_service.domain.psf import FloatArray

__all__ = ["CLOSEST_FWHM", "collapsed", "one_of_each_cluster"]

CLOSEST_FWHM = 0.25
"""No pair of models nearer than this is believed: nothing starts nearer than 0.4."""

CLOSE_FWHM = 0.5
"""Pairs nearer than this are one star where the fit does not confirm both."""


def collapsed(fit: PsfFit, detection_snr: FloatArray, fwhm_px: float, smallest_snr: float) -> NDArray[np.bool_]:
    """Sources to be dropped because they lie on another one.

    Parameters
    ----------
    fit : all sources of the frame
    detection_snr : (n,), of a pair the weaker goes; among equals the one of less flux
    fwhm_px
    smallest_snr : what a fit must reach to confirm a source

    Returns
    -------
    (n,)
        One of each pair nearer than 0.25 FWHM; also of those nearer than 0.5 FWHM, or both on one saturated area, where
        one of the two is not confirmed.
    """
    drop = np.zeros(fit.x.size, dtype=bool)
    usable = np.flatnonzero(np.isfinite(fit.x) & np.isfinite(fit.y))
    if usable.size < 2:
        return drop
    burnt = np.where(fit.saturated > 0, np.sqrt(fit.saturated / np.pi), 0.0)
    reach = np.maximum(CLOSE_FWHM * fwhm_px, burnt)
    places = np.stack([fit.x[usable], fit.y[usable]], axis=1)
    pairs = usable[cKDTree(places).query_pairs(float(reach.max()), output_type="ndarray")].reshape(-1, 2)
    apart = np.hypot(*(fit.x[pairs[:, 0]] - fit.x[pairs[:, 1]], fit.y[pairs[:, 0]] - fit.y[pairs[:, 1]]))
    confirmed = _confirmed(fit, smallest_snr)
    one = (apart < reach[pairs].min(axis=1)) & ~confirmed[pairs].all(axis=1)
    one |= apart < CLOSEST_FWHM * fwhm_px
    drop[_weaker(pairs[one], detection_snr, fit.flux)] = True
    return drop


def one_of_each_cluster(
    fit: PsfFit, failed: NDArray[np.bool_], detection_snr: FloatArray, fwhm_px: float
) -> NDArray[np.bool_]:
    """(n,): of sources that failed, those without a weaker one that failed within a FWHM.

    The others may hold once the weakest is gone and its light is theirs.
    """
    usable = np.flatnonzero(failed & np.isfinite(fit.x) & np.isfinite(fit.y))
    first = failed.copy()
    if usable.size > 1:
        places = np.stack([fit.x[usable], fit.y[usable]], axis=1)
        pairs = usable[cKDTree(places).query_pairs(fwhm_px, output_type="ndarray")].reshape(-1, 2)
        weaker = _weaker(pairs, detection_snr, fit.flux)
        first[pairs.sum(axis=1) - weaker] = False
    return first


def _confirmed(fit: PsfFit, smallest_snr: float) -> NDArray[np.bool_]:
    return np.asarray((fit.snr > smallest_snr) & (fit.flux > 0))


def _weaker(pairs: NDArray[np.intp], detection_snr: FloatArray, flux: FloatArray) -> NDArray[np.intp]:
    """(m,): of each pair the one found with less S/N; among equals the one of less flux, then the later."""
    rank = np.empty(flux.size, dtype=np.intp)
    rank[np.lexsort((-np.arange(flux.size), flux, np.nan_to_num(detection_snr, nan=np.inf)))] = np.arange(flux.size)
    return pairs[np.arange(len(pairs)), np.argmin(rank[pairs], axis=1)] if len(pairs) else pairs[:, 0]
