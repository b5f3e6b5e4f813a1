# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Kernels of ``fwhm.py``: Gaussians on marginal sums, and the area above half the peak.

The plain numpy forms are in ``tests/photometry/algorithms/test_fwhm.py``.
"""

from libc.math cimport NAN, exp, fabs

cdef enum:
    LARGEST_SIDE = 63
    ROUNDS = 40

cdef double STEP_LIMIT = 0.5        # pixels, of centre and sigma per round
cdef double CONVERGED = 1e-4        # pixels
cdef double DAMPING = 1.0001


cdef bint fit_gaussian(const double* sums, int n, double* centre, double* sigma) noexcept nogil:
    """Gauss-Newton for amplitude, centre and sigma of ``n`` marginal sums; False when it does not settle."""
    cdef double mu = 0.5 * (n - 1), s = 0.1 * n, amplitude = 0.0, d, e, f, r, g1, g2
    cdef double n00, n01, n02, n11, n12, n22, b0, b1, b2, det, step_a, step_m, step_s
    cdef int k, it
    for k in range(n):
        amplitude = sums[k] if sums[k] > amplitude else amplitude
    for it in range(ROUNDS):
        n00 = n01 = n02 = n11 = n12 = n22 = b0 = b1 = b2 = 0.0
        for k in range(n):
            d = (k - mu) / s
            e = exp(-0.5 * d * d)
            f = amplitude * e
            g1 = f * d / s
            g2 = f * d * d / s
            r = sums[k] - f
            n00 += e * e
            n01 += e * g1
            n02 += e * g2
            n11 += g1 * g1
            n12 += g1 * g2
            n22 += g2 * g2
            b0 += e * r
            b1 += g1 * r
            b2 += g2 * r
        n00 *= DAMPING
        n11 *= DAMPING
        n22 *= DAMPING
        det = n00 * (n11 * n22 - n12 * n12) - n01 * (n01 * n22 - n12 * n02) + n02 * (n01 * n12 - n11 * n02)
        if not det > 0.0:
            return False
        step_a = (b0 * (n11 * n22 - n12 * n12) - n01 * (b1 * n22 - n12 * b2) + n02 * (b1 * n12 - n11 * b2)) / det
        step_m = (n00 * (b1 * n22 - b2 * n12) - b0 * (n01 * n22 - n12 * n02) + n02 * (n01 * b2 - b1 * n02)) / det
        step_s = (n00 * (n11 * b2 - b1 * n12) - n01 * (n01 * b2 - b1 * n02) + b0 * (n01 * n12 - n11 * n02)) / det
        step_m = STEP_LIMIT if step_m > STEP_LIMIT else (-STEP_LIMIT if step_m < -STEP_LIMIT else step_m)
        step_s = STEP_LIMIT if step_s > STEP_LIMIT else (-STEP_LIMIT if step_s < -STEP_LIMIT else step_s)
        amplitude += step_a
        mu += step_m
        s += step_s
        if not (amplitude > 0.0 and 0.0 < mu < n - 1.0 and s < n):
            return False
        s = s if s > 0.2 else 0.2
        if fabs(step_m) < CONVERGED and fabs(step_s) < CONVERGED:
            centre[0] = mu
            sigma[0] = s
            return s > 0.2
    return False


def marginal_gaussians(
    const float[:, ::1] data, const unsigned char[:, ::1] mask, const int[::1] x, const int[::1] y, int half,
    double[:, ::1] out,
):
    """Centre and sigma of Gaussians fitted to the column and row sums of a box around every star.

    Parameters
    ----------
    data : (ny, nx), electron, background subtracted
    mask : (ny, nx), 1 = bad
    x, y : (n,), pixel nearest to the star
    half : half side of the box, at most 31
    out : (n, 4), written: x, y, sigma_x, sigma_y in pixels; NaN where the box leaves the frame or holds a bad pixel
        or a fit does not settle
    """
    cdef double columns[LARGEST_SIDE]
    cdef double rows[LARGEST_SIDE]
    cdef int k, j, i, side = 2 * half + 1, ny = data.shape[0], nx = data.shape[1]
    cdef unsigned char bad
    cdef double value
    if half < 1 or side > LARGEST_SIDE:
        raise ValueError(f"half side {half} is not in 1..{LARGEST_SIDE // 2}")
    with nogil:
        for k in range(x.shape[0]):
            out[k, 0] = out[k, 1] = out[k, 2] = out[k, 3] = NAN
            if x[k] < half or y[k] < half or x[k] + half >= nx or y[k] + half >= ny:
                continue
            bad = 0
            for i in range(side):
                columns[i] = 0.0
            for j in range(side):
                rows[j] = 0.0
                for i in range(side):
                    bad |= mask[y[k] - half + j, x[k] - half + i]
                    value = data[y[k] - half + j, x[k] - half + i]
                    columns[i] += value
                    rows[j] += value
            if bad:
                continue
            if not fit_gaussian(columns, side, &out[k, 0], &out[k, 2]):
                out[k, 0] = NAN
            if not fit_gaussian(rows, side, &out[k, 1], &out[k, 3]):
                out[k, 1] = NAN
            if out[k, 0] != out[k, 0] or out[k, 1] != out[k, 1]:
                out[k, 0] = out[k, 1] = out[k, 2] = out[k, 3] = NAN
                continue
            out[k, 0] += x[k] - half
            out[k, 1] += y[k] - half


def tile_peaks(const float[:, ::1] data, const unsigned char[:, ::1] mask, int tile, int[:, ::1] out, int border):
    """Highest unmasked pixel of every tile as flat pixel number; -1 where all are masked, in ``border`` excepted."""
    cdef int tj, ti, j, i, best, ny = data.shape[0], nx = data.shape[1], y0, y1, x0, x1
    cdef float most
    with nogil:
        for tj in range(out.shape[0]):
            y0 = tj * tile if tj * tile > border else border
            y1 = tj * tile + tile if tj * tile + tile < ny - border else ny - border
            for ti in range(out.shape[1]):
                x0 = ti * tile if ti * tile > border else border
                x1 = ti * tile + tile if ti * tile + tile < nx - border else nx - border
                best = -1
                most = 0.0
                for j in range(y0, y1):
                    for i in range(x0, x1):
                        if not mask[j, i] and (best < 0 or data[j, i] > most):
                            most = data[j, i]
                            best = j * nx + i
                out[tj, ti] = best
