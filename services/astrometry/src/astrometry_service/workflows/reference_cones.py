"""Reference stars for solving: asked from the catalogue once, or from the local all-sky list where that is better."""

from __future__ import annotations

import numpy as np

from astro_shared.errors import AlidadeError
from astro_shared.frame_warnings import FrameWarning, WarningCode
from astrometry_service.algorithms.matching import angular_distance_deg, sky_cone
from astrometry_service.algorithms.reference_positions import positions_at_epoch
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.domain.sky_index import SkyIndex
from astrometry_service.domain.star_lists import SkyStars
from astrometry_service.errors import ReferenceListError
from astrometry_service.ports import AllSkyStars, ReferenceCatalogue, ReferenceCone

__all__ = ["ReferenceCones"]

# Discs wider than this come from the local list: a catalogue would send its brightest stars of a large part of the sky.
WIDEST_CONE_DEG = 4.0
LEAST_ROWS = 20_000
ALL_SKY_EPOCH = 2000.0
MOST_NOTES = 3


class ReferenceCones:
    """Cones of one frame: same epoch, same depth; a disc inside an earlier one costs no question.

    Parameters
    ----------
    catalogue : may be unreachable; None when there is none
    all_sky : local list of bright stars
    epoch_jyear : epoch of the exposure
    sources : number of detected stars; three times as many rows are asked for, at least 20 000
    widest_deg : largest radius that the catalogue is asked for
    """

    def __init__(
        self,
        catalogue: ReferenceCatalogue | None,
        all_sky: AllSkyStars | None,
        *,
        epoch_jyear: float | None,
        sources: int,
        widest_deg: float = 15.0,
    ) -> None:
        self._catalogue, self._all_sky = catalogue, all_sky
        self._epoch, self._rows = epoch_jyear, max(LEAST_ROWS, 3 * sources)
        self._widest_deg = widest_deg
        self._kept: list[tuple[float, float, float, ReferenceCone, SkyStars]] = []
        self.questions = 0
        self.notes: list[FrameWarning] = []
        self.reached = False

    def stars(self, ra_deg: float, dec_deg: float, radius_deg: float) -> SkyStars:
        """Stars of a disc at the epoch of the exposure, brightest first; empty where none are at hand."""
        if radius_deg > WIDEST_CONE_DEG or self._catalogue is None:
            local = self.local_stars(ra_deg, dec_deg, radius_deg)
            if local is not None:
                return local
        found = self._ask(ra_deg, dec_deg, radius_deg)
        if found is not None:
            return found[1]
        local = self.local_stars(ra_deg, dec_deg, radius_deg)
        return local if local is not None else SkyStars.from_columns(np.zeros(0), np.zeros(0), np.zeros(0))

    def local_stars(self, ra_deg: float, dec_deg: float, radius_deg: float) -> SkyStars | None:
        """Stars of a disc from the local all-sky list; None where there is no such list."""
        sky = self._all_sky.load() if self._all_sky is not None else None
        return sky_cone(sky, ra_deg, dec_deg, radius_deg, max_rows=self._rows) if sky is not None else None

    def patterns(self) -> SkyIndex | None:
        """Patterns of the local all-sky list, where there are some."""
        return self._all_sky.patterns() if self._all_sky is not None else None

    def for_refinement(self, ra_deg: float, dec_deg: float, radius_deg: float) -> ReferenceCone | None:
        """The rows that a refinement starts from: of the catalogue, else of the local list."""
        found = self._ask(ra_deg, dec_deg, radius_deg, contained=False)
        if found is not None and len(found[0].stars):
            return found[0]
        local = self.local_stars(ra_deg, dec_deg, radius_deg)
        if local is None or not len(local):
            return None
        columns = {"ra": local.ra_deg, "dec": local.dec_deg, "vt_mag": local.mag}
        rows = ReferenceStars.from_columns(columns, default_epoch=ALL_SKY_EPOCH)
        note = (
            "the reference catalogue has no stars on this frame: the solution stands on the local all-sky list, which has "
            "neither proper motions nor magnitudes for a zero point"
        )
        return ReferenceCone(rows, "all-sky", "list", notes=(WarningCode.REFERENCE_ALL_SKY_LIST(note),))

    def _ask(
        self, ra_deg: float, dec_deg: float, radius_deg: float, *, contained: bool = True
    ) -> tuple[ReferenceCone, SkyStars] | None:
        """Ask the catalogue, or cut from an earlier answer; None when it cannot be reached."""
        if self._catalogue is None or radius_deg > self._widest_deg:
            return None
        for ra0, dec0, radius0, cone, stars in self._kept:
            apart = float(angular_distance_deg(ra_deg, dec_deg, ra0, dec0))
            if apart + radius_deg <= radius0 * (1 + 1e-9) and (contained or not cone.truncated):
                return cone, _cut(stars, ra_deg, dec_deg, radius_deg)
        try:
            cone = self._catalogue.cone(
                ra_deg % 360.0, dec_deg, radius_deg, max_rows=self._rows, epoch_jyear=self._epoch
            )
        except ReferenceListError as error:
            # this disc is empty, as around a wrong position; others need not be
            self.reached = True
            note = f"a disc of {radius_deg:.2g} deg around {ra_deg:.3f}, {dec_deg:.3f}: {error}"
            if len(self.notes) < MOST_NOTES:
                self.notes.append(WarningCode.REFERENCE_EMPTY(note))
            return None
        except AlidadeError as error:
            told = WarningCode.REFERENCE_UNREACHABLE(f"the reference catalogue gave no stars: {error}")
            self.notes.append(told)
            self._catalogue = None
            return None
        self.questions += 1
        self.reached = True
        places = positions_at_epoch(cone.stars, self._epoch, parallax=False)
        stars = SkyStars.from_columns(places.ra, places.dec, cone.stars.mag)
        self._kept.append((ra_deg, dec_deg, radius_deg, cone, stars))
        return cone, stars


def _cut(stars: SkyStars, ra_deg: float, dec_deg: float, radius_deg: float) -> SkyStars:
    near = np.flatnonzero(angular_distance_deg(stars.ra_deg, stars.dec_deg, ra_deg, dec_deg) <= radius_deg)
    return SkyStars(stars.ra_deg[near], stars.dec_deg[near], stars.mag[near], stars.origin[near])
