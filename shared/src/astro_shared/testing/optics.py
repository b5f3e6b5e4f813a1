"""The synthetic camera: geometry with a TPV distortion, point spread function, electronics."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Exponents (of xi, eta) of the polynomial terms of axis 1 and their PV index; the radial terms are left out.
#: For axis 2 xi and eta are exchanged. FITS registry of conventions, "TPV".
TPV_INDEX: dict[tuple[int, int], int] = {
    (total - k, k): first + k
    for total, first in ((0, 0), (1, 1), (2, 4), (3, 7), (4, 12), (5, 17), (6, 24), (7, 31))
    for k in range(total + 1)
}


@dataclass(frozen=True)
class Distortion:
    """Optical distortion by its size at the corner of the frame, in pixels.

    Attributes
    ----------
    cubic_px, quintic_px
        Radial terms ~ r^3 and r^5 (positive: pincushion).
    tilt_px
        Quadratic terms of a tilted focal plane.
    """

    cubic_px: float = 6.0
    quintic_px: float = 0.0
    tilt_px: float = 1.5

    def polynomials(self, corner_deg: float, scale_deg: float) -> tuple[dict[tuple[int, int], float], ...]:
        """Coefficients of xi' and eta' by exponents of (xi, eta) in degrees; the linear part is the identity."""
        k3, k5 = (p * scale_deg / corner_deg**n for p, n in ((self.cubic_px, 3), (self.quintic_px, 5)))
        q = self.tilt_px * scale_deg / corner_deg**2
        radial = {(3, 0): k3, (1, 2): k3, (5, 0): k5, (3, 2): 2 * k5, (1, 4): k5}
        xi = {(1, 0): 1.0, (2, 0): 0.8 * q, (0, 2): 0.3 * q, **radial}
        eta = {(0, 1): 1.0, (1, 1): 0.6 * q, **{(j, i): c for (i, j), c in radial.items()}}
        return tuple({k: v for k, v in p.items() if v} for p in (xi, eta))


@dataclass(frozen=True)
class PointSpread:
    """Elliptical Moffat whose width and shape vary slowly over the field.

    Attributes
    ----------
    fwhm_px
        Geometric mean width at the centre of the frame, before integration over pixels.
    beta
        Exponent.
    fwhm_variation
        Relative change of the width from the centre to a corner.
    ellipticity, ellipticity_variation
        Constant part of e1 and the change of e1 along x and of e2 along y, centre to edge.
    """

    fwhm_px: float = 3.2
    beta: float = 3.0
    fwhm_variation: float = 0.02
    ellipticity: float = 0.01
    ellipticity_variation: float = 0.02

    def at(self, nx_: FloatArray, ny_: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Width [px], e1 and e2 at normalised places (-1 to 1 over the frame)."""
        width = self.fwhm_px * (1 + self.fwhm_variation * (0.35 * (nx_**2 + ny_**2) + 0.3 * nx_))
        return width, self.ellipticity + self.ellipticity_variation * nx_, self.ellipticity_variation * ny_


