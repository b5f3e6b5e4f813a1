"""Figures that tell whether a measurement can be trusted, and whether a frame is a picture of the sky at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from astro_shared.frame_warnings import FrameWarning, WarningCode
from photometry_service.domain.flags import SourceFlag

Array = NDArray[np.float64]

WORDS = re.compile(
    r"\b(difference image|diff(?:erence)?[ _-]?im(?:age|g)?|sfft|hotpants|zogy|image subtraction)\b", re.I
)
CARDS = ("IMAGETYP", "OBSTYPE", "IMGTYPE", "OBJTYPE", "PRODTYPE", "PRODCATG")
NEGATIVE_SIGMA = 6.0
NEGATIVE_SHARE, FEWEST_NEGATIVE = 0.2, 20
OBJECT_PX = (3, 400)
"""Dark objects: at least so many areas below -6 sigma, of the size of a star, and this share of the bright ones."""

LEVEL_OF_A_DIFFERENCE = 5.0
"""In sigma of a pixel; the sky of a picture, counted in electrons, is the square of its noise."""

NARROW_FWHM_PX, ELONGATED, FEW_PSF_STARS = 1.0, 0.35, 3
"""Profiles narrower or longer than these, or made from fewer stars, are said to be so."""

SHAPE_SNR, FEWEST_FOR_SHAPE, MOST_ODD_SHAPES = 10.0, 5, 0.5
"""Of the sources above this S/N, and of all (if they are so many), at most this share may differ from the PSF in shape."""

GOOD_STARS = (
    SourceFlag.SATURATED | SourceFlag.TRUNCATED | SourceFlag.BLENDED | SourceFlag.CROWDED
    | SourceFlag.COSMIC_RAY_IN_APERTURE | SourceFlag.NOT_CONVERGED | SourceFlag.NOT_POINT_LIKE
)  # fmt: skip


def difference_words(header: Mapping[str, Any], comments: Mapping[str, str] | None = None) -> str | None:
    """What in a header says that the frame is a difference of two images; None when nothing does."""
    for card in CARDS:
        text = str(header.get(card, ""))
        if re.search(r"\bdiff", text, re.I):
            return f"{card} = {text.strip()[:40]}"
    for card, value in header.items():
        if card in ("HISTORY", "COMMENT", ""):
            continue
        for text in (str(value), str((comments or {}).get(card, ""))):
            found = WORDS.search(text)
            if found:
                return f"the header speaks of {found.group(0)} ({card})"
    return None


def dark_objects(data: NDArray[np.float32], mask: NDArray[np.bool_], *, rms: float, level: float) -> str | None:
    """What a frame is that has objects below its sky, in words; None when there are none to speak of.

    Parameters
    ----------
    data : (ny, nx), background subtracted
    mask : (ny, nx), True = bad
    rms : one sigma per pixel, same unit
    level : the background that was subtracted; a difference of two images has next to none
    """
    dark = _areas_of_a_star(data < -NEGATIVE_SIGMA * rms, mask)
    if dark < FEWEST_NEGATIVE:
        return None
    bright = _areas_of_a_star(data > NEGATIVE_SIGMA * rms, mask)
    if dark < NEGATIVE_SHARE * bright:
        return None
    figures = f"{dark} objects are 6 sigma below the sky, {bright} above"
    if abs(level) < LEVEL_OF_A_DIFFERENCE * rms:
        return f"a difference of two images ({figures})"
    return f"an uneven frame, such as a flat field, or a difference of two images with a level added ({figures})"


def _areas_of_a_star(far: NDArray[np.bool_], mask: NDArray[np.bool_]) -> int:
    """Connected areas of the size of a star, 0 where few pixels are; dead ones are smaller, dark bands and gaps larger."""
    far = far & ~mask
    if np.count_nonzero(far) < FEWEST_NEGATIVE * OBJECT_PX[0]:
        return 0
    number, _ = label(far)
    size = np.bincount(number.ravel())[1:]
    return int(np.count_nonzero((size >= OBJECT_PX[0]) & (size <= OBJECT_PX[1])))


def clean_stars(columns: Mapping[str, NDArray[Any]], min_snr: float) -> NDArray[np.intp]:
    """Rows of unflagged stars above a S/N, brightest first."""
    good = ((columns["flags"] & int(GOOD_STARS)) == 0) & (columns["snr"] > min_snr) & (columns["flux_psf"] > 0)
    rows = np.flatnonzero(good)
    return rows[np.argsort(-columns["flux_psf"][rows], kind="stable")]


def shape_warnings(
    columns: Mapping[str, NDArray[Any]], kind: str | None, fwhm_px: float, *, ellipticity: float = 0.0, stars: int = 10
) -> tuple[FrameWarning, ...]:
    """Warnings where the sources of a frame are no stars, or the profile is no good: assumed, or within a pixel.

    Parameters
    ----------
    columns : of the source table
    kind : of the PSF; ``assumed`` when there was no star for it
    fwhm_px, ellipticity : of the PSF; 1 - minor / major axis
    stars : that made it
    """
    warnings = []
    if kind == "assumed":
        told = (
            f"no star was clean and bright enough for a profile: a Moffat of {fwhm_px:.1f} px was assumed, fluxes and "
            "positions depend on it"
        )
        warnings.append(WarningCode.PSF_ASSUMED(told))
    elif fwhm_px < NARROW_FWHM_PX:
        told = (
            f"stars are narrower than a pixel (FWHM {fwhm_px:.2f} px before the integration over it): where in its pixel a "
            "star lies is hardly known, which fluxes and positions suffer from; was the frame reduced in size?"
        )
        warnings.append(WarningCode.PSF_UNDERSAMPLED(told))
    if kind != "assumed" and stars < FEW_PSF_STARS:
        made_of = f"{stars} star{'s' if stars > 1 else ''}"
        told = f"the profile was made from {made_of} only: fluxes and positions are as good as that"
        warnings.append(WarningCode.PSF_OF_FEW_STARS(told))
    if kind != "assumed" and ellipticity > ELONGATED:
        told = f"stars are elongated (minor axis {1 - ellipticity:.2f} of the major): the frame is trailed, or out of focus"
        warnings.append(WarningCode.STARS_ELONGATED(told))
    odd = (columns["flags"] & int(SourceFlag.NOT_POINT_LIKE)) != 0
    clear = columns["snr"] > SHAPE_SNR
    for chosen, what in ((clear, f"sources above S/N {SHAPE_SNR:g}"), (np.ones(odd.size, dtype=bool), "sources")):
        number, strange = np.count_nonzero(chosen), np.count_nonzero(odd & chosen)
        if number >= FEWEST_FOR_SHAPE and strange > MOST_ODD_SHAPES * number:
            told = (
                f"{strange} of {number} {what} do not have the shape of a star: the frame may be trailed, out of focus, "
                "uneven, no picture of the sky, or not linear"
            )
            warnings.append(WarningCode.SHAPES_NOT_STELLAR(told))
            break
    return tuple(warnings)


def median_chi2(columns: Mapping[str, NDArray[Any]]) -> float:
    """Median reduced chi-square of clean stars above S/N 10; NaN without any."""
    values = columns["chi2_red"][clean_stars(columns, 10.0)]
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else float("nan")


def core_residual(
    residual: NDArray[np.float32], data: NDArray[np.float32], rms: float, columns: Mapping[str, NDArray[Any]]
) -> float:
    """Rms of the residual over the noise in the 3x3 cores of clean stars above S/N 100; NaN without any.

    Notes
    -----
    Noise per pixel is sqrt(rms^2 + max(data, 0)), electrons. 1 is perfect; more says how far the PSF model is off.
    """
    rows = clean_stars(columns, 100.0)[:300]
    ny, nx = residual.shape
    x, y = (np.rint(columns[name][rows]).astype(np.intp) for name in ("x", "y"))
    inside = (x >= 1) & (y >= 1) & (x < nx - 1) & (y < ny - 1)
    if not inside.any():
        return float("nan")
    dy, dx = np.mgrid[-1:2, -1:2].reshape(2, 9)
    place = (y[inside][:, None] + dy, x[inside][:, None] + dx)
    noise2 = rms**2 + np.maximum(data[place].astype(np.float64), 0.0)
    return float(np.sqrt(np.median(np.mean(residual[place].astype(np.float64) ** 2 / noise2, axis=1))))


def curve_of_growth(columns: Mapping[str, NDArray[Any]], radii_px: Array) -> tuple[tuple[float, float], ...]:
    """Radius and median ratio of aperture to profile flux of clean stars above S/N 50; empty with fewer than three."""
    rows = clean_stars(columns, 50.0)[:300]
    if rows.size < 3:
        return ()
    ratios = [np.median(columns[f"flux_aper_{n + 1}"][rows] / columns["flux_psf"][rows]) for n in range(len(radii_px))]
    return tuple((round(float(r), 4), round(float(q), 5)) for r, q in zip(radii_px, ratios, strict=True))


def stacked_residual(
    residual: NDArray[np.float32], columns: Mapping[str, NDArray[Any]], *, peak: float, half_px: int
) -> Array:
    """Median over bright clean stars of what the model leaves around them, as a share of the model's peak.

    Parameters
    ----------
    residual : (ny, nx), electron, frame minus background and models
    peak : highest value of the PSF, whose sum is 1
    half_px : half side of the stamp

    Returns
    -------
    (2 half_px + 1, 2 half_px + 1)
        Stars at their nearest pixel; NaN everywhere with fewer than three.
    """
    side = 2 * half_px + 1
    rows = clean_stars(columns, 100.0)[:200]
    ny, nx = residual.shape
    x, y = (np.rint(columns[name][rows]).astype(np.intp) for name in ("x", "y"))
    inside = (x >= half_px) & (y >= half_px) & (x < nx - half_px) & (y < ny - half_px)
    if inside.sum() < 3:
        return np.full((side, side), np.nan)
    dy, dx = np.mgrid[-half_px : half_px + 1, -half_px : half_px + 1]
    stamps = residual[y[inside][:, None, None] + dy, x[inside][:, None, None] + dx]
    return np.median(stamps / (peak * columns["flux_psf"][rows][inside])[:, None, None], axis=0)


def position_error_over_bound(columns: Mapping[str, NDArray[Any]], stamp: Array, rms: float) -> float:
    """Quoted position error over the Cramer-Rao bound: median over clean stars above S/N 60, both axes; NaN without any.

    Parameters
    ----------
    stamp : (n, n), the PSF at the centre of the frame, sum about 1
    rms : noise of the sky per pixel, electrons

    Notes
    -----
    Bound for x: 1 / sum (F dP/dx)^2 / (rms^2 + F P), the flux being nearly independent of the place.
    """
    rows = clean_stars(columns, 60.0)[:300]
    if rows.size == 0:
        return float("nan")
    flux = columns["flux_psf"][rows][:, None, None]
    variance = rms**2 + flux * np.maximum(stamp, 0.0)
    ratios = []
    for name, slope in zip(("y_var", "x_var"), np.gradient(stamp), strict=True):
        bound = 1 / np.sum((flux * slope) ** 2 / variance, axis=(1, 2))
        ratios.append(np.sqrt(columns[name][rows] / bound))
    return float(np.nanmedian(np.concatenate(ratios)))
