"""From a list of stars to a file: sky, flat field, noise, header, reference list."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from independent_sky.frame import NO_GALAXIES, Frame, Galaxies, Stars, Truth
from independent_sky.light import Drawn, Profile, draw_galaxies, draw_stars, flux_bounds

FloatArray = NDArray[np.float64]
ISOLATION_FWHM = 4.0
ISOLATION_RATIO = 0.02
BITS_16 = 65_535.0


@dataclass(frozen=True)
class Camera:
    """A detector and what its header says of it.

    Attributes
    ----------
    shape : (ny, nx)
    full_adu : where the converter or the well ends
    lowest_adu : what is darker stands there; None: 0 for whole numbers, nothing for floats
    as_float : written as float32, else as uint16
    """

    shape: tuple[int, int] = (640, 640)
    gain_e_per_adu: float = 1.5
    read_noise_e: float = 6.0
    pedestal_adu: float = 0.0
    full_adu: float = BITS_16
    lowest_adu: float | None = None
    as_float: bool = False


@dataclass(frozen=True)
class Field:
    """Where the frame points, and its stars.

    Attributes
    ----------
    scale_arcsec_px, rotation_deg, mirrored
    zero_point_mag : of one electron per second
    brightest, faintest : magnitudes of the list
    slope : of log10 of the counts per magnitude
    """

    ra_deg: float = 150.0
    dec_deg: float = 20.0
    scale_arcsec_px: float = 1.0
    rotation_deg: float = 0.0
    mirrored: bool = False
    zero_point_mag: float = 25.0
    exposure_s: float = 60.0
    n_stars: int = 500
    brightest: float = 12.0
    faintest: float = 22.3
    slope: float = 0.18


@dataclass(frozen=True)
class Sky:
    """Background and losses.

    Attributes
    ----------
    sky_e : electrons per pixel, a number or a map
    transmission : share of stars and sky that reaches the detector
    galaxies : how many, among the stars
    """

    sky_e: float | FloatArray = 400.0
    transmission: float | FloatArray = 1.0
    galaxies: int = 0


def tangent_map(field: Field, shape: tuple[int, int]) -> WCS:
    """Gnomonic map with its tangent point in the middle of the frame."""
    ny, nx = shape
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [field.ra_deg, field.dec_deg], [(nx + 1) / 2, (ny + 1) / 2]
    turn, scale, parity = np.radians(field.rotation_deg), field.scale_arcsec_px / 3600, 1 if field.mirrored else -1
    rotation = np.array([[parity * np.cos(turn), np.sin(turn)], [-parity * np.sin(turn), np.cos(turn)]])
    wcs.wcs.cd = scale * rotation
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def star_list(field: Field, shape: tuple[int, int], rng: np.random.Generator) -> tuple[FloatArray, ...]:
    """x, y and magnitude of random stars, some of them a little off the frame."""
    ny, nx = shape
    x, y = rng.uniform(-12, nx + 11, field.n_stars), rng.uniform(-12, ny + 11, field.n_stars)
    low, high = 10 ** (field.slope * field.brightest), 10 ** (field.slope * field.faintest)
    return x, y, np.log10(low + rng.uniform(size=field.n_stars) * (high - low)) / field.slope


def compose(
    kind: str,
    seed: int,
    *,
    profile: Profile,
    camera: Camera,
    field: Field,
    sky: Sky,
    rng: np.random.Generator,
    stars: tuple[FloatArray, FloatArray, FloatArray] | None = None,
    cards: dict[str, object] | None = None,
    with_wcs: bool = True,
    list_errors: bool = True,
    said: tuple[str, ...] = (),
) -> Frame:
    """Draw a frame.

    Parameters
    ----------
    stars
        x, y, magnitude in place of a random list.
    cards
        Cards that differ from a plain header; None removes one.
    list_errors
        Whether the reference list has errors of positions and magnitudes.
    """
    x, y, mag = stars if stars is not None else star_list(field, camera.shape, rng)
    wcs = tangent_map(field, camera.shape)
    flux = 10 ** (-0.4 * (mag - field.zero_point_mag)) * field.exposure_s
    loss = np.broadcast_to(np.asarray(sky.transmission, float), camera.shape)
    arriving = flux * loss[_inside(y, camera.shape[0]), _inside(x, camera.shape[1])]
    drawn = draw_stars(camera.shape, x, y, arriving, profile)
    image, galaxies = drawn.image_e, NO_GALAXIES
    if sky.galaxies:
        galaxies = _galaxies(sky.galaxies, field, camera.shape, rng)
        light = 10 ** (-0.4 * (galaxies.mag - field.zero_point_mag)) * field.exposure_s
        image = draw_galaxies(image, galaxies.x, galaxies.y, light, profile, rng)
    expected = np.maximum(image + np.asarray(sky.sky_e) * loss, 0.0)
    adu = (rng.poisson(expected) + rng.normal(0, camera.read_noise_e, camera.shape)) / camera.gain_e_per_adu
    lowest = (-np.inf if camera.as_float else 0.0) if camera.lowest_adu is None else camera.lowest_adu
    data = np.clip(np.round(adu + camera.pedestal_adu), lowest, camera.full_adu)
    saturation_e = (camera.full_adu - camera.pedestal_adu) * camera.gain_e_per_adu
    variance = expected + camera.read_noise_e**2 + camera.gain_e_per_adu**2 / 12
    bounds = flux_bounds(drawn, variance)
    truth = Truth(
        stars=Stars(
            x, y, mag, drawn.flux_e, bounds, _isolated(x, y, drawn.flux_e, galaxies, profile.fwhm_px),
            _saturated(drawn, expected, saturation_e),
        ),
        galaxies=galaxies, wcs=wcs, shape=camera.shape, fwhm_px=profile.fwhm_px, exposure_s=field.exposure_s,
        gain_e_per_adu=camera.gain_e_per_adu, saturation_e=saturation_e, zero_point_mag=field.zero_point_mag,
        pedestal_adu=camera.pedestal_adu, said=said,
    )  # fmt: skip
    header = plain_header(camera, field, wcs if with_wcs else None, cards)
    stored = data.astype(np.float32 if camera.as_float else np.uint16)
    data_e = ((data - camera.pedestal_adu) * camera.gain_e_per_adu).astype(np.float32)
    reference = reference_list(wcs, x, y, mag, errors=list_errors, rng=rng)
    return Frame(kind, seed, data_e, fits.HDUList([fits.PrimaryHDU(stored, header)]), reference, truth)


def plain_header(camera: Camera, field: Field, wcs: WCS | None, cards: dict[str, object] | None = None) -> fits.Header:
    """What a camera program writes; ``cards`` differ from it, None removes one."""
    header = wcs.to_header(relax=True) if wcs is not None else fits.Header()
    plain: dict[str, object] = {
        "EXPTIME": field.exposure_s, "GAIN": camera.gain_e_per_adu, "RDNOISE": camera.read_noise_e,
        "SATURATE": min(camera.full_adu, 65_000.0), "DATE-OBS": "2025-03-01T02:00:00", "FILTER": "r",
        "INSTRUME": "simcam",
    }  # fmt: skip
    if camera.pedestal_adu:
        plain["PEDESTAL"] = -camera.pedestal_adu
    for name, value in (plain | (cards or {})).items():
        if value is None:
            header.remove(name, ignore_missing=True)
        else:
            header[name] = value
    return header


def reference_list(
    wcs: WCS, x: FloatArray, y: FloatArray, mag: FloatArray, *, errors: bool, rng: np.random.Generator
) -> dict[str, FloatArray]:
    """Places and magnitudes; with errors they are scattered by them (20 mas, 5 mmag), without they are exact."""
    ra, dec = wcs.all_pix2world(x, y, 0)
    if not errors:
        return {"ra": ra, "dec": dec, "r_mag": mag}
    place_mas, mag_err = np.full(x.size, 20.0), np.full(x.size, 0.005)
    return {
        "ra": (ra + rng.normal(0, 1, x.size) * place_mas / 3.6e6 / np.cos(np.radians(dec))) % 360,
        "dec": dec + rng.normal(0, 1, x.size) * place_mas / 3.6e6,
        "ra_error": place_mas, "dec_error": place_mas,
        "r_mag": mag + rng.normal(0, 1, x.size) * mag_err, "e_r_mag": mag_err,
    }  # fmt: skip


def with_data(frame: Frame, data: FloatArray, *, header: fits.Header | None = None) -> Frame:
    """The same frame with other pixels in the file."""
    stored = fits.PrimaryHDU(data.astype(np.float32), header if header is not None else frame.hdus[0].header)
    return replace(frame, hdus=fits.HDUList([stored]))


def _inside(place: FloatArray, size: int) -> NDArray[np.int64]:
    return np.clip(np.round(place), 0, size - 1).astype(np.int64)


def _galaxies(n: int, field: Field, shape: tuple[int, int], rng: np.random.Generator) -> Galaxies:
    ny, nx = shape
    bright = field.brightest + 0.5 * (field.faintest - field.brightest)
    return Galaxies(rng.uniform(10, nx - 10, n), rng.uniform(10, ny - 10, n), rng.uniform(bright, field.faintest, n))


def _isolated(
    x: FloatArray, y: FloatArray, flux_e: FloatArray, galaxies: Galaxies, fwhm_px: float
) -> NDArray[np.bool_]:
    places, radius = np.column_stack([x, y]), ISOLATION_FWHM * max(fwhm_px, 2.0)
    pairs = cKDTree(places).query_pairs(radius, output_type="ndarray")
    alone = np.ones(x.size, bool)
    for one, other in ((pairs[:, 0], pairs[:, 1]), (pairs[:, 1], pairs[:, 0])):
        alone[one[flux_e[other] > ISOLATION_RATIO * flux_e[one]]] = False
    if galaxies.x.size:
        distance, _ = cKDTree(np.column_stack([galaxies.x, galaxies.y])).query(places)
        alone &= distance > radius + 12
    return alone


def _saturated(drawn: Drawn, expected_e: FloatArray, saturation_e: float) -> NDArray[np.bool_]:
    """Whether light and sky near the middle of the star come within noise of the clip."""
    peaks = np.array([
        expected_e[place][core > 0.3 * core.max()].max() if core.max() > 0 else 0.0 for core, place in drawn.cores
    ])  # fmt: skip
    return np.asarray(peaks + 3 * np.sqrt(peaks) > saturation_e)
