"""Known objects matched to the sources of a frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catalogs_service.algorithms.epoch import moved
from catalogs_service.algorithms.sky_match import Candidates, MatchRadius, match_sky
from catalogs_service.domain.positions import Placed, SkyPositions
from catalogs_service.domain.questions import KnownObjects


@dataclass(frozen=True, slots=True)
class Matches:
    """Candidates of one catalogue, and its objects' positions at the epoch of the exposure."""

    candidates: Candidates
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]


def identify(sources: Placed, objects: KnownObjects, *, epoch_jyear: float | None, radius: MatchRadius) -> Matches:
    """Match sources to the objects of one catalogue.

    Objects are moved to the epoch of the exposure where both it and a motion are known. The match radius follows the
    errors of both sides (`match_sky`).
    """
    ra, dec = objects.ra, objects.dec
    if epoch_jyear is not None and len(objects):
        ra, dec = moved(ra, dec, objects.pmra, objects.pmdec, epoch_jyear - objects.epoch)
    return Matches(match_sky(sources, SkyPositions(ra, dec, objects.error_arcsec), radius), ra, dec)
