# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Kernel of ``cosmic_rays.py``: L.A.Cosmic with every median asked only where and how far a decision needs it.

The decisions are "is a median above a limit", and a median of 25 values is above a limit when 13 values are. So no
median is computed: values are counted, with limits widened by the rounding errors of the whole-frame algorithm. Only
where a count falls between the widened limits is the median itself taken, in single precision and in the order of
operations of astroscrappy, so that the mask is the same to the pixel.

Symbols: ``a`` the frame (electron), ``v`` its variance (electron^2), L the positive Laplacian of the 2x2 subsampled
frame, N the noise sqrt(median v), S = L / 2N, S' = S - median S, F the fine structure of stars. The plain numpy form
is in ``tests/photometry/algorithms/cosmic_rays/test_search.py``.
"""

from libc.math cimport sqrt, sqrtf
from libc.stdlib cimport calloc, free, malloc, realloc

cdef enum:
    TILE = 32             # pixels; wider than all windows together
    PATCH = 33            # pixels; a window of separable medians (9) and the largest kernel (25), less one

cdef enum Cleaning:       # what a hit is replaced by; the order of ``CLEANING`` in ``cosmic_rays.py``
    MEAN
    MEDIAN
    DISTANCE
    ALL_MEDIAN

cdef float SMALLEST_VARIANCE = 1e-5
cdef float SMALLEST_FINE_STRUCTURE = 0.01
cdef double MARGIN = 4e-6     # relative; float32 rounding of three operations is below 4e-7


cdef struct Pixels:
    # A growing list of flat pixel numbers.
    int* at
    int n
    int room
    bint failed


cdef struct Plane:
    # The frame and its helpers, all (ny, nx) in C order.
    float* a
    float* v
    unsigned char* bad
    int ny
    int nx
    bint full
    float* inverse_floor    # 1 / (2 N0) of every tile: S can not be larger than L times this
    int tiles_x
    float sigclip
    float low
    float objlim
    const float* kernel     # (2 half_kernel + 1)^2 of a matched filter, as it is turned in a convolution; NULL: medians
    int half_kernel


cdef inline float smaller(float a, float b) noexcept nogil:
    return a if a < b else b


cdef inline float larger(float a, float b) noexcept nogil:
    return b if a < b else a


cdef inline void push(Pixels* list, int value) noexcept nogil:
    cdef int* more
    if list.n == list.room:
        more = <int*>realloc(list.at, 2 * <size_t>list.room * sizeof(int))
        if more == NULL:
            list.failed = True
            return
        list.at = more
        list.room *= 2
    list.at[list.n] = value
    list.n += 1


cdef Pixels new_list() noexcept nogil:
    cdef Pixels list
    list.room = 4096
    list.at = <int*>malloc(list.room * sizeof(int))
    list.n = 0
    list.failed = list.at == NULL
    return list


cdef float select(float* values, int n) noexcept nogil:
    """The lower median of n values; ``values`` is reordered."""
    cdef int low = 0, high = n - 1, k = (n - 1) // 2, i, j
    cdef float pivot, swap
    while low < high:
        pivot = values[k]
        i = low
        j = high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                swap = values[i]
                values[i] = values[j]
                values[j] = swap
                i += 1
                j -= 1
        if j < k:
            low = i
        if k < i:
            high = j
    return values[k]


cdef inline void order(float* a, float* b) noexcept nogil:
    cdef float lower = a[0] if a[0] < b[0] else b[0]
    b[0] = b[0] if a[0] < b[0] else a[0]
    a[0] = lower


cdef inline float median5(const float* p, int step) noexcept nogil:
    """Median of five values by a network of comparisons."""
    cdef float a = p[0], b = p[step], c = p[2 * step], d = p[3 * step], e = p[4 * step]
    order(&a, &b)
    order(&d, &e)
    d = larger(a, d)
    b = smaller(b, e)
    order(&b, &c)
    return larger(b, smaller(c, d))


cdef inline float median7(const float* p, int step) noexcept nogil:
    """Median of seven values."""
    cdef float a = p[0], b = p[step], c = p[2 * step], d = p[3 * step], e = p[4 * step], f = p[5 * step], g = p[6 * step]
    order(&a, &f)
    order(&a, &d)
    order(&b, &g)
    order(&c, &e)
    b = larger(a, b)
    order(&d, &f)
    order(&c, &g)
    d = larger(c, d)
    d = smaller(d, g)
    e = smaller(e, f)
    order(&b, &e)
    d = larger(b, d)
    return smaller(d, e)


cdef inline float median9(const float* p, int row, int step) noexcept nogil:
    """Median of three triples that start ``row`` apart: median of high minimum, middle median and low maximum."""
    cdef float a = p[0], b = p[step], c = p[2 * step]
    cdef float d = p[row], e = p[row + step], f = p[row + 2 * step]
    cdef float g = p[2 * row], h = p[2 * row + step], i = p[2 * row + 2 * step]
    order(&b, &c)
    order(&a, &b)
    order(&b, &c)
    order(&e, &f)
    order(&d, &e)
    order(&e, &f)
    order(&h, &i)
    order(&g, &h)
    order(&h, &i)
    g = larger(larger(a, d), g)
    c = smaller(smaller(c, f), i)
    order(&b, &e)
    e = larger(b, smaller(e, h))
    order(&e, &c)
    return smaller(larger(g, e), c)


cdef float noise_median(const float* centre, int nx, bint full) noexcept nogil:
    """Median of the 5x5, or median of the rows' medians of the 7x7."""
    cdef float values[25]
    cdef const float* p
    cdef int j, i
    if full:
        for j in range(5):
            p = centre + ((j - 2) * nx - 2)
            for i in range(5):
                values[5 * j + i] = p[i]
        return select(values, 25)
    for j in range(7):
        values[j] = median7(centre + ((j - 3) * nx - 3), 1)
    return median7(values, 1)


