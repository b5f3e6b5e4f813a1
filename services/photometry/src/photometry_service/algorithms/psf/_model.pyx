# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Tables of elliptical Moffats, and stamps of a tabulated PSF at sub-pixel places.

A table holds cubic B-spline coefficients of the pixel-integrated PSF on nodes ``oversampling`` times finer than the
pixels. All pixels of a star have the same phase between nodes, hence the same 4 x 4 weights; the tables are kept
phase by phase (every ``oversampling``-th node side by side) so that these sums run along contiguous memory.
"""

from libc.math cimport exp, floor, sqrt
from libc.stdlib cimport calloc, free

from photometry_service.algorithms.psf._elementary cimport alidade_exp, alidade_log

# ------------------------------------------------------------------------------------------ Moffat at the nodes
def moffat_nodes(
    const double[:, ::1] shapes, int oversampling, const double[:, ::1] inner, const double[:, ::1] outer,
    double[:, :, ::1] out,
):
    """Integrate Moffats (ln s, e1, e2, beta) over the pixel around every node; see ``psf_model.moffat_values``.

    ``inner`` and ``outer`` (2, m) are points and weights of the quadrature within and beyond 1.5 FWHM.
    """
    cdef Py_ssize_t n = out.shape[1], centre = out.shape[1] // 2, room = out.shape[1] * (out.shape[1] // 2 + 1)
    cdef Py_ssize_t iy, ix, k, i, count
    cdef int near
    cdef double s, e1, e2, norm, reach, uu, vv, q
    cdef double* u = <double*>calloc(4 * room, sizeof(double))
    cdef double* v = u + room
    cdef double* at = v + room
    cdef double* total = at + room
    if u == NULL:
        raise MemoryError("no memory for PSF tables")
    with nogil:
        for k in range(shapes.shape[0]):
            s, e1, e2 = exp(shapes[k, 0]), shapes[k, 1], shapes[k, 2]
            norm = (shapes[k, 3] - 1.0) / 3.141592653589793 * s * sqrt(1.0 - e1 * e1 - e2 * e2)
            reach = 9.0 * (exp(0.6931471805599453 / shapes[k, 3]) - 1.0)
            for near in range(2):
                count = 0
                for iy in range(centre + 1):            # P(-u, -v) = P(u, v): one half of the table is enough
                    vv = <double>(iy - centre) / oversampling
                    for ix in range(n if iy < centre else centre + 1):
                        uu = <double>(ix - centre) / oversampling
                        q = s * ((1.0 + e1) * uu * uu + 2.0 * e2 * uu * vv + (1.0 - e1) * vv * vv)
                        if (q < reach) == (near == 1):
                            u[count], v[count], at[count] = uu, vv, iy * n + ix
                            count += 1
                integrate(&shapes[k, 0], u, v, count, inner if near == 1 else outer, total)
                for i in range(count):
                    iy, ix = <Py_ssize_t>at[i] // n, <Py_ssize_t>at[i] % n
                    out[k, iy, ix] = out[k, n - 1 - iy, n - 1 - ix] = norm * total[i]
    free(u)


cdef void integrate(
    const double* shape, const double* u, const double* v, Py_ssize_t count, const double[:, ::1] rule, double* total,
) noexcept nogil:
    """Moffat without its norm, over the pixels around places."""
    cdef double s = exp(shape[0]), e1 = shape[1], e2 = shape[2], beta = shape[3], uu, vv, q, w, du, dv
    cdef Py_ssize_t i
    cdef int a, b, m = <int>rule.shape[1]
    for i in range(count):
        total[i] = 0.0
    for a in range(m):
        dv = rule[0, a]
        for b in range(m):
            du = rule[0, b]
            w = rule[1, a] * rule[1, b]
            for i in range(count):
                uu = u[i] + du
                vv = v[i] + dv
                q = s * ((1.0 + e1) * uu * uu + 2.0 * e2 * uu * vv + (1.0 - e1) * vv * vv)
                total[i] += w * alidade_exp(-beta * alidade_log(1.0 + q))


# ------------------------------------------------------------------------------------------ evaluation at one star
cdef PsfTables psf_tables(const float[::1] planes, int terms, int oversampling, int half) noexcept:
    """View of the phase-ordered coefficients made by ``psf_model.evaluation_tables``."""
    cdef PsfTables psf
    psf.planes = &planes[0]
    psf.terms = terms
    psf.oversampling = oversampling
    psf.half = half
    psf.nodes = 2 * half + 1
    return psf


cdef bint stamp_allocate(Stamp* stamp, int half, int oversampling) noexcept:
    """Memory for stamps up to a half size; False when there is none. Zeroed, so that unused lanes stay finite."""
    cdef size_t stride = (2 * half + 4 + 7) // 8 * 8, rows = 2 * half + 4
    cdef size_t plane = rows * stride + 64
    stamp.capacity = half
    stamp.half = half
    stamp.stride = <int>stride
    stamp.composed = <float*>calloc(oversampling * oversampling * rows * stride + 64, sizeof(float))
    stamp.across = <float*>calloc(oversampling * rows * stride + 64, sizeof(float))
    stamp.across_slope = <float*>calloc(oversampling * rows * stride + 64, sizeof(float))
    stamp.value = <float*>calloc(plane, sizeof(float))
    stamp.slope_x = <float*>calloc(plane, sizeof(float))
    stamp.slope_y = <float*>calloc(plane, sizeof(float))
    return (stamp.composed != NULL and stamp.across != NULL and stamp.across_slope != NULL
            and stamp.value != NULL and stamp.slope_x != NULL and stamp.slope_y != NULL)


cdef void stamp_release(Stamp* stamp) noexcept:
    """Give the memory of a stamp back."""
    free(stamp.composed)
    free(stamp.across)
    free(stamp.across_slope)
    free(stamp.value)
    free(stamp.slope_x)
    free(stamp.slope_y)


cdef inline void spline_weights(double t, double scale, float* weight, float* slope) noexcept nogil:
    """Cubic B-spline weights of the four nodes around t in 0..1, and ``scale`` times their derivatives to t."""
    cdef double u = 1.0 - t
    weight[0] = <float>(u * u * u / 6.0)
    weight[1] = <float>((3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0)
    weight[2] = <float>((3.0 * u * u * u - 6.0 * u * u + 4.0) / 6.0)
    weight[3] = <float>(t * t * t / 6.0)
    slope[0] = <float>(-0.5 * u * u * scale)
    slope[1] = <float>((1.5 * t * t - 2.0 * t) * scale)
    slope[2] = <float>((-1.5 * t * t + t + 0.5) * scale)
    slope[3] = <float>(0.5 * t * t * scale)


cdef inline void blend(float* out, const float* a, const float* b, const float* c, const float* d,
                       const float* w, int n) noexcept nogil:
    """out = w0 a + w1 b + w2 c + w3 d, element by element."""
    cdef int i
    cdef float w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3]
    for i in range(n):
        out[i] = w0 * a[i] + w1 * b[i] + w2 * c[i] + w3 * d[i]


cdef inline void compose(const PsfTables* psf, const float* mix, int row0, int col0, int rows, int stride,
                         float* out) noexcept nogil:
    """Sum the terms of the PSF at one place of the field, over the nodes that a stamp needs."""
    cdef int phases = psf.oversampling * psf.oversampling, phase, row, term, i
    cdef size_t size = <size_t>phases * psf.nodes * psf.nodes
    cdef const float* source
    cdef float m
    for phase in range(phases):
        for row in range(rows):
            source = psf.planes + (<size_t>phase * psf.nodes + row0 + row) * psf.nodes + col0
            if psf.terms == 1:
                m = mix[0]
                for i in range(stride):
                    out[i] = m * source[i]
            else:
                blend(out, source, source + size, source + 2 * size, source + 3 * size, mix, stride)
                for term in range(4, psf.terms):
                    m = mix[term]
                    if m != 0:
                        for i in range(stride):
                            out[i] += m * source[term * size + i]
            out += stride


cdef void psf_evaluate(
    const PsfTables* psf, const float* mix, double dx, double dy, int half, bint slopes, Stamp* stamp
) noexcept nogil:
    """Fill a stamp with the PSF of a star at (dx, dy) from the centre of the middle pixel, |dx|, |dy| <= 0.5.

    ``mix`` holds the weights of the terms; ``slopes`` asks for the derivatives as well. half <= psf.half - 3.
    """
    cdef int os = psf.oversampling, stride = (2 * half + 4 + 7) // 8 * 8, a, rows, phase, n
    cdef double ux = -dx * os, uy = -dy * os, fx = floor(ux), fy = floor(uy)
    cdef float wx[4]
    cdef float wy[4]
    cdef float ex[4]
    cdef float ey[4]
    cdef int px[4]
    cdef int kx[4]
    cdef int py[4]
    cdef int ky[4]
    spline_weights(ux - fx, -os, wx, ex)
    spline_weights(uy - fy, -os, wy, ey)
    for a in range(4):
        kx[a] = (<int>fx - 1 + a + 64 * os) // os - 64
        px[a] = <int>fx - 1 + a - kx[a] * os
        ky[a] = (<int>fy - 1 + a + 64 * os) // os - 64
        py[a] = <int>fy - 1 + a - ky[a] * os
    rows = 2 * half + 1 + ky[3] - ky[0]
    compose(psf, mix, psf.half + ky[0] - half, psf.half + kx[0] - half, rows, stride, stamp.composed)
    n = rows * stride
    cdef const float* base
    for phase in range(os):
        base = stamp.composed + <size_t>phase * os * n
        blend(stamp.across + phase * n, base + px[0] * n, base + px[1] * n + kx[1] - kx[0],
              base + px[2] * n + kx[2] - kx[0], base + px[3] * n + kx[3] - kx[0], wx, n)
        if slopes:
            blend(stamp.across_slope + phase * n, base + px[0] * n, base + px[1] * n + kx[1] - kx[0],
                  base + px[2] * n + kx[2] - kx[0], base + px[3] * n + kx[3] - kx[0], ex, n)
    cdef int at[4]
    for a in range(4):
        at[a] = py[a] * n + (ky[a] - ky[0]) * stride
    stamp.half = half
    stamp.stride = stride
    n = (2 * half + 1) * stride
    base = stamp.across
    blend(stamp.value, base + at[0], base + at[1], base + at[2], base + at[3], wy, n)
    if slopes:
        blend(stamp.slope_y, base + at[0], base + at[1], base + at[2], base + at[3], ey, n)
        base = stamp.across_slope
        blend(stamp.slope_x, base + at[0], base + at[1], base + at[2], base + at[3], wy, n)


def evaluate_stamps(
    const float[::1] planes, int terms, int oversampling, int half_table, const float[:, ::1] mix,
    const double[::1] x, const double[::1] y, int half, float[:, :, :, ::1] out,
):
    """Fill ``out`` (n, 3, 2 half + 1, 2 half + 1) with values and derivatives to x and y around the nearest pixels.

    With one plane instead of three, the values alone.
    """
    cdef PsfTables psf = psf_tables(planes, terms, oversampling, half_table)
    cdef Stamp stamp
    cdef Py_ssize_t s, j, i
    cdef bint slopes = out.shape[1] == 3
    if not stamp_allocate(&stamp, half, oversampling):
        stamp_release(&stamp)
        raise MemoryError("no memory for PSF stamps")
    with nogil:
        for s in range(x.shape[0]):
            psf_evaluate(&psf, &mix[s, 0], x[s] - floor(x[s] + 0.5), y[s] - floor(y[s] + 0.5), half, slopes, &stamp)
            for j in range(2 * half + 1):
                for i in range(2 * half + 1):
                    out[s, 0, j, i] = stamp.value[j * stamp.stride + i]
                    if slopes:
                        out[s, 1, j, i] = stamp.slope_x[j * stamp.stride + i]
                        out[s, 2, j, i] = stamp.slope_y[j * stamp.stride + i]
    stamp_release(&stamp)
