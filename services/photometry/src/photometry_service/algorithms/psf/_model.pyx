# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Tables of elliptical Moffats, and stamps of a tabulated PSF at sub-pixel places.

A table holds cubic B-spline coefficients of the pixel-integrated PSF on nodes ``oversampling`` times finer than the
pixels. All pixels of a star have the same phase between nodes, hence the same 4 x 4 weights; the tables are kept
phase by phase (every ``oversampling``-th node side by side) so that these sums run along contiguous memory. Where the
PSF changes over the field its terms are summed once for a star, over the nodes that its stamps need.
"""

from libc.math cimport exp, floor, sqrt
from libc.stdlib cimport calloc, free

import numpy as np

from photometry_service.algorithms.psf._elementary cimport alidade_exp, alidade_log

cdef extern from *:
    """
    /* Rows of whole groups of eight numbers, of which ``out`` shares none with the others. */
    static inline void alidade_scale(float *restrict out, const float *a, float weight, size_t n) {
        for (size_t i = 0; i < n; i += 8)
            for (int k = 0; k < 8; ++k)
                out[i + k] = weight * a[i + k];
    }

    static inline void alidade_blend(float *restrict out, const float *a, const float *b, const float *c,
                                     const float *d, const float *weight, size_t n) {
        const float w = weight[0], x = weight[1], y = weight[2], z = weight[3];
        for (size_t i = 0; i < n; i += 8)
            for (int k = 0; k < 8; ++k)
                out[i + k] = w * a[i + k] + x * b[i + k] + y * c[i + k] + z * d[i + k];
    }

    static inline void alidade_blend_more(float *restrict out, const float *a, const float *b, const float *c,
                                          const float *d, const float *weight, size_t n) {
        const float w = weight[0], x = weight[1], y = weight[2], z = weight[3];
        for (size_t i = 0; i < n; i += 8)
            for (int k = 0; k < 8; ++k)
                out[i + k] += w * a[i + k] + x * b[i + k] + y * c[i + k] + z * d[i + k];
    }
    """
    void alidade_scale(float* out, const float* a, float weight, size_t n) noexcept nogil
    void alidade_blend(float* out, const float* a, const float* b, const float* c, const float* d, const float* weight,
                       size_t n) noexcept nogil
    void alidade_blend_more(float* out, const float* a, const float* b, const float* c, const float* d,
                            const float* weight, size_t n) noexcept nogil

cdef enum:
    MARGIN = 3                      # psf.model.MARGIN_PX
    ROOM_FLOATS = 16777216          # 64 MB of local PSFs

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


cdef inline int padded(int width) noexcept nogil:
    """The next multiple of eight."""
    return (width + 7) // 8 * 8


cdef void set_reach(LocalPsf* local, int half, int oversampling) noexcept nogil:
    """Sizes for stamps up to a half size, at any place within the middle pixel."""
    local.oversampling = oversampling
    local.half = half
    local.margin = 2 if oversampling == 1 else 1
    local.rows = 2 * (half + local.margin) + 1
    local.pitch = padded(local.rows)


cdef inline size_t floats_of(const LocalPsf* local) noexcept nogil:
    """Memory of a sum of terms; the last row of a stamp reads a little beyond it."""
    return <size_t>local.oversampling * local.oversampling * local.rows * local.pitch + 16


cdef bint local_allocate(LocalPsf* local, int half, int oversampling) noexcept nogil:
    """Memory for stamps up to a half size; False when there is none. Zeroed, so that unused lanes stay finite."""
    set_reach(local, half, oversampling)
    local.nodes = <float*>calloc(floats_of(local), sizeof(float))
    return local.nodes != NULL


cdef void local_sum(const PsfTables* psf, const float* mix, int half, LocalPsf* local) noexcept nogil:
    """Sum the terms of the PSF at one place of the field, as far as stamps of a half size need them.

    ``mix`` holds the weights of the terms. half <= psf.half - 3, and at most that which the memory was made for.
    """
    cdef int phases = psf.oversampling * psf.oversampling, phase, row, term, first
    cdef size_t size = <size_t>phases * psf.nodes * psf.nodes
    cdef const float* source
    cdef float* out = local.nodes
    set_reach(local, half, psf.oversampling)
    first = psf.half - half - local.margin
    for phase in range(phases):
        for row in range(local.rows):
            source = psf.planes + (<size_t>phase * psf.nodes + first + row) * psf.nodes + first
            if psf.terms == 1:
                alidade_scale(out, source, mix[0], local.pitch)
            else:
                alidade_blend(out, source, source + size, source + 2 * size, source + 3 * size, mix, local.pitch)
                for term in range(4, psf.terms, 4):
                    alidade_blend_more(out, source + term * size, source + (term + 1) * size,
                                       source + (term + 2) * size, source + (term + 3) * size, mix + term, local.pitch)
            out += local.pitch


cdef class StarPsfs:
    """The PSF at the place of each star, summed when it is first asked for and kept while there is room.

    Stars share one sum where the PSF is constant. ``mix`` (n, terms) holds the weights of the terms at the stars; ``room`` is the largest number of floats kept.
    """

    def __cinit__(
        self, const float[::1] planes, int terms, int oversampling, int half_table, const float[:, ::1] mix,
        size_t room=ROOM_FLOATS,
    ):
        self.psf = psf_tables(planes, terms, oversampling, half_table)
        self.planes = planes
        self.mix = mix
        self.room = room
        self.constant = not np.ptp(mix, axis=0).any()
        self.kept = <LocalPsf*>calloc(max(mix.shape[0], 1), sizeof(LocalPsf))
        if not local_allocate(&self.scratch, half_table - MARGIN, oversampling) or self.kept == NULL:
            raise MemoryError("no memory for PSF stamps")

    def __dealloc__(self):
        cdef Py_ssize_t star
        free(self.scratch.nodes)
        if self.kept != NULL:
            for star in range(self.mix.shape[0]):
                free(self.kept[star].nodes)
            free(self.kept)

    cdef const LocalPsf* at(self, Py_ssize_t star, int half) noexcept nogil:
        """The PSF of a star for stamps up to a half size; valid until the next call."""
        cdef LocalPsf* local
        if self.constant:
            star = 0
        local = &self.kept[star]
        if local.nodes != NULL and local.half >= half:
            return local
        if local.nodes != NULL:
            free(local.nodes)
            local.nodes = NULL
            self.room += floats_of(local)
        set_reach(local, half, self.psf.oversampling)
        if floats_of(local) > self.room or not local_allocate(local, half, self.psf.oversampling):
            local_sum(&self.psf, &self.mix[star, 0], half, &self.scratch)
            return &self.scratch
        self.room -= floats_of(local)
        local_sum(&self.psf, &self.mix[star, 0], half, local)
        return local


cdef bint stamp_allocate(Stamp* stamp, int half, int oversampling) noexcept:
    """Memory for stamps up to a half size; False when there is none."""
    cdef size_t stride = padded(2 * half + 4), rows = 2 * half + 5
    cdef size_t plane = rows * stride + 64
    stamp.half = half
    stamp.stride = <int>stride
    stamp.across = <float*>calloc(oversampling * rows * stride + 64, sizeof(float))
    stamp.across_slope = <float*>calloc(oversampling * rows * stride + 64, sizeof(float))
    stamp.value = <float*>calloc(plane, sizeof(float))
    stamp.slope_x = <float*>calloc(plane, sizeof(float))
    stamp.slope_y = <float*>calloc(plane, sizeof(float))
    return (stamp.across != NULL and stamp.across_slope != NULL
            and stamp.value != NULL and stamp.slope_x != NULL and stamp.slope_y != NULL)


cdef void stamp_release(Stamp* stamp) noexcept:
    """Give the memory of a stamp back."""
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


cdef void psf_evaluate(const LocalPsf* psf, double dx, double dy, int half, bint slopes, Stamp* stamp) noexcept nogil:
    """Fill a stamp with the PSF of a star at (dx, dy) from the centre of the middle pixel, |dx|, |dy| <= 0.5.

    ``slopes`` asks for the derivatives as well. half <= psf.half.
    """
    cdef int os = psf.oversampling, stride = padded(2 * half + 1), inset = psf.half - half + psf.margin
    cdef int a, phase, row, rows
    cdef double ux = -dx * os, uy = -dy * os, fx = floor(ux), fy = floor(uy)
    cdef size_t phase_size = <size_t>psf.rows * psf.pitch, n
    cdef float wx[4]
    cdef float wy[4]
    cdef float ex[4]
    cdef float ey[4]
    cdef size_t at_x[4]
    cdef size_t at_y[4]
    cdef int ky[4]
    cdef const float* base
    spline_weights(ux - fx, -os, wx, ex)
    spline_weights(uy - fy, -os, wy, ey)
    for a in range(4):
        row = (<int>fx - 1 + a + 64 * os) // os - 64
        at_x[a] = (<int>fx - 1 + a - row * os) * phase_size + inset + row
        ky[a] = (<int>fy - 1 + a + 64 * os) // os - 64
    rows = 2 * half + 1 + ky[3] - ky[0]
    n = <size_t>rows * stride
    for a in range(4):
        at_y[a] = (<int>fy - 1 + a - ky[a] * os) * n + (ky[a] - ky[0]) * stride
    for phase in range(os):
        base = psf.nodes + phase * os * phase_size + <size_t>(inset + ky[0]) * psf.pitch
        for row in range(rows):
            alidade_blend(stamp.across + phase * n + row * stride, base + at_x[0], base + at_x[1], base + at_x[2],
                          base + at_x[3], wx, stride)
            if slopes:
                alidade_blend(stamp.across_slope + phase * n + row * stride, base + at_x[0], base + at_x[1],
                              base + at_x[2], base + at_x[3], ex, stride)
            base += psf.pitch
    stamp.half = half
    stamp.stride = stride
    n = <size_t>(2 * half + 1) * stride
    base = stamp.across
    alidade_blend(stamp.value, base + at_y[0], base + at_y[1], base + at_y[2], base + at_y[3], wy, n)
    if slopes:
        alidade_blend(stamp.slope_y, base + at_y[0], base + at_y[1], base + at_y[2], base + at_y[3], ey, n)
        base = stamp.across_slope
        alidade_blend(stamp.slope_x, base + at_y[0], base + at_y[1], base + at_y[2], base + at_y[3], wy, n)


def evaluate_stamps(
    const float[::1] planes, int terms, int oversampling, int half_table, const float[:, ::1] mix,
    const double[::1] x, const double[::1] y, int half, float[:, :, :, ::1] out,
):
    """Fill ``out`` (n, 3, 2 half + 1, 2 half + 1) with values and derivatives to x and y around the nearest pixels.

    With one plane instead of three, the values alone.
    """
    cdef PsfTables psf = psf_tables(planes, terms, oversampling, half_table)
    cdef LocalPsf local
    cdef Stamp stamp
    cdef Py_ssize_t s, j, i
    cdef bint slopes = out.shape[1] == 3
    cdef bint ready = local_allocate(&local, half, oversampling)
    ready = stamp_allocate(&stamp, half, oversampling) and ready
    if not ready:
        free(local.nodes)
        stamp_release(&stamp)
        raise MemoryError("no memory for PSF stamps")
    with nogil:
        for s in range(x.shape[0]):
            local_sum(&psf, &mix[s, 0], half, &local)
            psf_evaluate(&local, x[s] - floor(x[s] + 0.5), y[s] - floor(y[s] + 0.5), half, slopes, &stamp)
            for j in range(2 * half + 1):
                for i in range(2 * half + 1):
                    out[s, 0, j, i] = stamp.value[j * stamp.stride + i]
                    if slopes:
                        out[s, 1, j, i] = stamp.slope_x[j * stamp.stride + i]
                        out[s, 2, j, i] = stamp.slope_y[j * stamp.stride + i]
    free(local.nodes)
    stamp_release(&stamp)