cdef inline bint median_above(const float* centre, int nx, bint full, float limit) noexcept nogil:
    """Whether the noise window's median is above ``limit``: 5x5, or 7x7 separable."""
    cdef int j, n = 0, rows = 0
    cdef const float* r
    if full:
        for j in range(-2, 3):
            r = centre + (j * nx - 2)
            n += (r[0] > limit) + (r[1] > limit) + (r[2] > limit) + (r[3] > limit) + (r[4] > limit)
        return n >= 13
    for j in range(-3, 4):
        r = centre + (j * nx - 3)
        n = ((r[0] > limit) + (r[1] > limit) + (r[2] > limit) + (r[3] > limit) + (r[4] > limit) + (r[5] > limit)
             + (r[6] > limit))
        rows += n >= 4
    return rows >= 4


cdef inline bint median_below(const float* centre, int nx, bint full, float limit) noexcept nogil:
    """Whether the noise window's median is below ``limit``."""
    cdef int j, n = 0, rows = 0
    cdef const float* r
    if full:
        for j in range(-2, 3):
            r = centre + (j * nx - 2)
            n += (r[0] < limit) + (r[1] < limit) + (r[2] < limit) + (r[3] < limit) + (r[4] < limit)
        return n >= 13
    for j in range(-3, 4):
        r = centre + (j * nx - 3)
        n = ((r[0] < limit) + (r[1] < limit) + (r[2] < limit) + (r[3] < limit) + (r[4] < limit) + (r[5] < limit)
             + (r[6] < limit))
        rows += n >= 4
    return rows >= 4


cdef inline float laplacian(float d, float left, float right, float before, float after) noexcept nogil:
    """L of a pixel with four neighbours, in astroscrappy's order of operations."""
    cdef float q = <float>4.0 * d
    cdef float p0 = larger((((q - d) - left) - d) - before, 0.0)
    cdef float p1 = larger((((q - d) - left) - after) - d, 0.0)
    cdef float p2 = larger((((q - right) - d) - after) - d, 0.0)
    cdef float p3 = larger((((q - right) - d) - d) - before, 0.0)
    return (((p0 + p1) + p2) + p3) * <float>0.25


