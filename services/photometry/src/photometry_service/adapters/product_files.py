"""Files of the photometry service."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from pydantic import BaseModel

from astro_shared.csv_text import csv_text
from astro_shared.errors import InvalidRequestError
from astro_shared.fits.errors import damage_named
from photometry_service.algorithms.psf import psf_from_arrays, psf_to_arrays
from photometry_service.domain.psf import PsfModel

STEPS = 65_000  # that 16 bits hold, with some to spare


def write_map(
    path: Path, values: NDArray[Any], *, what: str, gain_e_per_adu: float | None, unit: str = "electron",
    more: Mapping[str, Any] | None = None, step: float | None = None, coarsest: float = np.inf,
) -> None:  # fmt: skip
    """One map, in electrons where nothing else is said, as the primary image; ``more`` are further cards.

    Parameters
    ----------
    step : values are rounded to multiples of this and kept in 16 bits, which pack to a seventh; None keeps float32
    coarsest : a wider range takes steps up to this one; one that is still wider stays float32, like values not finite
    """
    header = fits.Header()
    header["BUNIT"] = (unit, what)
    if gain_e_per_adu is not None:
        header["GAIN"] = (gain_e_per_adu, "[electron/adu] divide by this for ADU")
    header.update(dict(more or {}))
    low, high = float(values.min()), float(values.max())
    fitting = max(step, (high - low) / STEPS) if step and np.isfinite(high - low) else np.inf
    if fitting > coarsest or not np.isfinite(fitting):
        fits.PrimaryHDU(np.ascontiguousarray(values, dtype=">f4"), header).writeto(path, overwrite=True)
        return
    middle = 0.5 * (low + high)
    levels = np.asarray(values, np.float32) - np.float32(middle)
    levels *= np.float32(1 / fitting)
    hdu = fits.PrimaryHDU(np.rint(levels, out=levels).astype(">i2"), header)
    hdu.header["BSCALE"] = (fitting, "values are rounded to multiples of this")
    hdu.header["BZERO"] = middle
    hdu.writeto(path, overwrite=True)


def read_map(path: Path) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """A coarse map of `write_map`, and its cards about the mesh."""
    with damage_named("The map"), fits.open(path, memmap=False) as hdus:
        header = hdus[0].header
        cards = {name: (header[name], header.comments[name]) for name in ("STEPX", "STEPY") if name in header}
        return np.asarray(hdus[0].data, dtype=np.float64), cards


def write_psf(path: Path, psf: PsfModel, stamp: NDArray[np.float64]) -> None:
    """The PSF: its picture at the centre of the frame first, then every array needed to evaluate it elsewhere.

    `docs/algorithms/psf-model.md` says how.
    """
    primary = fits.PrimaryHDU(stamp)
    primary.header["PSFKIND"] = (str(psf.kind), "form of the model")
    primary.header["FWHM"] = (psf.fwhm_px, "[pix] geometric mean, before pixel integration")
    primary.header["ELLIPT"] = (psf.ellipticity, "1 - minor / major axis")
    primary.header["NSTARS"] = (psf.quality.n_stars, "stars used")
    primary.header["OVERSAMP"] = (psf.oversampling, "table nodes per pixel")
    arrays = [fits.ImageHDU(values, name=name.upper()) for name, values in psf_to_arrays(psf).items()]
    fits.HDUList([primary, *arrays]).writeto(path, overwrite=True)


def read_psf(path: Path) -> PsfModel:
    """A PSF as `write_psf` wrote it.

    Raises
    ------
    InvalidRequestError
        The file is no such PSF.
    """
    with damage_named("The file with the PSF"), fits.open(path, memmap=False) as hdus:
        arrays = {hdu.name.lower(): np.asarray(hdu.data, dtype=np.float64) for hdu in hdus[1:] if hdu.data is not None}
    try:
        return psf_from_arrays(arrays)
    except (KeyError, IndexError, ValueError) as error:
        raise InvalidRequestError(f"The file with the PSF lacks {error}: it is not one of `measure`.") from None


def read_wcs(path: Path) -> WCS:
    """The solution that `solve` wrote."""
    with damage_named("The solution"):
        return WCS(fits.getheader(path))


def write_rows(path: Path, rows: Sequence[BaseModel]) -> None:
    """Models of one class (at least one) as CSV: a header line of their fields, an empty cell where a value is null."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(type(rows[0]).model_fields), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: csv_text(v) if isinstance(v, str) else v for name, v in row} for row in rows)
