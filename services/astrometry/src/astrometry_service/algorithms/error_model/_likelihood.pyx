# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Kernel of `error_model`: sums over pairs of the likelihood of C = a P + s I + K and of its derivatives."""

from libc.math cimport log


def misfit(const double[:, ::1] pairs, const double[::1] weights, double a, double s):
    """sum w (r^T C^-1 r + ln det C).

    Parameters
    ----------
    pairs : (8, n), rows rx, ry, then xx, yy, xy of P and of K
    weights : (n,)
    a, s : factor on P, and what is added to the diagonal
    """
    cdef Py_ssize_t i, n = pairs.shape[1]
    cdef double xx, yy, xy, det, rx, ry, total = 0.0
    with nogil:
        for i in range(n):
            rx, ry = pairs[0, i], pairs[1, i]
            xx = a * pairs[2, i] + pairs[5, i] + s
            yy = a * pairs[3, i] + pairs[6, i] + s
            xy = a * pairs[4, i] + pairs[7, i]
            det = xx * yy - xy * xy
            total += weights[i] * ((yy * rx * rx + xx * ry * ry - 2.0 * xy * rx * ry) / det + log(det))
    return total


def slopes(const double[:, ::1] pairs, const double[::1] weights, const double[::1] seen, double a, double s):
    """Gradient of the log-likelihood in (a, s), and the Fisher matrix.

    Parameters
    ----------
    pairs, weights, a, s : as for `misfit`
    seen : (n,), weights times the share of each pair that the fit has not absorbed

    Returns
    -------
    g_a, g_s, f_aa, f_as, f_ss
    """
    cdef Py_ssize_t i, n = pairs.shape[1]
    cdef double xx, yy, xy, det, m11, m22, m12, gx, gy, pxx, pyy, pxy, t11, t12, t21, t22, w, v
    cdef double g_a = 0.0, g_s = 0.0, f_aa = 0.0, f_as = 0.0, f_ss = 0.0
    with nogil:
        for i in range(n):
            pxx, pyy, pxy = pairs[2, i], pairs[3, i], pairs[4, i]
            xx = a * pxx + pairs[5, i] + s
            yy = a * pyy + pairs[6, i] + s
            xy = a * pxy + pairs[7, i]
            det = xx * yy - xy * xy
            m11, m22, m12 = yy / det, xx / det, -xy / det
            gx = m11 * pairs[0, i] + m12 * pairs[1, i]
            gy = m12 * pairs[0, i] + m22 * pairs[1, i]
            t11, t12 = m11 * pxx + m12 * pxy, m11 * pxy + m12 * pyy
            t21, t22 = m12 * pxx + m22 * pxy, m12 * pxy + m22 * pyy
            w, v = weights[i], seen[i]
            g_a += w * (pxx * gx * gx + pyy * gy * gy + 2.0 * pxy * gx * gy) - v * (t11 + t22)
            g_s += w * (gx * gx + gy * gy) - v * (m11 + m22)
            f_aa += v * (t11 * t11 + t22 * t22 + 2.0 * t12 * t21)
            f_as += v * (t11 * m11 + t12 * m12 + t21 * m12 + t22 * m22)
            f_ss += v * (m11 * m11 + m22 * m22 + 2.0 * m12 * m12)
    return 0.5 * g_a, 0.5 * g_s, 0.5 * f_aa, 0.5 * f_as, 0.5 * f_ss
