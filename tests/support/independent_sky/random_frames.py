"""Frames of which everything is random: for what must never happen, whatever comes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from independent_sky import light
from independent_sky.compose import Camera, Field, Sky, compose, with_data
from independent_sky.frame import Frame

PROFILES = ("moffat", "gaussian", "kolmogorov", "airy", "curvature", "coma", "astigmatism", "spikes", "undersampled")
SLOW = ("coma", "astigmatism", "spikes")
"""Drawn through a pupil: tens of milliseconds per star."""

HEADERS = ("complete", "complete", "poor", "wrong")
MAPS = ("right", "right", "missing", "shifted", "wrong")


def random_frame(seed: int) -> Frame:
    """Size, density, profile, gain, read noise, sky, depth of bits, header and map from the seed alone."""
    rng = np.random.default_rng([20_251, seed])
    shape = (int(rng.integers(300, 1200)), int(rng.integers(300, 1200)))
    camera = Camera(
        shape=shape,
        gain_e_per_adu=float(10 ** rng.uniform(-1, 0.9)),
        read_noise_e=float(rng.uniform(0.8, 25)),
        pedestal_adu=float(rng.choice([0.0, 0.0, rng.uniform(50, 2000)])),
        full_adu=float(rng.choice([65_535.0, 65_535.0, 4_095.0, 16_383.0, rng.uniform(15_000, 60_000)])),
        as_float=bool(rng.random() < 0.3),
    )
    which = str(rng.choice(PROFILES))
    density = 10 ** rng.uniform(-5.3, -2.3)
    field = Field(
        ra_deg=float(rng.uniform(0, 360)),
        dec_deg=float(rng.choice([rng.uniform(-89.9, 89.9), 89.99, rng.uniform(-60, 60)])),
        scale_arcsec_px=float(10 ** rng.uniform(-1, 1.6)),
        rotation_deg=float(rng.uniform(0, 360)),
        mirrored=bool(rng.random() < 0.5),
        zero_point_mag=float(rng.uniform(21, 27)),
        exposure_s=float(10 ** rng.uniform(-1, 3)),
        n_stars=int(np.clip(density * shape[0] * shape[1], 3, 300 if which in SLOW else 1500)),
    )
    # the brightest star at some place around the well, whatever gain and exposure are
    well_e = camera.full_adu * camera.gain_e_per_adu
    light_e = well_e * 10 ** rng.uniform(-0.5, 2)
    brightest = field.zero_point_mag - 2.5 * np.log10(light_e / field.exposure_s)
    field = replace(field, brightest=float(brightest), faintest=float(brightest + rng.uniform(4, 9)))
    sky = Sky(
        sky_e=float(min(10 ** rng.uniform(0.5, 4), 0.4 * well_e)),
        transmission=1.0 if rng.random() < 0.7 else _vignetting(shape, rng),
        galaxies=int(rng.choice([0, 0, 0, 30])),
    )
    kind_of_header, kind_of_map = str(rng.choice(HEADERS)), str(rng.choice(MAPS))
    frame = compose(
        "random", seed, profile=_profile(which, rng), camera=camera, field=field, sky=sky, rng=rng,
        cards=_cards(kind_of_header, camera, field, rng), with_wcs=kind_of_map != "missing",
        list_errors=bool(rng.random() < 0.5),
    )  # fmt: skip
    if kind_of_map in ("shifted", "wrong"):
        _spoil(frame.hdus[0].header, kind_of_map, field, rng)
    frame = _written_otherwise(frame, rng)
    facts = {"profile": which, "header": kind_of_header, "map": kind_of_map, "stars": field.n_stars, "shape": shape}
    return replace(frame, notes=facts)


def _vignetting(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    v, u = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    return np.asarray(1 - rng.uniform(0.1, 0.6) * (u * u + v * v) / 2)


def _profile(which: str, rng: np.random.Generator) -> light.Profile:
    match which:
        case "gaussian":
            return light.gaussian(rng.uniform(1.8, 6))
        case "kolmogorov":
            return light.kolmogorov(rng.uniform(2, 6))
        case "airy":
            return light.obscured_airy(rng.uniform(1.5, 3), rng.uniform(0, 0.6), rng.uniform(0.5, 1.5))
        case "curvature":
            return light.field_curvature(rng.uniform(2, 4), rng.uniform(3, 6), rng.uniform(0.1, 0.5), 3.0)
        case "coma":
            return light.coma(rng.uniform(1.6, 2.5), rng.uniform(0.05, 0.3), rng.uniform(1, 2))
        case "astigmatism":
            return light.astigmatism(rng.uniform(1.6, 2.5), rng.uniform(0.05, 0.3), rng.uniform(1, 2))
        case "spikes":
            return light.spikes(rng.uniform(1.6, 2.5), int(rng.choice([3, 4])), 0.02, rng.uniform(0, 90), 1.2)
        case "undersampled":
            return light.moffat(rng.uniform(1.0, 1.8), rng.uniform(2.5, 4.5))
        case _:
            return light.moffat(rng.uniform(1.8, 7), rng.uniform(2.2, 4.5))


def _cards(kind: str, camera: Camera, field: Field, rng: np.random.Generator) -> dict[str, object]:
    """What differs from a plain header."""
    if kind == "complete":
        return {}
    names = ["GAIN", "RDNOISE", "SATURATE", "DATE-OBS", "FILTER", "INSTRUME", "EXPTIME"]
    if kind == "poor":
        return dict.fromkeys(str(name) for name in rng.choice(names, int(rng.integers(2, 8)), replace=False))
    wrong: dict[str, object] = {
        "GAIN": camera.gain_e_per_adu * float(rng.choice([0.0, -1.0, 0.3, 3.0, 100.0])),
        "RDNOISE": float(rng.choice([0.0, -5.0, 200.0])),
        "SATURATE": float(rng.choice([0.0, 100.0, 1e9])),
        "DATE-OBS": str(rng.choice(["0000-00-00", "2025-13-45T99:99:99", "01/03/25", "unknown", "2025-03-01"])),
        "EXPTIME": rng.choice([0.0, -1.0, 1e9]) if rng.random() < 0.7 else "sixty",
        "FILTER": str(rng.choice(["", "none", "L?", "clear"])),
    }
    chosen = rng.choice(list(wrong), 2, replace=False)
    return {str(name): wrong[str(name)] for name in chosen}


def _spoil(header: fits.Header, kind: str, field: Field, rng: np.random.Generator) -> None:
    """Move the map by some fields of view, or turn and stretch it."""
    width = field.scale_arcsec_px / 3600 * 1000
    header["CRVAL2"] = float(np.clip(header["CRVAL2"] + rng.normal(0, 0.3) * width, -90, 90))
    if kind == "wrong":
        header["CRVAL1"] = float(rng.uniform(0, 360))
        for name in ("CDELT1", "CDELT2"):
            if name in header:
                header[name] *= float(rng.uniform(0.5, 2))


def _written_otherwise(frame: Frame, rng: np.random.Generator) -> Frame:
    """Now and then: holes of NaN, dead columns, an image in an extension, or the map as a plain list of cards."""
    header, data = frame.hdus[0].header, frame.hdus[0].data
    way = int(rng.integers(0, 8))
    if way == 0:
        holed = data.astype(float)
        x, y = rng.integers(0, holed.shape[1]), rng.integers(0, holed.shape[0])
        holed[y : y + 40, x : x + 60] = np.nan
        return with_data(frame, holed)
    if way == 1:
        dead = data.astype(float)
        dead[:, rng.integers(0, dead.shape[1], 3)] = 0
        return with_data(frame, dead)
    if way == 2:
        image = fits.ImageHDU(data, header, name="SCI")
        return replace(frame, hdus=fits.HDUList([fits.PrimaryHDU(), image]))
    if way == 3 and "CRVAL1" in header:
        plain = frame.truth.wcs if isinstance(frame.truth.wcs, WCS) else WCS(header)
        for row in (1, 2):
            for column in (1, 2):
                header.remove(f"PC{row}_{column}", ignore_missing=True)
                header[f"CD{row}_{column}"] = float(plain.wcs.cd[row - 1, column - 1])
            header.remove(f"CDELT{row}", ignore_missing=True)
    return frame
