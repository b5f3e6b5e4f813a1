# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""PSF fits of single stars and of groups on the residual image of a whole frame.

The residual image lacks the models of all stars. A star is improved by a Gauss-Newton step on its residuals, then its
old model is put back and the new one taken off. Everything runs in one fixed order on one thread.
"""

from libc.math cimport NAN, fabs, floor, isfinite, sqrt
from libc.stdlib cimport calloc, free

from photometry_service.algorithms.psf._model cimport (
    LocalPsf, Stamp, StarPsfs, psf_evaluate, stamp_allocate, stamp_release,
)

cdef enum:
    LANES = 8

cdef struct Pixels:                 # of one fit stamp, rows of ``stride`` floats
    int half
    int stride
    int good
    int missing                     # bad or beyond the edge
    int saturated
    float* residual
    float* model
    float* variance                 # rms^2
    float* use                      # 1 or 0

cdef struct Sums:
    double n[6]                     # sum w g g^T: FF, Fx, Fy, xx, xy, yy; slopes without the flux
    double b[3]                     # sum w g r
    double m[6]                     # sum w^2 V g g^T
    double chi2
    double absolute


cdef Frame frame_view(
    const float[:, ::1] data, float[:, ::1] residual, const float[:, ::1] rms, const unsigned char[:, ::1] state,
    double shot, double weight_floor,
) noexcept:
    """Pointers to the planes of a frame."""
    cdef Frame frame
    frame.data, frame.residual, frame.rms, frame.state = &data[0, 0], &residual[0, 0], &rms[0, 0], &state[0, 0]
    frame.ny, frame.nx = data.shape[0], data.shape[1]
    frame.shot, frame.floor2 = <float>shot, <float>(weight_floor * weight_floor)
    return frame


cdef bint pixels_allocate(Pixels* p, int half) noexcept:
    """Memory for fit stamps up to a half size."""
    cdef size_t size = <size_t>(2 * half + 1) * ((2 * half + 1 + LANES - 1) // LANES * LANES) + LANES
    p.residual = <float*>calloc(size, sizeof(float))
    p.model = <float*>calloc(size, sizeof(float))
    p.variance = <float*>calloc(size, sizeof(float))
    p.use = <float*>calloc(size, sizeof(float))
    return p.residual != NULL and p.model != NULL and p.variance != NULL and p.use != NULL


cdef void pixels_release(Pixels* p) noexcept:
    """Give the memory back."""
    free(p.residual); free(p.model); free(p.variance); free(p.use)


cdef void gather(const Frame* frame, Py_ssize_t cx, Py_ssize_t cy, int half, Pixels* out) noexcept nogil:
    """Copy the disc around a pixel; pixels that cannot be used read zero with unit variance."""
    cdef int j, i, reach, stride = (2 * half + 1 + LANES - 1) // LANES * LANES
    cdef Py_ssize_t yy, at, k
    out.half = half
    out.stride = stride
    out.good = out.missing = out.saturated = 0
    for j in range(-half, half + 1):
        yy = cy + j
        k = (j + half) * stride
        for i in range(stride):
            out.use[k + i] = 0.0
            out.residual[k + i] = 0.0
            out.model[k + i] = 0.0
            out.variance[k + i] = 1.0
        reach = <int>sqrt(<double>(half * half + 1 - j * j))
        if reach > half:
            reach = half
        if yy < 0 or yy >= frame.ny:
            out.missing += 2 * reach + 1
            continue
        for i in range(-reach, reach + 1):
            if cx + i < 0 or cx + i >= frame.nx:
                out.missing += 1
                continue
            at = yy * frame.nx + cx + i
            if frame.state[at]:
                if frame.state[at] & 2:
                    out.saturated += 1
                else:
                    out.missing += 1
                continue
            out.use[k + i + half] = 1.0
            out.residual[k + i + half] = frame.residual[at]
            out.model[k + i + half] = frame.data[at] - frame.residual[at]
            out.variance[k + i + half] = frame.rms[at] * frame.rms[at]
            out.good += 1


cdef double total(const float* lanes) noexcept nogil:
    """Sum of eight lanes in double precision."""
    cdef double s = 0.0
    cdef int k
    for k in range(LANES):
        s += lanes[k]
    return s


cdef void accumulate(const Frame* frame, const Pixels* p, const Stamp* psf, bint final, Sums* out) noexcept nogil:
    """Normal equations of one star; with ``final`` also the sandwich's middle and the residual statistics."""
    cdef float n0[LANES]
    cdef float n1[LANES]
    cdef float n2[LANES]
    cdef float n3[LANES]
    cdef float n4[LANES]
    cdef float n5[LANES]
    cdef float b0[LANES]
    cdef float b1[LANES]
    cdef float b2[LANES]
    cdef int j, k, l
    cdef float m, v, w, wp, wx, wy, r
    cdef const float *P
    cdef const float *X
    cdef const float *Y
    cdef const float *R
    cdef const float *M
    cdef const float *V
    cdef const float *U
    for l in range(LANES):
        n0[l] = n1[l] = n2[l] = n3[l] = n4[l] = n5[l] = b0[l] = b1[l] = b2[l] = 0.0
    for j in range(2 * p.half + 1):
        for k in range(0, p.stride, 8):
            P = psf.value + j * psf.stride + k
            X = psf.slope_x + j * psf.stride + k
            Y = psf.slope_y + j * psf.stride + k
            R = p.residual + j * p.stride + k
            M = p.model + j * p.stride + k
            V = p.variance + j * p.stride + k
            U = p.use + j * p.stride + k
            for l in range(LANES):
                m = M[l] if M[l] > 0 else <float>0.0
                v = V[l] + frame.shot * m
                w = U[l] / (v + frame.floor2 * m * m)
                wp = w * P[l]
                wx = w * X[l]
                wy = w * Y[l]
                n0[l] += wp * P[l]
                n1[l] += wp * X[l]
                n2[l] += wp * Y[l]
                n3[l] += wx * X[l]
                n4[l] += wx * Y[l]
                n5[l] += wy * Y[l]
                b0[l] += wp * R[l]
                b1[l] += wx * R[l]
                b2[l] += wy * R[l]
    out.n[0], out.n[1], out.n[2] = total(n0), total(n1), total(n2)
    out.n[3], out.n[4], out.n[5] = total(n3), total(n4), total(n5)
    out.b[0], out.b[1], out.b[2] = total(b0), total(b1), total(b2)
    if not final:
        return
    for l in range(LANES):
        n0[l] = n1[l] = n2[l] = n3[l] = n4[l] = n5[l] = b0[l] = b1[l] = 0.0
    for j in range(2 * p.half + 1):
        for k in range(0, p.stride, 8):
            P = psf.value + j * psf.stride + k
            X = psf.slope_x + j * psf.stride + k
            Y = psf.slope_y + j * psf.stride + k
            R = p.residual + j * p.stride + k
            M = p.model + j * p.stride + k
            V = p.variance + j * p.stride + k
            U = p.use + j * p.stride + k
            for l in range(LANES):
                m = M[l] if M[l] > 0 else <float>0.0
                v = V[l] + frame.shot * m
                w = U[l] / (v + frame.floor2 * m * m)
                w = w * w * v
                wp = w * P[l]
                wx = w * X[l]
                wy = w * Y[l]
                r = U[l] * R[l]
                n0[l] += wp * P[l]
                n1[l] += wp * X[l]
                n2[l] += wp * Y[l]
                n3[l] += wx * X[l]
                n4[l] += wx * Y[l]
                n5[l] += wy * Y[l]
                b0[l] += r * r / v
                b1[l] += r if r > 0 else -r
    out.m[0], out.m[1], out.m[2] = total(n0), total(n1), total(n2)
    out.m[3], out.m[4], out.m[5] = total(n3), total(n4), total(n5)
    out.chi2 = total(b0)
    out.absolute = total(b1)


