"""Cosmic rays by L.A.Cosmic, evaluated only where a decision needs it.

The mask is the one that astroscrappy gives for the same parameters, pixel by pixel; ``astroscrappy_cosmic_rays`` is
astroscrappy itself behind the same function, for comparison. Work is done in electrons with the background left in,
because the noise is taken from the pixel values.

References
----------
van Dokkum (2001), PASP 113, 1420.
McCully et al. (2018), astroscrappy, doi:10.5281/zenodo.1482019.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from astro_shared.frame_warnings import FrameWarning, WarningCode
from photometry_service.algorithms.cosmic_rays import _search
from photometry_service.algorithms.cosmic_rays.noise import SearchPixels, search_pixels
from photometry_service.algorithms.fwhm import guess_fwhm
from photometry_service.domain.frame import Frame

__all__ = [
    "CosmicRayOptions",
    "CosmicRays",
    "astroscrappy_cosmic_rays",
    "find_cosmic_rays",
    "remove_cosmic_rays",
    "sparse_cosmic_rays",
]

UNDERSAMPLED_FWHM_PX = 1.5
"""Below this width a star's core looks like a hit at the default contrast."""

UNDERSAMPLED_OBJLIM = 10.0
"""Contrast used for undersampled stars."""

SATURATED_CORE_SHARE = 10.0
"""A saturated pixel is a star's when the median around it is above the level divided by this (astroscrappy)."""

MAX_SHARE = 0.1
"""A mask of more than this share of a frame is no longer one of cosmic rays."""

LARGEST_KERNEL_PX = 25
"""Side of the largest kernel of the matched filter; the compiled kernel has room for no larger one."""

MOFFAT_BETA = 4.765
"""Exponent of the Moffat kernel (astroscrappy)."""

CLEANING = ("meanmask", "medmask", "idw", "median")
"""In the order of the compiled kernel."""

MIN_SIDE_PX = 16
"""Smaller frames have no room for the windows; they come back without hits."""


@dataclass(frozen=True)
class CosmicRayOptions:
    """Parameters of L.A.Cosmic.

    Attributes
    ----------
    engine : ``sparse``, or ``astroscrappy`` as reference
    medians : ``full`` (noise 5x5, S 5x5, fine structure 3x3 and 7x7) or ``separable`` (7, 7, 5, 9; astroscrappy's
        default, which flags the cores of undersampled stars)
    sigclip : Laplacian S/N of a hit
    sigfrac : share of ``sigclip`` for its neighbours
    objlim : contrast against the fine structure of stars
    niter : most rounds, 1 to 20
    cleantype : what a hit is replaced by, from the 5x5 around it: ``meanmask``, ``medmask`` or ``idw``, mean, median or
        mean by inverse distance of the good pixels; ``median`` of all pixels, hits too (sparse engine only:
        astroscrappy 1.3 takes that one from memory that it never wrote)
    fsmode : fine structure of stars by ``median`` filters, or by ``convolve``: the frame through a matched filter
    psfmodel, psffwhm, psfsize : kernel of that filter; FWHM and odd side in pixels
    max_candidate_share : a frame with a larger share of pixels of S > sigclip is not searched (sparse engine): its
        noise is not what the pixel values say, or it is no picture of the sky; 1 searches any frame
    """

    engine: Literal["sparse", "astroscrappy"] = "sparse"
    medians: Literal["full", "separable"] = "full"
    sigclip: float = 4.5
    sigfrac: float = 0.3
    objlim: float = 5.0
    niter: int = 4
    cleantype: Literal["meanmask", "medmask", "idw", "median"] = "meanmask"
    fsmode: Literal["median", "convolve"] = "median"
    psfmodel: Literal["gauss", "gaussx", "gaussy", "moffat"] = "gauss"
    psffwhm: float = 2.5
    psfsize: int = 7
    max_candidate_share: float = 0.25

    def __post_init__(self) -> None:
        """Refuse limits that the kernel can not work with."""
        if not (self.sigclip > 0 and 0 < self.sigfrac <= 1 and self.objlim > 0):
            raise ValueError(f"limits must be positive and sigfrac at most 1: {self}")
        if not 1 <= self.niter <= 20:
            raise ValueError(f"niter must be 1 to 20, not {self.niter}")
        if not (self.psffwhm > 0 and self.psfsize % 2 == 1 and 3 <= self.psfsize <= LARGEST_KERNEL_PX):
            raise ValueError(f"the kernel needs a positive FWHM and an odd side of 3 to {LARGEST_KERNEL_PX} px: {self}")
        if self.engine == "astroscrappy" and self.cleantype == "median":
            raise ValueError("cleantype median needs the sparse engine: astroscrappy takes it from unwritten memory")


