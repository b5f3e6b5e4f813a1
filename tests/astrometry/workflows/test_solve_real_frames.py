"""Real frames and a recorded source list, against truth made by other programs."""

import bz2
import csv
import gzip
import io

import numpy as np
import pytest
import sep
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from astro_shared.testing.real_data import MISSING, find_real_data
from astrometry_service.algorithms.matching.pointing_search import SearchOptions
from astrometry_service.algorithms.matching.tangent_plane import angular_distance_deg
from astrometry_service.algorithms.wcs.validation import validate_header
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.domain.solving import SolveHints
from astrometry_service.domain.sources import FrameGeometry, SourceList
from astrometry_service.ports import ReferenceCone
from astrometry_service.workflows.solve_frame import SolveFrame
from astrometry_service.workflows.solve_options import SolveOptions

DATA = find_real_data()
pytestmark = pytest.mark.skipif(DATA is None, reason=MISSING)

TYCHO = {"hatp32": "tycho2_hatp32.csv", "panoptes": "tycho2_panoptes_cygnus.csv", "M67": "tycho2_m67.csv"}


class ListCatalogue:
    """A reference list as a catalogue."""

    def __init__(self, ra, dec, mag):
        self.ra, self.dec, self.mag = (np.asarray(column, float) for column in (ra, dec, mag))

    def cone(self, ra_deg, dec_deg, radius_deg, *, mag_limit=None, max_rows=None, epoch_jyear=None):
        near = np.flatnonzero(angular_distance_deg(self.ra, self.dec, ra_deg, dec_deg) <= radius_deg)
        near = near[np.argsort(self.mag[near])][:max_rows]
        if not near.size:
            empty = np.zeros(0)
            none = ReferenceStars(empty, empty, empty, empty, np.zeros(0, np.int64), np.zeros(0, bool))
            return ReferenceCone(none, "tycho", "list")
        columns = {"ra": self.ra[near], "dec": self.dec[near], "vt_mag": self.mag[near]}
        return ReferenceCone(ReferenceStars.from_columns(columns, default_epoch=2000.0), "tycho", "list")


def read(name):
    """Pixels and header of the first image of a frame."""
    raw = (DATA / "frames" / name).read_bytes()
    raw = gzip.decompress(raw) if name.endswith(".gz") else bz2.decompress(raw) if name.endswith(".bz2") else raw
    with fits.open(io.BytesIO(raw)) as units:
        image = next(unit for unit in units if unit.data is not None and unit.data.ndim == 2)
        return image.data.astype(float), image.header


def detect(name):
    """Sources at 5 sigma; the planes of a Bayer mosaic are brought to one level first."""
    data, header = read(name)
    if name.startswith("panoptes"):
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            data[i::2, j::2] *= np.median(data) / np.median(data[i::2, j::2])
    pixels = np.ascontiguousarray(data, dtype=np.float32)
    background = sep.Background(pixels, bw=64, bh=64)
    sep.set_extract_pixstack(2_000_000)
    found = sep.extract(pixels - background.back(), 5.0, err=background.rms(), minarea=5)
    return {name: found[name] for name in ("x", "y", "flux")}, data.shape, header


def truth():
    with (DATA / "frames" / "truth.csv").open() as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def tycho(name):
    key = next(key for key in TYCHO if name.startswith(key) or (key == "M67" and name.startswith("M67")))
    return ListCatalogue(*np.genfromtxt(DATA / "catalogs" / TYCHO[key], delimiter=",", skip_header=1).T[:3])


FRAMES = [
    "panoptes_unsolved.fits", "panoptes_solved.fits.fz", "M6707HH.fits", "hatp32/HATP-32171220013343.FITS",
    "hatp32/HATP-32171220034812.FITS", "hatp32/HATP-32171220063012.FITS",
]  # fmt: skip


@pytest.mark.parametrize("factor", [1.02, 2.0], ids=["scale known", "factor 2"])
@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_is_solved_around_a_pointing_a_third_of_a_field_off(name, factor):
    row = truth()[name]
    ra, dec, scale = (float(row[key]) for key in ("ra_center_deg", "dec_center_deg", "arcsec_per_px"))
    columns, shape, _ = detect(name)
    off = 0.3 * max(shape) * scale / 3600
    nominal = scale if factor < 1.1 else 0.8 * scale
    hint = SolveHints(
        ra + 0.8 * off / np.cos(np.radians(dec)), dec - 0.6 * off, off + 0.05, nominal / factor, nominal * factor
    )
    outcome = SolveFrame(tycho(name)).run(
        SourceList.from_columns(columns), FrameGeometry(shape[1], shape[0], 2000.0), hints=[hint]
    )
    assert outcome.solved, outcome
    plane = outcome.start.plane
    apart = angular_distance_deg(*plane.pixel_to_sky((shape[1] - 1) / 2, (shape[0] - 1) / 2), ra, dec)
    # the truth of a wide field is the centre of an affine by another program: a pixel or two
    assert 3600 * apart < 2.5 * scale
    assert plane.scale_arcsec == pytest.approx(scale, rel=0.003)
    assert plane.parity == int(row["parity"])


