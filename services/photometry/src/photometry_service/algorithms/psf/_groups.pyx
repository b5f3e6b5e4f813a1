# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Joint PSF fits of stars that touch, on the residual image of a whole frame."""

from libc.math cimport NAN, fabs, floor, isfinite, sqrt
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from photometry_service.algorithms.psf._model cimport Stamp, StarPsfs, psf_evaluate, stamp_allocate, stamp_release
from photometry_service.algorithms.psf._fit cimport Frame, frame_view, is_inside, limited, render

cdef enum:
    LARGEST = 10            # members of a group, psf_groups.LARGEST_GROUP
    SIZE = 30               # unknowns

cdef struct Group:
    int count
    int unknowns                    # three per member; an unknown that is not fitted has a row of the unit matrix
    double n[900]                   # sum w g g^T
    double m[900]                   # sum w^2 V g g^T
    double b[30]                    # sum w g r
    bint free[30]


cdef bint factorise(double* a, int n) noexcept nogil:
    """Cholesky factor of a symmetric matrix (rows of n) in its lower triangle; False if it is not positive."""
    cdef int i, j, k
    cdef double f
    for i in range(n):
        for j in range(i + 1):
            f = a[i * n + j]
            for k in range(j):
                f -= a[i * n + k] * a[j * n + k]
            if i == j:
                if not f > 0:
                    return False
                a[i * n + i] = sqrt(f)
            else:
                a[i * n + j] = f / a[j * n + j]
    return True


