# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Kernel of ``apertures.py``: sums over circles with exact pixel overlap, and clipped medians of annuli.

The plain numpy forms are in ``tests/photometry/algorithms/apertures/test_photometry.py``.
"""

from libc.math cimport NAN, asin, ceil, fabs, floor, isfinite, sqrt
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

cdef enum:
    BAD = 1
    LANES = 8             # partial sums, so that additions do not wait for each other
    NARROW = 24           # values left when the search for a median ends by sorting them

cdef double HALF = 0.5
cdef double QUARTER_TURN = 1.5707963267948966
cdef double NEGLIGIBLE_PX2 = 1e-12


cdef struct Cutout:
    # Pixels around one star, what is wrong with them, and the same as values and weights (0 where bad).
    float* pixels
    unsigned char* bits
    double* values
    double* good
    int side
    int x0
    int y0
    unsigned char met


cdef void sums_about(const float* values, int n, float origin, double* first, double* second) noexcept nogil:
    """Sum and sum of squares of values minus origin."""
    cdef double s[LANES]
    cdef double q[LANES]
    cdef double d
    cdef int k, lane, whole = n - n % LANES
    for lane in range(LANES):
        s[lane] = 0.0
        q[lane] = 0.0
    k = 0
    while k < whole:
        for lane in range(LANES):
            d = values[k + lane] - origin
            s[lane] += d
            q[lane] += d * d
        k += LANES
    for k in range(whole, n):
        d = values[k] - origin
        s[0] += d
        q[0] += d * d
    first[0] = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]))
    second[0] = ((q[0] + q[1]) + (q[2] + q[3])) + ((q[4] + q[5]) + (q[6] + q[7]))


cdef int count_below(const float* values, int n, float limit) noexcept nogil:
    cdef int k, count = 0
    for k in range(n):
        count += values[k] < limit
    return count


cdef double sorted_middle(float* values, int n, int low_rank, int high_rank) noexcept nogil:
    """Mean of two order statistics of a few values, by insertion sort."""
    cdef int i, j
    cdef float v
    for i in range(1, n):
        v = values[i]
        j = i
        while j > 0 and values[j - 1] > v:
            values[j] = values[j - 1]
            j -= 1
        values[j] = v
    return HALF * (<double>values[low_rank] + <double>values[high_rank])


cdef double median(const float* values, int n, double mean, double sigma, float* few) noexcept nogil:
    """Median, the mean of the middle two when n is even.

    A median lies within one sigma of the mean; counting halves that interval until few values are left to sort.
    """
    cdef float low = <float>(mean - sigma), high = <float>(mean + sigma), middle
    cdef int below_low, below_high, below, k, left, lower = (n - 1) // 2, upper = n // 2
    low -= <float>(1e-6 * (fabs(low) + sigma))
    high += <float>(1e-6 * (fabs(high) + sigma))
    below_low = count_below(values, n, low)
    below_high = count_below(values, n, high)
    while below_low > lower:                     # rounding only
        low -= <float>sigma
        below_low = count_below(values, n, low)
    while below_high <= upper:
        high += <float>(sigma + 1e-6 * fabs(high))
        below_high = count_below(values, n, high)
    while below_high - below_low > NARROW:
        middle = <float>HALF * (low + high)
        if not (low < middle < high):
            return low                           # all that is left is one value
        below = count_below(values, n, middle)
        if below <= lower:
            low = middle
            below_low = below
        elif below > upper:
            high = middle
            below_high = below
        else:
            break                                # the two middle values lie on either side
    if below_high - below_low > NARROW:
        return split_middle(values, n, middle)
    left = 0
    for k in range(n):                           # without branches, which random values would mislead
        few[left] = values[k]
        left += (values[k] >= low) & (values[k] < high)
    return sorted_middle(few, left, lower - below_low, upper - below_low)


cdef double split_middle(const float* values, int n, float between) noexcept nogil:
    """Mean of the largest value below ``between`` and the smallest not below it."""
    cdef float under = -1e38, over = 1e38
    cdef int k
    for k in range(n):
        under = values[k] if under < values[k] < between else under
        over = values[k] if between <= values[k] < over else over
    return HALF * (<double>under + <double>over)


cdef int clipped_median(
    float* values, int n, double clip, int rounds, float* few, double* level, double* sigma
) noexcept nogil:
    """Median and standard deviation after clipping about the median to convergence; returns the number kept."""
    cdef int k, kept, it
    cdef double s, q, mean
    cdef float origin, lowest, highest
    level[0] = NAN
    sigma[0] = NAN
    for it in range(rounds + 1):
        if n == 0:
            return 0
        origin = values[0]
        sums_about(values, n, origin, &s, &q)
        s /= n
        q = q / n - s * s
        sigma[0] = sqrt(q) if q > 0.0 else 0.0
        mean = origin + s
        if not sigma[0] > 1e-6 * fabs(mean):     # equal values, as far as single precision can tell
            level[0] = mean
            return n
        level[0] = median(values, n, mean, sigma[0], few)
        if it == rounds:
            break
        lowest = <float>(level[0] - clip * sigma[0])
        highest = <float>(level[0] + clip * sigma[0])
        kept = 0
        for k in range(n):
            values[kept] = values[k]
            kept += (values[k] >= lowest) & (values[k] <= highest)
        if kept == n:
            break
        n = kept
    return n


cdef void fill_axis(double centre, int first, int count, double r, double* edge, double* sign, double* integral, bint rows) noexcept nogil:
    """Distances of ``count`` pixel borders from the centre, and the integral under the circle out to there.

    For columns at u: integral of sqrt(r^2 - t^2) from 0 to u. For rows at v: that integral up to the point where the
    circle has height v, minus the rectangle below, so that column minus row is the area inside the circle.
    """
    cdef int i
    cdef double d, chord, angle
    for i in range(count):
        d = first + i - HALF - centre
        edge[i] = fabs(d)
        sign[i] = -1.0 if d < 0.0 else 1.0
        d = fabs(d)
        d = d if d < r else r
        chord = sqrt(r * r - d * d)
        angle = asin(d / r)
        if rows:
            integral[i] = HALF * (r * r * (QUARTER_TURN - angle) - d * chord)
        else:
            integral[i] = HALF * (r * r * angle + d * chord)


cdef inline void corner_areas(
    const double* u, const double* sign_u, const double* column, int count, double v, double sign_v, double row,
    double r2, double* out,
) noexcept nogil:
    """Signed areas of the circle between its centre and the corners (u, v) of one border line: odd in u and in v."""
    cdef int i
    cdef double a
    for i in range(count):
        a = u[i] * v if u[i] * u[i] + v * v <= r2 else column[i] - row
        out[i] = a * sign_u[i] * sign_v


cdef void sum_circle(
    const Cutout* c, double x, double y, double r, int nx, int ny, double* work, double* total, double* area,
    unsigned char* found,
) noexcept nogil:
    """Sum and good area in one circle.

    The overlap of a pixel is the difference of its four corner areas; inverse sines are taken once per border line.
    """
    cdef int i0 = <int>floor(x - r + HALF), i1 = <int>ceil(x + r + HALF), j0 = <int>floor(y - r + HALF)
    cdef int j1 = <int>ceil(y + r + HALF), i, j, width, height, side = c.side
    cdef double w
    cdef const double* value
    cdef const double* good
    cdef const unsigned char* bits
    cdef double* u = work
    cdef double* sign_u = u + side + 1
    cdef double* column = sign_u + side + 1
    cdef double* v = column + side + 1
    cdef double* sign_v = v + side + 1
    cdef double* row = sign_v + side + 1
    cdef double* below = row + side + 1
    cdef double* above = below + side + 1
    cdef double* totals = above + side + 1
    cdef double* areas = totals + side + 1
    cdef double* swap
    i0 = i0 if i0 > 0 else 0
    j0 = j0 if j0 > 0 else 0
    i1 = i1 if i1 < nx else nx
    j1 = j1 if j1 < ny else ny
    total[0] = 0.0
    area[0] = 0.0
    found[0] = 0
    width = i1 - i0
    height = j1 - j0
    if width <= 0 or height <= 0:
        return
    fill_axis(x, i0, width + 1, r, u, sign_u, column, False)
    fill_axis(y, j0, height + 1, r, v, sign_v, row, True)
    for i in range(width):
        totals[i] = 0.0
        areas[i] = 0.0
    corner_areas(u, sign_u, column, width + 1, v[0], sign_v[0], row[0], r * r, below)
    for j in range(height):
        corner_areas(u, sign_u, column, width + 1, v[j + 1], sign_v[j + 1], row[j + 1], r * r, above)
        value = c.values + (j0 + j - c.y0) * side + i0 - c.x0
        good = c.good + (j0 + j - c.y0) * side + i0 - c.x0
        for i in range(width):
            w = (above[i + 1] - below[i + 1]) - (above[i] - below[i])
            totals[i] += w * value[i]
            areas[i] += w * good[i]
        if c.met:
            bits = c.bits + (j0 + j - c.y0) * side + i0 - c.x0
            for i in range(width):
                if (above[i + 1] - below[i + 1]) - (above[i] - below[i]) > NEGLIGIBLE_PX2:
                    found[0] |= bits[i]
        swap = below
        below = above
        above = swap
    for i in range(width):
        total[0] += totals[i]
        area[0] += areas[i]


cdef int gather_annulus(const Cutout* c, double cx, double cy, double inner, double outer, float* values) noexcept nogil:
    """Good pixels whose centres lie in the annulus about (cx, cy) of the cutout, row by row between its chords."""
    cdef int i, j, n = 0, first, last, hole_first, hole_last
    cdef double d2, half
    cdef const float* row
    cdef const unsigned char* bits
    for j in range(c.side):
        d2 = outer * outer - (j - cy) * (j - cy)
        if d2 < 0.0:
            continue
        half = sqrt(d2)
        first = <int>ceil(cx - half)
        last = <int>floor(cx + half)
        hole_first = last + 1
        hole_last = last
        d2 = inner * inner - (j - cy) * (j - cy)
        if d2 > 0.0:
            half = sqrt(d2)
            hole_first = <int>floor(cx - half) + 1
            hole_last = <int>ceil(cx + half) - 1
        row = c.pixels + j * c.side
        bits = c.bits + j * c.side
        for i in range(first, hole_first):
            values[n] = row[i]
            n += not bits[i] & BAD
        for i in range(hole_last + 1, last + 1):
            values[n] = row[i]
            n += not bits[i] & BAD
    return n


cdef void cut_out(
    Cutout* c, const float[:, ::1] data, const unsigned char[:, ::1] state, const float[:, :, ::1] stamps, int star,
    int models, int first_x, int first_y,
) noexcept nogil:
    """Copy the pixels around a star; beyond the frame they are bad. Its own model is added."""
    cdef int j, i, jj, i_low, i_high, ny = data.shape[0], nx = data.shape[1], side = c.side, k
    cdef unsigned char met = 0
    memset(c.pixels, 0, <size_t>side * side * sizeof(float))
    memset(c.bits, BAD, <size_t>side * side)
    i_low = -c.x0 if c.x0 < 0 else 0
    i_high = nx - c.x0 if c.x0 + side > nx else side
    for j in range(side):
        jj = c.y0 + j
        if 0 <= jj < ny and i_low < i_high:
            memcpy(c.pixels + j * side + i_low, &data[jj, c.x0 + i_low], (i_high - i_low) * sizeof(float))
            memcpy(c.bits + j * side + i_low, &state[jj, c.x0 + i_low], i_high - i_low)
    for j in range(models):
        jj = first_y + j - c.y0
        if 0 <= jj < side:
            for i in range(models):
                k = first_x + i - c.x0
                if 0 <= k < side:
                    c.pixels[jj * side + k] += stamps[star, j, i]
    for k in range(side * side):
        c.good[k] = 1.0 - (c.bits[k] & BAD)
    for k in range(side * side):
        c.values[k] = 0.0 if c.bits[k] & BAD else c.pixels[k]
    for k in range(side * side):
        met |= c.bits[k]
    c.met = met


def measure(
    const float[:, ::1] data, const unsigned char[:, ::1] state, const double[::1] x, const double[::1] y,
    const double[:, ::1] radii, double inner, double outer, double clip, int rounds, own, const int[:, ::1] own_corner,
    double[:, ::1] total, double[:, ::1] area, unsigned char[:, ::1] found,
    double[::1] level, double[::1] sigma, int[::1] sky_pixels, unsigned char[::1] core,
):
    """Sums over circles and medians of annuli of every star.

    Parameters
    ----------
    data : (ny, nx), electron, background subtracted
    state : (ny, nx), bit 0 = leave out; other bits are collected
    x, y : (n,), pixels
    radii : (n, m), pixels, positive
    inner, outer : annulus, pixels; outer 0 for none
    clip, rounds : clipping of the annulus
    own : (n, k, k) float32 or None, each star's own model, added to ``data`` before summing
    own_corner : (n, 2), first column and row of that model in the frame
    total, area : (n, m), written: sum over the good part of the circle and its area; NaN for positions that are not
        finite
    found : (n, m), written: all bits met in the circle
    level, sigma, sky_pixels : (n,), written: annulus after clipping
    core : (n,), written: all bits met in the 3x3 pixels around the position
    """
    cdef int n = x.shape[0], m = radii.shape[1], ny = data.shape[0], nx = data.shape[1]
    cdef int k, i, j, c, half, cx, cy, models = 0
    cdef double reach = outer
    cdef const float[:, :, ::1] stamps = own
    cdef Cutout cut
    cdef float* sky
    cdef double* work
    cdef float few[NARROW + 1]
    if own is not None:
        models = stamps.shape[1]
    for k in range(n):
        for c in range(m):
            reach = radii[k, c] if radii[k, c] > reach else reach
    half = <int>ceil(reach) + 1
    cut.side = 2 * half + 1
    cut.pixels = <float*>malloc(<size_t>cut.side * cut.side * sizeof(float))
    cut.bits = <unsigned char*>malloc(<size_t>cut.side * cut.side)
    cut.values = <double*>malloc(<size_t>cut.side * cut.side * sizeof(double))
    cut.good = <double*>malloc(<size_t>cut.side * cut.side * sizeof(double))
    sky = <float*>malloc((<size_t>cut.side * cut.side + 1) * sizeof(float))
    work = <double*>malloc(10 * <size_t>(cut.side + 1) * sizeof(double))
    try:
        if (cut.pixels == NULL or cut.bits == NULL or cut.values == NULL or cut.good == NULL or sky == NULL
                or work == NULL):
            raise MemoryError("apertures")
        with nogil:
            for k in range(n):
                level[k] = NAN
                sigma[k] = NAN
                sky_pixels[k] = 0
                core[k] = 0
                for c in range(m):
                    total[k, c] = NAN
                    area[k, c] = 0.0
                    found[k, c] = 0
                if not (isfinite(x[k]) and isfinite(y[k])) or fabs(x[k]) > 1e8 or fabs(y[k]) > 1e8:
                    continue
                cx = <int>floor(x[k] + HALF)
                cy = <int>floor(y[k] + HALF)
                cut.x0 = cx - half
                cut.y0 = cy - half
                cut_out(&cut, data, state, stamps, k, models, own_corner[k, 0], own_corner[k, 1])
                for j in range(cy - 1, cy + 2):
                    for i in range(cx - 1, cx + 2):
                        if 0 <= j < ny and 0 <= i < nx:
                            core[k] |= state[j, i]
                for c in range(m):
                    sum_circle(&cut, x[k], y[k], radii[k, c], nx, ny, work, &total[k, c], &area[k, c], &found[k, c])
                if outer > 0.0:
                    i = gather_annulus(&cut, x[k] - cut.x0, y[k] - cut.y0, inner, outer, sky)
                    sky_pixels[k] = clipped_median(sky, i, clip, rounds, few, &level[k], &sigma[k])
    finally:
        free(cut.pixels)
        free(cut.bits)
        free(cut.values)
        free(cut.good)
        free(sky)
        free(work)
