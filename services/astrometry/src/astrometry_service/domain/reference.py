"""Reference stars: the columns of Gaia, whatever list they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrometry_service.errors import ReferenceListError

__all__ = ["ReferencePositions", "ReferenceStars"]

Floats = NDArray[np.float64]

# Columns that are read when present. Units are those of the Gaia archive: deg, mas, mas/yr, yr, mag, km/s.
OPTIONAL_COLUMNS = (
    "ra_error", "dec_error", "ra_dec_corr", "pmra", "pmdec", "pmra_error", "pmdec_error", "pmra_pmdec_corr",
    "ra_pmra_corr", "ra_pmdec_corr", "dec_pmra_corr", "dec_pmdec_corr", "parallax", "radial_velocity",
    "ruwe", "astrometric_excess_noise_sig", "phot_bp_mean_mag", "phot_rp_mean_mag",
)  # fmt: skip


@dataclass(frozen=True)
class ReferenceStars:
    """A list of reference stars at its own epoch.

    Attributes
    ----------
    ra, dec : (n,), deg, ICRS at ``ref_epoch``
    ref_epoch : (n,), yr
    mag : (n,), brightness used for ranking; NaN where unknown
    columns : further columns by Gaia name, (n,) each, NaN where empty
    source_id : (n,), identifier, a number or text (the row number where the list has none)
    duplicated : (n,), Gaia's ``duplicated_source``
    missing : names of optional columns that the list does not have
    """

    ra: Floats
    dec: Floats
    ref_epoch: Floats
    mag: Floats
    source_id: NDArray[Any]
    duplicated: NDArray[np.bool_]
    columns: Mapping[str, Floats] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.ra.size)

    def column(self, name: str) -> Floats:
        """An optional column, or NaN for every star where the list does not have it."""
        return self.columns.get(name, np.full(self.ra.shape, np.nan))

    @property
    def colour(self) -> Floats:
        """BP - RP in magnitudes, NaN where unknown."""
        return self.column("phot_bp_mean_mag") - self.column("phot_rp_mean_mag")

    def take(self, rows: NDArray[Any]) -> ReferenceStars:
        """The stars of these rows (indices or mask)."""
        return ReferenceStars(
            self.ra[rows], self.dec[rows], self.ref_epoch[rows], self.mag[rows], self.source_id[rows],
            self.duplicated[rows], {name: values[rows] for name, values in self.columns.items()}, self.missing,
        )  # fmt: skip

    def as_columns(self) -> dict[str, NDArray[Any]]:
        """Identifiers, places and what else is known besides brightness, whose band a list need not tell."""
        return {
            "source_id": self.source_id, "ra": self.ra, "dec": self.dec, "ref_epoch": self.ref_epoch, **self.columns
        }  # fmt: skip

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Any], *, mag_column: str | None = None, default_epoch: float = 2016.0
    ) -> ReferenceStars:
        """Reference stars from the columns of a table with Gaia's names.

        Parameters
        ----------
        columns : mapping of names to (n,); ``ra`` and ``dec`` are needed
        mag_column : the column that ranks by brightness; by default ``phot_g_mean_mag``, then any ``<band>_mag``
        default_epoch : yr, where the list has no ``ref_epoch``

        Raises
        ------
        ReferenceListError
            No positions, or an empty list.
        """
        if "ra" not in columns or "dec" not in columns:
            raise ReferenceListError("A reference list needs columns ra and dec", count=0)
        ra, dec = _column(columns["ra"]), _column(columns["dec"])
        if ra.size == 0:
            raise ReferenceListError("The reference list is empty", count=0)
        name = mag_column or _brightness_column(columns)
        mag = _column(columns[name]) if name in columns else np.full(ra.shape, np.nan)
        epoch = _column(columns["ref_epoch"]) if "ref_epoch" in columns else np.full(ra.shape, default_epoch)
        ids = columns["source_id"] if "source_id" in columns else np.arange(ra.size)
        duplicated = np.array(columns["duplicated_source"], bool) if "duplicated_source" in columns else False
        extra = {n: _column(columns[n]) for n in OPTIONAL_COLUMNS if n in columns}
        missing = tuple(n for n in (*OPTIONAL_COLUMNS, "ref_epoch", "duplicated_source") if n not in columns)
        return cls(
            ra, dec, np.where(np.isfinite(epoch), epoch, default_epoch), mag, _identifiers(ids),
            np.broadcast_to(duplicated, ra.shape).copy(), extra, missing,
        )  # fmt: skip


@dataclass(frozen=True)
class ReferencePositions:
    """Reference stars carried to the epoch of the exposure.

    Attributes
    ----------
    ra, dec : (n,), deg, ICRS at ``epoch_jyear``, as seen from the observer's place (parallax applied)
    covariance_mas2 : (n, 2, 2), mas^2, in local east and north
    good : (n,), passed the quality cuts
    epoch_jyear : yr
    applied : names of the cuts that were made, with the number of stars that each one took out
    skipped : cuts and corrections that could not be made because their columns are missing
    """

    ra: Floats
    dec: Floats
    covariance_mas2: Floats
    good: NDArray[np.bool_]
    epoch_jyear: float
    applied: Mapping[str, int] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()


def _column(values: Any) -> Floats:
    filled = values.filled(np.nan) if hasattr(values, "filled") and np.asarray(values).dtype.kind == "f" else values
    return np.array(filled, dtype=np.float64).reshape(-1)


def _identifiers(values: Any) -> NDArray[Any]:
    ids = np.asarray(values)
    if ids.dtype.kind in "iu":
        return ids.astype(np.int64)
    return ids.astype(str) if ids.dtype.kind in "SU" else np.arange(ids.size, dtype=np.int64)


def _brightness_column(columns: Mapping[str, Any]) -> str:
    if "phot_g_mean_mag" in columns:
        return "phot_g_mean_mag"
    return next((name for name in columns if str(name).endswith("_mag")), "phot_g_mean_mag")
