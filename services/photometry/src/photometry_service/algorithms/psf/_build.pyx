# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Normal equations of the PSF build: stars against shape terms, and pixels against a residual spline."""

from libc.math cimport exp, floor, sqrt
from libc.stdlib cimport calloc, free

from photometry_service.algorithms.psf._elementary cimport alidade_exp, alidade_log
from photometry_service.algorithms.psf._model cimport (
    LocalPsf, PsfTables, Stamp, local_allocate, local_sum, psf_evaluate, psf_tables, stamp_allocate, stamp_release,
)

cdef enum:
    OWN = 4                 # flux, x, y, sky of a star
    ALL = 8                 # and ln s, e1, e2, beta of the PSF
    LANES = 8               # pixels whose Moffats are computed together


cdef inline double dot(const double* a, const double* b, int n) noexcept nogil:
    """Sum of products in eight fixed partial sums; n a multiple of 8."""
    cdef double part[8]
    cdef int i, k
    for k in range(8):
        part[k] = 0.0
    for i in range(0, n, 8):
        for k in range(8):
            part[k] += a[i + k] * b[i + k]
    return ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]))


cdef bint solve_own(double* n, double* rhs, int columns) noexcept nogil:
    """Solve the 4 x 4 system in place for several right-hand sides (4, columns); False when it is singular."""
    cdef int i, j, k, c
    cdef double f
    for i in range(OWN):
        n[i * OWN + i] *= 1.0 + 1e-9
    for i in range(OWN):                        # Cholesky, lower triangle
        for j in range(i + 1):
            f = n[i * OWN + j]
            for k in range(j):
                f -= n[i * OWN + k] * n[j * OWN + k]
            if i == j:
                if f <= 0:
                    return False
                n[i * OWN + i] = sqrt(f)
            else:
                n[i * OWN + j] = f / n[j * OWN + j]
    for c in range(columns):
        for i in range(OWN):
            f = rhs[i * columns + c]
            for k in range(i):
                f -= n[i * OWN + k] * rhs[k * columns + c]
            rhs[i * columns + c] = f / n[i * OWN + i]
        for i in range(OWN - 1, -1, -1):
            f = rhs[i * columns + c]
            for k in range(i + 1, OWN):
                f -= n[k * OWN + i] * rhs[k * columns + c]
            rhs[i * columns + c] = f / n[i * OWN + i]
    return True


cdef void moffat_sums(
    const double* shape, const double* u, const double* v, const double[:, ::1] rule, double norm, double* sums,
) noexcept nogil:
    """The seven planes of ``moffat_stamp`` at ``LANES`` places, ``sums[plane * LANES + place]``."""
    cdef double s = exp(shape[0]), e1 = shape[1], e2 = shape[2], beta = shape[3], ee = 1.0 - e1 * e1 - e2 * e2
    cdef double c1 = -e1 / ee, c2 = -e2 / ee, cb = 1.0 / (beta - 1.0)
    cdef double uu, vv, q, a1, a2, p, lb, t, w, du, dv
    cdef double s0[LANES]
    cdef double s1[LANES]
    cdef double s2[LANES]
    cdef double s3[LANES]
    cdef double s4[LANES]
    cdef double s5[LANES]
    cdef double s6[LANES]
    cdef int k, a, b, m = <int>rule.shape[1]
    for k in range(LANES):
        s0[k] = s1[k] = s2[k] = s3[k] = s4[k] = s5[k] = s6[k] = 0.0
    for a in range(m):
        dv = rule[0, a]
        for b in range(m):
            du = rule[0, b]
            w = rule[1, a] * rule[1, b]
            for k in range(LANES):
                uu = u[k] + du
                vv = v[k] + dv
                a1 = s * (uu * uu - vv * vv)
                a2 = 2.0 * s * uu * vv
                q = s * (uu * uu + vv * vv) + e1 * a1 + e2 * a2
                lb = alidade_log(1.0 + q)
                p = w * alidade_exp(-beta * lb)
                t = beta / (1.0 + q)
                s0[k] += p
                s1[k] += p * t * ((1.0 + e1) * uu + e2 * vv)
                s2[k] += p * t * (e2 * uu + (1.0 - e1) * vv)
                s3[k] += p * (1.0 - t * q)
                s4[k] += p * (c1 - t * a1)
                s5[k] += p * (c2 - t * a2)
                s6[k] += p * (cb - lb)
    for k in range(LANES):
        sums[k] = norm * s0[k]
        sums[LANES + k] = norm * 2.0 * s * s1[k]
        sums[2 * LANES + k] = norm * 2.0 * s * s2[k]
        sums[3 * LANES + k] = norm * s3[k]
        sums[4 * LANES + k] = norm * s4[k]
        sums[5 * LANES + k] = norm * s5[k]
        sums[6 * LANES + k] = norm * s6[k]


