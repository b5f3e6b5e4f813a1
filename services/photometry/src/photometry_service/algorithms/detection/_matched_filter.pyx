# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Matched filter with masks, its maxima, and widths of bright sources."""

from libc.math cimport NAN, sqrt, sqrtf
from libc.stdlib cimport calloc, free


cdef inline void combine(float* out, const float** rows, const float* taps, int count, Py_ssize_t n) noexcept nogil:
    """out = sum_k taps[k] rows[k], element by element; four rows a pass, so that it runs from the first cache."""
    cdef Py_ssize_t i
    cdef int k = 4
    cdef float t0, t1, t2, t3
    cdef const float *a
    cdef const float *b
    cdef const float *c
    cdef const float *d
    t0, t1, t2, t3 = taps[0], taps[1], taps[2], taps[3]
    a, b, c, d = rows[0], rows[1], rows[2], rows[3]
    for i in range(n):
        out[i] = t0 * a[i] + t1 * b[i] + t2 * c[i] + t3 * d[i]
    while k + 4 <= count:
        t0, t1, t2, t3 = taps[k], taps[k + 1], taps[k + 2], taps[k + 3]
        a, b, c, d = rows[k], rows[k + 1], rows[k + 2], rows[k + 3]
        for i in range(n):
            out[i] += t0 * a[i] + t1 * b[i] + t2 * c[i] + t3 * d[i]
        k += 4
    while k < count:
        t0, a = taps[k], rows[k]
        for i in range(n):
            out[i] += t0 * a[i]
        k += 1


cdef inline void clean_row(float* out, const float* image, const unsigned char* mask, Py_ssize_t n) noexcept nogil:
    """Copy a row; masked pixels read zero."""
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = image[i] if mask[i] == 0 else <float>0.0


cdef inline void model_row(float* out, const float* frame, const float* residual, const unsigned char* mask,
                           float shot, float floor2, Py_ssize_t n) noexcept nogil:
    """Variance of the models subtracted in a row: shot M + floor^2 M^2; zero where masked."""
    cdef Py_ssize_t i
    cdef float m
    for i in range(n):
        m = frame[i] - residual[i]
        m = m if m > 0 else <float>0.0
        out[i] = (shot + floor2 * m) * m if mask[i] == 0 else <float>0.0


cdef inline void spread_masked(float* lost, const int* columns, Py_ssize_t count, const float* squares, int half,
                               Py_ssize_t nx) noexcept nogil:
    """Add to every position what the masked pixels of one row take from sum K^2 (one row of K^2, mirrored)."""
    cdef Py_ssize_t n, x, first, last
    cdef int k
    for n in range(count):
        x = columns[n]
        first = x + half - nx + 1 if x + half >= nx else 0
        last = x + half if x < half else 2 * half
        for k in range(first, last + 1):
            lost[x + half - k] += squares[k]


cdef inline void to_snr(float* out, const float* flux, const float* rms, const float* variance, const float* lost,
                        bint any_lost, bint with_variance, float squares, Py_ssize_t n) noexcept nogil:
    """S/N of a row; zero where too little of the kernel is left or the noise is not positive."""
    cdef Py_ssize_t x
    cdef float v, left, least = <float>0.4 * squares
    if not any_lost and not with_variance:
        v = 1.0 / sqrt(squares)
        for x in range(n):
            out[x] = flux[x] * v / rms[x] if rms[x] > 0 else <float>0.0
    elif with_variance:
        for x in range(n):
            left = squares - lost[x]
            v = flux[x] / sqrtf(left * rms[x] * rms[x] + variance[x])
            out[x] = v if left >= least and rms[x] > 0 else <float>0.0
    else:
        for x in range(n):
            left = squares - lost[x]
            v = flux[x] / (sqrtf(left) * rms[x])
            out[x] = v if left >= least and rms[x] > 0 else <float>0.0


cdef int* list_masked(const unsigned char[:, ::1] mask, Py_ssize_t* start) noexcept:
    """Columns of the masked pixels, row after row; those of row y are start[y] to start[y + 1]. NULL without memory."""
    cdef Py_ssize_t y, x, n = 0, nx = mask.shape[1]
    cdef int total
    cdef int* columns
    start[0] = 0
    for y in range(mask.shape[0]):
        total = 0
        for x in range(nx):
            total += mask[y, x] != 0
        start[y + 1] = start[y] + total
    columns = <int*>calloc(start[mask.shape[0]] + 1, sizeof(int))
    if columns == NULL:
        return NULL
    for y in range(mask.shape[0]):
        if start[y + 1] == start[y]:
            continue
        for x in range(nx):
            if mask[y, x]:
                columns[n] = <int>x
                n += 1
    return columns


