"""The robust mean of the affines of the regions, taken at the centre of the frame: a diagnostic, no step starts from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astro_shared.science.robust_statistics import mad_std
from astrometry_service.algorithms.refinement.regions import Region

__all__ = ["mean_affine"]

Floats = NDArray[np.float64]


def mean_affine(regions: tuple[Region, ...]) -> Floats:
    """Mean of the accepted affines, weighted by inverse covariance.

    Parameters
    ----------
    regions : with affines about the frame's centre (offsets at the pixel origin would be extrapolated)

    Returns
    -------
    (2, 3), deg; (xi, eta) = matrix @ (x - xc, y - yc, 1)

    Raises
    ------
    ValueError
        No region is accepted.

    Notes
    -----
    Distortion makes the affines differ by more than their covariances say. The scatter between the regions (1.4826
    median absolute deviation, per parameter) is added to each covariance, so that no region dominates.
    """
    accepted = [region for region in regions if region.accepted]
    if not accepted:
        raise ValueError("no accepted region")
    affines = np.array([region.affine for region in accepted])
    between = mad_std(affines, axis=0)
    spread = np.diag(np.mean(between**2, axis=0))
    weights = np.array([np.linalg.inv(region.covariance + spread) for region in accepted])
    total = np.linalg.inv(weights.sum(axis=0))
    return np.asarray(np.einsum("ij,kjl,kal->ai", total, weights, affines), dtype=np.float64)
