# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Kernels of `regions` and `affine_fit`: for the some forty stars of a region, numpy's calls cost more than their work."""

from libc.math cimport INFINITY, fabs, hypot

import numpy as np


def mutual_nearest(const double[:, ::1] places, const double[:, ::1] others, double radius):
    """Pairs of places and others that are nearest to each other, of those within the radius.

    Parameters
    ----------
    places : (n, 2)
    others : (m, 2)
    radius : largest distance, unit of the places

    Returns
    -------
    rows : (k,), of places, ascending
    hits : (k,), of others; each one once, with the nearest of the places that have it as their nearest
    """
    cdef Py_ssize_t n = places.shape[0], m = others.shape[0], i, j, best
    cdef double near, square, dx, dy
    closest_array, owner_array = np.full(m, radius * radius), np.full(m, -1, np.intp)
    cdef double[::1] closest = closest_array
    cdef Py_ssize_t[::1] owner = owner_array
    with nogil:
        for i in range(n):
            best, near = -1, INFINITY
            for j in range(m):
                dx, dy = places[i, 0] - others[j, 0], places[i, 1] - others[j, 1]
                square = dx * dx + dy * dy
                if square < near:
                    best, near = j, square
            if best >= 0 and near < closest[best]:
                closest[best], owner[best] = near, i
    hits = np.flatnonzero(owner_array >= 0)
    rows = owner_array[hits]
    order = np.argsort(rows)
    return rows[order], hits[order]


def reweighted_affine(
    const double[::1] x,
    const double[::1] y,
    const double[:, :] target,
    int rounds,
    double floor,
    double tukey,
    double tolerance,
    double[:, ::1] matrix,
    double[:, ::1] normal,
    double[::1] weights,
    double[::1] distance,
):
    """Affine by least squares with Tukey's weights.

    Parameters
    ----------
    x, y : (n,)
    target : (n, 2)
    rounds, floor, tukey, tolerance : as in `affine_fit`
    matrix : (2, 3), out
    normal : (3, 3), out, with the last weights
    weights : (n,), ones; out
    distance : (n,), out

    Returns
    -------
    False where the stars do not fix an affine.
    """
    cdef Py_ssize_t i, n = x.shape[0], kept
    cdef int turn
    cdef double sigma, before = INFINITY, scaled
    updated_array, work_array = np.empty(n), np.empty(n)
    cdef double[::1] updated = updated_array, work = work_array
    with nogil:
        for turn in range(rounds):
            if not _solve(x, y, target, weights, matrix):
                with gil:
                    return False
            for i in range(n):
                distance[i] = hypot(
                    target[i, 0] - matrix[0, 0] * x[i] - matrix[0, 1] * y[i] - matrix[0, 2],
                    target[i, 1] - matrix[1, 0] * x[i] - matrix[1, 1] * y[i] - matrix[1, 2],
                )
                work[i] = distance[i]
            sigma = max(_median(&work[0], n) / 1.1774, floor)
            kept = 0
            for i in range(n):
                scaled = distance[i] / (tukey * max(sigma, 1e-300))
                updated[i] = (1.0 - scaled * scaled) ** 2 if scaled < 1.0 else 0.0
                kept += updated[i] != 0.0
            if kept < 4:
                break
            weights[:] = updated
            if fabs(sigma - before) < tolerance * sigma:
                break
            before = sigma
        _normal(x, y, weights, normal)
    return True


cdef void _normal(const double[::1] x, const double[::1] y, const double[::1] weights, double[:, ::1] out) noexcept nogil:
    cdef Py_ssize_t i
    cdef double w, xx = 0.0, xy = 0.0, yy = 0.0, sx = 0.0, sy = 0.0, s = 0.0
    for i in range(x.shape[0]):
        w = weights[i]
        xx += w * x[i] * x[i]
        xy += w * x[i] * y[i]
        yy += w * y[i] * y[i]
        sx += w * x[i]
        sy += w * y[i]
        s += w
    out[0, 0], out[1, 1], out[2, 2] = xx, yy, s
    out[0, 1], out[1, 0] = xy, xy
    out[0, 2], out[2, 0] = sx, sx
    out[1, 2], out[2, 1] = sy, sy


cdef bint _solve(
    const double[::1] x, const double[::1] y, const double[:, :] target, const double[::1] weights, double[:, ::1] matrix
) noexcept nogil:
    """Weighted least squares about the middle of the stars; False where they lie on a line."""
    cdef Py_ssize_t i, k
    cdef double w, xx = 0.0, xy = 0.0, yy = 0.0, sx = 0.0, sy = 0.0, s = 0.0
    cdef double mx, my, vxx, vxy, vyy, det, bx, by, b0
    for i in range(x.shape[0]):
        w = weights[i]
        s += w
        sx += w * x[i]
        sy += w * y[i]
    if not s > 0.0:
        return False
    mx, my = sx / s, sy / s
    for i in range(x.shape[0]):
        w = weights[i]
        xx += w * (x[i] - mx) * (x[i] - mx)
        xy += w * (x[i] - mx) * (y[i] - my)
        yy += w * (y[i] - my) * (y[i] - my)
    det = xx * yy - xy * xy
    if not det > 1e-12 * xx * yy:
        return False
    for k in range(2):
        bx, by, b0 = 0.0, 0.0, 0.0
        for i in range(x.shape[0]):
            w = weights[i] * target[i, k]
            bx += w * (x[i] - mx)
            by += w * (y[i] - my)
            b0 += w
        matrix[k, 0] = (yy * bx - xy * by) / det
        matrix[k, 1] = (xx * by - xy * bx) / det
        matrix[k, 2] = b0 / s - matrix[k, 0] * mx - matrix[k, 1] * my
    return True


cdef double _median(double* values, Py_ssize_t n) noexcept nogil:
    """Median; reorders the values."""
    cdef double upper = _select(values, n, n // 2), lower
    cdef Py_ssize_t i
    if n % 2:
        return upper
    lower = values[0]
    for i in range(1, n // 2):
        lower = max(lower, values[i])
    return 0.5 * (lower + upper)


cdef double _select(double* values, Py_ssize_t n, Py_ssize_t k) noexcept nogil:
    """The k-th smallest value; smaller ones end before it (Hoare's selection)."""
    cdef Py_ssize_t low = 0, high = n - 1, i, j
    cdef double pivot
    while low < high:
        pivot = values[k]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if j < k:
            low = i
        if k < i:
            high = j
    return values[k]