cdef void put(const Frame* frame, const Stamp* psf, Py_ssize_t cx, Py_ssize_t cy, double flux) noexcept nogil:
    """Add a star to the residual image."""
    cdef Py_ssize_t j, i, half = psf.half
    cdef Py_ssize_t i0 = max(-half, -cx), i1 = min(half, frame.nx - 1 - cx) + 1
    cdef float f = <float>flux
    cdef float* row
    cdef const float* model
    for j in range(max(-half, -cy), min(half, frame.ny - 1 - cy) + 1):
        row = frame.residual + (cy + j) * frame.nx + cx
        model = psf.value + (j + half) * psf.stride + half
        for i in range(i0, i1):
            row[i] += f * model[i]


cdef double limited(double v, double limit) noexcept nogil:
    """v within -limit..limit."""
    return limit if v > limit else -limit if v < -limit else v


cdef bint invert(const double* n, double flux, double* c) noexcept nogil:
    """Inverse (FF, Fx, Fy, xx, xy, yy) of a star's normal matrix with its slopes times the flux; False if not positive."""
    cdef double a = n[0], b = flux * n[1], d = flux * n[2]
    cdef double e = flux * flux * n[3] * 1.0001, f = flux * flux * n[4], g = flux * flux * n[5] * 1.0001, det
    c[0] = e * g - f * f
    c[1] = d * f - b * g
    c[2] = b * f - d * e
    c[3] = a * g - d * d
    c[4] = b * d - a * f
    c[5] = a * e - b * b
    det = a * c[0] + b * c[1] + d * c[2]
    if not det > 0 or not a * e * g > 0:
        return False
    for k in range(6):
        c[k] /= det
    return True


