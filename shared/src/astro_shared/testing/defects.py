"""What else is on a frame: galaxies, cosmic rays and bad pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from astro_shared.testing.profiles import add_stars


@dataclass(frozen=True)
class CosmicRays:
    """Particle hits.

    Attributes
    ----------
    per_megapixel
        Mean number of hits.
    charge_e_per_px
        Median charge left per pixel of path, electrons (log-normal, 0.6 dex natural width).
    mean_length_px
        Mean path length of the exponential distribution, at most 80 pixels.
    """

    per_megapixel: float = 100.0
    charge_e_per_px: float = 1500.0
    mean_length_px: float = 5.0

    def render(self, rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
        """(ny, nx), electrons: charge of all hits; a step of 0.1 pixel of each path lands in one pixel."""
        ny, nx = shape
        image = np.zeros(shape, dtype=np.float32)
        for _ in range(int(rng.poisson(self.per_megapixel * nx * ny / 1e6))):
            length = min(float(rng.exponential(self.mean_length_px)), 80.0) + 0.3
            angle = rng.uniform(0, 2 * np.pi)
            charge = self.charge_e_per_px * float(np.exp(rng.normal(0, 0.6)))
            path = np.arange(0, length, 0.1)
            x = np.rint(rng.uniform(0, nx) + path * np.cos(angle)).astype(int)
            y = np.rint(rng.uniform(0, ny) + path * np.sin(angle)).astype(int)
            on = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
            np.add.at(image, (y[on], x[on]), np.float32(0.1 * charge))
        return image


@dataclass(frozen=True)
class Galaxies:
    """Extended sources: elliptical Moffats of exponent 2, wider than any star.

    Attributes
    ----------
    number
        On the frame.
    fwhm_px
        Range of widths, log-uniform.
    flux_e
        Range of fluxes, log-uniform, electrons.
    """

    number: int = 200
    fwhm_px: tuple[float, float] = (5.0, 15.0)
    flux_e: tuple[float, float] = (3e3, 3e5)

    def render(self, rng: np.random.Generator, image_e: NDArray[np.float64]) -> Table:
        """Add them to ``image_e`` (ny, nx), electrons, in place; their places, fluxes and widths."""
        ny, nx = image_e.shape
        n = self.number
        table = Table({"x": rng.uniform(0, nx, n), "y": rng.uniform(0, ny, n)})
        for name, limits in (("flux_e", self.flux_e), ("fwhm", self.fwhm_px)):
            table[name] = np.exp(rng.uniform(np.log(limits[0]), np.log(limits[1]), n))
        size, angle = rng.uniform(0, 0.6, n), rng.uniform(0, 2 * np.pi, n)
        x, y, flux, fwhm = (np.asarray(table[k]) for k in ("x", "y", "flux_e", "fwhm"))
        add_stars(image_e, x, y, flux, fwhm=fwhm, e1=size * np.cos(angle), e2=size * np.sin(angle), beta=2.0)
        return table


@dataclass(frozen=True)
class BadPixels:
    """Detector defects.

    Attributes
    ----------
    hot_fraction
        Share of pixels with 2,000 to 40,000 extra electrons.
    dead_fraction
        Share of pixels without signal.
    dead_columns
        Number of columns without signal.
    """

    hot_fraction: float = 0.0
    dead_fraction: float = 0.0
    dead_columns: int = 0

    def apply(self, rng: np.random.Generator, image_e: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Damage ``image_e`` (ny, nx), electrons, in place; return the mask of damaged pixels."""
        nx = image_e.shape[1]
        mask = np.zeros(image_e.shape, dtype=bool)
        if self.hot_fraction > 0:
            hot = rng.random(image_e.shape) < self.hot_fraction
            image_e[hot] += rng.uniform(2_000, 40_000, int(hot.sum()))
            mask |= hot
        dead = np.zeros_like(mask)
        if self.dead_fraction > 0:
            dead = rng.random(image_e.shape) < self.dead_fraction
        dead[:, rng.choice(nx, self.dead_columns, replace=False)] = True
        image_e[dead] = 0.0
        return mask | dead
