"""Calibrated magnitudes lie on the scale of the reference list, whatever the mode, the extinction and the terms."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.photometry import CalibrateRequest, FrameSummary, MeasureResult
from astro_shared.contracts.settings import ZeroPointSettings
from photometry_service.workflows.calibrate_sources import CalibrateSources, Calibration
from photometry_service.workflows.frame_extinction import airmass_at
from photometry_service.workflows.map_zero_point import limiting_magnitudes
from photometry_service.workflows.zero_point_terms import normalised

REF = ObjectRef(key="any", sha256="0" * 64, size=1)
RA, DEC, EXPOSURE_S = 150.0, -10.0, 60.0
OUTSIDE, K, TIE_MAG, NOISE = 24.0, 0.25, -0.08, 0.004
SITE = {"latitude_deg": -30.0, "longitude_deg": -70.0, "elevation_m": 2000.0}
EPOCH_LOW = 2026.1637  # the field is at airmass 2.5 there


@dataclass(frozen=True)
class Sky:
    """Stars of known magnitudes behind an atmosphere of ``K`` per airmass."""

    frame: FrameSummary
    truth: NDArray[np.float64]
    airmass: NDArray[np.float64]
    sources: dict[str, NDArray[Any]]
    positions: dict[str, NDArray[Any]]
    reference: dict[str, NDArray[Any]]

    def calibrate(self, *, tie_mag: float | None = TIE_MAG, flux_kind: str = "psf", **settings: Any) -> Calibration:
        measure = MeasureResult(
            frame=self.frame, sources=len(self.truth), saturated=0, fwhm_psf_px=3.0, fwhm_marginal_px=3.0,
            psf_kind="moffat", psf_stars=99, background_e=1.0, background_rms_e=1.0, flux_kind=flux_kind,
            aperture_correction_mag=tie_mag, aperture_correction_err_mag=None if tie_mag is None else 0.001,
            noise_flux_e=50.0, aperture_number=2,
        )  # type: ignore[arg-type]  # fmt: skip
        request = CalibrateRequest(
            sources=REF, positions=REF, reference=REF, measure=measure, ra_center_deg=RA, dec_center_deg=DEC,
            scale_arcsec_px=2.0, zero_point=ZeroPointSettings(extinction_mag=K, **settings),
        )  # fmt: skip
        return CalibrateSources()(request, self.sources, self.positions, self.reference)


def sky(*, width_px: int, airmass_header: float | None = None, color_term: float = 0.0, epoch: float | None = EPOCH_LOW,
        n: int = 400, seed: int = 1) -> Sky:  # fmt: skip
    rng = np.random.default_rng(seed)
    frame = FrameSummary(
        frame_name="a.fits", hdu=0, width_px=width_px, height_px=width_px, gain_e_per_adu=1.0, read_noise_e=5.0,
        noise_model="header", exposure_s=EXPOSURE_S, epoch_jyear=epoch, airmass_header=airmass_header,
        **(SITE if epoch is not None else {}),
    )  # fmt: skip
    x, y = rng.uniform(20, width_px - 20, (2, n))
    ra = RA - (x - width_px / 2) * 2 / 3600 / np.cos(np.radians(DEC))
    dec = DEC + (y - width_px / 2) * 2 / 3600
    own = airmass_at(frame, ra, dec, "pickering")
    airmass = np.full(n, airmass_header or np.nan) if own is None else own
    truth, color = rng.uniform(12, 16, n), rng.uniform(0.4, 1.8, n)
    inst = truth - OUTSIDE - color_term * (color - 1.1) + K * airmass + NOISE * rng.standard_normal(n)
    flux = 10 ** (-0.4 * inst) * EXPOSURE_S
    aperture = flux * 10 ** (0.4 * TIE_MAG)
    number = np.arange(1, n + 1)
    sources = {
        "id": number, "x": x, "y": y, "flags": np.zeros(n, np.int32), "snr": np.full(n, 1 / NOISE), "peak": flux / 10,
        "flux_psf": flux, "flux_psf_err": flux * NOISE, "flux_aper_2": aperture, "flux_aper_err_2": aperture * NOISE,
    }  # fmt: skip
    reference = {
        "source_id": number, "ra": ra, "dec": dec, "phot_g_mean_mag": truth, "phot_bp_mean_mag": truth + color / 2,
        "phot_rp_mean_mag": truth - color / 2,
    }  # fmt: skip
    return Sky(frame, truth, airmass, sources, {"id": number, "ra": ra, "dec": dec}, reference)


def epoch_at_airmass(low: float, high: float) -> float:
    """An instant at which the field stands at such an airmass over the site."""
    instants = EPOCH_LOW + np.arange(0, 1, 0.01) / 365.25
    for epoch in instants:
        frame = sky(width_px=500, epoch=float(epoch), n=3).frame
        own = airmass_at(frame, np.array([RA]), np.array([DEC]), "pickering")
        if own is not None and low < own[0] < high:
            return float(epoch)
    raise AssertionError("the field is never there")


KINDS = list(product(["robust", "classic"], ["absorbed", "fixed", "fit"], ["psf", "aperture"]))


@pytest.mark.parametrize(("mode", "extinction", "flux_kind"), KINDS)
@pytest.mark.parametrize("color_term", [0.0, 0.06])
@pytest.mark.parametrize("place", ["header", "narrow", "wide"])
def test_magnitudes_are_those_of_the_list(
    mode: str, extinction: str, flux_kind: str, color_term: float, place: str
) -> None:
    given = {
        "header": {"width_px": 900, "airmass_header": 1.2, "epoch": None},
        "narrow": {"width_px": 600, "epoch": epoch_at_airmass(1.3, 1.8)},
        "wide": {"width_px": 3000, "epoch": epoch_at_airmass(2.3, 3.0)},
    }[place]
    stars = sky(color_term=color_term, **given)  # type: ignore[arg-type]
    done = stars.calibrate(mode=mode, extinction=extinction, flux_kind=flux_kind)
    assert done.report.status == "calibrated" and done.report.value is not None
    kinds = ["psf", "aper"] if flux_kind == "psf" else ["aper"]
    for kind in kinds:
        off = done.calibrated[f"mag_cal_{kind}"] - stars.truth
        assert abs(np.median(off)) < 0.004
        total = done.calibrated[f"mag_cal_{kind}_err_total"]
        assert 0.85 < np.std(off / total) < 1.15
    taken = extinction == "fixed" or mode == "classic"
    assert done.report.extinction == ("fixed" if taken else "absorbed")
    outside = OUTSIDE + (TIE_MAG if flux_kind == "aperture" else 0.0)
    middle = float(np.median(stars.airmass))
    color = (done.report.color_zero or 1.1) - 1.1
    wanted = outside + color_term * color - (0.0 if taken else K * middle)
    assert done.report.value == pytest.approx(wanted, abs=0.03 if place == "wide" and not taken else 0.008)


@pytest.mark.parametrize("mode", ["robust", "classic"])
def test_without_an_airmass_the_zero_point_absorbs_the_atmosphere_and_says_so(mode: str) -> None:
    stars = sky(width_px=900, epoch=None, airmass_header=1.7)
    unknown = Sky(stars.frame.model_copy(update={"airmass_header": None}), stars.truth, stars.airmass, stars.sources,
                  stars.positions, stars.reference)  # fmt: skip
    done = unknown.calibrate(mode=mode, extinction="fixed")
    assert done.report.extinction == "absorbed"
    assert any("absorbed in the zero point" in warning for warning in done.report.warnings)
    assert abs(np.median(done.calibrated["mag_cal_psf"] - stars.truth)) < 0.001


@pytest.mark.parametrize("mode", ["robust", "classic"])
def test_limits_are_on_the_same_scale(mode: str) -> None:
    stars = sky(width_px=3000, epoch=epoch_at_airmass(2.3, 3.0))
    done = stars.calibrate(mode=mode, extinction="fixed")
    assert done.fit is not None and done.extinction is not None and done.extinction.differential
    x, y = normalised(stars.sources["x"], stars.sources["y"], 3000, 3000)
    limits = limiting_magnitudes(
        done.fit, np.full((6, 6), 250.0), exposure_s=EXPOSURE_S, extinction=done.extinction, x=x, y=y
    )
    instrumental = -2.5 * np.log10(250.0 / EXPOSURE_S)
    cell_x, cell_y = ((stars.sources[name] // 500).astype(int) for name in ("x", "y"))
    for row, column in product(range(6), range(6)):
        here = (cell_y == row) & (cell_x == column)
        wanted = instrumental + OUTSIDE - K * np.mean(stars.airmass[here])
        # stars are not in the middle of the cell: a tenth of the range over the frame
        assert limits[row, column] == pytest.approx(wanted, abs=0.012)
    assert np.ptp(limits) > 0.05
    center = done.report.limiting_mag_5sigma
    assert center == pytest.approx(np.median(limits), abs=0.01)


def test_an_aperture_without_a_correction_has_no_magnitude() -> None:
    done = sky(width_px=900, airmass_header=1.2, epoch=None).calibrate(tie_mag=None)
    assert np.isfinite(done.calibrated["mag_cal_psf"]).all()
    assert np.isnan(done.calibrated["mag_cal_aper"]).all()
    assert np.isnan(done.calibrated["mag_cal_aper_err_total"]).all()


def test_the_scatter_that_a_classic_zero_point_leaves_is_in_the_errors() -> None:
    stars = sky(width_px=900, airmass_header=1.2, epoch=None, color_term=0.1)
    done = stars.calibrate(mode="classic")
    # uniform colours over 1.4 mag times the colour term
    assert done.report.sigma_int == pytest.approx(0.1 * 1.4 / np.sqrt(12), rel=0.1)
