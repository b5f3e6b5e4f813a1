"""Synthetic frames of known truth: pixels, header, truth table, reference catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from astro_shared.testing.catalogs import CatalogQuality, make_catalog
from astro_shared.testing.defects import BadPixels, CosmicRays, Galaxies
from astro_shared.testing.exposures import Exposure, telescope_header
from astro_shared.testing.optics import Camera, Distortion, PointSpread
from astro_shared.testing.profiles import add_stars, crlb
from astro_shared.testing.skies import FloatArray, SkyModel, StarCounts, make_sky

__all__ = [
    "BadPixels",
    "Camera",
    "CatalogQuality",
    "CosmicRays",
    "Distortion",
    "Exposure",
    "Galaxies",
    "PointSpread",
    "SimulatedFrame",
    "SkyModel",
    "StarCounts",
    "make_sky",
    "render",
    "simulate_frame",
]

ISOLATION_FWHM = 6.25  # radius within which a neighbour counts
ISOLATION_FLUX_RATIO = 0.02


@dataclass(frozen=True)
class SimulatedFrame:
    """A frame and everything that is true about it.

    Attributes
    ----------
    data : (ny, nx), uint16, ADU
    header
        Without a WCS; pointing and pixel scale carry the exposure's errors.
    truth
        One row per star on the frame, brightest first: ``index`` (into the sky), ``x, y`` (zero-based, where its
        light really is), ``ra, dec`` (degrees, ICRS, at mid-exposure, as seen from the Earth), ``flux_e``, ``mag``,
        ``mag_inst`` (-2.5 log10 of electrons per second), ``color``, ``fwhm`` [px], ``peak_e``, ``sky_e``, ``snr``,
        ``flux_crlb_e``, ``position_crlb_px`` (per axis), ``isolated``, ``saturated``.
    reference
        Catalogue in Gaia's columns.
    cosmic_rays_e : (ny, nx), electrons
    bad_pixels : (ny, nx), bool
    galaxies
        ``x, y, flux_e, fwhm`` of the extended sources.
    wcs_header
        The true TPV WCS.
    """

    data: NDArray[np.uint16]
    header: fits.Header
    truth: Table
    reference: Table
    cosmic_rays_e: NDArray[np.float32]
    bad_pixels: NDArray[np.bool_]
    galaxies: Table
    wcs_header: fits.Header
    sky: SkyModel
    camera: Camera
    exposure: Exposure

    @property
    def wcs(self) -> WCS:
        """The true WCS."""
        return WCS(self.wcs_header)

    @property
    def cosmic_ray_mask(self) -> NDArray[np.bool_]:
        """(ny, nx): pixels with at least 500 electrons of a cosmic ray."""
        return np.asarray(self.cosmic_rays_e >= 500)

    @property
    def data_e(self) -> NDArray[np.float32]:
        """(ny, nx), electrons, pedestal removed."""
        adu = self.data.astype(np.float32) - np.float32(self.camera.pedestal_adu)
        return adu * np.float32(self.camera.gain_e_per_adu)

    def zero_point_at(self, color: float) -> float:
        """True zero point [mag] for stars of a colour, at the centre of the field."""
        return self.exposure.zero_point_mag + self.exposure.color_term * (color - self.exposure.color_reference)

    def write(self, path: Path, *, wcs: bool = False) -> Path:
        """Write the frame as FITS (with the true WCS on request)."""
        header = self.header.copy()
        if wcs:
            header.update(self.wcs_header)
        fits.PrimaryHDU(self.data, header).writeto(path, overwrite=True)
        return path

    def write_reference(self, path: Path) -> Path:
        """Write the reference catalogue; the suffix chooses the format (``.fits``, ``.ecsv``, ``.csv``)."""
        table = self.reference.copy()
        table.meta.clear()
        table.write(path, overwrite=True)
        return path


def simulate_frame(
    seed: int = 1,
    *,
    n_stars: int = 2000,
    camera: Camera | None = None,
    exposure: Exposure | None = None,
    ra_deg: float = 150.1,
    dec_deg: float = 22.2,
    counts: StarCounts | None = None,
    catalog: CatalogQuality | None = None,
) -> SimulatedFrame:
    """Simulate a field with about ``n_stars`` on the frame, from a seed alone.

    The sky reaches beyond the frame by 15 per cent of its half diagonal, the pointing error and 0.05 degrees.
    """
    rng = np.random.default_rng(seed)
    camera, exposure = camera or Camera(), exposure or Exposure()
    radius = 1.15 * camera.corner_deg + exposure.pointing_error_arcmin / 60 + 0.05
    sky = make_sky(
        rng,
        ra_deg,
        dec_deg,
        radius_deg=radius,
        stars_per_square_deg=n_stars / camera.area_square_deg,
        counts=counts,
    )
    return render(rng, sky, camera, exposure, catalog=catalog)


def render(
    rng: np.random.Generator,
    sky: SkyModel,
    camera: Camera,
    exposure: Exposure,
    *,
    catalog: CatalogQuality | None = None,
) -> SimulatedFrame:
    """Expose a camera pointed at the centre of a sky."""
    stars = _place_stars(rng, sky, camera, exposure)
    expected = exposure.sky_image(camera.shape)
    stars["peak_e"] = _draw(expected, stars, camera, exposure)
    stars["sky_e"] = _at(exposure.sky_image(camera.shape), stars)
    on_frame = (np.abs(_from_middle(stars["x"], camera.shape[1])) <= camera.shape[1] / 2) & (
        np.abs(_from_middle(stars["y"], camera.shape[0])) <= camera.shape[0] / 2
    )
    truth = _bounds(stars, camera, expected)[on_frame]
    truth.sort("flux_e", reverse=True)
    galaxies = Table(names=("x", "y", "flux_e", "fwhm"))
    if exposure.galaxies is not None:
        galaxies = exposure.galaxies.render(rng, expected)
    cosmic = np.zeros(camera.shape, dtype=np.float32)
    if exposure.cosmic_rays is not None:
        cosmic = exposure.cosmic_rays.render(rng, camera.shape)
    electrons = rng.poisson(expected).astype(np.float64) + cosmic
    bad = np.zeros(camera.shape, dtype=bool)
    if exposure.bad_pixels is not None:
        bad = exposure.bad_pixels.apply(rng, electrons)
    electrons += camera.read_noise_e * rng.standard_normal(camera.shape)
    adu = np.rint(electrons / camera.gain_e_per_adu + camera.pedestal_adu)
    return SimulatedFrame(
        data=np.clip(adu, 0, min(camera.saturation_adu, 65535)).astype(np.uint16),
        header=telescope_header(rng, sky, camera, exposure),
        truth=truth,
        reference=make_catalog(rng, sky, catalog),
        cosmic_rays_e=cosmic,
        bad_pixels=bad,
        galaxies=galaxies,
        wcs_header=camera.wcs_header(sky.ra_deg, sky.dec_deg),
        sky=sky,
        camera=camera,
        exposure=exposure,
    )


def _place_stars(rng: np.random.Generator, sky: SkyModel, camera: Camera, exposure: Exposure) -> Table:
    """Every star within reach of the frame: where it falls, how bright it is, its width."""
    ra, dec = sky.at_epoch(exposure.epoch)
    jitter = exposure.sigma_sys_mas / 3.6e6
    shifted_dec = dec + jitter * rng.normal(size=dec.size)
    shifted_dec += exposure.dcr_mas_per_mag / 3.6e6 * (sky.bp_rp - exposure.color_reference)
    shifted_ra = ra + jitter * rng.normal(size=ra.size) / np.cos(np.radians(dec))
    x, y = camera.sky_to_pixel(shifted_ra, shifted_dec, sky.ra_deg, sky.dec_deg)
    margin = 60.0
    ny, nx = camera.shape
    near = np.flatnonzero((x > -margin) & (x < nx + margin) & (y > -margin) & (y < ny + margin))
    px, py = camera.normalised(x[near], y[near])
    color = sky.bp_rp[near]
    zero_point = exposure.zero_point_mag + exposure.color_term * (color - exposure.color_reference)
    mag_inst = sky.g_mag[near] - zero_point - exposure.spatial_mag(px, py)
    fwhm, e1, e2 = camera.psf.at(px, py)
    columns = {"index": near, "x": x[near], "y": y[near], "ra": ra[near], "dec": dec[near]}
    flux = exposure.exposure_s * 10 ** (-0.4 * mag_inst)
    return Table({**columns, "flux_e": flux, "mag": sky.g_mag[near], "mag_inst": mag_inst, "color": color,
                  "fwhm": fwhm, "e1": e1, "e2": e2})  # fmt: skip


def _draw(image: FloatArray, stars: Table, camera: Camera, exposure: Exposure) -> FloatArray:
    """Add the stars to the expected image; peaks [e]. A trail is a row of images half a pixel apart."""
    steps = max(1, int(np.ceil(2 * exposure.trail_px)))
    along = (np.arange(steps) - (steps - 1) / 2) * exposure.trail_px / steps
    angle = np.radians(exposure.trail_angle_deg)
    x, y, flux, fwhm, e1, e2 = (
        np.asarray(stars[k], dtype=np.float64) for k in ("x", "y", "flux_e", "fwhm", "e1", "e2")
    )
    peaks = np.zeros(x.size)
    for shift in along:
        peaks += add_stars(
            image,
            x + shift * np.cos(angle),
            y + shift * np.sin(angle),
            flux / steps,
            fwhm=fwhm,
            e1=e1,
            e2=e2,
            beta=camera.psf.beta,
        )
    return peaks if steps == 1 else peaks / max(1.0, exposure.trail_px / camera.psf.fwhm_px)


def _bounds(stars: Table, camera: Camera, expected_e: FloatArray) -> Table:
    """Add Cramer-Rao bounds, S/N, isolation and saturation."""
    flux, sky_e, fwhm = (np.asarray(stars[k], dtype=np.float64) for k in ("flux_e", "sky_e", "fwhm"))
    variance = sky_e + camera.read_noise_e**2 + camera.gain_e_per_adu**2 / 12
    stars["flux_crlb_e"], stars["position_crlb_px"] = crlb(flux, variance, fwhm, beta=camera.psf.beta)
    stars["snr"] = flux / stars["flux_crlb_e"]
    stars["isolated"] = _isolated(stars, camera.psf.fwhm_px)
    full_e = 0.98 * (camera.saturation_adu - camera.pedestal_adu) * camera.gain_e_per_adu
    near = [_at(expected_e, stars, dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    stars["saturated"] = np.max(near, axis=0) > full_e
    return stars


def _isolated(stars: Table, fwhm_px: float) -> NDArray[np.bool_]:
    """No neighbour above 2 per cent of the star's flux within 6.25 FWHM."""
    places, flux = np.stack([stars["x"], stars["y"]], axis=1), np.asarray(stars["flux_e"])
    alone = np.ones(flux.size, dtype=bool)
    pairs = cKDTree(places).query_pairs(ISOLATION_FWHM * fwhm_px, output_type="ndarray")
    for one, other in (pairs.T, pairs.T[::-1]):
        alone[one[flux[other] > ISOLATION_FLUX_RATIO * flux[one]]] = False
    return alone


def _from_middle(value: FloatArray, n: int) -> FloatArray:
    """Distance from the middle of an axis of n pixels."""
    return np.asarray(value) - (n - 1) / 2


def _at(image: FloatArray, stars: Table, dx: int = 0, dy: int = 0) -> FloatArray:
    """Pixel values at the stars (nearest pixel, clipped to the frame)."""
    x = np.clip(np.rint(stars["x"]).astype(int) + dx, 0, image.shape[1] - 1)
    y = np.clip(np.rint(stars["y"]).astype(int) + dy, 0, image.shape[0] - 1)
    return np.asarray(image[y, x])
