"""Light on the detector: profiles of stars, drawing, noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import galsim
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
FieldPsf = Callable[[float, float], galsim.GSObject]
"""Profile of a star at u, v: -1 to 1 over the frame, in x and in y."""

CORE_PX = 10
"""Half size of the cut in which the bound of a star's flux is summed."""


@dataclass(frozen=True)
class Profile:
    """How stars look.

    Attributes
    ----------
    at : profile at a place of the field
    fwhm_px : at the centre
    half_px : half size of the square in which a star is drawn; outside there is no light of it
    """

    at: FieldPsf
    fwhm_px: float
    half_px: int


@dataclass(frozen=True)
class Drawn:
    """Noise-free stars.

    Attributes
    ----------
    image_e : (ny, nx), electrons
    flux_e : (n,), electrons within the square that was drawn
    cores : per star, share of its light in pixels around the middle, and the slices of the frame they belong to
    """

    image_e: FloatArray
    flux_e: FloatArray
    cores: list[tuple[FloatArray, tuple[slice, slice]]]


def same(psf: galsim.GSObject, fwhm_px: float, *, half_px: int = 24) -> Profile:
    """The same star everywhere."""
    return Profile(lambda u, v: psf, fwhm_px, half_px)


def moffat(fwhm_px: float, beta: float) -> Profile:
    return same(galsim.Moffat(beta=beta, fwhm=fwhm_px), fwhm_px)


def gaussian(fwhm_px: float) -> Profile:
    return same(galsim.Gaussian(fwhm=fwhm_px), fwhm_px, half_px=16)


def kolmogorov(fwhm_px: float) -> Profile:
    return same(galsim.Kolmogorov(fwhm=fwhm_px), fwhm_px, half_px=32)


def obscured_airy(lam_over_diam_px: float, obscuration: float, blur_px: float) -> Profile:
    """Rings of a telescope with a central obscuration, a little blurred by guiding."""
    rings = galsim.Airy(lam_over_diam=lam_over_diam_px, obscuration=obscuration)
    return same(galsim.Convolve(rings, galsim.Gaussian(fwhm=blur_px)), _width(lam_over_diam_px, blur_px), half_px=32)


def spikes(lam_over_diam_px: float, struts: int, thickness: float, angle_deg: float, blur_px: float) -> Profile:
    """Diffraction by the vanes that hold the secondary mirror."""
    pupil = galsim.OpticalPSF(
        lam_over_diam=lam_over_diam_px, obscuration=0.3, nstruts=struts, strut_thick=thickness,
        strut_angle=angle_deg * galsim.degrees, pad_factor=2,
    )  # fmt: skip
    return same(galsim.Convolve(pupil, galsim.Gaussian(fwhm=blur_px)), _width(lam_over_diam_px, blur_px), half_px=40)


def field_curvature(fwhm_px: float, corner_fwhm_px: float, corner_ellipticity: float, beta: float) -> Profile:
    """Round in the middle; in the corners wider, and elongated by so much (1 - b/a) along the radius."""
    shear = corner_ellipticity / (2 - corner_ellipticity)  # g = (1 - q) / (1 + q)

    def at(u: float, v: float) -> galsim.GSObject:
        r2 = (u * u + v * v) / 2
        star = galsim.Moffat(beta=beta, fwhm=fwhm_px + (corner_fwhm_px - fwhm_px) * r2)
        return star.shear(g=shear * r2, beta=np.arctan2(v, u) * galsim.radians)

    return Profile(at, fwhm_px, 28)


def coma(lam_over_diam_px: float, corner_waves: float, blur_px: float, *, steps: int = 12) -> Profile:
    """Third-order coma that grows linearly with the distance from the axis (Noll's coefficient, in waves)."""
    blur = galsim.Gaussian(fwhm=blur_px)

    @cache
    def step(k: int) -> galsim.GSObject:
        aberrations = [0.0] * 12
        aberrations[8] = corner_waves * k / steps
        pupil = galsim.OpticalPSF(
            lam_over_diam=lam_over_diam_px, aberrations=aberrations, obscuration=0.2, pad_factor=1.5
        )
        return galsim.Convolve(pupil, blur)

    def at(u: float, v: float) -> galsim.GSObject:
        place = min(np.hypot(u, v) / np.sqrt(2), 1.0) * steps
        low = min(int(place), steps - 1)
        mixed = galsim.Add(step(low) * (low + 1 - place), step(low + 1) * (place - low))
        return mixed.rotate(np.arctan2(v, u) * galsim.radians)

    return Profile(at, _width(lam_over_diam_px, blur_px), 32)


