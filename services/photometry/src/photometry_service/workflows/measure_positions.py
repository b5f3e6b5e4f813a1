"""Fluxes at given positions of a frame, with upper limits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from astro_shared.contracts.photometry import ForcedFlux, ForcedRequest, ForcedResult, ForcedTable
from astro_shared.errors import InvalidRequestError
from photometry_service.algorithms.forced_photometry import ForcedOptions, ForcedPhotometry, measure_forced
from photometry_service.domain.psf import PsfModel, Sources
from photometry_service.workflows.clean_frame import clean_frame
from photometry_service.workflows.prepare_frame import PreparedFrame
from photometry_service.workflows.subtract_sky import subtract_sky

Array = NDArray[np.float64]
MAG_PER_RELATIVE_FLUX = 2.5 / math.log(10)
MIN_SNR = 3.0


class PositionsError(InvalidRequestError):
    """Positions on the sky need a WCS."""

    code = "positions_need_wcs"


class MeasurePositions:
    def __call__(
        self,
        prepared: PreparedFrame,
        request: ForcedRequest,
        psf: PsfModel,
        known: Sources | None,
        wcs: WCS | None,
        progress: Callable[[float, str], None],
    ) -> tuple[ForcedResult, ForcedTable]:
        """
        Returns
        -------
        Figures, and the fluxes in the order of the positions.

        Raises
        ------
        PositionsError
            There are positions on the sky and no WCS, or the PSF belongs to a frame of another size.
        """
        x, y = pixels(request, wcs)
        if psf.frame_shape != prepared.frame.shape:
            raise PositionsError(
                f"the PSF is that of a frame of {psf.frame_shape}, this one has {prepared.frame.shape}"
            )
        progress(0.2, "cosmic rays")
        clean = clean_frame(prepared.frame, request.cosmic_rays)
        progress(0.4, "background")
        sky = subtract_sky(clean, request.background)
        progress(0.6, "positions")
        options = ForcedOptions()
        options = replace(options, fit=replace(options.fit, radius_fwhm=request.psf_photometry.fit_radius_fwhm))
        done = measure_forced(
            sky.data, sky.background.rms_map(), psf, x, y,
            mask=sky.frame.mask, saturated=sky.saturated, known=known, options=options,
        )  # fmt: skip
        rows = tuple(_row(request, done, n, sky.frame.exposure_s or 1.0) for n in range(len(done)))
        result = ForcedResult(
            frame=prepared.summary.model_copy(update={"warnings": sky.frame.warnings}),
            positions=len(rows),
            measured=sum(row.flux_e is not None for row in rows),
            detected=sum(row.snr is not None and row.snr >= MIN_SNR for row in rows),
            zero_point_mag=request.zero_point_mag,
            zero_point_err_mag=request.zero_point_err_mag,
        )
        return result, ForcedTable(frame_name=request.frame_name, fluxes=rows)


def pixels(request: ForcedRequest, wcs: WCS | None) -> tuple[Array, Array]:
    """Every position in pixels; NaN where the sky position has no pixel."""
    x = np.array([math.nan if p.x is None else p.x for p in request.positions])
    y = np.array([math.nan if p.y is None else p.y for p in request.positions])
    on_sky = [n for n, p in enumerate(request.positions) if p.ra_deg is not None]
    if on_sky:
        if wcs is None:
            raise PositionsError(f"{len(on_sky)} positions are on the sky, but no WCS was given.")
        places = [request.positions[n] for n in on_sky]
        x[on_sky], y[on_sky] = wcs.all_world2pix(
            [p.ra_deg for p in places], [p.dec_deg for p in places], 0, quiet=True
        )  # fmt: skip
    return x, y


def _row(request: ForcedRequest, done: ForcedPhotometry, n: int, exposure_s: float) -> ForcedFlux:
    flux, error, limit = float(done.flux[n]), float(done.flux_err[n]), float(done.upper_limit[n])
    zero = request.zero_point_mag

    error_mag = MAG_PER_RELATIVE_FLUX * error / flux if zero is not None and flux >= MIN_SNR * error else None

    def magnitude(electrons: float) -> float | None:
        return zero - 2.5 * math.log10(electrons / exposure_s) if zero is not None and electrons > 0 else None

    return ForcedFlux(
        name=request.positions[n].name,
        x=_finite(done.x[n]),
        y=_finite(done.y[n]),
        flux_e=_finite(flux),
        flux_err_e=_finite(error),
        snr=_finite(done.snr[n]),
        upper_limit_e=_finite(limit),
        mag=magnitude(flux),
        mag_err_stat=error_mag,
        mag_err_total=None if error_mag is None else math.hypot(error_mag, request.zero_point_err_mag or 0.0),
        upper_limit_mag=magnitude(limit),
        flags=int(done.flags[n]),
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
