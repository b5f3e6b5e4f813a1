"""Lists of stars: on the detector, on the sky, and on a plane tangent to the sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def _same_length(**columns: Floats) -> None:
    """Refuse columns that are not one-dimensional and of one length."""
    sizes = {name: np.shape(values) for name, values in columns.items()}
    if len(set(sizes.values())) > 1 or any(len(size) != 1 for size in sizes.values()):
        raise ValueError(f"columns of different shapes: {sizes}")


@dataclass(frozen=True)
class StarList:
    """Detected stars, brightest first.

    Attributes
    ----------
    x, y : (n,), px, 0-based
    flux : (n,), any linear unit; only the order is used
    origin : (n,), index of each star in the list that it was made from
    """

    x: Floats
    y: Floats
    flux: Floats
    origin: NDArray[np.intp]

    @classmethod
    def from_columns(cls, x: Floats, y: Floats, flux: Floats) -> StarList:
        """Sort by flux; stars without a finite position or with a NaN flux are left out."""
        x, y, flux = (np.asarray(values, dtype=np.float64) for values in (x, y, flux))
        _same_length(x=x, y=y, flux=flux)
        usable = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & ~np.isnan(flux))
        origin = usable[np.argsort(-flux[usable], kind="stable")]
        return cls(x[origin], y[origin], flux[origin], origin)

    def __len__(self) -> int:
        return int(self.x.size)

    def brightest(self, count: int) -> StarList:
        """The first ``count`` stars."""
        return StarList(self.x[:count], self.y[:count], self.flux[:count], self.origin[:count])


@dataclass(frozen=True)
class SkyStars:
    """Reference stars on the sky, brightest first.

    Attributes
    ----------
    ra_deg, dec_deg : (n,), deg, ICRS at the epoch of the exposure
    mag : (n,), in a band near that of the frame; NaN (unknown) sorts last
    origin : (n,), index of each star in the list that it was made from
    """

    ra_deg: Floats
    dec_deg: Floats
    mag: Floats
    origin: NDArray[np.intp]

    @classmethod
    def from_columns(cls, ra_deg: Floats, dec_deg: Floats, mag: Floats) -> SkyStars:
        """Sort by magnitude; stars without a finite position are left out."""
        ra_deg, dec_deg, mag = (np.asarray(values, dtype=np.float64) for values in (ra_deg, dec_deg, mag))
        _same_length(ra_deg=ra_deg, dec_deg=dec_deg, mag=mag)
        usable = np.flatnonzero(np.isfinite(ra_deg) & np.isfinite(dec_deg))
        origin = usable[np.argsort(mag[usable], kind="stable")]
        return cls(ra_deg[origin], dec_deg[origin], mag[origin], origin)

    def __len__(self) -> int:
        return int(self.ra_deg.size)

    def brightest(self, count: int) -> SkyStars:
        """The first ``count`` stars."""
        return SkyStars(self.ra_deg[:count], self.dec_deg[:count], self.mag[:count], self.origin[:count])


@dataclass(frozen=True)
class SkyMap:
    """Stars all over the sky, in order of declination, so that a disc is cut out of one band.

    Attributes
    ----------
    ra_deg, dec_deg : (n,), deg, ICRS
    mag : (n,)
    """

    ra_deg: Floats
    dec_deg: Floats
    mag: NDArray[np.float32]

    @classmethod
    def from_columns(cls, ra_deg: Floats, dec_deg: Floats, mag: NDArray[np.floating]) -> SkyMap:
        """Sort by declination; stars without a finite position or magnitude are left out."""
        _same_length(ra_deg=np.asarray(ra_deg), dec_deg=np.asarray(dec_deg), mag=np.asarray(mag))
        usable = np.flatnonzero(np.isfinite(ra_deg) & np.isfinite(dec_deg) & np.isfinite(mag))
        order = usable[np.argsort(dec_deg[usable], kind="stable")]
        return cls(ra_deg[order], dec_deg[order], mag[order].astype(np.float32))

    def __len__(self) -> int:
        return int(self.ra_deg.size)


@dataclass(frozen=True)
class ProjectedStars:
    """Reference stars on the plane that touches the sky at (``ra0_deg``, ``dec0_deg``), brightest first.

    Attributes
    ----------
    xi_deg, eta_deg : (n,), deg, standard coordinates, xi to the east, eta to the north
    mag : (n,)
    ra0_deg, dec0_deg : deg
    origin : (n,), index of each star in the list that it was made from
    """

    xi_deg: Floats
    eta_deg: Floats
    mag: Floats
    ra0_deg: float
    dec0_deg: float
    origin: NDArray[np.intp]

    @classmethod
    def from_columns(
        cls, xi_deg: Floats, eta_deg: Floats, mag: Floats, *, ra0_deg: float = 0.0, dec0_deg: float = 0.0
    ) -> ProjectedStars:
        """Sort by magnitude; stars on the far side of the sky (NaN) are left out."""
        xi_deg, eta_deg, mag = (np.asarray(values, dtype=np.float64) for values in (xi_deg, eta_deg, mag))
        _same_length(xi_deg=xi_deg, eta_deg=eta_deg, mag=mag)
        usable = np.flatnonzero(np.isfinite(xi_deg) & np.isfinite(eta_deg))
        origin = usable[np.argsort(mag[usable], kind="stable")]
        return cls(xi_deg[origin], eta_deg[origin], mag[origin], ra0_deg, dec0_deg, origin)

    def __len__(self) -> int:
        return int(self.xi_deg.size)

    @property
    def radius_deg(self) -> float:
        """Distance of the farthest star from the tangent point."""
        return float(np.hypot(self.xi_deg, self.eta_deg).max(initial=0.0))
