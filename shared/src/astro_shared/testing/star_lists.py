"""Star lists without pixels: a frame's detections and a catalogue disc about a wrong pointing, for matchers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class FieldKind:
    """What makes a field hard.

    Attributes
    ----------
    detections
        Range of the number of detections (log-uniform).
    pointing_error_widths
        Largest pointing error in widths of the frame.
    scale_factor
        True over nominal scale lies within [1/factor, factor].
    spurious, missing
        Detections that are no stars; stars missing from the detections and, independently, from the catalogue.
    mag_scatter
        Magnitude difference between the frame's band and the catalogue's, one sigma; 5 per cent are off by 1.5 mag.
    brightest_lost
        Number of brightest stars missing from the detections.
    distortion_px
        Cubic distortion at the corner; a quadratic part of 15 per cent comes with it.
    clumped
        A third of the stars in two clumps, and a dark cloud.
    noise_px
        Centroid error per axis.
    catalog_extra_mag
        Depth of the catalogue beyond the frame's.
    high_motion
        Share of stars displaced by 6 pixels.
    """

    detections: tuple[int, int] = (100, 600)
    pointing_error_widths: float = 0.5
    scale_factor: float = 1.0
    spurious: float = 0.05
    missing: float = 0.05
    mag_scatter: float = 0.35
    brightest_lost: int = 0
    distortion_px: float = 8.0
    clumped: bool = False
    noise_px: float = 0.4
    catalog_extra_mag: float = 1.0
    high_motion: float = 0.02


#: Kinds of fields that a matcher must solve, each with the scale factor to allow it.
FIELD_KINDS: dict[str, tuple[FieldKind, float]] = {
    "uniform": (FieldKind(), 1.02),
    "clumps": (FieldKind(clumped=True), 1.02),
    "factor_2": (FieldKind(scale_factor=2.0), 2.0),
    "saturated_20": (FieldKind(brightest_lost=20, detections=(150, 600)), 1.02),
    "bands": (FieldKind(mag_scatter=0.8), 1.02),
    "distorted_60": (FieldKind(distortion_px=60.0), 1.05),
    "noisy": (FieldKind(noise_px=1.2, spurious=0.15, missing=0.15), 1.02),
    "crowded": (FieldKind(detections=(3000, 6000)), 1.02),
    "shallow_catalog": (FieldKind(catalog_extra_mag=-1.2, detections=(300, 900)), 1.02),
    "far_3": (FieldKind(pointing_error_widths=3.0), 1.02),
    "far_3_factor_2": (FieldKind(pointing_error_widths=3.0, scale_factor=2.0, detections=(100, 300)), 2.0),
    "sparse_15_40": (FieldKind(detections=(15, 40), catalog_extra_mag=0.5), 1.02),
    "sparse_15_40_factor_2": (FieldKind(detections=(15, 40), catalog_extra_mag=0.5, scale_factor=2.0), 2.0),
}


@dataclass(frozen=True)
class StarField:
    """Two star lists and how they belong together.

    Attributes
    ----------
    x, y, flux : (n,)
        Detections, zero-based pixels, arbitrary flux unit, in no order.
    xi_deg, eta_deg, catalog_flux : (m,)
        Catalogue in standard coordinates about the (wrong) pointing.
    shape
        (ny, nx).
    nominal_scale_deg, true_scale_deg
        Degrees per pixel.
    pointing_error_deg
        Largest possible pointing error.
    centre_deg
        (2,) where the frame's centre really is, standard coordinates.
    parity
        Sign of det CD.
    catalog_index : (n,)
        Catalogue row of each detection, -1 for none.
    """

    x: FloatArray
    y: FloatArray
    flux: FloatArray
    xi_deg: FloatArray
    eta_deg: FloatArray
    catalog_flux: FloatArray
    shape: tuple[int, int]
    nominal_scale_deg: float
    true_scale_deg: float
    pointing_error_deg: float
    centre_deg: FloatArray
    parity: int
    catalog_index: IntArray

    def is_right(self, parity: int, detections: IntArray, rows: IntArray) -> bool:
        """Whether an answer has the right parity and at least 85 per cent right pairs."""
        return parity == self.parity and bool(np.mean(self.catalog_index[detections] == rows) > 0.85)


def make_star_field(rng: np.random.Generator, kind: FieldKind | None = None) -> StarField:
    """Draw a random field: any size, rotation, parity and place of the frame within the pointing error."""
    kind = kind or FieldKind()
    nx = int(rng.uniform(1000, 4500))
    ny = int(nx * rng.choice([1.0, 0.75, 0.667, 1.3]))
    scale = rng.uniform(0.3, 3.0) / 3600
    n = int(np.exp(rng.uniform(*np.log(kind.detections))))
    width, half_px = max(nx, ny) * scale, 0.5 * float(np.hypot(nx, ny))
    nominal = scale * kind.scale_factor ** rng.uniform(-1, 1)
    reach = half_px * max(nominal * max(kind.scale_factor, 1.02), scale)
    radius = 1.03 * (reach + kind.pointing_error_widths * width)
    density = n / (nx * ny * scale**2)
    xi, eta, mag = _catalog_disc(rng, kind, density, radius, width)
    off, direction = kind.pointing_error_widths * width * np.sqrt(rng.uniform()), rng.uniform(0, 2 * np.pi)
    centre = off * np.array([np.cos(direction), np.sin(direction)])
    rotation, parity = rng.uniform(0, 2 * np.pi), int(rng.choice([-1, 1]))
    turned = ((xi - centre[0]) + 1j * (eta - centre[1])) / scale * np.exp(-1j * rotation)
    px, py = turned.real, parity * turned.imag
    relative = np.hypot(px, py) / half_px
    px, py = _distort(rng, px, py, relative, kind.distortion_px, half_px)
    px, py = px + nx / 2, py + ny / 2
    band_mag = mag + rng.normal(0, kind.mag_scatter, mag.size)
    odd = rng.random(mag.size) < 0.05
    band_mag[odd] += rng.normal(0, 1.5, odd.sum())
    on_frame = np.flatnonzero((px > 0) & (px < nx) & (py > 0) & (py < ny) & (relative < 1.2))
    seen = on_frame[np.argsort(band_mag[on_frame], kind="stable")][kind.brightest_lost :]
    seen = seen[rng.random(seen.size) > kind.missing][:n]
    x, y = (v[seen] + rng.normal(0, kind.noise_px, seen.size) for v in (px, py))
    fast = rng.random(seen.size) < kind.high_motion
    x[fast] += rng.normal(0, 6, fast.sum())
    extra = round(kind.spurious * seen.size)
    seen_mag = band_mag[seen]
    mags = np.r_[seen_mag, rng.choice(seen_mag, extra) if seen.size else np.zeros(0)]
    in_catalog = rng.random(xi.size) > kind.missing
    rows = np.where(in_catalog, np.cumsum(in_catalog) - 1, -1)
    shuffle = rng.permutation(mags.size)
    return StarField(
        x=np.r_[x, rng.uniform(0, nx, extra)][shuffle],
        y=np.r_[y, rng.uniform(0, ny, extra)][shuffle],
        flux=10 ** (-0.4 * (mags - 10))[shuffle],
        xi_deg=xi[in_catalog],
        eta_deg=eta[in_catalog],
        catalog_flux=10 ** (-0.4 * (mag[in_catalog] - 10)),
        shape=(ny, nx),
        nominal_scale_deg=float(nominal),
        true_scale_deg=float(scale),
        pointing_error_deg=float(kind.pointing_error_widths * width),
        centre_deg=centre,
        parity=parity,
        catalog_index=np.r_[rows[seen], np.full(extra, -1)][shuffle].astype(np.int64),
    )


def with_defects(rng: np.random.Generator, field: StarField) -> StarField:
    """Add a third more false detections in a pattern: hot columns, a trail, a clump or a grid."""
    (ny, nx), n = field.shape, max(1, field.x.size // 3)
    pattern = int(rng.integers(0, 4))
    if pattern == 0:
        x, y = rng.choice(rng.uniform(0, nx, 2), n), rng.uniform(0, ny, n)
    elif pattern == 1:
        along = np.linspace(0, 1, n)
        x, y = nx * along, ny * (0.2 + 0.5 * along)
    elif pattern == 2:
        x, y = rng.normal(nx / 2, nx / 30, n), rng.normal(ny / 3, ny / 30, n)
    else:
        side = int(np.sqrt(n)) + 1
        x, y = (np.arange(n) % side + 0.5) * nx / side, (np.arange(n) // side + 0.5) * ny / side
    return StarField(**{
        **field.__dict__,
        "x": np.r_[field.x, x],
        "y": np.r_[field.y, y],
        "flux": np.r_[field.flux, 1.5 * rng.choice(field.flux, n)],
        "catalog_index": np.r_[field.catalog_index, np.full(n, -1)],
    })  # fmt: skip


def _catalog_disc(
    rng: np.random.Generator, kind: FieldKind, density: float, radius: float, width: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Standard coordinates and magnitudes of the catalogue; counts rise by 10^0.4 per magnitude."""
    n = int(rng.poisson(density * np.pi * radius**2 * 10 ** (0.4 * kind.catalog_extra_mag)))
    r, angle = radius * np.sqrt(rng.uniform(size=n)), rng.uniform(0, 2 * np.pi, n)
    xi, eta = r * np.cos(angle), r * np.sin(angle)
    if kind.clumped:
        member = rng.random(n) < 0.33
        centres, which = rng.uniform(-0.6, 0.6, (2, 2)) * radius, rng.integers(0, 2, n)
        xi[member] = centres[which[member], 0] + rng.normal(0, 0.12 * width, member.sum())
        eta[member] = centres[which[member], 1] + rng.normal(0, 0.12 * width, member.sum())
        cloud = rng.uniform(-0.5, 0.5, 2) * radius
        clear = (np.hypot(xi - cloud[0], eta - cloud[1]) > 0.3 * width) | (rng.random(n) < 0.2)
        xi, eta = xi[clear], eta[clear]
    return xi, eta, 15 + np.log10(rng.uniform(1e-6, 1, xi.size)) / 0.4


def _distort(
    rng: np.random.Generator, px: FloatArray, py: FloatArray, relative: FloatArray, size_px: float, half_px: float
) -> tuple[FloatArray, FloatArray]:
    """Cubic distortion of either sign with a quadratic part."""
    cubic = size_px * rng.choice([-1, 1]) / half_px
    square = 0.15 * size_px / half_px**2
    return (
        px + px * cubic * relative**2 + square * px * px,
        py + py * cubic * relative**2 + 0.6 * square * px * py,
    )
