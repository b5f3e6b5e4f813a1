# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Kernels of ``background.py``: mesh statistics by clipped histogram, cubic interpolation, source mask.

The plain numpy forms are in ``tests/photometry/algorithms/background/test_estimate.py``.
"""

from libc.math cimport ceil, fabs, floor, sqrt
from libc.stdlib cimport free, malloc
from libc.string cimport memset

cdef enum:
    BINS = 512          # over +-8 of the first spread estimate: 32 bins per sigma
    SPARE = 3           # masked, below, above
    SAMPLE = 129        # pixels of a mesh that give the first median and spread
    MAX_RANGES = 6      # times the histogram is laid out again when its range was wrong

cdef double HALF_RANGE = 8.0
cdef double BINS_PER_SIGMA_MIN = 8.0


cdef struct Statistics:
    double mean
    double median
    double sigma
    int used
    int good


cdef struct Window:
    # Part of the frame that one mesh covers.
    int y0
    int y1
    int x0
    int x1


cdef float select(float* values, int n, int k) noexcept nogil:
    """The k-th smallest of n values (Hoare's selection); ``values`` is reordered."""
    cdef int low = 0, high = n - 1, i, j
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


cdef int sample_mesh(
    const float[:, ::1] data, const unsigned char[:, ::1] mask, Window w, float* sample
) noexcept nogil:
    """Good pixels at positions that step by the golden section through the mesh: spread evenly, no column favoured."""
    cdef int width = w.x1 - w.x0
    cdef long long size = <long long>width * (w.y1 - w.y0)
    cdef long long step = <long long>(0.6180339887498949 * size), at = 0, tries = 4 * SAMPLE, k
    cdef int n = 0, y, x
    if step < 1:
        step = 1
    if tries > size:
        tries = size
    for k in range(tries):
        at += step
        if at >= size:
            at -= size
        y = w.y0 + <int>(at // width)
        x = w.x0 + <int>(at % width)
        if not mask[y, x]:
            sample[n] = data[y, x]
            n += 1
            if n == SAMPLE:
                break
    return n


cdef int moments(
    const float[:, ::1] data, const unsigned char[:, ::1] mask, Window w, double* mean, double* sigma
) noexcept nogil:
    """Count, mean and standard deviation of the good pixels, without clipping."""
    cdef double origin = 0.0, s = 0.0, s2 = 0.0, v
    cdef int n = 0, y, x
    for y in range(w.y0, w.y1):
        for x in range(w.x0, w.x1):
            if mask[y, x]:
                continue
            if n == 0:
                origin = data[y, x]
            v = data[y, x] - origin
            s += v
            s2 += v * v
            n += 1
    if n == 0:
        return 0
    mean[0] = origin + s / n
    v = s2 / n - (s / n) * (s / n)
    sigma[0] = sqrt(v) if v > 0.0 else 0.0
    return n


cdef void fill_histogram(
    const float[:, ::1] data, const unsigned char[:, ::1] mask, Window w, float low, float inverse_width,
    int* index, int* counts
) noexcept nogil:
    """Count pixels per bin in two interleaved tables; bin 0 is masked, 1 below, BINS + 2 above the range."""
    cdef int y, i, width = w.x1 - w.x0, total = BINS + SPARE
    cdef const float* row
    cdef const unsigned char* bad
    cdef float t
    memset(counts, 0, 2 * total * sizeof(int))
    for y in range(w.y0, w.y1):
        row = &data[y, w.x0]
        bad = &mask[y, w.x0]
        for i in range(width):
            t = (row[i] - low) * inverse_width + 2.0
            t = t if t > 1.0 else 1.0
            t = t if t < BINS + 2.0 else BINS + 2.0
            index[i] = <int>t
        for i in range(width):
            index[i] = 0 if bad[i] else index[i]
        i = 0
        while i + 1 < width:
            counts[index[i]] += 1
            counts[total + index[i + 1]] += 1
            i += 2
        if i < width:
            counts[index[i]] += 1
    for i in range(total):
        counts[i] += counts[total + i]


cdef Statistics clip_histogram(
    const int* counts, double* n_below, double* s_below, double* q_below, double clip, int rounds
) noexcept nogil:
    """Mean, median and sigma in units of bins, clipped about the median until nothing changes.

    Cumulated moments make every round a few look-ups whatever the number of pixels.
    """
    cdef Statistics out
    cdef int first = 0, last = BINS, k, low, high, mid, new_first, new_last
    cdef double n, target, count, centre
    n_below[0] = 0.0
    s_below[0] = 0.0
    q_below[0] = 0.0
    for k in range(BINS):
        count = counts[k + 2]
        centre = k + 0.5
        n_below[k + 1] = n_below[k] + count
        s_below[k + 1] = s_below[k] + count * centre
        q_below[k + 1] = q_below[k] + count * centre * centre
    out.mean = 0.0
    out.median = 0.0
    out.sigma = -1.0
    out.used = 0
    out.good = 0
    for k in range(rounds):
        n = n_below[last] - n_below[first]
        if n < 1.0:
            break
        target = n_below[first] + 0.5 * n
        low = first
        high = last - 1
        while low < high:                        # first bin whose upper edge holds half of the pixels
            mid = (low + high) // 2
            if n_below[mid + 1] >= target:
                high = mid
            else:
                low = mid + 1
        out.used = <int>n
        out.median = low + (target - n_below[low]) / (n_below[low + 1] - n_below[low])
        out.mean = (s_below[last] - s_below[first]) / n
        out.sigma = (q_below[last] - q_below[first]) / n - out.mean * out.mean
        out.sigma = sqrt(out.sigma) if out.sigma > 0.0 else 0.0
        new_first = <int>ceil(out.median - clip * out.sigma - 0.5)
        new_last = <int>floor(out.median + clip * out.sigma - 0.5) + 1
        new_first = new_first if new_first > first else first
        new_last = new_last if new_last < last else last
        if new_last <= new_first or (new_first == first and new_last == last):
            break
        first = new_first
        last = new_last
    return out


cdef Statistics one_mesh(
    const float[:, ::1] data, const unsigned char[:, ::1] mask, Window w, double clip, int rounds,
    double quantum, double offset, float* sample, int* index, int* counts, double* sums
) noexcept nogil:
    """Clipped statistics of one mesh, sigma 0 where all good pixels are equal, ``used`` 0 where there is none."""
    cdef Statistics bins, out
    cdef double centre, spread, mean = 0.0, sigma = 0.0, width, low
    cdef int n = sample_mesh(data, mask, w, sample), attempt
    out.good = 0
    out.mean = 0.0
    out.median = 0.0
    out.sigma = 0.0
    out.used = 0
    if n == 0 or n < SAMPLE:
        n = moments(data, mask, w, &mean, &sigma)
        if n == 0:
            return out
        centre = mean
        spread = sigma
    else:
        centre = select(sample, n, n // 2)
        spread = centre - select(sample, n, <int>(0.1587 * n))
    if spread <= 1e-6 * fabs(centre):
        n = moments(data, mask, w, &mean, &sigma)
        centre = mean
        spread = sigma
        if spread <= 1e-7 * fabs(centre):
            out.mean = centre
            out.median = centre
            out.used = n
            out.good = n
            return out
    for attempt in range(MAX_RANGES):
        width = 2.0 * HALF_RANGE * spread / BINS
        low = centre - 0.5 * BINS * width
        if 8.0 * quantum > width:                # whole steps of the digitisation, or the median would stick to one
            width = ceil(width / quantum) * quantum
            low = centre - 0.5 * BINS * width
            low = (floor((low - offset) / quantum) - 0.5) * quantum + offset
        fill_histogram(data, mask, w, <float>low, <float>(1.0 / width), index, counts)
        bins = clip_histogram(counts, sums, sums + BINS + 1, sums + 2 * (BINS + 1), clip, rounds)
        if bins.used == 0:                       # the sample missed the bulk: start from the plain moments
            n = moments(data, mask, w, &mean, &sigma)
            centre = mean
            spread = sigma * (attempt + 1)
            continue
        out.median = low + bins.median * width
        out.mean = low + bins.mean * width
        out.sigma = bins.sigma * width
        out.used = bins.used
        out.good = (w.y1 - w.y0) * (w.x1 - w.x0) - counts[0]
        if bins.median - clip * bins.sigma < 0.0 or bins.median + clip * bins.sigma > BINS:
            spread = 2.0 * out.sigma
        elif bins.sigma < BINS_PER_SIGMA_MIN and width > quantum and bins.sigma > 0.0:
            spread = out.sigma
        else:
            break
        centre = out.median
    return out


def mesh_statistics(
    const float[:, ::1] data, const unsigned char[:, ::1] mask, const int[::1] y_edges, const int[::1] x_edges,
    double clip, int rounds, double quantum, double offset,
    double[:, ::1] mean, double[:, ::1] median, double[:, ::1] sigma, int[:, ::1] used,
    int[:, ::1] good,
):
    """Clipped mean, median, sigma and number of pixels of every mesh.

    Parameters
    ----------
    data : (ny, nx); mask : (ny, nx), non-zero = ignore
    y_edges, x_edges : (my + 1,), (mx + 1,), first pixel of each mesh and one past the last
    clip : sigma; rounds : highest number of rounds
    quantum, offset : unit of the data; values are ``offset + k quantum``; quantum 0 when they are not digitised
    mean, median, sigma : (my, mx), written
    used, good : (my, mx), written: pixels left after clipping, and pixels not masked
    """
    cdef int j, i, widest = 0
    cdef Window w
    cdef Statistics s
    cdef float* sample = <float*>malloc(SAMPLE * sizeof(float))
    cdef int* counts = <int*>malloc(2 * (BINS + SPARE) * sizeof(int))
    cdef double* sums = <double*>malloc(3 * (BINS + 1) * sizeof(double))
    cdef int* index = NULL
    for i in range(x_edges.shape[0] - 1):
        widest = max(widest, x_edges[i + 1] - x_edges[i])
    index = <int*>malloc(widest * sizeof(int))
    if sample == NULL or counts == NULL or sums == NULL or index == NULL:
        free(sample)
        free(counts)
        free(sums)
        free(index)
        raise MemoryError("mesh statistics")
    with nogil:
        for j in range(y_edges.shape[0] - 1):
            for i in range(x_edges.shape[0] - 1):
                w.y0 = y_edges[j]
                w.y1 = y_edges[j + 1]
                w.x0 = x_edges[i]
                w.x1 = x_edges[i + 1]
                s = one_mesh(data, mask, w, clip, rounds, quantum, offset, sample, index, counts, sums)
                mean[j, i] = s.mean
                median[j, i] = s.median
                sigma[j, i] = s.sigma
                used[j, i] = s.used
                good[j, i] = s.good
    free(sample)
    free(counts)
    free(sums)
    free(index)


cdef void node_row(const double[:, ::1] nodes, double step, int y, double* row) noexcept nogil:
    """Nodes interpolated in y to one pixel row (Catmull-Rom); ``nodes`` has two extra on every side."""
    cdef double u = (y + 0.5) / step - 0.5
    cdef int first = <int>floor(u), i
    cdef double t = u - floor(u)
    cdef double a = ((-0.5 * t + 1.0) * t - 0.5) * t
    cdef double b = (1.5 * t - 2.5) * t * t + 1.0
    cdef double c = ((-1.5 * t + 2.0) * t + 0.5) * t
    cdef double d = (0.5 * t - 0.5) * t * t
    first += 1                                   # node i - 1 of the four, in padded numbering
    for i in range(nodes.shape[1]):
        row[i] = a * nodes[first, i] + b * nodes[first + 1, i] + c * nodes[first + 2, i] + d * nodes[first + 3, i]


cdef void row_cubic(
    const double* row, int columns, double step, int nx, const float* phase, const float* data, float* out,
) noexcept nogil:
    """One pixel row of the map, or of ``data`` minus the map when ``data`` is given.

    Between two nodes the map is one cubic in the phase t: four constants per stretch, then plain arithmetic.
    """
    cdef int i, x, x0 = 0, x1
    cdef float a, b, c, d, t
    for i in range(-1, columns - 4):             # stretch between nodes i and i + 1
        x1 = <int>ceil((i + 1.5) * step - 0.5)
        x1 = x1 if x1 < nx else nx
        if i == columns - 5:
            x1 = nx
        a = <float>row[i + 2]
        b = <float>(0.5 * (row[i + 3] - row[i + 1]))
        c = <float>(row[i + 1] - 2.5 * row[i + 2] + 2.0 * row[i + 3] - 0.5 * row[i + 4])
        d = <float>(0.5 * (row[i + 4] - row[i + 1]) + 1.5 * (row[i + 2] - row[i + 3]))
        if data == NULL:
            for x in range(x0, x1):
                t = phase[x]
                out[x] = a + t * (b + t * (c + t * d))
        else:
            for x in range(x0, x1):
                t = phase[x]
                out[x] = (data[x] - a) - t * (b + t * (c + t * d))
        x0 = x1


cdef void phases(float* phase, int nx, double step) noexcept nogil:
    """Distance of every column from the node before it, in nodes, consistent with ``row_cubic``'s stretches."""
    cdef int x, i = -1, x1 = <int>ceil(0.5 * step - 0.5), last = <int>(nx / step + 0.5) - 1
    for x in range(nx):
        while x >= x1 and i < last:
            i += 1
            x1 = <int>ceil((i + 1.5) * step - 0.5)
        phase[x] = <float>((x + 0.5) / step - 0.5 - i)


def render(const double[:, ::1] nodes, double step_y, double step_x, data, float[:, ::1] out, int first_row=0):
    """Interpolate nodes to pixels into ``out``; with ``data`` (ny, nx) float32, write data minus map instead.

    ``first_row`` is the row of the frame at which ``out`` (and ``data``) begin.

    ``nodes`` is (my + 4, mx + 4): the mesh with two nodes added on every side. Pixel x lies at node
    (x + 0.5) / step_x - 0.5 of the mesh, which has nx / step_x nodes.
    """
    cdef int y, ny = out.shape[0], nx = out.shape[1], columns = nodes.shape[1]
    cdef const float[:, ::1] pixels
    cdef bint subtract = data is not None
    cdef double* row = <double*>malloc(columns * sizeof(double))
    cdef float* phase = <float*>malloc(nx * sizeof(float))
    if row == NULL or phase == NULL:
        free(row)
        free(phase)
        raise MemoryError("background map")
    if subtract:
        pixels = data
    with nogil:
        phases(phase, nx, step_x)
        for y in range(ny):
            node_row(nodes, step_y, first_row + y, row)
            row_cubic(row, columns, step_x, nx, phase, &pixels[y, 0] if subtract else NULL, &out[y, 0])
    free(row)
    free(phase)


def mark_sources(
    const float[:, ::1] data, const double[:, ::1] nodes, const double[:, ::1] rms, double step_y, double step_x,
    double threshold, int grow, unsigned char[:, ::1] out,
):
    """Set ``out`` to 1 within ``grow`` pixels (a square) of every 3x3 block whose sum is above threshold sigma.

    Parameters
    ----------
    data : (ny, nx), level included; the level comes from ``nodes`` as in ``render``, row by row
    rms : (my, mx); a pixel has that of the mesh in which it lies
    out : (ny, nx), written; pixels at the very edge are not centres of blocks
    """
    cdef int ny = data.shape[0], nx = data.shape[1], my = rms.shape[0], mx = rms.shape[1], columns = nodes.shape[1]
    cdef int y, x, i, k, j, j_before = -1, y0, y1, x0, x1
    cdef double* row = <double*>malloc(columns * sizeof(double))
    cdef float* work = <float*>malloc(6 * <size_t>nx * sizeof(float))   # phase, limit, column sums, three rows
    cdef unsigned char* wide = <unsigned char*>malloc(nx)
    cdef float* phase = work
    cdef float* limit = work + nx
    cdef float* column = work + 2 * nx
    cdef float* above
    cdef float* here
    cdef float* below
    cdef int found
    if row == NULL or work == NULL or wide == NULL:
        free(row)
        free(work)
        free(wide)
        raise MemoryError("source mask")
    with nogil:
        phases(phase, nx, step_x)
        for y in range(ny):
            below = work + (3 + y % 3) * <size_t>nx
            node_row(nodes, step_y, y, row)
            row_cubic(row, columns, step_x, nx, phase, &data[y, 0], below)
            if y < 2:
                continue
            here = work + (3 + (y - 1) % 3) * <size_t>nx
            above = work + (3 + (y - 2) % 3) * <size_t>nx
            j = <int>((y - 1) / step_y)
            j = j if j < my else my - 1
            if j != j_before:
                j_before = j
                for x in range(nx):
                    i = <int>(x / step_x)
                    limit[x] = <float>(3.0 * threshold * rms[j, i if i < mx else mx - 1])
            for x in range(nx):
                column[x] = above[x] + here[x] + below[x]
            found = 0
            for x in range(1, nx - 1):
                found |= column[x - 1] + column[x] + column[x + 1] > limit[x]
            if not found:
                continue
            memset(wide, 0, nx)
            for x in range(1, nx - 1):
                if column[x - 1] + column[x] + column[x + 1] > limit[x]:
                    x0 = x - grow if x > grow else 0
                    x1 = x + grow + 1 if x + grow + 1 < nx else nx
                    memset(wide + x0, 1, x1 - x0)
            y0 = y - 1 - grow if y - 1 > grow else 0
            y1 = y + grow if y + grow < ny else ny
            for k in range(y0, y1):
                for x in range(nx):
                    out[k, x] |= wide[x]
    free(row)
    free(work)
    free(wide)