@dataclass(frozen=True)
class Camera:
    """A detector behind a telescope.

    Attributes
    ----------
    shape
        (ny, nx) pixels.
    scale_arcsec
        Arcsec per pixel at the centre.
    rotation_deg
        Direction of +y, degrees from north towards east.
    mirrored
        False: east is left when north is up (det CD < 0).
    gain_e_per_adu, read_noise_e, saturation_adu, pedestal_adu
        Electronics. Values are clipped at ``saturation_adu``.
    """

    shape: tuple[int, int] = (2048, 2048)
    scale_arcsec: float = 1.0
    rotation_deg: float = 12.0
    mirrored: bool = False
    distortion: Distortion = field(default_factory=Distortion)
    psf: PointSpread = field(default_factory=PointSpread)
    gain_e_per_adu: float = 1.5
    read_noise_e: float = 5.0
    saturation_adu: float = 55000.0
    pedestal_adu: float = 0.0

    @property
    def corner_deg(self) -> float:
        """Distance from the centre to a corner, degrees."""
        return 0.5 * float(np.hypot(*self.shape)) * self.scale_arcsec / 3600.0

    @property
    def area_square_deg(self) -> float:
        """Area of the frame on the sky (without distortion)."""
        return float(np.prod(self.shape)) * (self.scale_arcsec / 3600.0) ** 2

    @property
    def centre_px(self) -> FloatArray:
        """(2,) x, y of the optical axis, zero-based: the middle of the frame."""
        return (np.array([self.shape[1], self.shape[0]], dtype=np.float64) - 1) / 2

    @property
    def cd_deg(self) -> FloatArray:
        """(2, 2) pixel to intermediate coordinates, degrees per pixel."""
        s, theta = self.scale_arcsec / 3600.0, np.radians(self.rotation_deg)
        along_x = np.array([np.cos(theta), -np.sin(theta)]) * (1 if self.mirrored else -1)
        return s * np.stack([along_x, [np.sin(theta), np.cos(theta)]], axis=1)

    def normalised(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Pixels to -1..1 over the frame."""
        cx, cy = self.centre_px
        return (x - cx) / (self.shape[1] / 2), (y - cy) / (self.shape[0] / 2)

    def wcs_header(self, ra_deg: float, dec_deg: float) -> fits.Header:
        """The true TPV header of this camera pointed at a place."""
        header = fits.Header()
        header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
        header["CUNIT1"] = header["CUNIT2"] = "deg"
        header["CRVAL1"], header["CRVAL2"] = ra_deg, dec_deg
        header["CRPIX1"], header["CRPIX2"] = (float(v) + 1 for v in self.centre_px)
        for i, row in enumerate(self.cd_deg, start=1):
            for j, value in enumerate(row, start=1):
                header[f"CD{i}_{j}"] = float(value)
        header["RADESYS"], header["EQUINOX"] = "ICRS", 2000.0
        xi, eta = self.distortion.polynomials(self.corner_deg, self.scale_arcsec / 3600.0)
        header.update({f"PV1_{TPV_INDEX[k]}": v for k, v in xi.items()})
        header.update({f"PV2_{TPV_INDEX[k[::-1]]}": v for k, v in eta.items()})
        return header

    def wcs(self, ra_deg: float, dec_deg: float) -> WCS:
        """The true WCS as astropy reads it."""
        return WCS(self.wcs_header(ra_deg, dec_deg))

    def sky_to_pixel(
        self, ra: FloatArray, dec: FloatArray, ra_deg: float, dec_deg: float
    ) -> tuple[FloatArray, FloatArray]:
        """Places to zero-based pixels, by the gnomonic projection and Newton steps on the distortion.

        Stars further than 1.3 corner distances from the axis are NaN (the distortion is not one-to-one there).
        """
        xi_true, eta_true = gnomonic(ra, dec, ra_deg, dec_deg)
        polynomials = self.distortion.polynomials(self.corner_deg, self.scale_arcsec / 3600.0)
        far = ~(np.hypot(xi_true, eta_true) < 1.3 * self.corner_deg)
        target = np.stack([np.where(far, 0.0, xi_true), np.where(far, 0.0, eta_true)])
        place = target.copy()
        for _ in range(8):
            value, jacobian = _evaluate(polynomials, place)
            place = place - np.linalg.solve(jacobian, (value - target).T[..., None])[..., 0].T
        x, y = np.linalg.solve(self.cd_deg, place) + self.centre_px[:, None]
        return np.where(far, np.nan, x), np.where(far, np.nan, y)


def gnomonic(ra: FloatArray, dec: FloatArray, ra_deg: float, dec_deg: float) -> tuple[FloatArray, FloatArray]:
    """Standard coordinates [degrees] about a tangent point; NaN on the far hemisphere."""
    a, d, d0 = np.radians(np.asarray(ra) - ra_deg), np.radians(dec), np.radians(dec_deg)
    depth = np.sin(d0) * np.sin(d) + np.cos(d0) * np.cos(d) * np.cos(a)
    depth = np.where(depth > 0.01, depth, np.nan)
    return (
        np.degrees(np.cos(d) * np.sin(a) / depth),
        np.degrees((np.cos(d0) * np.sin(d) - np.sin(d0) * np.cos(d) * np.cos(a)) / depth),
    )


def _evaluate(
    polynomials: tuple[dict[tuple[int, int], float], ...], place: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Values (2, n) and Jacobians (n, 2, 2) of the two polynomials at (2, n) places."""
    u, v = place
    value, jacobian = np.zeros_like(place), np.zeros((u.size, 2, 2))
    for axis, polynomial in enumerate(polynomials):
        for (i, j), c in polynomial.items():
            value[axis] += c * u**i * v**j
            jacobian[:, axis, 0] += c * i * u ** max(i - 1, 0) * v**j
            jacobian[:, axis, 1] += c * j * u**i * v ** max(j - 1, 0)
    return value, jacobian