@dataclass(frozen=True, eq=False)
class CosmicRays:
    """What was found.

    Attributes
    ----------
    mask : (ny, nx), bool, True = hit
    values : (n,), electron, float32; what hits are replaced by, from their good neighbours, in the order of ``mask``
    rounds : rounds made; 0 when the engine does not say
    options : the parameters used, after the guard for undersampled stars
    warnings : sentences
    fwhm_guess_px : width of the stars on the cleaned frame, NaN where not asked for or without stars
    """

    mask: NDArray[np.bool_]
    values: NDArray[np.float32]
    rounds: int
    options: CosmicRayOptions
    warnings: tuple[FrameWarning, ...] = ()
    fwhm_guess_px: float = float("nan")

    @property
    def count(self) -> int:
        """Number of pixels hit."""
        return self.values.size

    def clean(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a copy of the frame that was searched, (ny, nx), electron, without its hits."""
        cleaned = data.copy()
        cleaned[self.mask] = self.values
        return cleaned


def remove_cosmic_rays(frame: Frame, options: CosmicRayOptions | None = None) -> CosmicRays:
    """Find the hits of a frame, more cautiously where its stars are undersampled.

    Parameters
    ----------
    frame
        Electrons, background included.

    Returns
    -------
    CosmicRays
        When the stars that remain are narrower than 1.5 px the search is repeated with full medians and ``objlim``
        of at least 10, and a warning says so. Where gain and read noise are off by more than a factor of two, the
        measured noise is used; a mask of more than 10 % of the frame is dropped. Both are said in the warnings.
    """
    options = options or CosmicRayOptions()
    pixels = search_pixels(frame)
    found = _find_in(frame, pixels, options)
    harmless = CosmicRayOptions()
    probe = found if options == harmless else _find_in(frame, pixels, harmless)
    fwhm_px = guess_fwhm(frame.data, frame.mask | probe.mask, saturation=frame.saturation_e)
    cautious = replace(options, objlim=max(options.objlim, UNDERSAMPLED_OBJLIM), medians="full")
    warnings = pixels.warnings
    if fwhm_px < UNDERSAMPLED_FWHM_PX and options != cautious:
        found = _find_in(frame, pixels, cautious)
        warnings += (
            WarningCode.COSMIC_RAY_SEARCH_ADAPTED(
                f"stars are undersampled (FWHM about {fwhm_px:.1f} px): cosmic rays searched with full medians and "
                f"objlim {cautious.objlim:g} instead of {options.medians} medians and {options.objlim:g}"
            ),
        )
    if found.count > MAX_SHARE * found.mask.size:
        told = f"{100 * found.count / found.mask.size:.0f} % of the pixels looked like cosmic rays: none was used"
        warnings += (WarningCode.COSMIC_RAYS_LEFT(told),)
        found = replace(found, mask=np.zeros_like(found.mask), values=found.values[:0])
    return replace(found, warnings=(*warnings, *found.warnings), fwhm_guess_px=fwhm_px)


def find_cosmic_rays(
    data: NDArray[np.float32],
    mask: NDArray[np.bool_] | None = None,
    *,
    read_noise_e: float,
    saturation_e: float = np.inf,
    variance: NDArray[np.float32] | None = None,
    options: CosmicRayOptions | None = None,
) -> CosmicRays:
    """Find and clean cosmic rays with the engine of the options.

    Parameters
    ----------
    data : (ny, nx), electron, finite, background included
    mask : (ny, nx), True = bad pixel; it and its neighbours are never hits nor used for cleaning
    read_noise_e : electron
    saturation_e : electron; stars that reach it are masked with 4 px around
    variance : (ny, nx), electron^2, in place of data + read noise^2

    Returns
    -------
    CosmicRays
        Nothing is flagged in the outermost 2 px (3 with separable medians), nor in frames below 16 px.
    """
    options = options or CosmicRayOptions()
    planes = [plane for plane in (mask, variance) if plane is not None]
    if data.ndim != 2 or any(plane.shape != data.shape for plane in planes):
        raise ValueError(f"frame {data.shape} and planes {[plane.shape for plane in planes]} differ")
    if min(data.shape) < MIN_SIDE_PX:
        warning = f"frame of {data.shape[1]}x{data.shape[0]} px is too small for a cosmic-ray search"
        return _nothing(data.shape, options, WarningCode.COSMIC_RAYS_LEFT(warning))
    engine = sparse_cosmic_rays if options.engine == "sparse" else astroscrappy_cosmic_rays
    return engine(data, mask, read_noise_e, saturation_e, variance, options)


def sparse_cosmic_rays(
    data: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    read_noise_e: float,
    saturation_e: float,
    variance: NDArray[np.float32] | None,
    options: CosmicRayOptions,
) -> CosmicRays:
    """L.A.Cosmic by counting instead of medians; parameters as in ``find_cosmic_rays``."""
    cleaned = np.array(data, dtype=np.float32, order="C")
    if variance is None:
        start: NDArray[np.float32] = cleaned + np.float32(read_noise_e) * np.float32(read_noise_e)
    else:
        start = np.array(variance, dtype=np.float32, order="C")
    bad = np.zeros(data.shape, np.uint8) if mask is None else _grown(mask).view(np.uint8)
    hit = np.zeros(data.shape, np.uint8)

    def fallback() -> tuple[float, float]:
        """Median level and variance of the good pixels, for hits without any good neighbour."""
        good = bad == 0
        level = _lower_median(data[good])
        if variance is None:
            return level, float(np.float32(level) + np.float32(read_noise_e) * np.float32(read_noise_e))
        return level, _lower_median(variance[good])

    saturation = float(np.float32(saturation_e))
    rounds = _search.lacosmic(
        cleaned,
        start,
        bad,
        hit,
        options.medians == "full",
        options.sigclip,
        float(np.float32(options.sigfrac) * np.float32(options.sigclip)),
        options.objlim,
        options.niter,
        saturation,
        saturation / SATURATED_CORE_SHARE,
        CLEANING.index(options.cleantype),
        fallback,
        int(options.max_candidate_share * data.size),
        matched_kernel(options) if options.fsmode == "convolve" else None,
    )
    if rounds < 0:
        share = f"more than {100 * options.max_candidate_share:.0f} % of the pixels stand out of their surroundings"
        told = f"{share}: no cosmic rays were searched"
        return _nothing(data.shape, options, WarningCode.COSMIC_RAYS_LEFT(told))
    mask = hit.view(np.bool_)
    return CosmicRays(mask, cleaned[mask], rounds, options)


def astroscrappy_cosmic_rays(
    data: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    read_noise_e: float,
    saturation_e: float,
    variance: NDArray[np.float32] | None,
    options: CosmicRayOptions,
) -> CosmicRays:
    """Run astroscrappy on the whole frame; parameters as in ``find_cosmic_rays``."""
    import astroscrappy  # heavy, and only the reference engine needs it

    found, cleaned = astroscrappy.detect_cosmics(
        np.ascontiguousarray(data, dtype=np.float32),
        inmask=mask,
        invar=None if variance is None else np.ascontiguousarray(variance, dtype=np.float32),
        sigclip=options.sigclip,
        sigfrac=options.sigfrac,
        objlim=options.objlim,
        gain=1.0,
        readnoise=read_noise_e,
        satlevel=saturation_e,
        niter=options.niter,
        sepmed=options.medians == "separable",
        cleantype=options.cleantype,
        fsmode=options.fsmode,
        psfmodel=options.psfmodel,
        psffwhm=options.psffwhm,
        psfsize=options.psfsize,
    )
    return CosmicRays(found, cleaned[found], 0, options)


def matched_kernel(options: CosmicRayOptions) -> NDArray[np.float32]:
    """Kernel of the matched filter, (psfsize, psfsize), sum 1; the same values as in astroscrappy."""
    width = np.float32(options.psffwhm)
    x = np.tile(np.arange(options.psfsize) - options.psfsize // 2, (options.psfsize, 1))
    y = x.T
    if options.psfmodel == "moffat":
        beta = float(np.float32(MOFFAT_BETA))
        r = np.sqrt(x * x + y * y)
        alpha = float(width) / 2.0 / np.sqrt(np.power(2.0, 1.0 / beta) - 1.0)
        values = np.power(1.0 + (r * r / alpha / alpha), -beta)
    else:
        square = {"gauss": x * x + y * y, "gaussx": x * x, "gaussy": y * y}[options.psfmodel]
        values = np.exp(-0.5 * square / (float(width * width) / 2.35482 / 2.35482))
    kernel = values.astype(np.float32)
    kernel /= kernel.sum()
    return np.ascontiguousarray(kernel[::-1, ::-1])


def _find_in(frame: Frame, pixels: SearchPixels, options: CosmicRayOptions) -> CosmicRays:
    """Search a frame with the noise chosen for it; the result is in electrons again."""
    found = find_cosmic_rays(
        pixels.data,
        frame.mask,
        read_noise_e=pixels.read_noise_e,
        saturation_e=pixels.saturation_e,
        variance=pixels.variance,
        options=options,
    )
    return found if pixels.scale == 1.0 else replace(found, values=found.values / np.float32(pixels.scale))


def _nothing(shape: tuple[int, ...], options: CosmicRayOptions, *warnings: FrameWarning) -> CosmicRays:
    """A frame without hits."""
    return CosmicRays(np.zeros(shape, np.bool_), np.empty(0, np.float32), 0, options, warnings)


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask and its neighbours; the outermost pixels only copy, as in astroscrappy."""
    out = mask.copy()
    if mask.any():
        wide = mask.copy()
        wide[:, 1:] |= mask[:, :-1]
        wide[:, :-1] |= mask[:, 1:]
        out[1:-1, 1:-1] |= (wide[:-2] | wide[1:-1] | wide[2:])[:, 1:-1]
    return out


def _lower_median(values: NDArray[np.float32]) -> float:
    """Median that is one of the values; 0 when there are none."""
    return float(np.partition(values, (values.size - 1) // 2)[(values.size - 1) // 2]) if values.size else 0.0