def test_a_true_header_is_confirmed_and_kept():
    columns, shape, header = detect("panoptes_solved.fits.fz")
    outcome = SolveFrame(tycho("panoptes_solved.fits.fz")).run(
        SourceList.from_columns(columns),
        FrameGeometry(shape[1], shape[0], 2016.7),
        header=validate_header(header, shape[1], shape[0]),
    )
    assert outcome.engine == "header" and outcome.header_valid, outcome


def test_the_header_of_the_full_frame_is_wrong_for_its_thumbnail():
    table = Table.read(DATA / "catalogs" / "all_refcat2_ey_uma.ecsv")
    catalogue = ListCatalogue(table["RA_ICRS"], table["DE_ICRS"], table["Gmag"])
    columns, shape, header = detect("nova_thumbnail.fit.gz")
    quick = SolveOptions(search_deg=0.5, search_discs=4, search=SearchOptions(budget=300_000))
    outcome = SolveFrame(catalogue, options=quick).run(
        SourceList.from_columns(columns),
        FrameGeometry(shape[1], shape[0], 2018.3),
        header=validate_header(header, shape[1], shape[0]),
    )
    assert not outcome.header_valid
    assert outcome.attempts[0].engine == "header" and outcome.attempts[0].outcome == "refused"
    assert not outcome.solved or outcome.start.plane.scale_arcsec == pytest.approx(8.997, rel=0.01)


@pytest.mark.parametrize(("factor", "nominal"), [(1.02, 0.56286), (2.0, 0.75)], ids=["scale known", "factor 2"])
def test_the_recorded_source_list_is_solved_as_the_service_did(factor, nominal):
    """1000 sources of a mirrored 38 arcmin frame against an independent disc of 10 arcmin in it."""
    table = Table.read(DATA / "catalogs" / "all_refcat2_ey_uma.ecsv")
    folder = DATA / "catalogs" / "responses"
    sources = fits.getdata(folder / "astrometry_net__test-source-list.fit", 1)
    wcs = WCS(fits.getheader(folder / "astrometry_net__wcs-sol-from-source-list-index-5200.fit"))
    columns = {"x": sources["X"] - 1.0, "y": sources["Y"] - 1.0, "flux": sources["FLUX"]}
    hint = SolveHints(135.5509, 49.8429, 0.2, nominal / factor, nominal * factor)
    catalogue = ListCatalogue(table["RA_ICRS"], table["DE_ICRS"], table["Gmag"])
    outcome = SolveFrame(catalogue).run(
        SourceList.from_columns(columns), FrameGeometry(4109, 4096, 2018.3), hints=[hint]
    )
    assert outcome.solved, outcome
    assert outcome.start.plane.parity == 1
    image, rows = outcome.start.pairs.T
    # rows count in the list of the cone that was used: compare the sky itself at the matched sources
    ours = outcome.start.plane.pixel_to_sky(columns["x"][image], columns["y"][image])
    theirs = wcs.all_pix2world(columns["x"][image], columns["y"][image], 0)
    apart = 3600 * angular_distance_deg(*ours, *theirs)
    assert len(rows) >= 15 and np.median(apart) < 1.0 * 0.563


@pytest.mark.parametrize("name", ["M13_blue_0001.fits", "panoptes_rotation.fits"])
def test_frames_without_stars_end_with_a_reason_and_advice(name):
    columns, shape, _ = detect(name)
    stars = SourceList.from_columns(columns)
    outcome = SolveFrame(tycho("panoptes_unsolved.fits")).run(stars, FrameGeometry(shape[1], shape[0], 2016.0))
    assert not outcome.solved and outcome.reason and outcome.advice


def test_a_difference_image_keeps_no_header():
    columns, shape, header = detect("tess_difference.fits.fz")
    outcome = SolveFrame(
        tycho("panoptes_unsolved.fits"), options=SolveOptions(search_deg=1.0, search=SearchOptions(budget=300_000))
    ).run(
        SourceList.from_columns(columns),
        FrameGeometry(shape[1], shape[0], 2018.7),
        header=validate_header(header, shape[1], shape[0]),
    )
    assert not outcome.solved and outcome.header_reason
