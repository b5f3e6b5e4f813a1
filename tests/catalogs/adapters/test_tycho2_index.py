"""Stars of astrometry.net index files: a made-up one with known stars, and Debian's where it is."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from astro_shared.testing.components import needs
from catalogs_service.adapters.tables.catalogue_file import open_catalogue
from catalogs_service.adapters.tables.tycho2_index import IndexFile
from catalogs_service.algorithms.sphere import separation_deg, unit_vectors
from catalogs_service.errors import CatalogueFileError

DEBIAN = Path("/usr/share/astrometry/index-tycho2-10.littleendian.fits")


def table(name, data, width, **header):
    rows = np.frombuffer(data, np.uint8).reshape(-1, width)
    hdu = fits.BinTableHDU.from_columns([fits.Column(name, f"{width}B", array=rows)])
    for key, value in header.items():
        hdu.header[key] = value
    return hdu


def index_file(path, ra, dec, magnitudes, order="<"):
    endian = "04:03:02:01" if order == "<" else "01:02:03:04"
    scale = 2147483647.5
    packed = np.round((unit_vectors(ra, dec) + 1) * scale).astype(f"{order}u4")
    bounds = np.array([-1, -1, -1, 1, 1, 1, scale], f"{order}f8")
    primary = fits.PrimaryHDU()
    primary.header["AN_FILE"] = "QUAD"
    tag = fits.BinTableHDU.from_columns([fits.Column("MAG_VT", "E", array=magnitudes)])
    tag.header["AN_FILE"] = "TAGALONG"
    head = table("kdtree_header_stars", b"", 1, ENDIAN=endian, KDT_DATA="u32", KDT_NDIM=3)
    hdus = [primary, head, table("kdtree_range_stars", bounds.tobytes(), 8)]
    fits.HDUList([*hdus, table("kdtree_data_stars", packed.tobytes(), 12), tag]).writeto(path)


@pytest.mark.parametrize("order", ["<", ">"])
def test_positions_are_decoded_to_a_milliarcsecond(tmp_path, order):
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 200), np.degrees(np.arcsin(rng.uniform(-1, 1, 200)))
    path = tmp_path / "index.fits"
    index_file(path, ra, dec, rng.uniform(5, 12, 200), order)
    columns = open_catalogue(path).read(("ra", "dec", "vt_mag"))
    # one unit of the packing is 0.1 mas; three components and their rounding
    assert np.max(separation_deg(ra, dec, columns["ra"], columns["dec"])) * 3.6e6 < 1.0
    assert len(columns["vt_mag"]) == 200


def test_a_fits_file_without_star_tree_is_refused(tmp_path):
    path = tmp_path / "x.fits"
    fits.PrimaryHDU().writeto(path)
    with pytest.raises(CatalogueFileError, match="not an astrometry"):
        IndexFile(path)


@pytest.mark.integration
@needs(DEBIAN.exists(), "Debian's astrometry-data-tycho2 is not installed")
def test_debian_index_holds_the_sky():
    columns = IndexFile(DEBIAN).read(("ra", "dec", "vt_mag"))
    assert len(columns["ra"]) == 362_950
    # a star of Tycho-2 near HAT-P-32, from an independent copy of that catalogue
    sep = separation_deg(30.583378, 46.842506, columns["ra"], columns["dec"]) * 3600
    assert sep.min() < 0.01
    assert columns["vt_mag"][np.argmin(sep)] == pytest.approx(7.066, abs=0.001)