cdef void moffat_stamp(
    const double* shape, double dx, double dy, int half, double radius, const double[:, ::1] inner,
    const double[:, ::1] outer, int stride, float* out, size_t plane,
) noexcept nogil:
    """P, dP/dx, dP/dy, dP/d(ln s, e1, e2, beta) of a star at (dx, dy) on the pixels within a radius; seven planes."""
    cdef double e1 = shape[1], e2 = shape[2], beta = shape[3], s = exp(shape[0])
    cdef double norm = (beta - 1.0) / 3.141592653589793 * s * sqrt(1.0 - e1 * e1 - e2 * e2)
    cdef double reach = 9.0 * (exp(0.6931471805599453 / beta) - 1.0)
    cdef double uu, vv, q
    cdef double u[2 * LANES]
    cdef double v[2 * LANES]
    cdef double sums[7 * LANES]
    cdef int at[2 * LANES]
    cdef int count[2]
    cdef int j, i, k, c, near, first
    count[0] = count[1] = 0
    for k in range(2 * LANES):
        u[k] = v[k] = 0.0
    for j in range(-half, half + 2):
        for i in range(-half, half + 1):
            if j <= half:
                if i * i + j * j > radius * radius:
                    continue
                uu, vv = i - dx, j - dy
                q = s * ((1.0 + e1) * uu * uu + 2.0 * e2 * uu * vv + (1.0 - e1) * vv * vv)
                near = q < reach
                k = near * LANES + count[near]
                u[k], v[k], at[k] = uu, vv, (j + half) * stride + i + half
                count[near] += 1
            for near in range(2):               # as soon as a block is full, or at the end
                if count[near] < (LANES if j <= half else 1):
                    continue
                first = near * LANES
                moffat_sums(shape, u + first, v + first, inner if near else outer, norm, sums)
                for c in range(7):
                    for k in range(count[near]):
                        out[c * plane + at[first + k]] = <float>sums[c * LANES + k]
                count[near] = 0