cdef bint is_inside(double x, double y, const Frame* frame, int half) noexcept nogil:
    """Whether a star's fit stamp can touch the frame; false for positions that are not finite."""
    return -half < x < frame.nx - 1 + half and -half < y < frame.ny - 1 + half


def fit_stars(
    const float[:, ::1] data, float[:, ::1] residual, const float[:, ::1] rms, const unsigned char[:, ::1] state,
    double shot, double weight_floor, StarPsfs psfs, const Py_ssize_t[::1] order, const int[::1] half_fit,
    const int[::1] half_render, int sweeps, int full_sweeps, double tolerance, double largest_step,
    bint fit_position, double[:, ::1] star, double[::1] change,
):
    """Draw all stars, then improve each in turn; see ``psf_fit.fit_psf``.

    ``star`` (n, 3), flux, x and y, and ``residual``, which enters as a copy of the data, are changed in place;
    ``change`` (n,) becomes the last step in pixels, or its equal in sigma of flux (0.1 sigma counts as 0.003 px).
    """
    cdef Frame frame = frame_view(data, residual, rms, state, shot, weight_floor)
    cdef const LocalPsf* psf
    cdef Stamp near, whole
    cdef Pixels pixels
    cdef Sums sums
    cdef Py_ssize_t s, u, cx, cy
    cdef int sweep, largest_fit = 1, largest_render = 1
    cdef double flux, x, y, df, dx, dy
    cdef double c[6]
    cdef bint ready
    for s in range(star.shape[0]):
        largest_fit = max(largest_fit, half_fit[s])
        largest_render = max(largest_render, half_render[s])
    ready = stamp_allocate(&near, largest_fit, psfs.psf.oversampling)
    ready = stamp_allocate(&whole, largest_render, psfs.psf.oversampling) and ready
    ready = pixels_allocate(&pixels, largest_fit) and ready
    if not ready:
        stamp_release(&near); stamp_release(&whole); pixels_release(&pixels)
        raise MemoryError("no memory for PSF stamps")
    with nogil:
        for s in range(star.shape[0]):
            if is_inside(star[s, 1], star[s, 2], &frame, half_render[s]):
                render(&frame, psfs.at(s, half_render[s]), star[s, 0], star[s, 1], star[s, 2], half_render[s], -1.0,
                       &whole)
        for sweep in range(sweeps):
            for u in range(order.shape[0]):
                s = order[u]
                if sweep >= full_sweeps and change[s] < tolerance:
                    continue
                flux, x, y = star[s, 0], star[s, 1], star[s, 2]
                if not is_inside(x, y, &frame, half_fit[s]):
                    change[s] = 0.0
                    continue
                cx, cy = <Py_ssize_t>floor(x + 0.5), <Py_ssize_t>floor(y + 0.5)
                gather(&frame, cx, cy, half_fit[s], &pixels)
                if pixels.good < 6:
                    change[s] = 0.0
                    continue
                psf = psfs.at(s, half_render[s])
                psf_evaluate(psf, x - cx, y - cy, half_fit[s], True, &near)
                accumulate(&frame, &pixels, &near, False, &sums)
                dx = dy = 0.0
                if fit_position and flux * sqrt(sums.n[0]) > 3.0 and invert(sums.n, flux, c):
                    df = c[0] * sums.b[0] + flux * (c[1] * sums.b[1] + c[2] * sums.b[2])
                    dx = limited(c[1] * sums.b[0] + flux * (c[3] * sums.b[1] + c[4] * sums.b[2]), largest_step)
                    dy = limited(c[2] * sums.b[0] + flux * (c[4] * sums.b[1] + c[5] * sums.b[2]), largest_step)
                else:
                    df = sums.b[0] / sums.n[0] if sums.n[0] > 0 else 0.0
                if not isfinite(df + dx + dy):
                    change[s] = 0.0
                    continue
                star[s, 0] = flux + df
                star[s, 1] = x + dx
                star[s, 2] = y + dy
                change[s] = max(sqrt(dx * dx + dy * dy), 0.03 * fabs(df) * sqrt(sums.n[0]))
                psf_evaluate(psf, x - cx, y - cy, half_render[s], False, &whole)
                if dx == 0 and dy == 0:
                    put(&frame, &whole, cx, cy, -df)
                    continue
                put(&frame, &whole, cx, cy, flux)
                render(&frame, psf, star[s, 0], star[s, 1], star[s, 2], half_render[s], -1.0, &whole)
    stamp_release(&near); stamp_release(&whole); pixels_release(&pixels)


