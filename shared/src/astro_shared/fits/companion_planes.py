"""Planes that lie beside an image in its file: data quality, errors, weights; known by their names.

What makes a pixel unusable is taken from them: a flag, an error that is no positive number, a weight of zero. The size of
an error or a weight is not taken: noise is measured on the pixels themselves, and a weight has no unit.

References
----------
Data-quality bits: JWST (``jwst`` documentation, "Data Quality Flags"), HST (ACS, WFC3 data handbooks), LCO (BANZAI),
LSST (``MP_`` cards of ``afw`` masks).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astro_shared.fits.prescan import HduSummary
from astro_shared.frame_warnings import FrameWarning, WarningCode

__all__ = ["Companions", "find_companions", "is_companion", "judge_flags", "judge_values"]

Mask = NDArray[np.bool_]

QUALITY = {
    "DQ", "DATAQUALITY", "QUALITY", "FLAG", "FLAGS", "MASK", "IMMASK", "BADMASK", "BPM", "BADPIX", "BADPIXEL", "BADPIXELS",
    "BADPIXMASK", "BADPIXELMASK", "PIXMASK", "PIXELMASK", "OBM",
}  # fmt: skip
ERRORS = {
    "ERR", "ERROR", "ERRORS", "SIGMA", "STD", "STDDEV", "UNC", "UNCERT", "UNCERTAINTY", "RMS", "NOISE", "VAR", "VARIANCE",
}  # fmt: skip
WEIGHTS = {"WHT", "WEIGHT", "WEIGHTS", "WGT", "IVAR", "INVVAR", "CONF", "CONFIDENCE", "CONFMAP", "WEIGHTMAP"}
#: A flag that stands on more than this share of the pixels tells no defects apart.
MOST_FLAGGED = 0.25
#: Bits that mean saturated, by telescope, and those that say a pixel must not be used where the others do not.
JWST_BAD, JWST_SATURATED, HST_SATURATED, LCO_SATURATED = 1, 2, 256 | 2048, 2
LSST_BAD = ("MP_BAD", "MP_NO_DATA", "MP_CR", "MP_SUSPECT", "MP_UNMASKEDNAN")
INTEGER_PLANES = 8, 16, 32, 64


@dataclass(frozen=True)
class Companions:
    """
    Attributes
    ----------
    quality, errors, weights : image HDUs of the same size; None where there is none
    notes : what was found and cannot be used
    """

    quality: HduSummary | None
    errors: HduSummary | None
    weights: HduSummary | None
    notes: tuple[FrameWarning, ...]


def is_companion(hdu: HduSummary) -> bool:
    """Whether the name says that it is a plane beside an image."""
    return _plain_name(hdu) in QUALITY | ERRORS | WEIGHTS


def find_companions(images: Sequence[HduSummary], image: HduSummary) -> Companions:
    """The planes of an image: of its extension version where versions tell several images apart, else the nearest after it."""
    found: list[HduSummary | None] = []
    notes = []
    for names in (QUALITY, ERRORS, WEIGHTS):
        named = [hdu for hdu in images if hdu.index != image.index and _plain_name(hdu) in names]
        fitting = [hdu for hdu in named if hdu.shape[-2:] == image.shape[-2:]]
        notes += [
            WarningCode.MASK_PLANE_UNUSED(
                f"the plane {_title(hdu)} is not used: it is {hdu.shape[-1]} x {hdu.shape[-2]} pixels, the image "
                f"{image.shape[-1]} x {image.shape[-2]}"
            )
            for hdu in named
            if not fitting
        ]
        several = len([hdu for hdu in images if not is_companion(hdu)]) > 1
        own = [hdu for hdu in fitting if not several or hdu.version == image.version]
        after = sorted(own or fitting, key=lambda hdu: (hdu.index < image.index, hdu.index))
        found.append(after[0] if after else None)
    quality, errors, weights = found
    return Companions(quality, errors, weights, tuple(notes))


def judge_flags(
    hdu: HduSummary, flags: NDArray[np.float64], header: fits.Header
) -> tuple[Mask | None, Mask | None, FrameWarning]:
    """Pixels that a data-quality plane rules out, those that it calls saturated, and a sentence about it.

    Parameters
    ----------
    flags : (ny, nx), as in the file
    header : of the plane, with what it inherits
    """
    title = _title(hdu)
    if hdu.bitpix not in INTEGER_PLANES or np.any(flags < 0):
        return _judge_marks(title, np.nan_to_num(flags, nan=1.0) != 0)
    bits = np.nan_to_num(flags).astype(np.int64)
    bad_bits, full_bits = _known_bits(header)
    common = []
    if bad_bits is None:
        if not np.any(bits & ~1):
            return _judge_marks(title, bits != 0)
        held = [1 << k for k in range(int(bits.max()).bit_length())]
        common = [bit for bit in held if np.mean((bits & bit) != 0) > MOST_FLAGGED]
        bad_bits = ~sum(common)
    saturated = (bits & full_bits) != 0
    bad = ((bits & bad_bits) != 0) & ~saturated
    if np.mean(bad) > MOST_FLAGGED:
        return None, None, _not_believed(title, float(np.mean(bad)))
    left = f"; its bits {_listed(common)} stand on a quarter of the frame or more and are left out" if common else ""
    full = f", {_share(saturated)} saturated" if full_bits else ""
    told = f"the plane {title} masks {_share(bad)} of the pixels{full}{left}"
    return bad, saturated if full_bits else None, WarningCode.MASK_PLANE_USED(told)


def judge_values(hdu: HduSummary, values: NDArray[np.float64], kind: str) -> tuple[Mask | None, FrameWarning]:
    """Pixels without an error or a weight, and a sentence about the plane.

    Parameters
    ----------
    kind : ``errors`` or ``weights``
    """
    title = _title(hdu)
    with np.errstate(invalid="ignore"):
        bad = ~(np.isfinite(values) & (values > 0))
    if np.mean(bad) > 0.9:
        return None, _not_believed(title, float(np.mean(bad)))
    what = "have a weight of zero" if kind == "weights" else "have no error"
    told = (
        f"in the plane {title} {_share(bad)} of the pixels {what}: they are masked; the noise is measured on the image"
    )
    return bad, WarningCode.MASK_PLANE_USED(told)


def _judge_marks(title: str, marked: Mask) -> tuple[Mask | None, None, FrameWarning]:
    """A plane of two values: the rarer one marks what is bad."""
    share = float(np.mean(marked))
    if share <= MOST_FLAGGED:
        told = f"the plane {title} masks {_share(marked)} of the pixels"
        return marked, None, WarningCode.MASK_PLANE_USED(told)
    if share >= 1.0 - MOST_FLAGGED and share < 1.0:
        told = (
            f"the plane {title} is not zero on {share:.1%} of the pixels, so that zero is taken for bad: "
            f"{_share(~marked)} are masked"
        )
        return ~marked, None, WarningCode.MASK_PLANE_USED(told)
    return None, None, _not_believed(title, share)


def _known_bits(header: fits.Header) -> tuple[int | None, int]:
    """Bits that rule a pixel out (None: all), and those that mean saturated, of an observatory that is known."""
    planes = {
        name: 1 << int(header[name]) for name in header if re.fullmatch(r"MP_\w+", name) and _is_bit(header[name])
    }
    if planes:
        return sum(planes.get(name, 0) for name in LSST_BAD), planes.get("MP_SAT", 0)
    words = " ".join(str(header.get(name, "")) for name in ("TELESCOP", "ORIGIN", "OBSERVAT", "PIPEVER")).upper()
    if "JWST" in words:
        return JWST_BAD, JWST_SATURATED
    if "HST" in words.split():
        return None, HST_SATURATED
    if "LCOGT" in words or re.search(r"\b[012]M[0-9A]-\d+", words):
        return None, LCO_SATURATED
    return None, 0


def _is_bit(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 62


def _plain_name(hdu: HduSummary) -> str:
    """The name without separators and numbers: ``SCI_DQ_1`` is ``SCIDQ``; the prefix SCI is left out."""
    letters = re.sub(r"[^A-Z]", "", hdu.name.upper())
    return letters.removeprefix("SCI") or letters


def _title(hdu: HduSummary) -> str:
    return f"{hdu.name or 'without name'} (HDU {hdu.index})"


def _share(mask: Mask) -> str:
    share = float(np.mean(mask))
    return "none" if share == 0 else f"{share:.2%}" if share >= 1e-4 else f"{int(mask.sum())}"


def _listed(bits: Sequence[int]) -> str:
    return ", ".join(str(bit) for bit in bits)


def _not_believed(title: str, share: float) -> FrameWarning:
    return WarningCode.MASK_PLANE_UNUSED(
        f"the plane {title} is not used: it would mask {share:.0%} of the pixels; give input.mask_hdu and input.mask_bits "
        "to use it all the same"
    )
