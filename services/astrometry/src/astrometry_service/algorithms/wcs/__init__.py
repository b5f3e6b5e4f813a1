"""Maps between pixels and sky, and the FITS cards that hold them.

In: header cards of strangers, or a fitted plane. Out: a transform that can be evaluated and inverted (TPV, or whatever
wcslib reads), whether its header is believable, repaired cards, and the cards of a solved frame (`writer`, `sip`).
"""

from astrometry_service.algorithms.wcs.header import tpv_cards
from astrometry_service.algorithms.wcs.plane_fit import PlaneFit
from astrometry_service.algorithms.wcs.polynomials import n_terms
from astrometry_service.algorithms.wcs.sip import SipExport, sip_export
from astrometry_service.algorithms.wcs.tpv import MAX_DEGREE, TpvTransform
from astrometry_service.algorithms.wcs.validation import WcsValidation, validate_header
from astrometry_service.algorithms.wcs.verification import WcsCheck, WcsCheckOptions, verify_wcs
from astrometry_service.algorithms.wcs.writer import map_cards, writable

__all__ = [
    "MAX_DEGREE",
    "PlaneFit",
    "SipExport",
    "TpvTransform",
    "WcsCheck",
    "WcsCheckOptions",
    "WcsValidation",
    "map_cards",
    "n_terms",
    "sip_export",
    "tpv_cards",
    "validate_header",
    "verify_wcs",
    "writable",
]
