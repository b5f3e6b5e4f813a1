"""SExtractor and SCAMP of this machine on a frame and a reference list: the named peer of the astrometric benchmarks.

Source Extractor finds the stars with the parameters of SCAMP's manual (windowed positions with their errors); SCAMP gets the
reference stars from a local FITS_LDAC file, already at the epoch of the exposure, so that it needs no network, and a TAN
header that is right up to the exposure's pointing and scale errors.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

PARAMETERS = (
    "NUMBER", "X_IMAGE", "Y_IMAGE", "XWIN_IMAGE", "YWIN_IMAGE", "ERRAWIN_IMAGE", "ERRBWIN_IMAGE", "ERRTHETAWIN_IMAGE",
    "FLUX_AUTO", "FLUXERR_AUTO", "FLUX_RADIUS", "ELONGATION", "ELLIPTICITY", "FLAGS", "SNR_WIN",
)  # fmt: skip
KERNEL = "CONV NORM\n1 2 1\n2 4 2\n1 2 1\n"
OPTIONS = (
    "-c", os.devnull, "-ASTREF_CATALOG", "FILE", "-POSITION_MAXERR", "2", "-POSANGLE_MAXERR", "2", "-PIXSCALE_MAXERR", "1.05",
    "-FWHM_THRESHOLDS", "2,8", "-SOLVE_PHOTOM", "N", "-CHECKPLOT_TYPE", "NONE", "-WRITE_XML", "N",
    "-ASTR_ACCURACY", "0.001", "-PROJECTION_TYPE", "TPV", "-NTHREADS", "1", "-VERBOSE_TYPE", "QUIET",
)  # fmt: skip
LIMIT_S = 300.0
# Pairing radius of each run in arcseconds; those after the first start from the solution before them.
RADII_ARCSEC = (5.0, 2.0, 0.5)


@dataclass(frozen=True)
class PeerSolution:
    """What SCAMP answered, and the processor time of both programs."""

    wcs: WCS
    sextractor_s: float
    scamp_s: float

    @property
    def seconds(self) -> float:
        return self.sextractor_s + self.scamp_s


def missing() -> list[str]:
    """Programs that are not installed."""
    return [name for name in ("source-extractor", "scamp") if shutil.which(name) is None]


def write_ldac(path: Path, ra_deg: np.ndarray, dec_deg: np.ndarray, mag: np.ndarray, epoch: float) -> None:
    """A reference catalogue as SCAMP reads it; positions at ``epoch``, errors of half a milliarcsecond."""
    error = np.full(ra_deg.size, 0.5 / 3.6e6)
    names = (
        ("X_WORLD", "1D", "deg", ra_deg), ("Y_WORLD", "1D", "deg", dec_deg), ("ERRA_WORLD", "1E", "deg", error),
        ("ERRB_WORLD", "1E", "deg", error), ("ERRTHETA_WORLD", "1E", "deg", 0 * error), ("MAG", "1E", "mag", mag),
        ("MAGERR", "1E", "mag", 0.01 + 0 * error), ("OBSDATE", "1D", "yr", np.full(ra_deg.size, epoch)),
    )  # fmt: skip
    objects = fits.BinTableHDU.from_columns(
        [fits.Column(name, code, unit=unit, array=values) for name, code, unit, values in names], name="LDAC_OBJECTS"
    )
    cards = fits.Header([("SIMPLE", True), ("BITPIX", 0), ("NAXIS", 0)]).tostring(sep="", endcard=True, padding=False)
    column = fits.Column("Field Header Card", f"{len(cards)}A", array=np.array([cards.encode()]))
    head = fits.BinTableHDU.from_columns([column], name="LDAC_IMHEAD")
    head.header["TDIM1"] = f"(80, {len(cards) // 80})"
    fits.HDUList([fits.PrimaryHDU(), head, objects]).writeto(path, overwrite=True)


def solve(
    folder: Path,
    frame: Path,
    reference: Path,
    *,
    gain: float,
    saturation: float,
    degree: int,
    quick: bool = True,
) -> PeerSolution:
    """Run both programs on a frame whose header has a linear WCS; raises CalledProcessError where one of them fails.

    ``quick`` gives SCAMP a MATCH_RESOL with which it finds every frame of the benchmarks in a sixth of the time that its
    default takes. SCAMP runs three times with shrinking radii, since a wide one lets cosmic rays into the fit and a narrow
    one does not reach the corners of a distorted frame; FWHM_THRESHOLDS keep cosmic rays out as well. Of fifteen option sets
    tried on ten frames this is the one without failures, and within a few per cent of the best elsewhere.
    """
    (folder / "peer.param").write_text("\n".join(PARAMETERS) + "\n")
    (folder / "peer.conv").write_text(KERNEL)
    table, head = folder / "peer.cat", folder / "peer.head"
    for old in (head, folder / "peer.ahead"):
        old.unlink(missing_ok=True)
    found_s = _run(
        folder, "source-extractor", str(frame), "-c", os.devnull, "-CATALOG_NAME", str(table), "-CATALOG_TYPE", "FITS_LDAC",
        "-PARAMETERS_NAME", "peer.param", "-FILTER_NAME", "peer.conv", "-DETECT_THRESH", "1.5", "-ANALYSIS_THRESH", "1.5",
        "-DETECT_MINAREA", "5", "-BACK_SIZE", "128", "-GAIN", str(gain), "-GAIN_KEY", "NONE", "-SATUR_LEVEL",
        str(saturation), "-SATUR_KEY", "NONE", "-VERBOSE_TYPE", "QUIET",
    )  # fmt: skip
    solved_s = 0.0
    for turn, radius in enumerate(RADII_ARCSEC):
        begin = ("-MATCH", "N") if turn else ("-MATCH_RESOL", "4") if quick else ()
        solved_s += _run(folder, "scamp", str(table), *OPTIONS, "-ASTREFCAT_NAME", str(reference), "-DISTORT_DEGREES",
                         str(degree), "-CROSSID_RADIUS", str(radius), *begin)  # fmt: skip
        shutil.copy(head, folder / "peer.ahead")
    return PeerSolution(WCS(_header(head, frame)), found_s, solved_s)


def _header(head: Path, frame: Path) -> fits.Header:
    """SCAMP's answer as a header (its cards hold characters that FITS does not allow in comments)."""
    text = head.read_text(encoding="latin-1").encode("ascii", "replace").decode()
    header = fits.Header.fromstring(text, sep="\n")
    for name in ("NAXIS", "NAXIS1", "NAXIS2"):
        header[name] = fits.getheader(frame)[name]
    return header


def _run(folder: Path, *command: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=LIMIT_S)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