def star_equations(
    const float[:, ::1] data, const unsigned char[:, ::1] mask, const float[:, ::1] rms, double shot,
    const float[::1] planes, int terms, const float[:, ::1] mix, int oversampling, int half_table,
    const double[:, ::1] shapes, const double[:, ::1] inner, const double[:, ::1] outer,
    int half, double radius, double weight_floor, double clip, double misfit, bint with_shape, double[:, ::1] star,
    double[:, :, ::1] matrix, double[:, ::1] vector, double[::1] chi2_red,
):
    """One Gauss-Newton step of each star's (flux, x, y, sky), and what the stars say about the shape.

    With ``with_shape`` the PSF is the Moffat of each star's row of ``shapes`` (n, 4), else that of the tables.
    ``star`` (n, 4) is updated in place. ``matrix`` (n, 4, 4) and ``vector`` (n, 4) become the normal equations of
    d ln s, d e1, d e2, d beta at each star, its own four unknowns eliminated (Schur complement). ``misfit`` is an error
    of the model in units of its peak, in the weights. Stars with fewer than 8 good pixels keep their values and get
    ``chi2_red`` = NaN (set by the caller beforehand).
    """
    cdef PsfTables psf = psf_tables(planes, terms, oversampling, half_table)
    cdef LocalPsf local
    cdef Stamp value
    cdef int k, c, j, i, m, good, columns = ALL if with_shape else OWN, size = (2 * half + 1) * (2 * half + 1) + 8
    cdef Py_ssize_t s, cx, cy, yy, xx
    cdef double dx, dy, flux, p, r, v, w, model, chi, allowed
    cdef bint ready
    cdef float* analytic
    cdef size_t plane
    cdef double n[64]
    cdef double own[16]
    cdef double rhs[20]
    cdef double g[8]
    cdef int* place = <int*>calloc(size, sizeof(int))
    cdef double* design = <double*>calloc(<size_t>size * (2 * ALL + 2), sizeof(double))
    cdef double* weighted = design + size * ALL
    cdef double* residual = weighted + size * ALL
    cdef double* weight = residual + size
    ready = local_allocate(&local, half, oversampling)
    ready = stamp_allocate(&value, half, oversampling) and ready
    value.stride = (2 * half + 4 + 7) // 8 * 8
    plane = <size_t>(2 * half + 1) * value.stride
    analytic = <float*>calloc(7 * plane, sizeof(float))
    if not ready or place == NULL or design == NULL or analytic == NULL:
        stamp_release(&value); free(place); free(design); free(analytic); free(local.nodes)
        raise MemoryError("no memory for the PSF stars")
    with nogil:
        for s in range(star.shape[0]):
            flux = star[s, 0]
            cx = <Py_ssize_t>floor(star[s, 1] + 0.5)
            cy = <Py_ssize_t>floor(star[s, 2] + 0.5)
            dx = star[s, 1] - cx
            dy = star[s, 2] - cy
            if with_shape:
                moffat_stamp(&shapes[s, 0], dx, dy, half, radius, inner, outer, value.stride, analytic, plane)
                for k in range(<int>plane):
                    value.value[k] = analytic[k]
                    value.slope_x[k] = analytic[plane + k]
                    value.slope_y[k] = analytic[2 * plane + k]
            else:
                local_sum(&psf, &mix[s, 0], half, &local)
                psf_evaluate(&local, dx, dy, half, True, &value)
            m = 0
            chi = 0.0
            allowed = misfit * flux * value.value[half * value.stride + half]
            for j in range(-half, half + 1):
                yy = cy + j
                if yy < 0 or yy >= data.shape[0]:
                    continue
                for i in range(-half, half + 1):
                    xx = cx + i
                    if xx < 0 or xx >= data.shape[1] or i * i + j * j > radius * radius or mask[yy, xx]:
                        continue
                    k = (j + half) * value.stride + i + half
                    p = value.value[k]
                    model = flux * p
                    r = data[yy, xx] - model - star[s, 3]
                    if model < 0:
                        model = 0.0
                    v = rms[yy, xx] * rms[yy, xx] + shot * model
                    w = 1.0 / (v + weight_floor * weight_floor * model * model + allowed * allowed)
                    if r * r * w > clip * clip:
                        continue
                    place[m] = k
                    weight[m] = w
                    residual[m] = r
                    design[m] = p
                    design[size + m] = flux * value.slope_x[k]
                    design[2 * size + m] = flux * value.slope_y[k]
                    design[3 * size + m] = 1.0
                    chi += r * r * w
                    m += 1
            if m < 2 * OWN:
                continue
            if with_shape:
                for c in range(4):
                    for i in range(m):
                        design[(OWN + c) * size + i] = flux * analytic[(3 + c) * plane + place[i]]
            good = m
            while m % 8:                        # fill up with pixels of no weight
                weight[m] = 0.0
                residual[m] = 0.0
                for c in range(columns):
                    design[c * size + m] = 0.0
                m += 1
            for c in range(columns):
                for i in range(m):
                    weighted[c * size + i] = weight[i] * design[c * size + i]
            for c in range(columns):
                g[c] = dot(weighted + c * size, residual, m)
                for k in range(c + 1):
                    n[c * ALL + k] = dot(weighted + c * size, design + k * size, m)
                    n[k * ALL + c] = n[c * ALL + k]
            for c in range(OWN):
                for k in range(OWN):
                    own[c * OWN + k] = n[c * ALL + k]
                    rhs[c * 5 + 1 + k] = n[c * ALL + OWN + k] if with_shape else 0.0
                rhs[c * 5] = g[c]
            if not solve_own(own, rhs, 5):
                continue
            chi2_red[s] = chi / (good - OWN)
            if with_shape:
                for c in range(4):
                    vector[s, c] = g[OWN + c]
                    for k in range(OWN):
                        vector[s, c] -= n[(OWN + c) * ALL + k] * rhs[k * 5]
                    for j in range(4):
                        matrix[s, c, j] = n[(OWN + c) * ALL + OWN + j]
                        for k in range(OWN):
                            matrix[s, c, j] -= n[(OWN + c) * ALL + k] * rhs[k * 5 + 1 + j]
            star[s, 0] += rhs[0]
            star[s, 1] += min(0.3, max(-0.3, rhs[5]))
            star[s, 2] += min(0.3, max(-0.3, rhs[10]))
            star[s, 3] += rhs[15]
    stamp_release(&value); free(place); free(design); free(analytic); free(local.nodes)