cdef float laplacian_at(const Plane* f, int j, int i) noexcept nogil:
    """L anywhere: missing neighbours count as nothing, and the first row is summed in double precision."""
    cdef const float* p = f.a + <size_t>j * f.nx + i
    cdef float d = p[0]
    cdef float left = (p - 1)[0] if i > 0 else <float>0.0
    cdef float right = p[1] if i < f.nx - 1 else <float>0.0
    cdef float after = p[f.nx] if j < f.ny - 1 else <float>0.0
    cdef float q, p0, p1, p2, p3
    if j > 0:
        return laplacian(d, left, right, (p - f.nx)[0], after)
    q = <float>4.0 * d
    p0 = larger(<float>(4.0 * d - <double>d - <double>left - <double>d), 0.0)
    p1 = larger((((q - d) - left) - after) - d, 0.0)
    p2 = larger((((q - right) - d) - after) - d, 0.0)
    p3 = larger(<float>(4.0 * d - <double>right - <double>d - <double>d), 0.0)
    return (((p0 + p1) + p2) + p3) * <float>0.25


cdef inline bint outside(const Plane* f, int j, int i, int border) noexcept nogil:
    return j < border or i < border or j >= f.ny - border or i >= f.nx - border


cdef float noise_at(const Plane* f, int j, int i) noexcept nogil:
    """N; near the edge, where medians copy, from the pixel's own variance."""
    cdef int half = 2 if f.full else 3
    cdef const float* v = f.v + <size_t>j * f.nx + i
    cdef float variance = v[0] if outside(f, j, i, half) else noise_median(v, f.nx, f.full)
    return sqrtf(larger(variance, SMALLEST_VARIANCE))


cdef bint significance_above(const Plane* f, int j, int i, float lap, float limit) noexcept nogil:
    """Whether S = lap / 2N > limit at a pixel that has its noise window."""
    cdef double edge = lap / (2.0 * limit)
    cdef const float* v = f.v + <size_t>j * f.nx + i
    edge *= edge
    if median_above(v, f.nx, f.full, <float>(edge * (1 + MARGIN))):
        return False
    if edge * (1 - MARGIN) > SMALLEST_VARIANCE and median_below(v, f.nx, f.full, <float>(edge * (1 - MARGIN))):
        return True
    return lap / (<float>2.0 * noise_at(f, j, i)) > limit


cdef bint element_passes(
    const Plane* f, int j, int i, float centre, float limit, float divisor, double room, double bound
) noexcept nogil:
    """Whether (centre - S) / divisor > limit for the S of one pixel of the window; room = centre - limit divisor."""
    cdef float lap = laplacian_at(f, j, i)
    cdef double margin = MARGIN * (centre + limit * divisor), edge
    cdef const float* v = f.v + <size_t>j * f.nx + i
    if lap * bound < room - margin:
        return True
    if not outside(f, j, i, 2 if f.full else 3):
        if room > margin:
            edge = lap / (2.0 * (room - margin))
            edge *= edge * (1 + MARGIN)
            if edge < 0.9 * SMALLEST_VARIANCE or median_above(v, f.nx, f.full, <float>edge):
                return True
        edge = lap / (2.0 * (room + margin))
        edge *= edge * (1 - MARGIN)
        if edge > SMALLEST_VARIANCE and median_below(v, f.nx, f.full, <float>edge):
            return False
    return (centre - lap / (<float>2.0 * noise_at(f, j, i))) / divisor > limit


