"""Aperture photometry: circles with exact pixel overlap, annuli with clipped medians, honest areas.

All radii of a star are summed in one pass. Masked pixels add neither flux nor area. Where PSF models exist the caller
passes the residual image and each star's own model, so that every aperture holds one star only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photometry_service.algorithms.apertures import _photometry
from photometry_service.algorithms.background.map import Background
from photometry_service.algorithms.detection.crowding import neighbour_share
from photometry_service.algorithms.detector.noise import sum_variance
from photometry_service.domain.flags import SourceFlag
from photometry_service.domain.noise import NoiseCorrelation

__all__ = [
    "ApertureOptions",
    "AperturePhotometry",
    "OwnModels",
    "aperture_photometry",
    "neighbour_share",
    "pixel_state",
]

BAD, SATURATED, COSMIC_RAY = 1, 2, 4
"""Bits of the state plane."""

MAX_BAD_SHARE = 0.1
"""Share of bad pixels in an aperture above which a source is flagged."""


@dataclass(frozen=True)
class ApertureOptions:
    """Sizes in units of the FWHM, and how the sky is found.

    Attributes
    ----------
    radii_fwhm : FWHM
    annulus_fwhm : inner and outer radius, FWHM; None uses the mesh background as it is
    clip_sigma, max_iterations : clipping of the annulus about its median
    min_sky_pixels : annuli with fewer good pixels fall back on the mesh background
    flag_radius : index of the radius whose pixels set the flags
    flat_error : relative error of the flat field, part of the errors only when given
    """

    radii_fwhm: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0)
    annulus_fwhm: tuple[float, float] | None = (4.0, 6.0)
    clip_sigma: float = 3.0
    max_iterations: int = 10
    min_sky_pixels: int = 30
    flag_radius: int = 1
    flat_error: float = 0.0

    def __post_init__(self) -> None:
        """Refuse sizes without meaning."""
        if not self.radii_fwhm or min(self.radii_fwhm) <= 0:
            raise ValueError(f"radii must be positive, not {self.radii_fwhm}")
        if self.annulus_fwhm is not None and not 0 <= self.annulus_fwhm[0] < self.annulus_fwhm[1]:
            raise ValueError(f"annulus must widen outwards, not {self.annulus_fwhm}")


@dataclass(frozen=True, eq=False)
class OwnModels:
    """Each star's own model, to be added to the residual image before its apertures are summed.

    Attributes
    ----------
    values : (n, k, k), electron
    first_x, first_y : (n,), column and row in the frame of each model's first pixel
    """

    values: NDArray[np.float32]
    first_x: NDArray[np.int32]
    first_y: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class AperturePhotometry:
    """Fluxes of n sources in m apertures.

    Attributes
    ----------
    radii_px : (m,)
    flux_e, flux_err_e : (n, m), electron, one sigma; NaN where no good pixel lies in the aperture
    area_px : (n, m), good area
    bad_fraction : (n, m), share of the circle that is masked or off the frame
    sky_e, sky_err_e : (n,), level per pixel, electron, background map included
    sky_pixels : (n,), pixels behind that level
    flags : (n,), int32, ``SourceFlag``
    """

    radii_px: NDArray[np.float64]
    flux_e: NDArray[np.float64]
    flux_err_e: NDArray[np.float64]
    area_px: NDArray[np.float64]
    bad_fraction: NDArray[np.float64]
    sky_e: NDArray[np.float64]
    sky_err_e: NDArray[np.float64]
    sky_pixels: NDArray[np.int32]
    flags: NDArray[np.int32]

    @property
    def snr(self) -> NDArray[np.float64]:
        """(n, m), flux over its error."""
        return self.flux_e / self.flux_err_e


def pixel_state(
    mask: NDArray[np.bool_],
    *,
    cosmic_rays: NDArray[np.bool_] | None = None,
    saturated: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """What is wrong with every pixel, (ny, nx), as bits; pixels hit by cosmic rays are left out like masked ones."""
    state = np.array(mask, dtype=np.uint8)
    if cosmic_rays is not None:
        state |= cosmic_rays.view(np.uint8) * np.uint8(BAD | COSMIC_RAY)
    if saturated is not None:
        state |= saturated.view(np.uint8) * np.uint8(SATURATED)
    return state


def aperture_photometry(
    data: NDArray[np.float32],
    background: Background,
    x: ArrayLike,
    y: ArrayLike,
    *,
    fwhm_px: float,
    state: NDArray[np.uint8] | None = None,
    options: ApertureOptions | None = None,
    own_models: OwnModels | None = None,
    correlation: NoiseCorrelation | None = None,
) -> AperturePhotometry:
    """Sum sources in circles and subtract their sky.

    Parameters
    ----------
    data : (ny, nx), electron, background map subtracted; with ``own_models`` all stars subtracted too
    background
        The map that was subtracted; its rms is the noise of the sky.
    x, y : (n,), pixels; NaN or off the frame gives NaN
    fwhm_px : unit of the radii
    state : (ny, nx) from ``pixel_state``; None when all pixels are good
    own_models
        Neighbours are then subtracted; the star's own light is added back.
    correlation : of the noise of neighbouring pixels

    Returns
    -------
    AperturePhotometry
        flux = sum of w d - area x annulus level; var = F + n sigma^2 + k n^2 sigma^2 / n_B with sigma the rms of the
        map, k = pi/2 for the annulus median and n_B its pixels, or k = 1 and n_B the pixels of the mesh; with correlated
        noise as ``sum_variance`` says.
        Flags: ``SATURATED``, ``COSMIC_RAY_*``, ``TRUNCATED``, ``APERTURE_INCOMPLETE``, ``NEGATIVE_FLUX``, and
        ``CROWDED`` where more than 10 % of the aperture ``options.flag_radius`` is bad.
    """
    options = options or ApertureOptions()
    if not (np.isfinite(fwhm_px) and fwhm_px > 0):
        raise ValueError(f"FWHM must be positive, not {fwhm_px}")
    if data.shape != background.shape or (state is not None and state.shape != data.shape):
        raise ValueError(f"data {data.shape}, background {background.shape} and state differ in shape")
    xs, ys = (np.atleast_1d(np.ascontiguousarray(p, dtype=np.float64)) for p in (x, y))
    radii = np.asarray(options.radii_fwhm, np.float64) * fwhm_px
    raw = _measure(data, state, xs, ys, radii, options, fwhm_px, own_models)
    return _calibrate(raw, background, xs, ys, radii, data.shape, options, correlation)


@dataclass(frozen=True, eq=False)
class _RawSums:
    """What the kernel gives, see ``_photometry.measure``."""

    total: NDArray[np.float64]
    area: NDArray[np.float64]
    found: NDArray[np.uint8]
    level: NDArray[np.float64]
    sigma: NDArray[np.float64]
    sky_pixels: NDArray[np.int32]
    core: NDArray[np.uint8]


def _measure(
    data: NDArray[np.float32],
    state: NDArray[np.uint8] | None,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    radii: NDArray[np.float64],
    options: ApertureOptions,
    fwhm_px: float,
    own: OwnModels | None,
) -> _RawSums:
    """Call the kernel."""
    n, m = x.size, radii.size
    raw = _RawSums(
        total=np.empty((n, m)),
        area=np.empty((n, m)),
        found=np.empty((n, m), np.uint8),
        level=np.empty(n),
        sigma=np.empty(n),
        sky_pixels=np.empty(n, np.int32),
        core=np.empty(n, np.uint8),
    )
    inner, outer = (fwhm_px * r for r in options.annulus_fwhm) if options.annulus_fwhm else (0.0, 0.0)
    corner = np.zeros((n, 2), np.int32) if own is None else np.stack([own.first_x, own.first_y], 1).astype(np.int32)
    _photometry.measure(
        np.ascontiguousarray(data, dtype=np.float32),
        np.zeros(data.shape, np.uint8) if state is None else np.ascontiguousarray(state),
        x,
        y,
        np.ascontiguousarray(np.broadcast_to(radii, (n, m))),
        inner,
        outer,
        options.clip_sigma,
        options.max_iterations,
        None if own is None else np.ascontiguousarray(own.values, dtype=np.float32),
        corner,
        raw.total,
        raw.area,
        raw.found,
        raw.level,
        raw.sigma,
        raw.sky_pixels,
        raw.core,
    )
    return raw


def _calibrate(
    raw: _RawSums,
    background: Background,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    radii: NDArray[np.float64],
    shape: tuple[int, ...],
    options: ApertureOptions,
    correlation: NoiseCorrelation | None,
) -> AperturePhotometry:
    """Sky, errors and flags of the sums."""
    width2 = [1.0 if correlation is None else correlation.variance_factor(_disc(radius)) for radius in radii.tolist()]
    widest2 = 1.0 if correlation is None else correlation.total
    safe_x, safe_y = np.nan_to_num(x), np.nan_to_num(y)
    from_annulus = raw.sky_pixels >= max(options.min_sky_pixels, 1)
    sky = np.where(from_annulus, raw.level, 0.0)
    sky_pixels = np.where(from_annulus, raw.sky_pixels, background.pixels_at(safe_x, safe_y)).astype(np.int32)
    sigma = background.rms_at(safe_x, safe_y)
    area = raw.area
    seen = area > 0
    flux = np.where(seen, raw.total - sky[:, None] * area, np.nan)
    parts = [
        sum_variance(
            flux,
            area,
            sigma[:, None],
            sky_pixels[:, None],
            sky_is_median=median,
            flat_error=options.flat_error,
            width2=width2,
            widest2=widest2,
        )
        for median in (True, False)
    ]
    variance = np.where(from_annulus[:, None], *parts)
    bad = np.clip(1 - area / (np.pi * radii**2), 0.0, 1.0)
    return AperturePhotometry(
        radii_px=radii,
        flux_e=flux,
        flux_err_e=np.sqrt(variance),
        area_px=area,
        bad_fraction=bad,
        sky_e=np.where(np.isfinite(x + y), background.level_at(safe_x, safe_y) + sky, np.nan),
        sky_err_e=sigma * np.sqrt(widest2 * np.where(from_annulus, np.pi / 2, 1.0) / sky_pixels),
        sky_pixels=sky_pixels,
        flags=_flags(raw, flux, bad, x, y, radii, shape, options.flag_radius),
    )


def _disc(radius_px: float) -> NDArray[np.float64]:
    """(k, k): share of each pixel within a circle around the middle one, to about a tenth."""
    offset = np.arange(-np.ceil(radius_px + 0.5), np.ceil(radius_px + 0.5) + 1)
    return np.asarray(np.clip(radius_px + 0.5 - np.hypot(offset[:, None], offset), 0.0, 1.0))


def _flags(
    raw: _RawSums,
    flux: NDArray[np.float64],
    bad: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    radii: NDArray[np.float64],
    shape: tuple[int, ...],
    index: int,
) -> NDArray[np.int32]:
    """Flags from the aperture ``index`` (the last one if there are fewer)."""
    k = min(index, radii.size - 1)
    r, met = radii[k], raw.found[:, k]
    inside = (x - r >= -0.5) & (y - r >= -0.5) & (x + r <= shape[1] - 0.5) & (y + r <= shape[0] - 0.5)
    rows = {
        SourceFlag.CROWDED: bad[:, k] > MAX_BAD_SHARE,
        SourceFlag.SATURATED: met & SATURATED != 0,
        SourceFlag.TRUNCATED: ~inside,
        SourceFlag.APERTURE_INCOMPLETE: ~inside | (met & BAD != 0),
        SourceFlag.COSMIC_RAY_IN_APERTURE: met & COSMIC_RAY != 0,
        SourceFlag.COSMIC_RAY_IN_CORE: raw.core & COSMIC_RAY != 0,
        SourceFlag.NEGATIVE_FLUX: flux[:, k] < 0,
    }
    flags = np.zeros(x.size, np.int32)
    for flag, rows_with_it in rows.items():
        flags[rows_with_it] |= np.int32(flag)
    return flags
