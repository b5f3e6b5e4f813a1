"""A TPV solution written as TAN-SIP, for programs that read no TPV.

SIP distorts pixels before the linear part, TPV the plane after it. With the same CRPIX and CD one polynomial turns into the
other exactly by a change of variables; only the inverse polynomials (AP, BP), which SIP stores, are fits.

References
----------
Shupe et al. 2005, ASPC 347, 491 (SIP); Shupe et al. 2012, SPIE 8451 (SIP and TPV).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrometry_service.algorithms.wcs.header import tpv_cards
from astrometry_service.algorithms.wcs.polynomials import (
    exponents,
    legendre_design,
    legendre_to_monomials,
    monomial_design,
    n_terms,
    substitute_affine,
)
from astrometry_service.algorithms.wcs.tpv import TpvTransform

__all__ = ["SipExport", "sip_export"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SipExport:
    """TAN-SIP cards and what they cost.

    Attributes
    ----------
    cards : in writing order
    forward_max_px : pixel, largest difference to the TPV solution on a grid, pixel to sky
    inverse_max_px : pixel, largest error of the stored inverse polynomials
    """

    cards: dict[str, Any]
    forward_max_px: float
    inverse_max_px: float


def sip_export(transform: TpvTransform, nx: int, ny: int, *, inverse_order: int | None = None) -> SipExport:
    """Write a solution as TAN-SIP.

    Parameters
    ----------
    transform : a TPV solution whose linear distortion terms are trivial, as `PlanePolynomial.to_tpv` makes them
    nx, ny : pixel
    inverse_order : of AP and BP; by default two more than the forward order, at most 7
    """
    cards = tpv_cards(transform)
    if transform.degree < 2:
        return SipExport(cards, 0.0, 0.0)
    degree, scale = transform.degree, max(nx, ny) / 2.0
    # (xi, eta) = CD scale (p, q) with p, q of order one; then CD^-1 (xi', eta') / scale is the distorted pixel offset.
    in_pixels = substitute_affine(transform.pv, np.zeros(2), transform.cd * scale)
    forward = np.linalg.solve(transform.cd, in_pixels) / scale
    powers = np.array([i + j for i, j in exponents(degree)])
    forward = forward * scale ** (1.0 - powers)
    order = min((inverse_order or degree + 2), 7)
    inverse = _inverse(transform, forward, nx, ny, order)
    for axis, kind in ((1, "RA---TAN-SIP"), (2, "DEC--TAN-SIP")):
        cards[f"CTYPE{axis}"] = kind
    cards = {k: v for k, v in cards.items() if not k.startswith("PV")}
    for name, terms, top, diagonal in (
        ("A", forward[0], degree, 1), ("B", forward[1], degree, 2), ("AP", inverse[0], order, 1), ("BP", inverse[1], order, 2),
    ):  # fmt: skip
        cards[f"{name}_ORDER"] = top
        for term, (i, j) in enumerate(exponents(top)):
            value = float(terms[term])
            if term == diagonal:
                value -= 1.0
            if i + j >= 2 or name in ("AP", "BP"):
                cards[f"{name}_{i}_{j}"] = value
    return SipExport(cards, *_deviations(transform, forward, inverse, nx, ny))


def _inverse(transform: TpvTransform, forward: Floats, nx: int, ny: int, order: int) -> Floats:
    """Coefficients of the pixel offset as a polynomial of the undistorted one, by least squares on a grid."""
    u, v = _grid(transform, nx, ny, 40)
    design = monomial_design(u, v, transform.degree)
    uu, vv = design @ forward[0], design @ forward[1]
    # Centred and scaled, in Legendre products, then back to monomials of the offset.
    middle = np.array([np.mean([uu.min(), uu.max()]), np.mean([vv.min(), vv.max()])])
    half = max(np.ptp(uu), np.ptp(vv)) / 2.0
    basis = legendre_design((uu - middle[0]) / half, (vv - middle[1]) / half, order)
    solved = np.linalg.lstsq(basis, np.stack([u, v], axis=1), rcond=None)[0].T
    monomials = solved @ legendre_to_monomials(order).T
    return substitute_affine(monomials, -middle / half, np.eye(2) / half)


def _deviations(transform: TpvTransform, forward: Floats, inverse: Floats, nx: int, ny: int) -> tuple[float, float]:
    """Largest errors of the forward and of the inverse polynomials over the frame, pixel."""
    u, v = _grid(transform, nx, ny, 61)
    design = monomial_design(u, v, transform.degree)
    uu, vv = design @ forward[0], design @ forward[1]
    xi, eta = transform.pixel_to_plane(u + transform.crpix[0], v + transform.crpix[1])
    wanted = np.linalg.solve(transform.cd, np.stack([xi, eta]))
    back = monomial_design(uu, vv, _order(inverse)) @ inverse.T
    return (
        float(np.max(np.hypot(uu - wanted[0], vv - wanted[1]))),
        float(np.max(np.hypot(back[:, 0] - u, back[:, 1] - v))),
    )


def _order(coefficients: Floats) -> int:
    return next(d for d in range(1, 12) if n_terms(d) == coefficients.shape[1])


def _grid(transform: TpvTransform, nx: int, ny: int, n: int) -> tuple[Floats, Floats]:
    """Pixel offsets from CRPIX over the frame."""
    x, y = np.meshgrid(np.linspace(-0.5, nx - 0.5, n), np.linspace(-0.5, ny - 0.5, n))
    return x.ravel() - transform.crpix[0], y.ravel() - transform.crpix[1]
