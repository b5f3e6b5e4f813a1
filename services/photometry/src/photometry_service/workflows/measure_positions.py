"""Fluxes at given positions of a frame, with upper limits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from astro_shared.contracts.photometry import ForcedFlux, ForcedRequest, ForcedResult, ForcedTable, FrameSummary
from astro_shared.errors import InvalidRequestError
from astro_shared.science.barycentric import bjd_tdb
from photometry_service.algorithms.calibration import to_magnitude
from photometry_service.algorithms.psf import ForcedOptions, ForcedPhotometry, measure_forced
from photometry_service.domain.frame import Frame
from photometry_service.domain.psf import PsfModel, Sources
from photometry_service.workflows.clean_frame import clean_frame
from photometry_service.workflows.frame_extinction import airmass_at
from photometry_service.workflows.prepare_frame import PreparedFrame
from photometry_service.workflows.subtract_sky import subtract_sky
from photometry_service.workflows.zero_point_terms import as_model, normalised

Array = NDArray[np.float64]
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
        settings, options = request.psf_photometry, ForcedOptions(flat_error=request.psf_photometry.flat_error)
        options = replace(options, fit=replace(options.fit, radius_fwhm=settings.fit_radius_fwhm))
        done = measure_forced(
            sky.data, sky.rms_map(), psf, x, y,
            mask=sky.frame.mask, saturated=sky.saturated, known=known, options=options,
        )  # fmt: skip
        extinction = _extinction(request, prepared.summary, done, wcs)
        rows = _rows(request, done, sky.frame, extinction, _places(request, done, wcs), prepared.summary)
        terms = request.zero_point
        result = ForcedResult(
            frame=prepared.summary.model_copy(update={"warnings": sky.frame.warnings}),
            positions=len(rows),
            measured=sum(row.flux_e is not None for row in rows),
            detected=sum(row.snr is not None and row.snr >= MIN_SNR for row in rows),
            zero_point_mag=terms.coefficients[0] - request.extinction_mag if terms else None,
            zero_point_err_mag=math.sqrt(terms.covariance[0][0]) if terms else None,
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


def _places(request: ForcedRequest, done: ForcedPhotometry, wcs: WCS | None) -> tuple[Array, Array]:
    """(n,), deg, ICRS, of every position: as it was asked for, else of its pixel; NaN where nothing tells."""
    asked = [[math.nan if v is None else v for v in (p.ra_deg, p.dec_deg)] for p in request.positions]
    ra, dec = np.array(asked).T
    on_pixels = np.flatnonzero(np.isnan(ra))
    if wcs is not None and on_pixels.size:
        ra[on_pixels], dec[on_pixels] = wcs.all_pix2world(done.x[on_pixels], done.y[on_pixels], 0)
    return ra, dec


def _extinction(request: ForcedRequest, summary: FrameSummary, done: ForcedPhotometry, wcs: WCS | None) -> Array:
    """(n,), mag, at each position; that of the centre where the airmass of a place is not known."""
    center = np.full(len(done), request.extinction_mag)
    if request.extinction_per_airmass_mag == 0 or request.airmass is None or wcs is None:
        return center
    ra, dec = wcs.all_pix2world(done.x, done.y, 0)
    own = airmass_at(summary, ra, dec, request.airmass_formula)
    if own is None:
        return center
    return center + request.extinction_per_airmass_mag * np.nan_to_num(own - request.airmass)


def _rows(
    request: ForcedRequest,
    done: ForcedPhotometry,
    frame: Frame,
    extinction_mag: Array,
    places_deg: tuple[Array, Array],
    summary: FrameSummary,
) -> tuple[ForcedFlux, ...]:
    """Fluxes with their magnitudes, where there is a zero point."""
    exposure_s = frame.exposure_s or 1.0
    zero, zero_err = _zero_point(request, done, frame)
    zero = zero - extinction_mag
    mag, err = to_magnitude(done.flux, done.flux_err, exposure_s)
    limit_mag, _ = to_magnitude(done.upper_limit, done.flux_err, exposure_s)
    err = np.where(np.isfinite(zero), err, np.nan)
    nothing = np.full(len(done), math.nan)
    columns = {
        "x": done.x,
        "y": done.y,
        "ra_deg": places_deg[0],
        "dec_deg": places_deg[1],
        "bjd_tdb_mid": nothing if summary.mjd_mid is None else bjd_tdb(summary.mjd_mid, *places_deg),
        "flux_e": done.flux,
        "flux_err_e": done.flux_err,
        "snr": done.snr,
        "upper_limit_e": done.upper_limit,
        "mag": mag + zero,
        "mag_err_stat": err,
        "mag_err_total": np.hypot(err, zero_err),
        "upper_limit_mag": limit_mag + zero,
    }
    return tuple(
        ForcedFlux(
            name=position.name,
            flags=int(done.flags[n]),
            date_mid=summary.date_mid,
            mjd_mid=summary.mjd_mid,
            exposure_s=summary.exposure_s,
            band=summary.filter,
            **{name: _finite(values[n]) for name, values in columns.items()},
        )
        for n, position in enumerate(request.positions)
    )


def _zero_point(request: ForcedRequest, done: ForcedPhotometry, frame: Frame) -> tuple[Array, Array]:
    """Zero point at every position and its error, the scatter of stars included; NaN where there is none."""
    if request.zero_point is None:
        nothing = np.full(len(done), math.nan)
        return nothing, nothing
    ny, nx = frame.shape
    color = np.array([math.nan if position.color is None else position.color for position in request.positions])
    zero, error = as_model(request.zero_point).at(*normalised(done.x, done.y, nx, ny), color)
    return zero, np.hypot(error, request.zero_point.sigma_int)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
