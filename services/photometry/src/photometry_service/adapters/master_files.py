"""Raw calibration frames and masters as FITS files.

A master of one image is the primary image with the extensions ``VARIANCE`` and ``MASK``. A master of a mosaic has each
amplifier's image in the HDU where the raw files have it, and ``VARIANCE_<hdu>`` and ``MASK_<hdu>`` behind them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astro_shared.fits import FitsFile, open_fits
from astro_shared.fits.exposure_time import read_exposure_time
from photometry_service.algorithms.detector import MasterFrame, MasterKind

BIAS_SUBTRACTED = "BIASSUB"


def write_master(path: Path, masters: Mapping[int, MasterFrame], *, filter_name: str | None = None) -> None:
    """Write a master; ``masters`` by the HDU of the raw files, 0 alone for a plain image."""
    hdus: list[fits.PrimaryHDU | fits.ImageHDU] = [fits.PrimaryHDU()]
    hdus += [fits.ImageHDU() for _ in range(max(masters))]
    for index, master in masters.items():
        hdu = hdus[index]
        hdu.data = master.data
        hdu.header["IMAGETYP"] = (f"master {master.kind}", "made by Alidade")
        hdu.header["BUNIT"] = ("" if master.kind is MasterKind.FLAT else "adu", "")
        hdu.header["NCOMBINE"] = (master.n_frames, "frames combined")
        if master.exposure_s is not None:
            hdu.header["EXPTIME"] = (master.exposure_s, "[s]")
        if master.kind is MasterKind.DARK:
            hdu.header[BIAS_SUBTRACTED] = (master.bias_subtracted, "the bias was taken off")
        if filter_name is not None:
            hdu.header["FILTER"] = filter_name
        hdus.append(fits.ImageHDU(master.variance, name=_beside("VARIANCE", index)))
        hdus.append(fits.ImageHDU(master.mask.astype(np.uint8), name=_beside("MASK", index)))
    fits.HDUList(hdus).writeto(path, overwrite=True)


def read_master(path: Path, kind: MasterKind, *, hdu: int | None = None, with_bias: bool) -> MasterFrame:
    """A master of `write_master`, or anybody's image in ADU, whose variance is then taken as 0.

    Parameters
    ----------
    hdu : of the raw image; where the file has no image there, its first one is taken
    with_bias : whether a bias comes with it: a dark that does not tell is then taken to be without its own
    """
    with open_fits(path) as file:
        held = {image.index for image in file.report.images}
        image = file.read(hdu if hdu in held else None, check=False)
        variance = _plane(file, _beside("VARIANCE", image.hdu_index), image.shape)
        mask = _plane(file, _beside("MASK", image.hdu_index), image.shape)
    subtracted = image.header.get(BIAS_SUBTRACTED)
    return MasterFrame(
        kind=kind,
        data=np.ascontiguousarray(image.data, np.float32),
        variance=np.zeros(image.shape, np.float32) if variance is None else variance,
        mask=image.mask if mask is None else image.mask | (mask != 0),
        n_frames=int(image.header.get("NCOMBINE", 1) or 1),
        exposure_s=read_exposure_time(image.header).seconds if kind is MasterKind.DARK else None,
        bias_subtracted=subtracted if isinstance(subtracted, bool) else with_bias,
    )


def _plane(file: FitsFile, name: str, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    for image in file.report.images:
        if image.name.upper() == name and image.shape == shape:
            return file.read(image.index, check=False).data
    return None


def _beside(name: str, index: int) -> str:
    return f"{name}_{index}" if index else name
