"""What is known of a frame, and the frame as a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Stars:
    """True stars; those off the frame belong to it as far as their light reaches it.

    Attributes
    ----------
    x, y : (n,), px
    mag : (n,), of the sky: before vignetting
    flux_e : (n,), electrons that reach the detector, all of those that were drawn
    flux_bound_e : (n,), electrons
        Cramer-Rao bound of the flux for a known PSF and place, neighbours counted as noise.
    isolated : (n,), bool
        No star or galaxy of 2 % of its flux within four FWHM.
    saturated : (n,), bool
        Its noise-free peak is clipped.
    """

    x: FloatArray
    y: FloatArray
    mag: FloatArray
    flux_e: FloatArray
    flux_bound_e: FloatArray
    isolated: NDArray[np.bool_]
    saturated: NDArray[np.bool_]

    @property
    def snr(self) -> FloatArray:
        """(n,): flux over its bound."""
        return self.flux_e / self.flux_bound_e


@dataclass(frozen=True)
class Galaxies:
    """True galaxies: places [px] and magnitudes."""

    x: FloatArray
    y: FloatArray
    mag: FloatArray


NO_GALAXIES = Galaxies(np.zeros(0), np.zeros(0), np.zeros(0))


@dataclass(frozen=True)
class Truth:
    """All that is true of a frame.

    Attributes
    ----------
    wcs
        The true map, which the header need not have.
    shape : (ny, nx)
    fwhm_px
        Of the stars, at the centre of the frame.
    gain_e_per_adu, exposure_s
    saturation_e
        Where pixels are clipped, electrons above the pedestal; infinite where they are not.
    zero_point_mag
        Magnitude of one electron per second.
    said
        Words of which one must stand in a warning of the reduction; none: nothing need be said.
    """

    stars: Stars
    galaxies: Galaxies
    wcs: WCS
    shape: tuple[int, int]
    fwhm_px: float
    gain_e_per_adu: float
    exposure_s: float
    saturation_e: float
    zero_point_mag: float
    pedestal_adu: float = 0.0
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Frame:
    """A frame of known truth.

    Attributes
    ----------
    data_e : (ny, nx), electrons
        What the file holds, without its pedestal: for programs that know the gain.
    hdus
        The file; the image is in the HDU named ``SCI``, or in the first.
    reference : columns of the list of reference stars by name
    """

    kind: str
    seed: int
    data_e: NDArray[np.float32]
    hdus: fits.HDUList
    reference: dict[str, FloatArray]
    truth: Truth
    notes: dict[str, object] = field(default_factory=dict)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """``frame.fits`` and ``reference.csv`` in the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        frame, reference = folder / "frame.fits", folder / "reference.csv"
        self.hdus.writeto(frame, overwrite=True)
        Table(self.reference).write(reference, format="ascii.csv", overwrite=True)
        return frame, reference