cdef bint contrast_above(const Plane* f, int j, int i, float centre, float limit, float divisor) noexcept nogil:
    """Whether S' / divisor > limit, S' = centre - median of S; False where the medians copy (S' = 0)."""
    cdef int half = 2 if f.full else 3, y, x, yes = 0, no = 0, rows_yes = 0, rows_no = 0
    cdef double room = centre - <double>limit * divisor
    cdef double bound = f.inverse_floor[(j // TILE) * f.tiles_x + i // TILE]
    if outside(f, j, i, half) or room < -MARGIN * (centre + limit * divisor):
        return False
    for y in range(j - half, j + half + 1):
        for x in range(i - half, i + half + 1):
            if element_passes(f, y, x, centre, limit, divisor, room, bound):
                yes += 1
                if f.full and yes == 13:
                    return True
                if not f.full and yes == 4:
                    break
            else:
                no += 1
                if f.full and no == 13:
                    return False
                if not f.full and no == 4:
                    break
        if not f.full:
            rows_yes += yes == 4
            rows_no += no == 4
            if rows_yes == 4:
                return True
            if rows_no == 4:
                return False
            yes = 0
            no = 0
    return False


cdef float fine_structure_full(const Plane* f, int j, int i) noexcept nogil:
    """3x3 median at a pixel minus the median of the 7x7 of them; 0 where the large window leaves the frame."""
    cdef float m[49]
    cdef float centre
    cdef int y, x
    cdef const float* p
    if outside(f, j, i, 3):
        return 0.0
    for y in range(7):
        for x in range(7):
            p = f.a + <size_t>(j - 3 + y) * f.nx + (i - 3 + x)
            m[7 * y + x] = p[0] if outside(f, j - 3 + y, i - 3 + x, 1) else median9(p - f.nx - 1, f.nx, 1)
    centre = m[24]
    return centre - select(m, 49)


cdef float fine_structure_separable(const Plane* f, int j, int i) noexcept nogil:
    """The same with separable medians of 5 and 9 px; the row medians of 5 are shared by the pixels below each other."""
    cdef float rows[13 * 9]
    cdef float m[81]
    cdef float large[9]
    cdef int y, x, jj, ii
    if outside(f, j, i, 4):
        return 0.0
    for y in range(13):
        jj = j - 6 + y
        for x in range(9):
            ii = i - 4 + x
            if 0 <= jj < f.ny and 2 <= ii < f.nx - 2:
                rows[9 * y + x] = median5(f.a + <size_t>jj * f.nx + (ii - 2), 1)
    for y in range(9):
        jj = j - 4 + y
        for x in range(9):
            ii = i - 4 + x
            m[9 * y + x] = f.a[<size_t>jj * f.nx + ii] if outside(f, jj, ii, 2) else median5(rows + (9 * y + x), 9)
    for y in range(9):
        large[y] = median9(m + 9 * y, 3, 1)
    return m[40] - median9(large, 3, 1)


cdef float fine_structure_convolved(const Plane* f, int j, int i) noexcept nogil:
    """The frame through the matched filter, sum k a / N^2 over sum k / N^2, minus the large median of that."""
    cdef float light[PATCH * PATCH]
    cdef float weight[PATCH * PATCH]
    cdef float m[81]
    cdef float large[9]
    cdef int w = 3 if f.full else 4, h = f.half_kernel, side = 2 * (w + h) + 1, size = 2 * h + 1, y, x, l, k, q
    cdef float noise, total, norm, factor, centre
    if outside(f, j, i, w):
        return 0.0
    for y in range(side):
        for x in range(side):
            q = side * y + x
            light[q] = 0.0
            weight[q] = 0.0
            if not outside(f, j - w - h + y, i - w - h + x, 0):
                noise = noise_at(f, j - w - h + y, i - w - h + x)
                light[q] = f.a[<size_t>(j - w - h + y) * f.nx + (i - w - h + x)] / noise / noise
                weight[q] = <float>1.0 / noise / noise
    for y in range(2 * w + 1):
        for x in range(2 * w + 1):
            total = 0.0
            norm = 0.0
            for l in range(size):
                for k in range(size):
                    factor = f.kernel[(size - 1 - l) * size + (size - 1 - k)]
                    total += factor * light[side * (y + l) + (x + k)]
                    norm += factor * weight[side * (y + l) + (x + k)]
            m[(2 * w + 1) * y + x] = total / norm
    if f.full:
        centre = m[24]
        return centre - select(m, 49)
    for y in range(9):
        large[y] = median9(m + 9 * y, 3, 1)
    return m[40] - median9(large, 3, 1)


cdef bint is_cosmic(const Plane* f, int j, int i, float lap) noexcept nogil:
    """The three tests of a candidate that has passed S > sigclip: contrast, then fine structure of a star."""
    cdef float noise = noise_at(f, j, i)
    cdef float s = lap / (<float>2.0 * noise), fine
    if not contrast_above(f, j, i, s, f.sigclip, 1.0):
        return False
    if f.kernel != NULL:
        fine = fine_structure_convolved(f, j, i)
    else:
        fine = fine_structure_full(f, j, i) if f.full else fine_structure_separable(f, j, i)
    fine = larger(fine / noise, SMALLEST_FINE_STRUCTURE)
    return contrast_above(f, j, i, s, f.objlim, fine)


cdef bint grows(const Plane* f, int j, int i, float limit) noexcept nogil:
    """Whether S' > limit, the test of neighbours; S alone is tried first, as S' <= S."""
    cdef float lap
    if outside(f, j, i, 2 if f.full else 3):
        return False
    lap = laplacian_at(f, j, i)
    if not significance_above(f, j, i, lap, limit):
        return False
    return contrast_above(f, j, i, lap / (<float>2.0 * noise_at(f, j, i)), limit, 1.0)


cdef void set_floors(Plane* f, const float* tile_low, int tiles_y) noexcept nogil:
    """1 / 2 N0 of every tile, from the lowest variance of the 3x3 tiles around it."""
    cdef int tj, ti, y, x
    cdef float low
    for tj in range(tiles_y):
        for ti in range(f.tiles_x):
            low = tile_low[tj * f.tiles_x + ti]
            for y in range(tj - 1 if tj > 0 else 0, tj + 2 if tj + 2 < tiles_y else tiles_y):
                for x in range(ti - 1 if ti > 0 else 0, ti + 2 if ti + 2 < f.tiles_x else f.tiles_x):
                    low = smaller(low, tile_low[y * f.tiles_x + x])
            f.inverse_floor[tj * f.tiles_x + ti] = (
                <float>(1.0 + 1e-5) / (<float>2.0 * sqrtf(larger(low, SMALLEST_VARIANCE)))
            )


cdef void mark_saturated_stars(Plane* f, const float* tile_high, int tiles_y, float level, float core) noexcept nogil:
    """Add to ``bad`` the pixels at the level whose noise median says star, and 4 px around.

    Two rounds of the 5x5 kernel without its corners, which leaves the outermost 2 px alone, as astroscrappy does.
    """
    cdef int tj, ti, j, i, y, x, k, q, stage, end, half = 2 if f.full else 3
    cdef const float* p
    cdef Pixels list = new_list()
    for tj in range(tiles_y):
        for ti in range(f.tiles_x):
            if not tile_high[tj * f.tiles_x + ti] >= level:
                continue
            for j in range(tj * TILE, tj * TILE + TILE if tj * TILE + TILE < f.ny else f.ny):
                for i in range(ti * TILE, ti * TILE + TILE if ti * TILE + TILE < f.nx else f.nx):
                    p = f.a + <size_t>j * f.nx + i
                    if p[0] >= level and (
                        p[0] > core if outside(f, j, i, half) else median_above(p, f.nx, f.full, core)
                    ):
                        push(&list, j * f.nx + i)
    for k in range(list.n):
        f.bad[list.at[k]] |= 2
    for stage in range(2):
        end = list.n
        for k in range(end):
            j = list.at[k] // f.nx
            i = list.at[k] % f.nx
            for y in range(-2, 3):
                for x in range(-2, 3):
                    if (x == 2 or x == -2) and (y == 2 or y == -2):
                        continue
                    if outside(f, j + y, i + x, 2):
                        continue
                    q = (j + y) * f.nx + i + x
                    if not f.bad[q] & 2:
                        f.bad[q] |= 2
                        push(&list, q)
    free(list.at)


cdef void scan(const Plane* f, float* row, Pixels* found) noexcept nogil:
    """All pixels with S > sigclip: the Laplacian row by row, counts only where it passes the floor of its tile."""
    cdef int j, i, ti, x0, x1
    cdef const float* p
    cdef float most, limit
    for j in range(2, f.ny - 2):
        p = f.a + <size_t>j * f.nx
        for i in range(1, f.nx - 1):
            row[i] = laplacian(p[i], p[i - 1], p[i + 1], p[i - f.nx], p[i + f.nx])
        for ti in range(f.tiles_x):
            limit = f.sigclip / f.inverse_floor[(j // TILE) * f.tiles_x + ti]
            x0 = ti * TILE if ti > 0 else 2
            x1 = ti * TILE + TILE if ti * TILE + TILE < f.nx - 2 else f.nx - 2
            most = 0.0
            for i in range(x0, x1):
                most = larger(most, row[i])
            if not most > limit:
                continue
            for i in range(x0, x1):
                if row[i] > limit and not f.bad[<size_t>j * f.nx + i] and not outside(f, j, i, 2 if f.full else 3):
                    if significance_above(f, j, i, row[i], f.sigclip):
                        push(found, j * f.nx + i)


cdef float[25] WEIGHTS
WEIGHTS[:] = [
    0.35355339, 0.4472136, 0.5, 0.4472136, 0.35355339,
    0.4472136, 0.70710678, 1.0, 0.70710678, 0.4472136,
    0.5, 1.0, 0.0, 1.0, 0.5,
    0.4472136, 0.70710678, 1.0, 0.70710678, 0.4472136,
    0.35355339, 0.4472136, 0.5, 0.4472136, 0.35355339,
]  # inverse distances in the 5x5, with astroscrappy's digits


cdef void clean_pixel(Plane* f, const unsigned char* hit, int p, int by, float* level) noexcept nogil:
    """Replace a pixel by a mean or median of the good pixels of its 5x5; by ``level`` if there is none."""
    cdef float values[25]
    cdef float variances[25]
    cdef int j, i, n = 0, q
    cdef float total = 0.0, total_v = 0.0, weight, norm = 0.0
    for j in range(-2, 3):
        for i in range(-2, 3):
            q = p + j * f.nx + i
            if not hit[q] and not f.bad[q]:
                weight = WEIGHTS[5 * (j + 2) + i + 2] if by == DISTANCE else <float>1.0
                values[n] = f.a[q]
                variances[n] = f.v[q]
                total += weight * f.a[q]
                total_v += weight * f.v[q]
                norm += weight
                n += 1
    if n == 0:
        f.a[p] = level[0]
        f.v[p] = level[1]
    elif by == MEDIAN:
        f.a[p] = select(values, n)
        f.v[p] = select(variances, n)
    else:
        f.a[p] = total / norm
        f.v[p] = total_v / norm


cdef void clean_by_all(Plane* f, Pixels* changed, float* values) noexcept nogil:
    """Replace pixels by the median of their whole 5x5 before any of them is replaced; ``values`` has room for 2n."""
    cdef float window[25]
    cdef float window_v[25]
    cdef int k, j, i, p
    for k in range(changed.n):
        p = changed.at[k]
        for j in range(5):
            for i in range(5):
                window[5 * j + i] = f.a[p + (j - 2) * f.nx + i - 2]
                window_v[5 * j + i] = f.v[p + (j - 2) * f.nx + i - 2]
        values[2 * k] = select(window, 25)
        values[2 * k + 1] = select(window_v, 25)
    for k in range(changed.n):
        f.a[changed.at[k]] = values[2 * k]
        f.v[changed.at[k]] = values[2 * k + 1]


cdef bint has_good_neighbour(const Plane* f, const unsigned char* hit, int p) noexcept nogil:
    cdef int j, i, q
    for j in range(-2, 3):
        for i in range(-2, 3):
            q = p + j * f.nx + i
            if not hit[q] and not f.bad[q]:
                return True
    return False


cdef void grow(
    const Plane* f, unsigned char* state, unsigned char base, Pixels* cores, Pixels* round_hits
) noexcept nogil:
    """Neighbours with S' > sigclip join the cores; then neighbours of these with S' > sigclip sigfrac are hit too.

    ``state`` holds base + 1 = tried and refused, base + 2 = core, base + 3 = settled in the second growth.
    """
    cdef int k, j, i, y, x, q, first = cores.n
    cdef unsigned char before
    for k in range(first):
        j = cores.at[k] // f.nx
        i = cores.at[k] % f.nx
        for y in range(j - 1, j + 2):
            for x in range(i - 1, i + 2):
                q = y * f.nx + x
                if state[q] > base or f.bad[q]:
                    continue
                state[q] = base + 1
                if grows(f, y, x, f.sigclip):
                    state[q] = base + 2
                    push(cores, q)
    for k in range(cores.n):
        j = cores.at[k] // f.nx
        i = cores.at[k] % f.nx
        for y in range(j - 1, j + 2):
            for x in range(i - 1, i + 2):
                q = y * f.nx + x
                before = state[q]
                if before == base + 3 or f.bad[q]:
                    continue
                state[q] = base + 3
                if before == base + 2 or grows(f, y, x, f.low):
                    push(round_hits, q)


def lacosmic(
    float[:, ::1] data, float[:, ::1] variance, unsigned char[:, ::1] bad, unsigned char[:, ::1] hit,
    bint full, float sigclip, float low, float objlim, int rounds, float satlevel, float saturated_core,
    int by, fallback, long long most, float[:, ::1] kernel,
):
    """Find and clean cosmic rays; returns the number of rounds, -1 when more than ``most`` pixels pass S > sigclip.

    Parameters
    ----------
    data, variance : (ny, nx), electron and electron^2, cleaned in place
    bad : (ny, nx), 1 = masked, already grown; saturated stars are added with bit 1
    hit : (ny, nx), zeros; written, 1 = cosmic ray
    full : full medians (5, 5, 3, 7 px) or separable ones (7, 7, 5, 9 px)
    sigclip, low, objlim : limits of S', of S' for neighbours, of S'/F
    rounds : at most, below 80
    satlevel, saturated_core : electron; level of a saturated pixel and median that makes it a star's core
    by : what a hit is replaced by: 0 mean, 1 median, 2 mean by inverse distance of the good pixels, 3 median of all pixels
    fallback : callable giving (level, variance) for a pixel without any good one in its 5x5
    kernel : (n, n), n odd and at most 25, matched filter of the fine structure; None: medians
    """
    cdef Plane f
    cdef int ny = data.shape[0], nx = data.shape[1], tiles_y = (ny + TILE - 1) // TILE
    cdef int tj, j, i, k, q, p, y, x, y0, x0, it, new_hits, reach = 4 if full else 6, done = 0
    cdef float* levels = [0.0, 0.0]
    cdef bint have_levels = False, failed = False
    cdef float* tile_low
    cdef float* tile_high
    cdef float* row
    cdef float* replaced = NULL
    cdef unsigned char* state
    cdef unsigned char* seen
    cdef unsigned char* h = &hit[0, 0]
    cdef const float* line
    cdef const float* line_v
    cdef float lo, hi
    cdef Pixels todo, cores, hits, changed, swap
    f.a = &data[0, 0]
    f.v = &variance[0, 0]
    f.bad = &bad[0, 0]
    f.ny = ny
    f.nx = nx
    f.full = full
    f.tiles_x = (nx + TILE - 1) // TILE
    f.sigclip = sigclip
    f.low = low
    f.objlim = objlim
    f.kernel = NULL
    f.half_kernel = 0
    if kernel is not None:
        f.kernel = &kernel[0, 0]
        f.half_kernel = (<int>kernel.shape[0] - 1) // 2
        # the large window, the kernel and the window of the noise
        reach = f.half_kernel + (5 if full else 7)
    f.inverse_floor = <float*>malloc(<size_t>tiles_y * f.tiles_x * sizeof(float))
    tile_low = <float*>malloc(<size_t>tiles_y * f.tiles_x * sizeof(float))
    tile_high = <float*>malloc(<size_t>tiles_y * f.tiles_x * sizeof(float))
    row = <float*>malloc(<size_t>nx * sizeof(float))
    state = <unsigned char*>calloc(<size_t>ny * nx, 1)
    seen = <unsigned char*>calloc(<size_t>ny * nx, 1)
    todo, cores, hits, changed = new_list(), new_list(), new_list(), new_list()
    failed = (f.inverse_floor == NULL or tile_low == NULL or tile_high == NULL or row == NULL or state == NULL
              or seen == NULL or todo.failed or cores.failed or hits.failed or changed.failed)
    try:
        if failed:
            raise MemoryError("cosmic rays")
        with nogil:
            for tj in range(tiles_y):
                for i in range(f.tiles_x):
                    lo = f.v[<size_t>tj * TILE * nx + i * TILE]
                    hi = f.a[<size_t>tj * TILE * nx + i * TILE]
                    x = nx - i * TILE if nx - i * TILE < TILE else TILE
                    for j in range(tj * TILE, tj * TILE + TILE if tj * TILE + TILE < ny else ny):
                        line = f.a + <size_t>j * nx + i * TILE
                        line_v = f.v + <size_t>j * nx + i * TILE
                        for k in range(x):
                            lo = smaller(lo, line_v[k])
                            hi = larger(hi, line[k])
                    tile_low[tj * f.tiles_x + i] = lo
                    tile_high[tj * f.tiles_x + i] = hi
            set_floors(&f, tile_low, tiles_y)
            mark_saturated_stars(&f, tile_high, tiles_y, satlevel, saturated_core)
            scan(&f, row, &todo)
        if todo.n > most:
            return -1
        for it in range(rounds):
            with nogil:
                cores.n = 0
                hits.n = 0
                changed.n = 0
                for k in range(todo.n):
                    p = todo.at[k]
                    j = p // nx
                    i = p % nx
                    if f.bad[p] or outside(&f, j, i, 2 if full else 3):
                        continue
                    lo = laplacian_at(&f, j, i)
                    if it > 0 and not significance_above(&f, j, i, lo, sigclip):
                        continue
                    if is_cosmic(&f, j, i, lo):
                        state[p] = <unsigned char>(3 * it + 2)
                        push(&cores, p)
                grow(&f, state, <unsigned char>(3 * it), &cores, &hits)
                new_hits = 0
                for k in range(hits.n):
                    if not h[hits.at[k]]:
                        h[hits.at[k]] = 1
                        hits.at[new_hits] = hits.at[k]
                        new_hits += 1
                for k in range(new_hits):            # all hits near a new one lose a good neighbour: clean them again
                    j = hits.at[k] // nx
                    i = hits.at[k] % nx
                    for y in range(j - 2 if j > 4 else 2, j + 3 if j + 5 < ny else ny - 2):
                        for x in range(i - 2 if i > 4 else 2, i + 3 if i + 5 < nx else nx - 2):
                            q = y * nx + x
                            if h[q] == 1:
                                h[q] = 2             # in the list of this round
                                push(&changed, q)
                failed = cores.failed or hits.failed or changed.failed or todo.failed
            done = it + 1
            if failed:
                raise MemoryError("cosmic rays")
            if new_hits == 0:
                break
            if not have_levels:
                for k in range(changed.n):
                    if not has_good_neighbour(&f, h, changed.at[k]):
                        levels[0], levels[1] = fallback()
                        have_levels = True
                        for i in range(tiles_y * f.tiles_x):
                            tile_low[i] = smaller(tile_low[i], levels[1])
                        set_floors(&f, tile_low, tiles_y)
                        break
            if by == ALL_MEDIAN:
                replaced = <float*>realloc(replaced, 2 * <size_t>changed.n * sizeof(float))
                if replaced == NULL:
                    raise MemoryError("cosmic rays")
            with nogil:
                if by == ALL_MEDIAN:
                    clean_by_all(&f, &changed, replaced)
                else:
                    for k in range(changed.n):
                        clean_pixel(&f, h, changed.at[k], by, levels)
                todo.n = 0
                for k in range(changed.n):
                    h[changed.at[k]] = 1
                    j = changed.at[k] // nx
                    i = changed.at[k] % nx
                    y0 = j - reach if j > reach else 0
                    x0 = i - reach if i > reach else 0
                    for y in range(y0, j + reach + 1 if j + reach < ny else ny):
                        for x in range(x0, i + reach + 1 if i + reach < nx else nx):
                            q = y * nx + x
                            if seen[q] != it + 1:
                                seen[q] = <unsigned char>(it + 1)
                                push(&todo, q)
    finally:
        free(f.inverse_floor)
        free(tile_low)
        free(tile_high)
        free(row)
        free(replaced)
        free(state)
        free(seen)
        free(todo.at)
        free(cores.at)
        free(hits.at)
        free(changed.at)
    return done