cdef void back_substitute(const double* a, int n, double* v) noexcept nogil:
    """Solve with the factor, in place."""
    cdef int i, k
    for i in range(n):
        for k in range(i):
            v[i] -= a[i * n + k] * v[k]
        v[i] /= a[i * n + i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            v[i] -= a[k * n + i] * v[k]
        v[i] /= a[i * n + i]


cdef void add_pixel(Group* g, const double* slope, double weight, double variance, double residual) noexcept nogil:
    """Add one pixel, whose derivatives to all unknowns are given, to the normal equations (lower triangle)."""
    cdef int i, j, n = g.unknowns
    cdef double w = weight, z = weight * weight * variance
    for i in range(n):
        if slope[i] == 0:
            continue
        g.b[i] += w * slope[i] * residual
        for j in range(i + 1):
            g.n[i * n + j] += w * slope[i] * slope[j]
            g.m[i * n + j] += z * slope[i] * slope[j]


cdef void collect(
    const Frame* frame, Group* g, const Py_ssize_t* member, const double[:, ::1] star, const int[::1] half_fit,
    const Stamp* stamps, const Py_ssize_t* cx, const Py_ssize_t* cy,
) noexcept nogil:
    """Normal equations over the union of the members' fit discs."""
    cdef Py_ssize_t y, x, y0 = cy[0], y1 = cy[0], x0 = cx[0], x1 = cx[0], at, dx, dy
    cdef int k, h, i
    cdef bint inside
    cdef double slope[SIZE]
    cdef double model, variance
    memset(g.n, 0, sizeof(g.n))
    memset(g.m, 0, sizeof(g.m))
    memset(g.b, 0, sizeof(g.b))
    for k in range(g.count):
        h = half_fit[member[k]]
        y0, y1 = min(y0, cy[k] - h), max(y1, cy[k] + h)
        x0, x1 = min(x0, cx[k] - h), max(x1, cx[k] + h)
    for y in range(max(y0, 0), min(y1, frame.ny - 1) + 1):
        for x in range(max(x0, 0), min(x1, frame.nx - 1) + 1):
            at = y * frame.nx + x
            if frame.state[at]:
                continue
            inside = False
            for k in range(g.count):
                h = half_fit[member[k]]
                dx, dy = x - cx[k], y - cy[k]
                inside = inside or dx * dx + dy * dy <= h * h + 1
                for i in range(3):
                    slope[3 * k + i] = 0.0
                h = stamps[k].half
                if dx < -h or dx > h or dy < -h or dy > h:
                    continue
                i = <int>((dy + h) * stamps[k].stride + dx + h)
                slope[3 * k] = stamps[k].value[i]
                if g.free[3 * k + 1]:
                    slope[3 * k + 1] = star[member[k], 0] * stamps[k].slope_x[i]
                    slope[3 * k + 2] = star[member[k], 0] * stamps[k].slope_y[i]
            if not inside:
                continue
            model = max(frame.data[at] - frame.residual[at], <float>0.0)
            variance = frame.rms[at] * frame.rms[at] + frame.shot * model
            add_pixel(g, slope, 1.0 / (variance + frame.floor2 * model * model), variance, frame.residual[at])
    for i in range(g.unknowns):
        g.n[i * g.unknowns + i] *= 1.0 + 1e-4 * (i % 3 != 0)
        if not g.free[i] or g.n[i * g.unknowns + i] == 0:
            g.n[i * g.unknowns + i] = 1.0


cdef void covariances(Group* g, const Py_ssize_t* member, double[:, ::1] result) noexcept nogil:
    """Each member's block of N^-1 M N^-1, N factorised, into its row of results."""
    cdef int i, j, k, n = g.unknowns
    cdef double columns[90]
    cdef double c[9]
    for k in range(g.count):
        for i in range(3):                     # three columns of N^-1
            for j in range(n):
                columns[i * SIZE + j] = 1.0 if j == 3 * k + i else 0.0
            back_substitute(g.n, n, &columns[i * SIZE])
        for i in range(3):
            for j in range(3):
                c[3 * i + j] = quadratic(g.m, n, &columns[i * SIZE], &columns[j * SIZE])
        result[member[k], 0] = c[0]
        if g.free[3 * k + 1]:
            result[member[k], 1], result[member[k], 2], result[member[k], 3] = c[4], c[8], c[5]
            result[member[k], 4], result[member[k], 5] = c[1], c[2]
        else:
            for i in range(1, 6):
                result[member[k], i] = NAN


cdef double quadratic(const double* m, int n, const double* a, const double* b) noexcept nogil:
    """a^T M b for a symmetric M given by its lower triangle."""
    cdef int i, j
    cdef double total = 0.0
    for i in range(n):
        for j in range(i):
            total += m[i * n + j] * (a[i] * b[j] + a[j] * b[i])
        total += m[i * n + i] * a[i] * b[i]
    return total


def fit_groups(
    const float[:, ::1] data, float[:, ::1] residual, const float[:, ::1] rms, const unsigned char[:, ::1] state,
    double shot, double weight_floor, StarPsfs psfs, const Py_ssize_t[::1] members, const Py_ssize_t[::1] start,
    const int[::1] half_fit, const int[::1] half_render, int rounds, double largest_step, bint fit_position,
    double[:, ::1] star, double[::1] change, double[:, ::1] result,
):
    """Improve the members of each group together and give them the covariances of the joint fit; see ``fit_psf``.

    ``members[start[k]:start[k + 1]]`` are the stars of group k, at most 10. A group whose equations are singular is
    left as the single fits made it.
    """
    cdef Frame frame = frame_view(data, residual, rms, state, shot, weight_floor)
    cdef Stamp stamps[LARGEST]
    cdef Group group
    cdef Py_ssize_t cx[LARGEST]
    cdef Py_ssize_t cy[LARGEST]
    cdef Py_ssize_t s, number
    cdef const Py_ssize_t* member
    cdef int k, i, step, largest = 1, reach
    cdef double dx, dy, flux
    cdef bint ready = True, usable
    for s in range(members.shape[0]):
        largest = max(largest, half_render[members[s]])
    for k in range(LARGEST):
        ready = stamp_allocate(&stamps[k], largest, psfs.psf.oversampling) and ready
    if not ready:
        for k in range(LARGEST):
            stamp_release(&stamps[k])
        raise MemoryError("no memory for PSF stamps")
    with nogil:
        for number in range(start.shape[0] - 1):
            member = &members[start[number]]
            group.count = <int>(start[number + 1] - start[number])
            group.unknowns = 3 * group.count
            usable = True
            reach = 1
            for k in range(group.count):
                usable = usable and is_inside(star[member[k], 1], star[member[k], 2], &frame, 0)
                reach = max(reach, half_render[member[k]])
            for step in range(rounds + 1):
                if not usable:
                    break
                for k in range(group.count):
                    s = member[k]
                    cx[k], cy[k] = <Py_ssize_t>floor(star[s, 1] + 0.5), <Py_ssize_t>floor(star[s, 2] + 0.5)
                    psf_evaluate(psfs.at(s, reach), star[s, 1] - cx[k], star[s, 2] - cy[k], reach, True, &stamps[k])
                    group.free[3 * k] = True
                    group.free[3 * k + 1] = fit_position and result[s, 1] > 0
                    group.free[3 * k + 2] = group.free[3 * k + 1]
                collect(&frame, &group, member, star, half_fit, stamps, cx, cy)
                if not factorise(group.n, group.unknowns):
                    break
                if step == rounds:
                    covariances(&group, member, result)
                    break
                back_substitute(group.n, group.unknowns, group.b)
                for i in range(group.unknowns):
                    usable = usable and isfinite(group.b[i])
                if not usable:
                    break
                for k in range(group.count):
                    s = member[k]
                    flux = star[s, 0]
                    render(&frame, psfs.at(s, reach), flux, star[s, 1], star[s, 2], half_render[s], 1.0, &stamps[k])
                    dx, dy = limited(group.b[3 * k + 1], largest_step), limited(group.b[3 * k + 2], largest_step)
                    star[s, 0] = flux + group.b[3 * k]
                    star[s, 1] += dx
                    star[s, 2] += dy
                    change[s] = max(sqrt(dx * dx + dy * dy), 0.03 * fabs(group.b[3 * k]) * sqrt(result[s, 12]))
                    render(&frame, psfs.at(s, reach), star[s, 0], star[s, 1], star[s, 2], half_render[s], -1.0,
                           &stamps[k])
                    usable = usable and is_inside(star[s, 1], star[s, 2], &frame, 0)
    for k in range(LARGEST):
        stamp_release(&stamps[k])