def astigmatism(lam_over_diam_px: float, corner_waves: float, blur_px: float, *, steps: int = 12) -> Profile:
    """Astigmatism and defocus that grow with the square of the distance from the axis."""
    blur = galsim.Gaussian(fwhm=blur_px)

    @cache
    def step(k: int) -> galsim.GSObject:
        waves = corner_waves * (k / steps) ** 2
        aberrations = [0.0] * 7
        aberrations[4], aberrations[6] = 0.7 * waves, waves
        pupil = galsim.OpticalPSF(
            lam_over_diam=lam_over_diam_px, aberrations=aberrations, obscuration=0.2, pad_factor=1.5
        )
        return galsim.Convolve(pupil, blur)

    def at(u: float, v: float) -> galsim.GSObject:
        place = min(np.hypot(u, v) / np.sqrt(2), 1.0) * steps
        low = min(int(place), steps - 1)
        mixed = galsim.Add(step(low) * (low + 1 - place), step(low + 1) * (place - low))
        return mixed.rotate(np.arctan2(v, u) * galsim.radians)

    return Profile(at, _width(lam_over_diam_px, blur_px), 32)


def draw_stars(shape: tuple[int, int], x: FloatArray, y: FloatArray, flux_e: FloatArray, profile: Profile) -> Drawn:
    """Stars without noise; each is drawn in a square around it."""
    ny, nx = shape
    image = galsim.ImageD(nx, ny, xmin=0, ymin=0, scale=1.0)
    drawn, cores = np.zeros(x.size), []
    for k, (a, b, e) in enumerate(zip(x, y, flux_e, strict=True)):
        i, j, h = round(a), round(b), profile.half_px
        stamp = galsim.ImageD(galsim.BoundsI(i - h, i + h, j - h, j + h), scale=1.0)
        star = profile.at(2 * (a + 0.5) / nx - 1, 2 * (b + 0.5) / ny - 1)
        star.withFlux(e).drawImage(image=stamp, center=galsim.PositionD(a, b))
        drawn[k] = stamp.array.sum()
        core = galsim.BoundsI(i - CORE_PX, i + CORE_PX, j - CORE_PX, j + CORE_PX) & image.bounds & stamp.bounds
        if core.isDefined():
            place = slice(core.ymin, core.ymax + 1), slice(core.xmin, core.xmax + 1)
            cores.append((stamp[core].array / drawn[k], place))
        else:
            cores.append((np.zeros((1, 1)), (slice(0, 1), slice(0, 1))))
        both = stamp.bounds & image.bounds
        if both.isDefined():
            image[both] += stamp[both]
    return Drawn(image.array, drawn, cores)


def flux_bounds(drawn: Drawn, variance_e2: FloatArray) -> FloatArray:
    """(n,), electrons: 1 / sqrt(sum P^2 / V) of each star; infinite off the frame."""
    information = np.array([np.sum(core**2 / variance_e2[place]) for core, place in drawn.cores])
    return 1 / np.sqrt(np.maximum(information, 1e-30))


def draw_galaxies(
    image_e: FloatArray, x: FloatArray, y: FloatArray, flux_e: FloatArray, profile: Profile, rng: np.random.Generator
) -> FloatArray:
    """Exponential discs of random size and shape, seen through the atmosphere, added to an image."""
    ny, nx = image_e.shape
    image = galsim.ImageD(image_e.copy(), xmin=0, ymin=0, scale=1.0)
    for a, b, e in zip(x, y, flux_e, strict=True):
        disc = galsim.Exponential(half_light_radius=rng.uniform(1.5, 6))
        disc = disc.shear(g1=rng.uniform(-0.4, 0.4), g2=rng.uniform(-0.4, 0.4))
        seen = galsim.Convolve(disc, profile.at(2 * (a + 0.5) / nx - 1, 2 * (b + 0.5) / ny - 1)).withFlux(e)
        stamp = seen.drawImage(nx=81, ny=81, scale=1.0, center=galsim.PositionD(a, b))
        both = stamp.bounds & image.bounds
        if both.isDefined():
            image[both] += galsim.ImageD(stamp[both])
    return image.array


def _width(lam_over_diam_px: float, blur_px: float) -> float:
    """FWHM of a diffraction disc, a blur and the pixel, px."""
    return float(np.sqrt((1.0 * lam_over_diam_px) ** 2 + blur_px**2 + 0.6**2))
