"""Make astrometry.net index files from a star list, with its own program ``build-astrometry-index``."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits

from astrometry_service.adapters.programs import run_program
from astrometry_service.domain.star_lists import SkyStars
from astrometry_service.errors import IndexBuildError

__all__ = ["build_index_files", "index_scales"]

# astrometry.net's numbers of pattern sizes: scale k holds patterns of 2 * sqrt(2)^k to 2 * sqrt(2)^(k+1) arcmin.
SMALLEST_SCALE, LARGEST_SCALE = 0, 19
PROGRAM = "build-astrometry-index"


def index_scales(field_low_deg: float, field_high_deg: float) -> list[int]:
    """Numbers of the pattern sizes between a tenth and the whole of fields of these widths."""
    low, high = 60 * field_low_deg * 0.1, 60 * field_high_deg
    sizes = {k: 2.0 * 2.0 ** (k / 2) for k in range(SMALLEST_SCALE, LARGEST_SCALE + 1)}
    return [k for k, size in sizes.items() if size * 2**0.5 >= low and size <= high]


def build_index_files(
    stars: SkyStars, folder: Path, name: str, scales: Sequence[int], *, limit_s: float = 1800.0, index_id: int = 900
) -> list[Path]:
    """Make one index file per pattern size.

    Parameters
    ----------
    stars : all stars, any part of the sky
    folder : where ``index-NAME-SCALE.fits`` go
    scales : see `index_scales`
    limit_s : per file

    Raises
    ------
    IndexBuildError
        The program is missing, ends with an error or takes too long; what it said is in the message.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise IndexBuildError(f"{PROGRAM} was not found: apt-get install astrometry.net", program=PROGRAM)
    if not len(stars):
        raise IndexBuildError("the star list is empty", program=PROGRAM)
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    with tempfile.TemporaryDirectory(prefix="index-builder-") as scratch_name:
        scratch = Path(scratch_name)
        columns = [
            fits.Column("RA", "D", array=stars.ra_deg),
            fits.Column("DEC", "D", array=stars.dec_deg),
            fits.Column("MAG", "E", array=np.nan_to_num(stars.mag, nan=99.0)),
        ]
        fits.BinTableHDU.from_columns(columns).writeto(scratch / "stars.fits")
        for scale in scales:
            fresh = scratch / f"index-{name}-{scale:02d}.fits"
            arguments = [
                program, "-i", str(scratch / "stars.fits"), "-o", str(fresh), "-P", str(scale), "-S", "MAG", "-A", "RA",
                "-D", "DEC", "-E", "-j", "0.4", "-I", str(index_id * 100 + scale), "-t", str(scratch),
            ]  # fmt: skip
            result = run_program(arguments, folder=scratch, limit_s=limit_s)
            if result.timed_out or result.returncode != 0 or not fresh.is_file():
                why = f"stopped after {limit_s:.0f} s" if result.timed_out else f"ended with code {result.returncode}"
                raise IndexBuildError(f"{PROGRAM} for scale {scale} {why}: {result.last_line}", program=PROGRAM)
            target = folder / fresh.name
            shutil.move(fresh, target)
            made.append(target)
    return made