def residual_equations(
    const float[:, ::1] data, const unsigned char[:, ::1] mask, const float[:, ::1] rms, double shot,
    const float[::1] planes, int terms, const float[:, ::1] mix, int oversampling, int half_table,
    int half, double radius, double weight_floor, double clip, double misfit, const double[:, ::1] star,
    const double[::1] factor,
    double spacing, int nodes, double[:, ::1] band, double[::1] vector,
):
    """Add the pixels of stars to the normal equations of a cubic spline R, factor R = (data - sky) / flux - PSF.

    The spline has ``nodes`` x ``nodes`` coefficients ``spacing`` pixels apart, the star at the middle one.
    ``band[j, k]`` is element (j + k, j) of the symmetric matrix, 0 <= k <= 3 nodes + 3. ``misfit``, an error of the
    model in units of its peak, only widens the limit beyond which pixels are ignored.
    """
    cdef PsfTables psf = psf_tables(planes, terms, oversampling, half_table)
    cdef LocalPsf local
    cdef Stamp value
    cdef Py_ssize_t s, cx, cy, yy, xx
    cdef int j, i, a, c, k, centre = nodes // 2, width = 2 * half + 1
    cdef double dx, dy, flux, p, r, w, model, t, u, wa, allowed
    cdef int index[16]
    cdef double weight[16]
    cdef int* base = <int*>calloc(2 * width, sizeof(int))
    cdef double* spline = <double*>calloc(8 * width, sizeof(double))
    cdef bint ready = local_allocate(&local, half, oversampling)
    ready = stamp_allocate(&value, half, oversampling) and ready
    if not ready or base == NULL or spline == NULL:
        stamp_release(&value); free(base); free(spline); free(local.nodes)
        raise MemoryError("no memory for the PSF stars")
    with nogil:
        for s in range(star.shape[0]):
            flux = star[s, 0]
            cx = <Py_ssize_t>floor(star[s, 1] + 0.5)
            cy = <Py_ssize_t>floor(star[s, 2] + 0.5)
            dx = star[s, 1] - cx
            dy = star[s, 2] - cy
            local_sum(&psf, &mix[s, 0], half, &local)
            psf_evaluate(&local, dx, dy, half, False, &value)
            allowed = misfit * flux * value.value[half * value.stride + half]
            for k in range(2 * width):
                u = ((k % width) - half - (dx if k < width else dy)) / spacing
                base[k] = centre + <int>floor(u) - 1
                t = u - floor(u)
                u = 1.0 - t
                spline[4 * k] = u * u * u / 6.0
                spline[4 * k + 1] = (3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0
                spline[4 * k + 2] = (3.0 * u * u * u - 6.0 * u * u + 4.0) / 6.0
                spline[4 * k + 3] = t * t * t / 6.0
            for j in range(-half, half + 1):
                yy = cy + j
                if yy < 0 or yy >= data.shape[0] or base[width + j + half] < 0 or base[width + j + half] + 3 >= nodes:
                    continue
                for i in range(-half, half + 1):
                    xx = cx + i
                    if xx < 0 or xx >= data.shape[1] or i * i + j * j > radius * radius or mask[yy, xx]:
                        continue
                    if base[i + half] < 0 or base[i + half] + 3 >= nodes:
                        continue
                    p = value.value[(j + half) * value.stride + i + half]
                    r = data[yy, xx] - flux * p - star[s, 3]
                    model = flux * p if p > 0 else 0.0
                    w = rms[yy, xx] * rms[yy, xx] + shot * model + weight_floor * weight_floor * model * model
                    if r * r > clip * clip * (w + allowed * allowed):
                        continue
                    w = 1.0 / w
                    r *= w * flux * factor[s]
                    w *= flux * flux * factor[s] * factor[s]
                    k = 0
                    for a in range(4):
                        for c in range(4):
                            index[k] = (base[width + j + half] + a) * nodes + base[i + half] + c
                            weight[k] = spline[4 * (width + j + half) + a] * spline[4 * (i + half) + c]
                            k += 1
                    for c in range(16):
                        wa = w * weight[c]
                        vector[index[c]] += weight[c] * r
                        for a in range(c, 16):
                            band[index[c], index[a] - index[c]] += wa * weight[a]
    stamp_release(&value); free(base); free(spline); free(local.nodes)
