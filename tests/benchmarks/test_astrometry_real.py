"""Astrometry of real lists and headers, against catalogues, recorded answers and astropy.

``pytest -m benchmark tests/benchmarks/test_astrometry_real.py`` with the data of ``ALIDADE_TEST_DATA``; the figures go to the
section "Astrometry of real lists and headers" of docs/validation.md.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from astro_shared.fits import read_frame
from astro_shared.fits.keywords import frame_facts
from astro_shared.science.source_extraction import extract_sources
from astro_shared.testing.real_data import MISSING, find_real_data
from astrometry_service.algorithms.matching.tangent_plane import angular_distance_deg
from astrometry_service.algorithms.reference_positions import positions_at_epoch
from astrometry_service.algorithms.wcs.validation import validate_header
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.domain.solving import SolveHints
from astrometry_service.domain.sources import FrameGeometry, SourceList
from astrometry_service.ports import ReferenceCone
from astrometry_service.workflows.refine_solution import RefineSolution
from astrometry_service.workflows.solve_frame import SolveFrame

DATA = find_real_data()
pytestmark = [pytest.mark.benchmark, pytest.mark.skipif(DATA is None, reason=MISSING)]
COMMAND = "pytest -m benchmark tests/benchmarks/test_astrometry_real.py"
HEAD = ("data", "what is held against what", "result", "limit")


def _page() -> ModuleType:
    path = Path(__file__).parents[1] / "support" / "validation_page.py"
    spec = importlib.util.spec_from_file_location("validation_page", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows() -> Iterator[list[tuple[object, ...]]]:
    made: list[tuple[object, ...]] = []
    yield made
    if made:
        page = _page()
        lines = page.table(HEAD, made)
        page.write_section("astrometry real", "Astrometry of real lists and headers", lines, command=COMMAND)


class OneList:
    """A catalogue that has one list of stars, whatever is asked."""

    def __init__(self, stars: ReferenceStars) -> None:
        self._stars = stars

    def cone(self, ra_deg: float, dec_deg: float, radius_deg: float, **_: object) -> ReferenceCone:
        return ReferenceCone(self._stars, "real", "list")


def test_the_lco_list_is_fitted_as_well_as_by_its_sip(rows):
    table = Table.read(DATA / "catalogs" / "lco_cpt1m_refcat_matched.fits")
    stars = ReferenceStars.from_columns(
        {name: np.asarray(table[name], float) for name in ("ra", "dec", "pmra", "pmdec")}
        | {"r_mag": np.asarray(table["rmag"], float)},
        default_epoch=2015.5,
    )
    # Published positions count from one.
    columns = {
        "x": np.asarray(table["xwin"]) - 1.0,
        "y": np.asarray(table["ywin"]) - 1.0,
        "flux": np.asarray(table["flux"]),
    }
    geometry = FrameGeometry(4096, 4096, 2020.033)
    hint = SolveHints(99.75, 8.75, 0.2, 0.98 * 0.3897, 1.02 * 0.3897, geometry.epoch_jyear)
    sources = SourceList.from_columns({name: np.asarray(values, float) for name, values in columns.items()})
    start = SolveFrame(OneList(stars)).run(sources, geometry, hints=[hint])
    assert start.transform is not None
    solution = RefineSolution().run(sources, stars, start.transform, geometry)
    kept = solution.pairs.kept
    rms_px = np.sqrt(np.mean(solution.pairs.dx_mas[kept] ** 2 + solution.pairs.dy_mas[kept] ** 2) / 2) / 389.7
    degree = solution.report["degree"]
    rows.append(
        ("lco_cpt1m_refcat_matched.fits", f"2752 published positions and REFCAT2 at 2020.03, degree {degree}, "
         f"{kept.sum()} kept: rms per axis", f"{rms_px:.3f} px", "0.17 px (SIP of degree 3)")
    )  # fmt: skip
    assert kept.sum() > 1500 and rms_px <= 0.17


def test_the_recorded_list_is_solved_as_the_service_did(rows):
    folder = DATA / "catalogs" / "responses"
    table = Table.read(DATA / "catalogs" / "all_refcat2_ey_uma.ecsv")
    listed = fits.getdata(folder / "astrometry_net__test-source-list.fit", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wcs = WCS(fits.getheader(folder / "astrometry_net__wcs-sol-from-source-list-index-5200.fit"))
    stars = ReferenceStars.from_columns(
        {"ra": np.asarray(table["RA_ICRS"]), "dec": np.asarray(table["DE_ICRS"]), "g_mag": np.asarray(table["Gmag"])},
        default_epoch=2015.5,
    )
    sources = SourceList.from_columns({"x": listed["X"] - 1.0, "y": listed["Y"] - 1.0, "flux": listed["FLUX"]})
    hint = SolveHints(135.5509, 49.8429, 0.2, 0.55, 0.574)
    outcome = SolveFrame(OneList(stars)).run(sources, FrameGeometry(4109, 4096, 2018.3), hints=[hint])
    assert outcome.solved
    image, _ = outcome.start.pairs.T
    ours = outcome.transform.pixel_to_sky(sources.x[image], sources.y[image])
    apart = 3600 * angular_distance_deg(*ours, *wcs.all_pix2world(sources.x[image], sources.y[image], 0))
    rows.append(
        ("astrometry_net test-source-list", f"our start against the recorded answer at its {image.size} pairs: median",
         f"{np.median(apart):.2f} arcsec", "0.56 arcsec (a pixel)")
    )  # fmt: skip
    assert np.median(apart) < 0.563


def test_the_decam_header_is_right_at_the_stars_of_gaia(rows):
    raw = read_frame(DATA / "frames" / "decam_tpv_N6_r.fits")
    facts = frame_facts(raw.header)
    ny, nx = raw.data.shape
    header = validate_header(raw.header, nx, ny)
    assert header.transform is not None
    found = extract_sources(raw.data * np.float32(3.7), mask=raw.mask)
    table = Table.read(DATA / "catalogs" / "gaia_decam_N6_r.fits")
    names = ("ra", "dec", "ra_error", "dec_error", "pmra", "pmdec", "parallax", "ref_epoch", "phot_g_mean_mag")
    stars = ReferenceStars.from_columns({name: np.ma.filled(table[name].astype(float), np.nan) for name in names})
    places = positions_at_epoch(stars, facts.epoch_jyear)
    x, y = header.transform.sky_to_pixel(places.ra, places.dec)
    on = np.flatnonzero((x > 5) & (x < nx - 5) & (y > 5) & (y < ny - 5))
    away = np.array([np.min(np.hypot(found.x - x[k], found.y - y[k])) for k in on]) * 262.4
    snr = np.array([found.snr[np.argmin(np.hypot(found.x - x[k], found.y - y[k]))] for k in on])
    near = (away < 1000.0) & (snr > 100)
    rows.append(
        ("decam_tpv_N6_r.fits", f"TPV header, Gaia DR2 at {facts.epoch_jyear:.2f}: median distance of the {near.sum()} "
         f"stars of S/N > 100 from their detections", f"{np.median(away[near]):.0f} mas", "100 mas")
    )  # fmt: skip
    assert near.sum() >= 4 and np.median(away[near]) < 100.0


@pytest.mark.parametrize(
    ("name", "kind"),
    [("kmtnet_tpv_cutout.fits", "TPV"), ("ukidss.fits", "ZPN"), ("spitzer_irac_glon.fits", "galactic CAR"),
     ("decam_tpv_N6_r.fits", "TPV")],
)  # fmt: skip
def test_headers_are_read_as_astropy_reads_them(name, kind, rows):
    raw = read_frame(DATA / "frames" / name, check=False)
    ny, nx = raw.data.shape
    header = validate_header(raw.header, nx, ny)
    assert header.transform is not None, header
    x, y = (g.ravel().astype(float) for g in np.meshgrid(np.linspace(0, nx - 1, 9), np.linspace(0, ny - 1, 9)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(DATA / "frames" / name) as hdus:
            # The frame of the sky stands in the primary header of some files, which the image inherits.
            cards = hdus[raw.hdu_index].header
            for key in {"RADESYS", "EQUINOX"} & set(hdus[0].header) - set(cards):
                cards[key] = hdus[0].header[key]
            sky = WCS(cards).celestial.pixel_to_world(x, y).icrs
    ours = header.transform.pixel_to_sky(x, y)
    apart = 3.6e6 * angular_distance_deg(*ours, sky.ra.deg, sky.dec.deg)
    back = header.transform.sky_to_pixel(*ours)
    trip = np.hypot(back[0] - x, back[1] - y).max()
    rows.append((name, f"{kind} header against astropy over the frame: largest; round trip",
                 f"{apart.max():.1g} mas; {trip:.1g} px", "0.1 mas; 1e-6 px"))  # fmt: skip
    assert apart.max() < 0.1 and trip < 1e-6