def matched_filter(
    const float[:, ::1] image, const float[:, ::1] frame, bint with_model, const unsigned char[:, ::1] mask,
    const float[:, ::1] rms, const float[:, ::1] along_y, const float[:, ::1] along_x,
    const float[::1] variance_y, const float[::1] variance_x, const float[:, ::1] squares,
    float shot, float floor2, float[:, ::1] out,
):
    """Fill ``out`` with the S/N map of ``image``; see ``detection.snr_map``. One pass, rings of filtered rows."""
    cdef Py_ssize_t ny = image.shape[0], nx = image.shape[1], y, x, first, slot
    cdef int rank = along_y.shape[0], taps = along_y.shape[1], half = along_y.shape[1] // 2, r, k
    cdef float total = 0.0
    cdef bint any_lost
    cdef float* row = <float*>calloc(nx + 64, sizeof(float))
    cdef float* ring = <float*>calloc(<size_t>(rank + 1) * taps * nx + 64, sizeof(float))
    cdef float* flux = <float*>calloc(2 * nx, sizeof(float))
    cdef float* variance = <float*>calloc(nx, sizeof(float))
    cdef float* lost = <float*>calloc(nx, sizeof(float))
    cdef Py_ssize_t* start = <Py_ssize_t*>calloc(ny + 1, sizeof(Py_ssize_t))
    cdef int* columns = NULL
    cdef const float* rows[64]
    if start != NULL:
        columns = list_masked(mask, start)
    if row == NULL or ring == NULL or flux == NULL or variance == NULL or lost == NULL or columns == NULL:
        free(row); free(ring); free(flux); free(variance); free(lost); free(start); free(columns)
        raise MemoryError("no memory for the rows of the matched filter")
    with nogil:
        for k in range(taps):
            for r in range(taps):
                total += squares[k, r]
        for y in range(ny):
            slot = y % taps
            clean_row(row, &image[y, 0], &mask[y, 0], nx)
            for k in range(taps):
                rows[k] = row + k
            for r in range(rank):
                combine(ring + (r * taps + slot) * nx + half, rows, &along_x[r, 0], taps, nx - 2 * half)
            if with_model:
                model_row(row, &frame[y, 0], &image[y, 0], &mask[y, 0], shot, floor2, nx)
                combine(ring + (rank * taps + slot) * nx + half, rows, &variance_x[0], taps, nx - 2 * half)
            if y < taps - 1:
                continue
            # the row that is now complete is y - half; its first ring row is that of image row y - 2 half
            first = y - half
            for r in range(rank):
                for k in range(taps):
                    rows[k] = ring + (r * taps + (y + 1 + k) % taps) * nx
                combine(flux + nx if r else flux, rows, &along_y[r, 0], taps, nx)
                if r:
                    for x in range(nx):
                        flux[x] += flux[nx + x]
            if with_model:
                for k in range(taps):
                    rows[k] = ring + (rank * taps + (y + 1 + k) % taps) * nx
                combine(variance, rows, &variance_y[0], taps, nx)
            any_lost = start[y + 1] > start[y - 2 * half]
            if any_lost or with_model:
                for x in range(nx):
                    lost[x] = 0.0
                for k in range(taps):
                    x = start[y - 2 * half + k]
                    spread_masked(lost, columns + x, start[y - 2 * half + k + 1] - x, &squares[k, 0], half, nx)
            to_snr(&out[first, half], flux + half, &rms[first, half], variance + half, lost + half, any_lost,
                   with_model, total, nx - 2 * half)
            for x in range(half):
                out[first, x] = 0.0
                out[first, nx - 1 - x] = 0.0
        for y in range(half):
            for x in range(nx):
                out[y, x] = 0.0
                out[ny - 1 - y, x] = 0.0
    free(row); free(ring); free(flux); free(variance); free(lost); free(start); free(columns)


cdef inline bint is_maximum(const float[:, ::1] s, Py_ssize_t y, Py_ssize_t x, float v) noexcept nogil:
    """Maximum of its 3 x 3 pixels; of equal neighbours the first in reading order counts."""
    return (v > s[y, x - 1] and v >= s[y, x + 1] and v > s[y - 1, x] and v >= s[y + 1, x] and v > s[y - 1, x - 1]
            and v > s[y - 1, x + 1] and v >= s[y + 1, x - 1] and v >= s[y + 1, x + 1])


def find_maxima(const float[:, ::1] snr, float threshold, Py_ssize_t[::1] found_y, Py_ssize_t[::1] found_x):
    """Write the 3 x 3 maxima above a threshold, in reading order; return how many there are (may exceed the room)."""
    cdef Py_ssize_t y, x, n = 0, room = found_y.shape[0]
    cdef float v
    with nogil:
        for y in range(1, snr.shape[0] - 1):
            for x in range(1, snr.shape[1] - 1):
                v = snr[y, x]
                if v > threshold and is_maximum(snr, y, x, v):
                    if n < room:
                        found_y[n] = y
                        found_x[n] = x
                    n += 1
    return n