def describe_stars(
    const float[:, ::1] data, float[:, ::1] residual, const float[:, ::1] rms, const unsigned char[:, ::1] state,
    double shot, double weight_floor, StarPsfs psfs, const Py_ssize_t[::1] index, const int[::1] half_fit,
    bint fit_position, bint statistics_only, const double[:, ::1] star, double[:, ::1] result,
):
    """Covariances and residual statistics of stars into their rows of ``result`` (NaN beforehand)."""
    cdef Frame frame = frame_view(data, residual, rms, state, shot, weight_floor)
    cdef Stamp stamp
    cdef Pixels pixels
    cdef Sums sums
    cdef Py_ssize_t s, u, cx, cy
    cdef int largest = 1
    cdef bint ready
    for s in range(star.shape[0]):
        largest = max(largest, half_fit[s])
    ready = stamp_allocate(&stamp, largest, psfs.psf.oversampling)
    ready = pixels_allocate(&pixels, largest) and ready
    if not ready:
        stamp_release(&stamp); pixels_release(&pixels)
        raise MemoryError("no memory for PSF stamps")
    with nogil:
        for u in range(index.shape[0]):
            s = index[u]
            if not is_inside(star[s, 1], star[s, 2], &frame, half_fit[s]):
                continue
            cx, cy = <Py_ssize_t>floor(star[s, 1] + 0.5), <Py_ssize_t>floor(star[s, 2] + 0.5)
            gather(&frame, cx, cy, half_fit[s], &pixels)
            psf_evaluate(psfs.at(s, half_fit[s]), star[s, 1] - cx, star[s, 2] - cy, half_fit[s], True, &stamp)
            accumulate(&frame, &pixels, &stamp, True, &sums)
            if not statistics_only:
                covariance(&pixels, &sums, star[s, 0], fit_position, &result[s, 0])
            statistics(&pixels, &sums, star[s, 0], fit_position, &result[s, 0])
    stamp_release(&stamp); pixels_release(&pixels)


cdef void render(
    const Frame* frame, const LocalPsf* psf, double flux, double x, double y, int half, double sign,
    Stamp* stamp,
) noexcept nogil:
    """Add ``sign`` times a star to the residual image."""
    cdef Py_ssize_t cx, cy
    if not is_inside(x, y, frame, half):
        return
    cx, cy = <Py_ssize_t>floor(x + 0.5), <Py_ssize_t>floor(y + 0.5)
    psf_evaluate(psf, x - cx, y - cy, half, False, stamp)
    put(frame, stamp, cx, cy, sign * flux)


cdef void covariance(const Pixels* p, const Sums* s, double flux, bint fit_position, double* out) noexcept nogil:
    """Columns 0 to 5: covariance FF, xx, yy, xy, Fx, Fy of the estimator that was used."""
    cdef double c[6]
    cdef double m[6]
    if p.good < 1 or not s.n[0] > 0:
        return
    if fit_position and p.good >= 6 and flux * sqrt(s.n[0]) > 3.0 and invert(s.n, flux, c):
        m[0], m[1], m[2] = s.m[0], flux * s.m[1], flux * s.m[2]
        m[3], m[4], m[5] = flux * flux * s.m[3], flux * flux * s.m[4], flux * flux * s.m[5]
        out[0] = sandwich(c[0], c[1], c[2], c[0], c[1], c[2], m)
        out[1] = sandwich(c[1], c[3], c[4], c[1], c[3], c[4], m)
        out[2] = sandwich(c[2], c[4], c[5], c[2], c[4], c[5], m)
        out[3] = sandwich(c[1], c[3], c[4], c[2], c[4], c[5], m)
        out[4] = sandwich(c[0], c[1], c[2], c[1], c[3], c[4], m)
        out[5] = sandwich(c[0], c[1], c[2], c[2], c[4], c[5], m)
    else:
        out[0] = s.m[0] / (s.n[0] * s.n[0])


cdef void statistics(const Pixels* p, const Sums* s, double flux, bint fit_position, double* out) noexcept nogil:
    """Columns 6 to 12: chi2_red, qfit, cfit; pixels used, missing and saturated; sum w P^2."""
    cdef int centre = p.half * p.stride + p.half
    out[9] = p.good
    out[10] = p.missing
    out[11] = p.saturated
    out[12] = s.n[0]
    if p.good < 1:
        return
    out[6] = s.chi2 / max(p.good - (3 if fit_position else 1), 1)
    out[7] = s.absolute / flux if flux > 0 else NAN
    out[8] = p.residual[centre] / flux if flux > 0 and p.use[centre] > 0 else NAN


cdef inline double sandwich(double a0, double a1, double a2, double b0, double b1, double b2,
                            const double* m) noexcept nogil:
    """a^T M b for symmetric M = (00, 01, 02, 11, 12, 22)."""
    return (a0 * (m[0] * b0 + m[1] * b1 + m[2] * b2) + a1 * (m[1] * b0 + m[3] * b1 + m[4] * b2)
            + a2 * (m[2] * b0 + m[4] * b1 + m[5] * b2))
