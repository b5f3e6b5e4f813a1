"""FITS cards of a transform, written so that astropy, SCAMP, SWarp and DS9 read the same sky."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from astrometry_service.algorithms.wcs.polynomials import exponents, n_terms
from astrometry_service.algorithms.wcs.tpv import MAX_DEGREE, TpvTransform, pv_index

__all__ = ["WCS_KEYWORDS", "is_wcs_keyword", "tpv_cards", "transform_from_cards"]

# Every card that says something about the place of pixels on the sky, of any dialect.
WCS_KEYWORDS = re.compile(
    r"^(WCSAXES|WCSNAME|CTYPE\d|CUNIT\d|CRVAL\d|CRPIX\d|CDELT\d|CROTA\d|CD\d_\d|PC\d_\d|(?:PC|CD)00\d00\d|PV\d_\d+|PS\d_\d+"
    r"|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|EPOCH"
    r"|[AB]P?_ORDER|[AB]_DMAX|[AB]P?_\d+_\d+|CPDIS\d|CQDIS\d|DP\d|DQ\d|D2IM\w*|CPERR\d|CQERR\d"
    r"|WAT\d_\d+|AMD[XY]\d+|PPO\d|CNPIX\d|PLTRA[HMS]|PLTDEC(SN|D|M|S)|PLTSCALE|[XY]PIXELSZ)$"
)


def is_wcs_keyword(keyword: str) -> bool:
    """Whether a card of this name belongs to the primary world coordinate system."""
    return WCS_KEYWORDS.match(keyword.upper()) is not None


def tpv_cards(transform: TpvTransform) -> dict[str, Any]:
    """Cards of a TPV (or, without distortion, TAN) solution in writing order.

    What has a default is written out: wcslib takes an absent PVi_1 for zero, and LONPOLE defaults to 0, not to 180
    degrees, where CRVAL2 is 90 (Calabretta & Greisen 2002, section 2.4).
    """
    kind = "TPV" if transform.degree > 1 else "TAN"
    cd = transform.cd if transform.degree > 1 else transform.pv[:, 1:3] @ transform.cd
    crpix = np.asarray(transform.crpix, float)
    if transform.degree == 1:
        crpix = crpix - np.linalg.solve(cd, transform.pv[:, 0])
    cards: dict[str, Any] = {
        "WCSAXES": 2,
        "CTYPE1": f"RA---{kind}",
        "CTYPE2": f"DEC--{kind}",
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "CRVAL1": float(transform.crval_deg[0]),
        "CRVAL2": float(transform.crval_deg[1]),
        "CRPIX1": float(crpix[0]) + 1.0,
        "CRPIX2": float(crpix[1]) + 1.0,
    }
    for i in (0, 1):
        for j in (0, 1):
            cards[f"CD{i + 1}_{j + 1}"] = float(cd[i, j])
    cards["LONPOLE"], cards["LATPOLE"] = 180.0, float(transform.crval_deg[1])
    cards["RADESYS"] = "ICRS"
    cards["EQUINOX"] = 2000.0
    if transform.degree > 1:
        cards.update(transform.pv_cards())
    return cards


def transform_from_cards(cards: Any) -> TpvTransform:
    """The transform of cards written by `tpv_cards` (any TPV or TAN header with CD and no radial terms).

    Raises
    ------
    KeyError
        A needed card is missing.
    ValueError
        A radial term, which this transform does not have, is not zero.
    """
    cd = np.array([[float(cards[f"CD{i}_{j}"]) for j in (1, 2)] for i in (1, 2)])
    crpix = np.array([float(cards["CRPIX1"]) - 1.0, float(cards["CRPIX2"]) - 1.0])
    crval = (float(cards["CRVAL1"]), float(cards["CRVAL2"]))
    if not str(cards["CTYPE1"]).endswith("TPV"):
        return TpvTransform.linear(crval, crpix, cd)
    for axis in (1, 2):
        for radial in (3, 11, 23, 39):
            if float(cards.get(f"PV{axis}_{radial}", 0.0)) != 0.0:
                raise ValueError(f"radial term PV{axis}_{radial}")
    degree = _degree(cards)
    pv = np.zeros((2, n_terms(degree)))
    for axis in (1, 2):
        for term, (i, j) in enumerate(exponents(degree)):
            index = pv_index(axis, i, j)
            pv[axis - 1, term] = float(cards.get(f"PV{axis}_{index}", 1.0 if index == 1 else 0.0))
    return TpvTransform(crval, crpix, cd, pv)


def _degree(cards: Any) -> int:
    """Least degree that holds every term of the cards."""
    degree = 1
    for axis in (1, 2):
        for i, j in exponents(MAX_DEGREE):
            if float(cards.get(f"PV{axis}_{pv_index(axis, i, j)}", 0.0)) != 0.0:
                degree = max(degree, i + j)
    return degree