def filter_flux(
    const float[:, ::1] image, const unsigned char[:, ::1] mask, const float[:, ::1] kernel,
    const Py_ssize_t[::1] y, const Py_ssize_t[::1] x, float[::1] out,
):
    """Matched-filter flux sum K d / sum K^2 over the good pixels at given pixels; NaN when none is good."""
    cdef Py_ssize_t s, j, i, yy, xx, ny = image.shape[0], nx = image.shape[1]
    cdef int half = kernel.shape[0] // 2, width = 2 * half + 1
    cdef double top, bottom, whole = 0.0
    cdef float* column = <float*>calloc(width, sizeof(float))
    cdef unsigned char bad
    cdef const float* k
    cdef const float* pixel
    cdef const unsigned char* state
    if column == NULL:
        raise MemoryError
    with nogil:
        for j in range(width):
            for i in range(width):
                whole += kernel[j, i] * kernel[j, i]
        for s in range(y.shape[0]):
            top = 0.0
            bad = 1
            if half <= y[s] < ny - half and half <= x[s] < nx - half:
                bad = 0
                for j in range(width):
                    state = &mask[y[s] + j - half, x[s] - half]
                    for i in range(width):
                        bad |= state[i]
            if bad == 0:
                for i in range(width):
                    column[i] = 0.0
                for j in range(width):
                    k, pixel = &kernel[j, 0], &image[y[s] + j - half, x[s] - half]
                    for i in range(width):
                        column[i] += k[i] * pixel[i]
                for i in range(width):
                    top += column[i]
                out[s] = <float>(top / whole)
                continue
            bottom = 0.0
            for j in range(-half, half + 1):
                yy = y[s] + j
                if yy < 0 or yy >= ny:
                    continue
                for i in range(-half, half + 1):
                    xx = x[s] + i
                    if xx < 0 or xx >= nx or mask[yy, xx]:
                        continue
                    top += kernel[j + half, i + half] * image[yy, xx]
                    bottom += kernel[j + half, i + half] * kernel[j + half, i + half]
            out[s] = <float>(top / bottom if bottom > 0 else NAN)
    free(column)


def half_maximum_moments(
    const float[:, ::1] image, const unsigned char[:, ::1] mask, const Py_ssize_t[::1] y, const Py_ssize_t[::1] x,
    int reach, double[:, ::1] out,
):
    """Area and second moments of the pixels above half the peak that hang together with it, within ``reach``.

    ``out`` (n, 4): number of pixels, variance along x, along y, covariance of their places. The peak is the largest
    good pixel of the 3 x 3 around the position; no good pixel there gives zeros.
    """
    cdef int size = 2 * reach + 1, top, cell, j, i, jj, ii, d, n
    cdef Py_ssize_t s, yy, xx, ny = image.shape[0], nx = image.shape[1]
    cdef double peak, sx, sy, sxx, syy, sxy
    cdef unsigned char* seen = <unsigned char*>calloc(size * size, 1)
    cdef int* stack = <int*>calloc(size * size, sizeof(int))
    if seen == NULL or stack == NULL:
        free(seen); free(stack)
        raise MemoryError("no memory for the areas of sources")
    with nogil:
        for s in range(y.shape[0]):
            peak = 0.0
            jj, ii = 0, 0
            for j in range(-1, 2):
                for i in range(-1, 2):
                    yy, xx = y[s] + j, x[s] + i
                    if 0 <= yy < ny and 0 <= xx < nx and mask[yy, xx] == 0 and image[yy, xx] > peak:
                        peak = image[yy, xx]
                        jj, ii = j, i
            for i in range(4):
                out[s, i] = 0.0
            if peak <= 0:
                continue
            for i in range(size * size):
                seen[i] = 0
            stack[0] = (jj + reach) * size + ii + reach
            seen[stack[0]] = 1
            top, n = 1, 0
            sx = sy = sxx = syy = sxy = 0.0
            while top:
                top -= 1
                cell = stack[top]
                j, i = cell // size - reach, cell % size - reach
                n += 1
                sx += i
                sy += j
                sxx += i * i
                syy += j * j
                sxy += i * j
                for d in range(4):
                    jj = j + (1 if d == 0 else -1 if d == 1 else 0)
                    ii = i + (1 if d == 2 else -1 if d == 3 else 0)
                    if jj < -reach or jj > reach or ii < -reach or ii > reach:
                        continue
                    yy, xx = y[s] + jj, x[s] + ii
                    cell = (jj + reach) * size + ii + reach
                    if seen[cell] or yy < 0 or yy >= ny or xx < 0 or xx >= nx:
                        continue
                    seen[cell] = 1
                    if mask[yy, xx] == 0 and image[yy, xx] > 0.5 * peak:
                        stack[top] = cell
                        top += 1
            out[s, 0] = n
            out[s, 1] = sxx / n - (sx / n) * (sx / n)
            out[s, 2] = syy / n - (sy / n) * (sy / n)
            out[s, 3] = sxy / n - (sx / n) * (sy / n)
    free(seen); free(stack)
