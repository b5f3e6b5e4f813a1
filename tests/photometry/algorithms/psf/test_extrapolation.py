"""Fluxes of saturated stars have errors that hold what the profile does not know: galsim's stars, clipped."""

from __future__ import annotations

import galsim
import numpy as np
import pytest

from photometry_service.algorithms.psf.photometry import measure_psf
from photometry_service.domain.flags import SourceFlag
from photometry_service.domain.psf import PsfPhotometry

SIDE_PX, PITCH_PX, SKY_E, READ_NOISE_E = 512, 40, 300.0, 6.0
PROFILES = {
    "moffat_1.2": galsim.Moffat(beta=3.2, fwhm=1.2),
    "moffat_2.2": galsim.Moffat(beta=3.2, fwhm=2.2),
    "moffat_3": galsim.Moffat(beta=3.2, fwhm=3.0),
    "kolmogorov_3": galsim.Kolmogorov(fwhm=3.0),
}


def _clipped(profile: galsim.GSObject, full_e: float, seed: int) -> tuple[np.ndarray, np.ndarray, PsfPhotometry]:
    """True places and fluxes of stars on a jittered grid, and what is measured when pixels end at ``full_e``."""
    rng = np.random.default_rng(seed)
    places = np.arange(PITCH_PX, SIDE_PX - PITCH_PX + 1, PITCH_PX, dtype=float)
    x, y = (v.ravel() + rng.uniform(-3, 3, v.size) for v in np.meshgrid(places, places))
    flux = 10 ** rng.uniform(3.6, 6.6, x.size)
    image = galsim.ImageD(SIDE_PX, SIDE_PX, xmin=0, ymin=0, scale=1.0)
    for a, b, light in zip(x, y, flux, strict=True):
        stamp = profile.withFlux(light).drawImage(nx=61, ny=61, scale=1.0, center=galsim.PositionD(a, b), dtype=float)
        both = stamp.bounds & image.bounds
        image[both] += stamp[both]
    noisy = rng.poisson(image.array + SKY_E) + rng.normal(0, READ_NOISE_E, image.array.shape)
    saturated = noisy >= full_e
    data = (np.minimum(noisy, full_e) - SKY_E).astype(np.float32)
    rms = np.full(data.shape, np.hypot(np.sqrt(SKY_E), READ_NOISE_E), np.float32)
    return np.column_stack([x, y]), flux, measure_psf(data, rms, saturated=saturated)


@pytest.mark.parametrize("name", PROFILES)
def test_errors_of_saturated_stars_hold_what_the_profile_does_not_know(name: str) -> None:
    """No flux is off by five errors, and the pulls of all levels of saturation have about unit width; 3 to 15 without
    the error of the profile."""
    pulls = []
    for full_e in (3_000.0, 20_000.0):
        own, flux, found = _clipped(PROFILES[name], full_e, seed=11)
        near = np.hypot(found.x[:, None] - own[:, 0], found.y[:, None] - own[:, 1])
        star = near.argmin(axis=1)
        whole = (near.min(axis=1) < 1) & (found.flags & SourceFlag.SATURATED.value == 0) & (found.snr > 60)
        common = np.median(found.flux[whole] / flux[star[whole]])
        cut = (near.min(axis=1) < 1) & (found.flags & SourceFlag.SATURATED.value != 0) & np.isfinite(found.flux_err)
        assert cut.sum() >= 8
        pulls.append((found.flux[cut] / common - flux[star[cut]]) / (found.flux_err[cut] / common))
    pull = np.concatenate(pulls)
    assert np.abs(pull).max() < 5
    assert np.sqrt(np.mean(pull**2)) < 1.5


def test_a_flux_that_the_wings_do_not_tell_has_no_error() -> None:
    """Without whole stars nothing says how far the profile can be trusted."""
    _, _, found = _clipped(PROFILES["moffat_3"], 330.0, seed=5)
    cut = found.flags & SourceFlag.SATURATED.value != 0
    assert cut.sum() > 30
    assert np.isnan(found.flux_err[cut]).mean() > 0.9
