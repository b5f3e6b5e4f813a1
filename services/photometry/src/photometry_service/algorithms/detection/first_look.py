"""A first look at a frame, before there is a PSF: where are bright sources and how wide are they."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from photometry_service.algorithms.detection.fit_frame import BAD, SATURATED, FitFrame
from photometry_service.algorithms.detection.matched_filter import (
    FWHM_PER_SIGMA,
    MatchedFilter,
    _matched_filter,
    detect_sources,
    gaussian_filter,
    maxima,
    snr_map,
)
from photometry_service.domain.psf import FloatArray, Sources

__all__ = ["FIRST_FWHM_PX", "FIRST_THRESHOLD", "FirstLook", "first_look"]

FIRST_FWHM_PX = 3.5
FIRST_THRESHOLD = 5.0
WIDTH_STARS = 300
WIDTH_SNR = 10.0
PEAK_SNR = 10.0
FEWEST_FOR_WIDTH, ENOUGH_FOR_WIDTH = 3, 5
LARGEST_FWHM_PX = 16.0
MIDDLE_PX = 1024
"""Side of the part of the frame on which the binning is chosen."""


@dataclass(frozen=True, eq=False)
class FirstLook:
    """What a detection without a PSF tells.

    Attributes
    ----------
    sources : found with a Gaussian kernel
    kernel : that kernel
    covariance : (2, 2), pixels^2, x first
        Of the Gaussian as wide as a typical bright source at half its peak, the pixel included.
    """

    sources: Sources
    kernel: MatchedFilter
    covariance: FloatArray

    @property
    def fwhm_px(self) -> float:
        """Geometric-mean full width at half maximum."""
        return FWHM_PER_SIGMA * float(np.linalg.det(self.covariance)) ** 0.25

    @property
    def major_fwhm_px(self) -> float:
        """Full width at half maximum along the major axis."""
        return FWHM_PER_SIGMA * sqrt(float(np.linalg.eigvalsh(self.covariance)[-1]))

    def shape(self, beta: float = 2.5) -> tuple[float, float, float, float]:
        """(ln s, e1, e2, beta) of the Moffat of this width and elongation."""
        (xx, xy), (_, yy) = self.covariance.tolist()
        e1, e2 = (yy - xx) / (xx + yy), -2 * xy / (xx + yy)
        round_log_s = 2 * log(2 * sqrt(2 ** (1 / beta) - 1) / self.fwhm_px)
        return round_log_s - 0.5 * log(1 - e1**2 - e2**2), e1, e2, beta


def first_look(frame: FitFrame, fwhm_px: float = FIRST_FWHM_PX) -> FirstLook:
    """Find bright sources with a Gaussian kernel and measure their typical width.

    Parameters
    ----------
    frame
    fwhm_px : of the first kernel

    Notes
    -----
    The width is that of the pixels above half the peak: ``2 sqrt(n / pi)`` for n of them, the median over the 300
    brightest unsaturated sources whose peak stands out of the noise. Where too few do, because stars are wide and
    faint per pixel, the frame is binned so that they stand out most. When the width is far from the kernel's, or the
    sources are elongated (a trailed frame), they are searched once more with a Gaussian of the width and direction
    found.
    """
    covariance = np.eye(2) * (fwhm_px / FWHM_PER_SIGMA) ** 2
    sources, kernel = _detect(frame, covariance)
    measured = _typical_covariance(frame, sources, smallest_peak=PEAK_SNR, fewest=ENOUGH_FOR_WIDTH)
    if measured is None and np.count_nonzero(sources.snr > WIDTH_SNR) < FEWEST_FOR_WIDTH:
        return FirstLook(sources, kernel, covariance)
    if measured is None:
        binning = _best_binning(frame, covariance)
        binned = _binned(frame, binning)
        measured = _typical_covariance(binned, sources if binning == 1 else _detect(binned, covariance)[0])
        if measured is None:
            return FirstLook(sources, kernel, covariance)
        measured = measured * binning**2
        if np.linalg.det(measured) > (LARGEST_FWHM_PX / FWHM_PER_SIGMA) ** 4:
            return FirstLook(sources, kernel, covariance)
    look = FirstLook(sources, kernel, measured)
    if look.major_fwhm_px < 1.3 * look.fwhm_px and 0.75 < look.fwhm_px / fwhm_px < 1.5:
        return look
    again, kernel = _detect(frame, look.covariance)
    if len(again) == 0:
        return FirstLook(sources, look.kernel, covariance)
    refined = _typical_covariance(frame, again, smallest_peak=PEAK_SNR)
    return FirstLook(again, kernel, look.covariance if refined is None else refined)


def _detect(frame: FitFrame, covariance: FloatArray) -> tuple[Sources, MatchedFilter]:
    """Sources at five sigma of a Gaussian kernel, and the kernel."""
    kernel = gaussian_filter(covariance)
    snr = snr_map(frame.data, frame.rms, kernel, frame.bad)
    return detect_sources(frame.data, snr, kernel, frame.bad, FIRST_THRESHOLD, frame.saturated), kernel


def _best_binning(frame: FitFrame, covariance: FloatArray) -> int:
    """1, 2 or 4: where bright sources in the middle of the frame stand out most.

    A coarser binning must raise the S/N of its own brightest sources by a tenth in the median.
    """
    rows, columns = (slice(max(0, (n - MIDDLE_PX) // 2), (n + MIDDLE_PX) // 2) for n in frame.shape)
    middle = FitFrame(
        np.ascontiguousarray(frame.data[rows, columns]),
        np.ascontiguousarray(frame.rms[rows, columns]),
        np.ascontiguousarray(frame.state[rows, columns]),
    )
    kernel = gaussian_filter(covariance)
    best, finer = 1, snr_map(middle.data, middle.rms, kernel, middle.bad)
    for binning in (2, 4):
        part = _binned(middle, binning)
        snr = snr_map(part.data, part.rms, kernel, part.bad)
        gain = _median_gain(snr, finer)
        if gain < 1.1:
            break
        best, finer = binning, snr
    return best


def _median_gain(snr: NDArray[np.float32], finer: NDArray[np.float32]) -> float:
    """Median over the brightest sources of an S/N map of their S/N over that in the map of twice the resolution."""
    y, x = maxima(snr, WIDTH_SNR)
    if y.size < FEWEST_FOR_WIDTH:
        return 0.0
    pick = np.argsort(-snr[y, x], kind="stable")[:50]
    ny, nx = snr.shape
    pooled = finer[: 2 * ny, : 2 * nx].reshape(ny, 2, nx, 2).max(axis=(1, 3))
    around = maximum_filter(pooled, 3)[y[pick], x[pick]]
    return float(np.median(snr[y[pick], x[pick]] / np.maximum(around, 1.0)))


def _binned(frame: FitFrame, binning: int) -> FitFrame:
    """Blocks of pixels: sums, their noise, and whatever is wrong with any pixel; what is over at the edges is left out."""
    if binning == 1:
        return frame
    ny, nx = (n // binning for n in frame.shape)

    def blocks(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        return plane[: ny * binning, : nx * binning].reshape(ny, binning, nx, binning)

    data = np.where(frame.state & BAD, np.float32(0), frame.data)
    state = frame.state[: ny * binning, : nx * binning].reshape(ny, binning, nx, binning)
    bad, saturated = (((state & bit) != 0).any(axis=(1, 3)) for bit in (BAD, SATURATED))
    return FitFrame(
        data=blocks(data).sum(axis=(1, 3)),
        rms=np.sqrt((blocks(frame.rms) ** 2).sum(axis=(1, 3))),
        state=(bad * np.uint8(BAD) | (saturated & ~bad) * np.uint8(SATURATED)).astype(np.uint8),
        shot_noise=frame.shot_noise,
        unit=frame.unit,
    )


def _typical_covariance(
    frame: FitFrame, sources: Sources, smallest_peak: float = 0.0, fewest: int = FEWEST_FOR_WIDTH
) -> FloatArray | None:
    """Median covariance of the half-maximum areas of bright sources, scaled to their median area; None from too few.

    ``smallest_peak`` is the least S/N of the central pixel: half the peak must stand out of the noise.
    """
    iy = np.clip(np.rint(sources.y), 0, frame.shape[0] - 1).astype(np.intp)
    ix = np.clip(np.rint(sources.x), 0, frame.shape[1] - 1).astype(np.intp)
    clear = (sources.snr > WIDTH_SNR) & (frame.data[iy, ix] > smallest_peak * frame.rms[iy, ix])
    usable = np.flatnonzero(((frame.state[iy, ix] & SATURATED) == 0) & clear)
    pick = usable[np.argsort(-sources.flux[usable], kind="stable")[:WIDTH_STARS]]
    moments = np.zeros((pick.size, 4))
    _matched_filter.half_maximum_moments(frame.data, frame.bad, iy[pick], ix[pick], int(1.5 * LARGEST_FWHM_PX), moments)
    moments = moments[moments[:, 0] > 0]
    if moments.shape[0] < fewest:
        return None
    area, xx, yy, xy = np.median(moments, axis=0).tolist()
    xx, yy = xx + 1 / 12, yy + 1 / 12  # a pixel has an extent of its own
    xy = float(np.clip(xy, -0.95 * sqrt(xx * yy), 0.95 * sqrt(xx * yy)))
    tensor = np.array([[xx, xy], [xy, yy]])
    narrow, wide = np.linalg.eigvalsh(tensor)
    if narrow > 0.6 * wide:  # axis ratio above 0.77: round is a better start than noise
        tensor = np.eye(2)
    fwhm = min(2 * sqrt(area / pi), LARGEST_FWHM_PX)
    return np.asarray(tensor / sqrt(np.linalg.det(tensor)) * (fwhm / FWHM_PER_SIGMA) ** 2)
