"""Algebra of many 2 x 2 symmetric matrices, held as columns xx, yy, xy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sym2", "carry", "from_matrices"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sym2:
    """Symmetric 2 x 2 matrices, (n,) each."""

    xx: Floats
    yy: Floats
    xy: Floats

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Sym2:
        return Sym2(self.xx[rows], self.yy[rows], self.xy[rows])

    def plus(self, other: Sym2, factor: float = 1.0) -> Sym2:
        """self + factor * other."""
        return Sym2(self.xx + factor * other.xx, self.yy + factor * other.yy, self.xy + factor * other.xy)

    def scaled(self, factor: float) -> Sym2:
        """factor * self."""
        return Sym2(factor * self.xx, factor * self.yy, factor * self.xy)

    def with_diagonal(self, value: float | Floats) -> Sym2:
        """self + value * identity."""
        return Sym2(self.xx + value, self.yy + value, self.xy)

    @property
    def mean(self) -> Floats:
        """Half of the trace: the variance per axis."""
        return 0.5 * (self.xx + self.yy)

    @property
    def determinant(self) -> Floats:
        """Determinants."""
        return self.xx * self.yy - self.xy * self.xy

    def inverse(self) -> Sym2:
        """Inverses."""
        det = self.determinant
        return Sym2(self.yy / det, self.xx / det, -self.xy / det)

    def quadratic(self, rx: Floats, ry: Floats) -> Floats:
        """r^T self r."""
        return np.asarray(self.xx * rx * rx + self.yy * ry * ry + 2.0 * self.xy * rx * ry, dtype=np.float64)

    def apply(self, rx: Floats, ry: Floats) -> tuple[Floats, Floats]:
        """self @ r."""
        return self.xx * rx + self.xy * ry, self.xy * rx + self.yy * ry

    def trace_with(self, other: Sym2) -> Floats:
        """tr(self @ other)."""
        return np.asarray(self.xx * other.xx + self.yy * other.yy + 2.0 * self.xy * other.xy, dtype=np.float64)

    def whiten(self, rx: Floats, ry: Floats) -> tuple[Floats, Floats]:
        """L^-1 r with self = L L^T (Cholesky, lower)."""
        l11 = np.sqrt(self.xx)
        l21 = self.xy / l11
        l22 = np.sqrt(np.maximum(self.yy - l21 * l21, 1e-300))
        first = rx / l11
        return first, (ry - l21 * first) / l22

    def matrices(self) -> Floats:
        """(n, 2, 2)."""
        return np.stack([self.xx, self.xy, self.xy, self.yy], axis=-1).reshape(-1, 2, 2)


def from_matrices(matrices: Floats) -> Sym2:
    """From (n, 2, 2)."""
    return Sym2(matrices[:, 0, 0].copy(), matrices[:, 1, 1].copy(), 0.5 * (matrices[:, 0, 1] + matrices[:, 1, 0]))


def carry(jacobian: Floats, covariance: Floats) -> Floats:
    """J C J^T for stacks (n, 2, 2) of symmetric C; written out, since numpy multiplies small matrices slowly."""
    a, b, c, d = jacobian[:, 0, 0], jacobian[:, 0, 1], jacobian[:, 1, 0], jacobian[:, 1, 1]
    xx, yy, xy = covariance[:, 0, 0], covariance[:, 1, 1], covariance[:, 0, 1]
    out = np.empty(jacobian.shape)
    out[:, 0, 0] = a * a * xx + 2.0 * a * b * xy + b * b * yy
    out[:, 1, 1] = c * c * xx + 2.0 * c * d * xy + d * d * yy
    out[:, 0, 1] = out[:, 1, 0] = a * c * xx + (a * d + b * c) * xy + b * d * yy
    return out
