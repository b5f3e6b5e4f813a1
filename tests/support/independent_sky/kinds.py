"""Kinds of frames on which photometry and astrometry are judged; within a kind the seed chooses all that is left open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from independent_sky import light
from independent_sky.compose import Camera, Field, Sky, compose, with_data
from independent_sky.frame import Frame

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Size:
    """Side of the square frame [px] and its stars; a kind may have its own reason for more stars."""

    side_px: int = 640
    n_stars: int = 500

    @property
    def camera(self) -> Camera:
        return Camera(shape=(self.side_px, self.side_px))

    @property
    def field(self) -> Field:
        return Field(n_stars=self.n_stars)


Maker = Callable[[str, int, Size, np.random.Generator], Frame]


def draw_kind(kind: str, seed: int, *, side_px: int = 640, n_stars: int = 500) -> Frame:
    """A frame of a kind of `KINDS`."""
    rng = np.random.default_rng([seed, *kind.encode()])
    return KINDS[kind](kind, seed, Size(side_px, n_stars), rng)


def some_moffat(rng: np.random.Generator) -> light.Profile:
    return light.moffat(rng.uniform(2.6, 3.8), rng.uniform(2.6, 4.0))


def _with_profile(make: Callable[[np.random.Generator], light.Profile]) -> Maker:
    """A kind that is special by its stars alone."""

    def draw(kind: str, seed: int, size: Size, rng: np.random.Generator) -> Frame:
        profile = make(rng)
        return compose(kind, seed, profile=profile, camera=size.camera, field=size.field, sky=_sky(rng), rng=rng)

    return draw


def _sky(rng: np.random.Generator) -> Sky:
    return Sky(sky_e=float(rng.uniform(150, 900)))


def _uv(size: Size) -> tuple[FloatArray, FloatArray]:
    """(ny, nx): -1 to 1 over the frame."""
    line = 2 * (np.arange(size.side_px) + 0.5) / size.side_px - 1
    v, u = np.meshgrid(line, line, indexing="ij")
    return u, v


def _galaxies(kind: str, seed: int, size: Size, rng: np.random.Generator) -> Frame:
    sky = replace(_sky(rng), galaxies=size.n_stars // 5)
    return compose(kind, seed, profile=some_moffat(rng), camera=size.camera, field=size.field, sky=sky, rng=rng)


def _steep_sky(kind: str, seed: int, size: Size, rng: np.random.Generator) -> Frame:
    u, v = _uv(size)
    a, b = rng.uniform(-0.6, 0.6, 2)
    width = rng.uniform(0.15, 0.3)
    cloud = rng.uniform(3000, 6000) * np.exp(-((u - a) ** 2 + (v - b) ** 2) / 2 / width**2)
    sky = Sky(sky_e=300 + rng.uniform(2000, 4000) * ((1 + u) / 2) ** 2 + cloud)
    return compose(kind, seed, profile=some_moffat(rng), camera=size.camera, field=size.field, sky=sky, rng=rng)


def _vignetted(kind: str, seed: int, size: Size, rng: np.random.Generator) -> Frame:
    u, v = _uv(size)
    loss = 1 - rng.uniform(0.35, 0.5) * (u * u + v * v) / 2
    sky = Sky(sky_e=float(rng.uniform(1000, 2500)), transmission=loss)
    return compose(
        kind, seed, profile=some_moffat(rng), camera=size.camera, field=size.field, sky=sky, rng=rng,
        said=("flat", "vignett"),
    )  # fmt: skip


def _pedestal(kind: str, seed: int, size: Size, rng: np.random.Generator) -> Frame:
    """An offset that the header does not name."""
    camera = replace(size.camera, pedestal_adu=float(rng.uniform(300, 2000)))
    return compose(
        kind, seed, profile=some_moffat(rng), camera=camera, field=size.field, sky=_sky(rng), rng=rng,
        cards={"PEDESTAL": None},
    )  # fmt: skip


def _plateau(kind: str, seed: int, size: Size, rng: np.random.Generator) -> Frame:
    """Clipped well below what the header says, or the header says nothing."""
    camera = replace(size.camera, full_adu=float(rng.integers(18_000, 45_000)))
    field = replace(size.field, brightest=10.5)
    card = None if rng.random() < 0.5 else 65_000.0
    return compose(
        kind, seed, profile=some_moffat(rng), camera=camera, field=field, sky=_sky(rng), rng=rng,
        cards={"SATURATE": card},
    )  # fmt: skip


def _cut_off(kind: str, seed: int, size: Size, rng: np.random.Generator) -> Frame:
    """A dark was taken off and what became too dark was lost: a quarter to three quarters of the sky at one value."""
    read_noise_e, plateau_adu = rng.uniform(6, 25), float(rng.choice([0.0, 0.0, 100.0]))
    sky_e, gain = rng.uniform(2, 60), rng.uniform(0.4, 3.0)
    noise_e = np.hypot(read_noise_e, np.sqrt(sky_e))
    above_e = rng.uniform(-0.6, 0.6) * noise_e
    camera = replace(
        size.camera, gain_e_per_adu=gain, read_noise_e=read_noise_e, pedestal_adu=plateau_adu + (above_e - sky_e) / gain,
        lowest_adu=plateau_adu, as_float=bool(rng.random() < 0.5),
    )  # fmt: skip
    return compose(
        kind, seed, profile=some_moffat(rng), camera=camera, field=size.field, sky=Sky(sky_e=sky_e), rng=rng,
        cards={"PEDESTAL": None}, said=("cut off at its lowest value",),
    )  # fmt: skip


def _resampled(kind: str, seed: int, size: Size, rng: np.random.Generator) -> Frame:
    """Averaged over a shift, as drizzling and registering do: the noise of neighbours is correlated."""
    camera = replace(size.camera, as_float=True)
    frame = compose(kind, seed, profile=some_moffat(rng), camera=camera, field=size.field, sky=_sky(rng), rng=rng)
    fx, fy = rng.uniform(0.25, 0.75, 2)
    stars, wcs = frame.truth.stars, frame.truth.wcs.deepcopy()
    wcs.wcs.crpix = wcs.wcs.crpix + np.array([fx, fy])
    header = frame.hdus[0].header.copy()
    header["CRPIX1"], header["CRPIX2"] = wcs.wcs.crpix
    moved = replace(frame.truth, wcs=wcs, stars=replace(stars, x=stars.x + fx, y=stars.y + fy))
    averaged = _shift(_shift(frame.hdus[0].data.astype(float), fx, 1), fy, 0)
    frame = replace(frame, truth=moved, data_e=(averaged * camera.gain_e_per_adu).astype(np.float32))
    return with_data(frame, averaged, header=header)


def _shift(data: FloatArray, share: float, axis: int) -> FloatArray:
    return (1 - share) * data + share * np.roll(data, 1, axis)


def _globular(kind: str, seed: int, size: Size, rng: np.random.Generator) -> Frame:
    """A cluster with a Plummer profile over a sparse field."""
    side, n = size.side_px, 6 * size.n_stars
    core = side * rng.uniform(0.10, 0.16)
    share = rng.uniform(0.02, 0.97, n)
    r, angle = core * np.sqrt(share / (1 - share)), rng.uniform(0, 2 * np.pi, n)
    x, y = (side - 1) / 2 + r * np.cos(angle), (side - 1) / 2 + r * np.sin(angle)
    field = replace(size.field, n_stars=n, brightest=13.0, faintest=21.5)
    low, high = 10 ** (0.3 * field.brightest), 10 ** (0.3 * field.faintest)
    mag = np.log10(low + rng.uniform(size=n) * (high - low)) / 0.3
    on = (np.abs(x - side / 2) < side / 2 + 12) & (np.abs(y - side / 2) < side / 2 + 12)
    profile = light.moffat(rng.uniform(2.6, 3.2), 3.0)
    return compose(
        kind, seed, profile=profile, camera=size.camera, field=field, sky=_sky(rng), rng=rng,
        stars=(x[on], y[on], mag[on]),
    )  # fmt: skip


def _per_second(kind: str, seed: int, size: Size, rng: np.random.Generator) -> Frame:
    """Pixels divided by the exposure, and BUNIT says so."""
    camera = replace(size.camera, as_float=True)
    frame = compose(kind, seed, profile=some_moffat(rng), camera=camera, field=size.field, sky=_sky(rng), rng=rng)
    header = frame.hdus[0].header.copy()
    exposure = frame.truth.exposure_s
    header["BUNIT"] = str(rng.choice(["adu/s", "ADU / s", "DN/s", "counts/s", "count s-1"]))
    header["SATURATE"] = camera.full_adu / exposure
    return with_data(frame, frame.hdus[0].data / exposure, header=header)


def _milliseconds(kind: str, seed: int, size: Size, rng: np.random.Generator) -> Frame:
    frame = compose(kind, seed, profile=some_moffat(rng), camera=size.camera, field=size.field, sky=_sky(rng), rng=rng)
    words = ["exposure time in ms", "[ms] exposure", "Exposure time (milliseconds)"]
    frame.hdus[0].header["EXPTIME"] = (1000 * frame.truth.exposure_s, str(rng.choice(words)))
    return frame


def _quality_plane(kind: str, seed: int, size: Size, rng: np.random.Generator) -> Frame:
    """Bad pixels that a plane beside the image marks."""
    camera = replace(size.camera, as_float=True)
    frame = compose(kind, seed, profile=some_moffat(rng), camera=camera, field=size.field, sky=_sky(rng), rng=rng)
    science, plane = frame.hdus[0].data.copy(), np.zeros(camera.shape, np.int16)
    n = science.size // 100
    x, y = rng.integers(0, size.side_px, (2, n))
    science[y, x] += rng.uniform(500, 5000, n)
    plane[y, x] = 4
    header = frame.hdus[0].header
    primary = fits.Header([card for card in header.cards if card.keyword in ("EXPTIME", "GAIN", "RDNOISE", "FILTER")])
    for name in ("DATE-OBS", "INSTRUME", "SATURATE"):
        primary[name] = header[name]
    name = str(rng.choice(["DQ", "MASK", "BPM"]))
    image = fits.ImageHDU(science, frame.truth.wcs.to_header(relax=True), name="SCI")
    hdus = fits.HDUList([fits.PrimaryHDU(None, primary), image, fits.ImageHDU(plane, name=name)])
    clean = frame.data_e.copy()
    return replace(frame, hdus=hdus, data_e=clean)


def _turned(kind: str, seed: int, size: Size, rng: np.random.Generator) -> Frame:
    """Any scale, rotation and parity; half of the lists have no errors."""
    field = replace(
        size.field, scale_arcsec_px=float(10 ** rng.uniform(-0.7, 1.3)), rotation_deg=float(rng.uniform(0, 360)),
        mirrored=bool(rng.random() < 0.5), ra_deg=float(rng.uniform(0, 360)), dec_deg=float(rng.uniform(-85, 85)),
    )  # fmt: skip
    return compose(
        kind, seed, profile=some_moffat(rng), camera=size.camera, field=field, sky=_sky(rng), rng=rng,
        list_errors=bool(rng.random() < 0.5),
    )  # fmt: skip


KINDS: dict[str, Maker] = {
    "moffat": _with_profile(some_moffat),
    "gaussian": _with_profile(lambda rng: light.gaussian(rng.uniform(2.2, 3.6))),
    "kolmogorov": _with_profile(lambda rng: light.kolmogorov(rng.uniform(2.6, 3.6))),
    "obscured_airy": _with_profile(
        lambda rng: light.obscured_airy(rng.uniform(1.9, 2.5), rng.uniform(0.2, 0.5), rng.uniform(0.8, 1.4))
    ),
    "field_curvature": _with_profile(
        lambda rng: light.field_curvature(rng.uniform(2.4, 3.0), rng.uniform(3.2, 4.2), rng.uniform(0.3, 0.4), 3.0)
    ),
    "coma": _with_profile(lambda rng: light.coma(rng.uniform(1.9, 2.4), rng.uniform(0.12, 0.25), rng.uniform(1.2, 2))),
    "astigmatism": _with_profile(
        lambda rng: light.astigmatism(rng.uniform(1.9, 2.4), rng.uniform(0.12, 0.25), rng.uniform(1.2, 2))
    ),
    "spikes": _with_profile(
        lambda rng: light.spikes(
            rng.uniform(1.9, 2.4), int(rng.choice([3, 4])), rng.uniform(0.01, 0.03), rng.uniform(0, 90), 1.5
        )
    ),
    "undersampled": _with_profile(lambda rng: light.moffat(rng.uniform(1.2, 1.8), rng.uniform(2.8, 4.0))),
    "galaxies": _galaxies,
    "steep_sky": _steep_sky,
    "vignetted": _vignetted,
    "pedestal": _pedestal,
    "plateau": _plateau,
    "cut_off": _cut_off,
    "resampled": _resampled,
    "globular": _globular,
    "per_second": _per_second,
    "milliseconds": _milliseconds,
    "quality_plane": _quality_plane,
    "turned": _turned,
}
