"""The header of a solved frame as SCAMP, SWarp and DS9 read it, held against astropy's reading of it."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sep
from astropy.io import fits
from astropy.wcs import WCS

from astro_shared.science.sky_time import separation_deg
from astro_shared.testing.components import needs
from astro_shared.testing.frames import Camera, Distortion, Exposure
from astro_shared.testing.source_lists import simulate_source_list
from astrometry_service.algorithms.wcs.sip import sip_export
from astrometry_service.algorithms.wcs.tpv import TpvTransform
from astrometry_service.algorithms.wcs.validation import validate_header
from astrometry_service.algorithms.wcs.writer import map_cards, writable
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.domain.sources import FrameGeometry, SourceList
from astrometry_service.workflows.refine_solution import RefineSolution

PROGRAMS = ("source-extractor", "scamp", "SWarp", "ds9", "xvfb-run")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
pytestmark = [pytest.mark.integration, needs(not MISSING, f"not installed: {', '.join(MISSING)}")]
NY, NX = 1000, 1400
CAMERA = Camera(shape=(NY, NX), distortion=Distortion(cubic_px=20.0, quintic_px=3.0, tilt_px=3.0))
SCALE_MAS = 1000.0 * CAMERA.scale_arcsec
HERE = Path(__file__).parents[1] / "support"


def peer():
    spec = importlib.util.spec_from_file_location("scamp_peer", HERE / "scamp_peer.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def apart_mas(ra, dec, ra0, dec0):
    return 3.6e6 * separation_deg(ra, dec, ra0, dec0)


@pytest.fixture(scope="module")
def headers():
    """The solution of a frame distorted by twenty pixels, as TPV and as SIP."""
    sim = simulate_source_list(7, n_stars=1500, camera=CAMERA, exposure=Exposure())
    solution = RefineSolution().run(
        SourceList.from_columns(sim.columns, position_kind="psf"), ReferenceStars.from_columns(sim.reference_columns),
        PlaneAffine(sim.start_matrix(), sim.sky.ra_deg, sim.sky.dec_deg), FrameGeometry(NX, NY, sim.exposure.epoch),
    )  # fmt: skip
    assert isinstance(solution.transform, TpvTransform) and solution.report["degree"] >= 4
    sip = sip_export(solution.transform, NX, NY)
    assert max(sip.forward_max_px, sip.inverse_max_px) < 0.01
    solved = {"tpv": fits.Header(map_cards(solution.transform)), "sip": fits.Header(dict(sip.cards))}
    return solved | {name: fits.Header(kept(cards)) for name, cards in KEPT.items()}


def kept(cards):
    """A header of a frame as it is written again."""
    found = validate_header({**LINEAR, **cards}, NX, NY)
    return map_cards(writable(found.transform, NX, NY))


STEP = CAMERA.scale_arcsec / 3600
LINEAR = {
    "CRVAL1": 83.0, "CRVAL2": 20.0, "CRPIX1": 690.0, "CRPIX2": 510.0, "CD1_1": -0.8 * STEP, "CD1_2": 0.6 * STEP,
    "CD2_1": 0.6 * STEP, "CD2_2": 0.8 * STEP, "RADECSYS": "FK5", "EQUINOX": 2000.0, "EPOCH": 1991.2,
}  # fmt: skip
KEPT = {
    "kept tpv": {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_7": 1e-2, "PV2_7": 1e-2, "PV1_4": 1e-3},
    "kept sip": {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-5},
    "kept zpn": {"CTYPE1": "RA---ZPN", "CTYPE2": "DEC--ZPN", "PV2_1": 1.0, "PV2_3": 50.0},
    "north pole": {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL2": 90.0},
    "south pole": {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL2": -90.0, "RADECSYS": "ICRS"},
}
FORMS = ["tpv", *KEPT]
# SWarp's own choice of the output leaves half of a frame out that holds a pole.
OUTPUT = {
    form: ("-CENTER_TYPE", "MANUAL", "-CENTER", f"83.0,{dec}", "-IMAGE_SIZE", "2400,2400", "-PIXELSCALE_TYPE", "MANUAL",
           "-PIXEL_SCALE", str(CAMERA.scale_arcsec))
    for form, dec in (("north pole", 89.9), ("south pole", -89.9))
}  # fmt: skip


@pytest.fixture(scope="module")
def stars():
    """Places in pixels, counted from 0, and an image with a star at each of them."""
    rng = np.random.default_rng(2)
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(60, NX - 60, 8), np.linspace(60, NY - 60, 5)))
    x, y = x + rng.uniform(-5, 5, x.size), y + rng.uniform(-5, 5, x.size)
    image, (rows, columns) = np.zeros((NY, NX), np.float32), np.mgrid[:NY, :NX]
    for x0, y0 in zip(x, y, strict=True):
        near = np.s_[int(y0) - 15 : int(y0) + 16, int(x0) - 15 : int(x0) + 16]
        image[near] += 1000 * np.exp(-((columns[near] - x0) ** 2 + (rows[near] - y0) ** 2) / 8)
    return x, y, image


def run(folder, *command):
    done = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("form", FORMS)
def test_swarp_resamples_the_stars_to_their_places_on_the_sky(form, headers, stars, tmp_path):
    x, y, image = stars
    fits.writeto(tmp_path / "frame.fits", image, headers[form])
    run(tmp_path, "SWarp", "frame.fits", "-c", os.devnull, "-IMAGEOUT_NAME", "out.fits", "-SUBTRACT_BACK", "N",
        "-RESAMPLING_TYPE", "LANCZOS4", "-OVERSAMPLING", "1", "-PROJECTION_TYPE", "TAN", "-WRITE_XML", "N",
        *OUTPUT.get(form, ()))  # fmt: skip
    data, header = fits.getdata(tmp_path / "out.fits", header=True)
    flat = np.ascontiguousarray(data, np.float32)
    found = sep.extract(flat, 50.0)
    px, py, _ = sep.winpos(flat, found["x"], found["y"], np.full(len(found), 2.0))
    ra, dec = WCS(header).all_pix2world(px, py, 0)
    ra0, dec0 = WCS(headers[form]).all_pix2world(x, y, 0)
    away = apart_mas(ra[:, None], dec[:, None], ra0, dec0).min(axis=1)
    # a star that the distortion shears has its middle moved by a hundredth of a pixel
    assert header["CTYPE1"] == "RA---TAN" and away.size == x.size and away.max() < 0.02 * SCALE_MAS


@pytest.mark.parametrize("form", FORMS)
def test_scamp_reads_the_same_sky(form, headers, stars, tmp_path):
    x, y, image = stars
    scamp = peer()
    fits.writeto(tmp_path / "frame.fits", image, headers[form])
    (tmp_path / "columns").write_text("\n".join(scamp.PARAMETERS) + "\n")
    (tmp_path / "kernel").write_text(scamp.KERNEL)
    run(tmp_path, "source-extractor", "frame.fits", "-c", os.devnull, "-CATALOG_NAME", "frame.cat", "-CATALOG_TYPE",
        "FITS_LDAC", "-PARAMETERS_NAME", "columns", "-FILTER_NAME", "kernel", "-BACK_TYPE", "MANUAL", "-BACK_VALUE", "0",
        "-THRESH_TYPE", "ABSOLUTE", "-DETECT_THRESH", "20", "-ANALYSIS_THRESH", "20", "-GAIN", "1")  # fmt: skip
    sky = WCS(headers[form])
    ra0, dec0 = sky.all_pix2world(x, y, 0)
    # a reference that lies elsewhere, so that what is written is SCAMP's reading of the header
    scamp.write_ldac(tmp_path / "reference.cat", ra0 + 1e-4, dec0, np.full(x.size, 15.0), 2020.0)
    run(tmp_path, "scamp", "frame.cat", *scamp.OPTIONS, "-ASTREFCAT_NAME", "reference.cat", "-MATCH", "N", "-SOLVE_ASTROM",
        "N", "-CROSSID_RADIUS", "2", "-SN_THRESHOLDS", "5,10", "-ELLIPTICITY_MAX", "1", "-FULLOUTCAT_TYPE", "ASCII",
        "-FULLOUTCAT_NAME", "full.cat")  # fmt: skip
    rows = np.loadtxt(tmp_path / "full_1.cat")
    seen = rows[rows[:, 1] == 1]
    ra, dec = sky.all_pix2world(seen[:, 5], seen[:, 6], 1)
    assert len(seen) == x.size and apart_mas(seen[:, 10], seen[:, 11], ra, dec).max() < 0.5


@pytest.mark.parametrize("form", ["sip", *FORMS])
def test_ds9_reads_the_same_sky(form, headers, stars, tmp_path):
    x, y, image = stars
    fits.writeto(tmp_path / "frame.fits", image, headers[form])
    points = "".join(f"point({a + 1:.6f},{b + 1:.6f})\n" for a, b in zip(x, y, strict=True))
    (tmp_path / "in.reg").write_text(f"image\n{points}")
    run(tmp_path, "xvfb-run", "-a", "ds9", "frame.fits", "-regions", "load", "in.reg", "-regions", "format", "xy", "-regions",
        "system", "wcs", "-regions", "sky", "icrs", "-regions", "skyformat", "degrees", "-regions", "save", "out.reg",
        "-exit")  # fmt: skip
    ra, dec = np.loadtxt(tmp_path / "out.reg").T
    ra0, dec0 = WCS(headers[form]).all_pix2world(x, y, 0)
    assert apart_mas(ra, dec, ra0, dec0).max() < 0.5
