"""Bivariate polynomials of a total degree: Legendre design matrices and exact changes of variables.

Terms are ordered by degree and, within a degree d, as u^d, u^(d-1) v, ..., v^d: the order of the TPV convention.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

__all__ = [
    "degree_of",
    "exponents",
    "legendre_design",
    "legendre_gradients",
    "legendre_to_monomials",
    "monomial_design",
    "monomial_gradients",
    "n_terms",
    "substitute_affine",
]

Floats = NDArray[np.float64]


def n_terms(degree: int) -> int:
    """Number of terms of a full polynomial of this total degree."""
    return (degree + 1) * (degree + 2) // 2


def degree_of(terms: int) -> int:
    """Total degree of a full polynomial with this number of terms."""
    return round(((8 * terms + 1) ** 0.5 - 3) / 2)


@lru_cache(maxsize=16)
def exponents(degree: int) -> tuple[tuple[int, int], ...]:
    """Exponents (i, j) of u and v of every term, in the order of this module."""
    return tuple((d - k, k) for d in range(degree + 1) for k in range(d + 1))


def legendre_design(u: Floats, v: Floats, degree: int) -> Floats:
    """Products P_i(u) P_j(v), shape (n, n_terms); u and v within [-1, 1] keep the basis well conditioned."""
    return _products(_legendre_values(u, degree), _legendre_values(v, degree), degree)


def legendre_gradients(u: Floats, v: Floats, degree: int) -> tuple[Floats, Floats]:
    """Derivatives of `legendre_design` by u and by v, (n, n_terms) each."""
    pu, pv = _legendre_values(u, degree), _legendre_values(v, degree)
    du, dv = _legendre_slopes(u, pu), _legendre_slopes(v, pv)
    return _products(du, pv, degree), _products(pu, dv, degree)


def monomial_design(u: Floats, v: Floats, degree: int) -> Floats:
    """Products u^i v^j, shape (n, n_terms)."""
    return _products(_powers(u, degree), _powers(v, degree), degree)


def monomial_gradients(u: Floats, v: Floats, degree: int) -> tuple[Floats, Floats]:
    """Derivatives of `monomial_design` by u and by v, (n, n_terms) each."""
    pu, pv = _powers(u, degree), _powers(v, degree)
    slopes = []
    for powers in (pu, pv):
        slope = np.zeros_like(powers)
        slope[1:] = powers[:-1] * np.arange(1, degree + 1)[:, None]
        slopes.append(slope)
    return _products(slopes[0], pv, degree), _products(pu, slopes[1], degree)


@lru_cache(maxsize=16)
def legendre_to_monomials(degree: int) -> Floats:
    """Matrix (n_terms, n_terms) that turns Legendre coefficients into coefficients of u^i v^j."""
    single = [legendre.leg2poly(np.eye(degree + 1)[k]) for k in range(degree + 1)]
    index = {term: row for row, term in enumerate(exponents(degree))}
    out = np.zeros((len(index), len(index)))
    for (i, j), column in index.items():
        for a, left in enumerate(single[i]):
            for b, right in enumerate(single[j]):
                if left * right != 0.0:
                    out[index[a, b], column] += left * right
    out.setflags(write=False)
    return out


def substitute_affine(coefficients: Floats, offset: Floats, matrix: Floats) -> Floats:
    """Coefficients after the change of variables (u, v) = offset + matrix @ (p, q).

    Parameters
    ----------
    coefficients : (m, n_terms), of u^i v^j
    offset : (2,)
    matrix : (2, 2)

    Returns
    -------
    (m, n_terms), of p^i q^j; exact to rounding.
    """
    degree = degree_of(coefficients.shape[1])
    index = {term: row for row, term in enumerate(exponents(degree))}
    change = np.zeros((len(index), len(index)))
    lines = [_line(offset[k], matrix[k], degree) for k in (0, 1)]
    powers = [_grid_powers(line, degree) for line in lines]
    for (i, j), column in index.items():
        product = _multiply(powers[0][i], powers[1][j], degree)
        change[:, column] = [product[a, b] for a, b in index]
    return np.asarray(coefficients @ change.T, dtype=np.float64)


def _line(offset: float, slopes: Floats, degree: int) -> Floats:
    grid = np.zeros((degree + 1, degree + 1))
    grid[0, 0] = offset
    if degree:
        grid[1, 0], grid[0, 1] = slopes
    return grid


def _grid_powers(grid: Floats, degree: int) -> list[Floats]:
    one = np.zeros_like(grid)
    one[0, 0] = 1.0
    powers = [one]
    for _ in range(degree):
        powers.append(_multiply(powers[-1], grid, degree))
    return powers


def _multiply(left: Floats, right: Floats, degree: int) -> Floats:
    """Product of two polynomials held as grids [i, j]; terms above the degree are dropped."""
    out = np.zeros_like(left)
    for i, j in zip(*np.nonzero(left), strict=True):
        out[i:, j:] += left[i, j] * right[: degree + 1 - i, : degree + 1 - j]
    return out


def _products(first: Floats, second: Floats, degree: int) -> Floats:
    terms = exponents(degree)
    rows = first[[i for i, _ in terms]]
    rows *= second[[j for _, j in terms]]
    return np.ascontiguousarray(rows.T)


def _powers(u: Floats, degree: int) -> Floats:
    out = np.ones((degree + 1, np.size(u)))
    for k in range(1, degree + 1):
        np.multiply(out[k - 1], u, out=out[k])
    return out


def _legendre_values(u: Floats, degree: int) -> Floats:
    out = np.ones((degree + 1, np.size(u)))
    if degree:
        out[1] = u
    for k in range(1, degree):
        out[k + 1] = ((2 * k + 1) * u * out[k] - k * out[k - 1]) / (k + 1)
    return out


def _legendre_slopes(u: Floats, values: Floats) -> Floats:
    """P'_(k+1) = P'_(k-1) + (2 k + 1) P_k: free of the division by 1 - u^2."""
    out = np.zeros_like(values)
    for k in range(values.shape[0] - 1):
        out[k + 1] = (2 * k + 1) * values[k] + (out[k - 1] if k else 0.0)
    return out
