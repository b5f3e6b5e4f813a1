"""One opening of the shutter: conditions, photometric system, and the header the telescope writes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from astropy.io import fits
from astropy.time import Time, TimeDelta

from astro_shared.testing.defects import BadPixels, CosmicRays, Galaxies
from astro_shared.testing.optics import Camera
from astro_shared.testing.skies import FloatArray, SkyModel


@dataclass(frozen=True)
class Exposure:
    """One opening of the shutter.

    Attributes
    ----------
    date_obs
        Start, UTC.
    sky_e, sky_gradient
        Electrons per pixel at the centre; relative change along x and y from the centre to the edge.
    zero_point_mag
        Magnitude of a star of one electron per second at the centre of the field and at ``color_reference``:
        ``mag = -2.5 log10(F / t) + zero_point + color_term (color - color_reference) + sum a_ij X^i Y^j``,
        X and Y in -1..1 over the frame.
    spatial_terms
        (i, j, a_ij) of that sum, mag.
    pointing_error_arcmin
        How far the header's pointing is off (direction random).
    scale_error
        Relative error of the header's pixel scale.
    sigma_sys_mas
        Astrometric scatter per axis added to the places of the stars on the detector, independent from star to star.
    dcr_mas_per_mag
        Displacement towards +dec per magnitude of colour redder than ``color_reference``.
    trail_px, trail_angle_deg
        Length and direction (from +x towards +y) of a tracking error at constant speed.
    """

    date_obs: str = "2024-03-15T02:30:00"
    exposure_s: float = 60.0
    band: str = "G"
    airmass: float = 1.2
    sky_e: float = 320.0
    sky_gradient: tuple[float, float] = (0.04, -0.03)
    cosmic_rays: CosmicRays | None = field(default_factory=CosmicRays)
    bad_pixels: BadPixels | None = None
    galaxies: Galaxies | None = None
    zero_point_mag: float = 22.3
    color_term: float = 0.05
    color_reference: float = 0.9
    spatial_terms: tuple[tuple[int, int, float], ...] = ()
    pointing_error_arcmin: float = 3.0
    scale_error: float = 0.003
    sigma_sys_mas: float = 0.0
    dcr_mas_per_mag: float = 0.0
    trail_px: float = 0.0
    trail_angle_deg: float = 30.0

    @property
    def epoch(self) -> float:
        """Julian year of mid-exposure."""
        middle = Time(self.date_obs, scale="utc") + TimeDelta(self.exposure_s / 2, format="sec")
        return float(middle.tdb.jyear)

    def spatial_mag(self, nx_: FloatArray, ny_: FloatArray) -> FloatArray:
        """Spatial part of the zero point at normalised places."""
        return sum((a * nx_**i * ny_**j for i, j, a in self.spatial_terms), np.zeros_like(nx_))

    def sky_image(self, shape: tuple[int, int]) -> FloatArray:
        """(ny, nx), electrons per pixel."""
        y, x = (np.linspace(-1, 1, n) for n in shape)
        return self.sky_e * (1 + self.sky_gradient[0] * x[None, :] + self.sky_gradient[1] * y[:, None])


def telescope_header(rng: np.random.Generator, sky: SkyModel, camera: Camera, exposure: Exposure) -> fits.Header:
    """What the telescope would have written: no WCS, pointing and scale slightly wrong."""
    angle = rng.uniform(0, 2 * np.pi)
    off = exposure.pointing_error_arcmin / 60
    dec = float(np.clip(sky.dec_deg + off * np.cos(angle), -90, 90))
    ra = (sky.ra_deg + off * np.sin(angle) / max(np.cos(np.radians(sky.dec_deg)), 1e-3)) % 360.0
    header = fits.Header()
    header["OBJECT"] = ("SIMULATED", "synthetic field of known truth")
    header["DATE-OBS"] = (exposure.date_obs, "UTC, start of exposure")
    header["EXPTIME"] = (exposure.exposure_s, "[s]")
    header["FILTER"] = exposure.band
    header["RA"] = (float(ra), "[deg] pointing")
    header["DEC"] = (dec, "[deg] pointing")
    header["PIXSCALE"] = (camera.scale_arcsec * (1 + exposure.scale_error), "[arcsec/px] nominal")
    header["GAIN"] = (camera.gain_e_per_adu, "[e/ADU]")
    header["RDNOISE"] = (camera.read_noise_e, "[e]")
    header["SATURATE"] = (camera.saturation_adu, "[ADU]")
    header["AIRMASS"] = exposure.airmass
    header["INSTRUME"] = "ALIDADE-SIM"
    return header
