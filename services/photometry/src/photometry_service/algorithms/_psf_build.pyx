# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Normal equations of the PSF build: stars against shape terms, and pixels against a residual spline."""

from libc.math cimport floor, sqrt
from libc.stdlib cimport calloc, free

from photometry_service.algorithms._psf cimport (
    PsfTables, Stamp, psf_evaluate, psf_tables, stamp_allocate, stamp_release,
)

cdef enum:
    OWN = 4                 # flux, x, y, sky of a star
    ALL = 8                 # and ln s, e1, e2, beta of the PSF


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


def star_equations(
    const float[:, ::1] data, const unsigned char[:, ::1] mask, const float[:, ::1] rms, double shot,
    const float[::1] planes, int terms, const float[:, ::1] mix, const float[:, ::1] derivative_planes,
    int oversampling, int half_table, int half, double radius, double weight_floor, double clip, bint with_shape,
    double[:, ::1] star, double[:, :, ::1] matrix, double[:, ::1] vector, double[::1] chi2_red,
):
    """One Gauss-Newton step of each star's (flux, x, y, sky), and what the stars say about the shape.

    ``star`` (n, 4) is updated in place. ``matrix`` (n, 4, 4) and ``vector`` (n, 4) become the normal equations of
    d ln s, d e1, d e2, d beta at each star, its own four unknowns eliminated (Schur complement). Stars with fewer
    than 8 good pixels keep their values and get ``chi2_red`` = NaN (set by the caller beforehand).
    """
    cdef PsfTables psf = psf_tables(planes, terms, oversampling, half_table)
    cdef PsfTables derivative[4]
    cdef Stamp value, part
    cdef int k, c, j, i, m, good, columns = ALL if with_shape else OWN, size = (2 * half + 1) * (2 * half + 1) + 8
    cdef Py_ssize_t s, cx, cy, yy, xx
    cdef double dx, dy, flux, p, r, v, w, model, chi
    cdef float one = 1.0
    cdef bint ready
    cdef double n[64]
    cdef double own[16]
    cdef double rhs[20]
    cdef double g[8]
    cdef int* place = <int*>calloc(size, sizeof(int))
    cdef double* design = <double*>calloc(<size_t>size * (2 * ALL + 2), sizeof(double))
    cdef double* weighted = design + size * ALL
    cdef double* residual = weighted + size * ALL
    cdef double* weight = residual + size
    ready = stamp_allocate(&value, half, oversampling)
    ready = stamp_allocate(&part, half, oversampling) and ready
    if not ready or place == NULL or design == NULL:
        stamp_release(&value); stamp_release(&part); free(place); free(design)
        raise MemoryError("no memory for the PSF stars")
    if with_shape:
        for k in range(4):
            derivative[k] = psf_tables(derivative_planes[k], 1, oversampling, half_table)
    with nogil:
        for s in range(star.shape[0]):
            flux = star[s, 0]
            cx = <Py_ssize_t>floor(star[s, 1] + 0.5)
            cy = <Py_ssize_t>floor(star[s, 2] + 0.5)
            dx = star[s, 1] - cx
            dy = star[s, 2] - cy
            psf_evaluate(&psf, &mix[s, 0], dx, dy, half, True, &value)
            m = 0
            chi = 0.0
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
                    w = 1.0 / (v + weight_floor * weight_floor * model * model)
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
                    psf_evaluate(&derivative[c], &one, dx, dy, half, False, &part)
                    for i in range(m):
                        design[(OWN + c) * size + i] = flux * part.value[place[i]]
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
    stamp_release(&value); stamp_release(&part); free(place); free(design)


def residual_equations(
    const float[:, ::1] data, const unsigned char[:, ::1] mask, const float[:, ::1] rms, double shot,
    const float[::1] planes, int terms, const float[:, ::1] mix, int oversampling, int half_table,
    int half, double radius, double weight_floor, double clip, const double[:, ::1] star,
    double spacing, int nodes, double[:, ::1] band, double[::1] vector,
):
    """Add the pixels of stars to the normal equations of a cubic spline of (data - sky) / flux - PSF.

    The spline has ``nodes`` x ``nodes`` coefficients ``spacing`` pixels apart, the star at the middle one.
    ``band[j, k]`` is element (j + k, j) of the symmetric matrix, 0 <= k <= 3 nodes + 3.
    """
    cdef PsfTables psf = psf_tables(planes, terms, oversampling, half_table)
    cdef Stamp value
    cdef Py_ssize_t s, cx, cy, yy, xx
    cdef int j, i, a, c, k, centre = nodes // 2, width = 2 * half + 1
    cdef double dx, dy, flux, p, r, w, model, t, u, wa
    cdef int index[16]
    cdef double weight[16]
    cdef int* base = <int*>calloc(2 * width, sizeof(int))
    cdef double* spline = <double*>calloc(8 * width, sizeof(double))
    if not stamp_allocate(&value, half, oversampling) or base == NULL or spline == NULL:
        stamp_release(&value); free(base); free(spline)
        raise MemoryError("no memory for the PSF stars")
    with nogil:
        for s in range(star.shape[0]):
            flux = star[s, 0]
            cx = <Py_ssize_t>floor(star[s, 1] + 0.5)
            cy = <Py_ssize_t>floor(star[s, 2] + 0.5)
            dx = star[s, 1] - cx
            dy = star[s, 2] - cy
            psf_evaluate(&psf, &mix[s, 0], dx, dy, half, False, &value)
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
                    w = 1.0 / w
                    if r * r * w > clip * clip:
                        continue
                    w *= flux * flux
                    r /= flux
                    k = 0
                    for a in range(4):
                        for c in range(4):
                            index[k] = (base[width + j + half] + a) * nodes + base[i + half] + c
                            weight[k] = spline[4 * (width + j + half) + a] * spline[4 * (i + half) + c]
                            k += 1
                    for c in range(16):
                        wa = w * weight[c]
                        vector[index[c]] += wa * r
                        for a in range(c, 16):
                            band[index[c], index[a] - index[c]] += wa * weight[a]
    stamp_release(&value); free(base); free(spline)
