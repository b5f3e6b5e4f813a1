# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Loops over neighbours on the sphere: sources stand in the cells that their circles touch, the list streams by.

The sky is cut into zones of declination of one height, each zone into cells of about that width; ``zone_offset[z]`` is
the number of cells below zone z. Cells are kept in a hash table of buckets, so that memory follows the sources.
"""

from libc.math cimport asin, cos, fabs, floor, sin, sqrt

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define FETCH_EARLY(address) __builtin_prefetch(address)
    #else
    #define FETCH_EARLY(address)
    #endif
    """
    void FETCH_EARLY(const void *address) noexcept nogil

ctypedef long long int64
ctypedef int int32
ctypedef unsigned long long uint64

cdef double PI = 3.141592653589793
cdef double TWO_PI = 6.283185307179586
# List rows whose cells are looked up together, so that memory is fetched for all of them at once.
cdef enum:
    BATCH = 256


cdef inline double _half_width(double dec, double radius) noexcept nogil:
    """Half the range of right ascension that a circle covers; pi where it holds a pole."""
    if fabs(dec) + radius >= 0.5 * PI - 1e-12:
        return PI
    return asin(sin(radius) / cos(dec)) + 1e-12


cdef inline double _separation(double ra1, double dec1, double ra2, double dec2) noexcept nogil:
    cdef double sd = sin(0.5 * (dec2 - dec1))
    cdef double sa = sin(0.5 * (ra2 - ra1))
    cdef double h = sd * sd + cos(dec1) * cos(dec2) * sa * sa
    if h > 1.0:
        h = 1.0
    return 2.0 * asin(sqrt(h))


cdef inline double _near_separation(double ra1, double dec1, double cos1, double sin1, double ra2,
                                    double dec2) noexcept nogil:
    """`_separation` where declinations differ by less than 0.01 rad, by series exact to rounding; else `_separation`."""
    cdef double d = dec2 - dec1, a = ra2 - ra1, y, sd, sa, cos2, h, z
    if a > PI:
        a -= TWO_PI
    elif a < -PI:
        a += TWO_PI
    if fabs(d) > 0.01 or fabs(a) > 0.01:
        return _separation(ra1, dec1, ra2, dec2)
    y = 0.5 * d
    sd = y * (1.0 - y * y * (1.0 / 6.0 - y * y / 120.0))
    y = 0.5 * a
    sa = y * (1.0 - y * y * (1.0 / 6.0 - y * y / 120.0))
    y = d * d
    cos2 = cos1 * (1.0 - y * (0.5 - y / 24.0)) - sin1 * d * (1.0 - y * (1.0 / 6.0 - y / 120.0))
    h = sd * sd + cos1 * cos2 * sa * sa
    if h < 0.0:
        h = 0.0
    z = sqrt(h)
    return 2.0 * z * (1.0 + h * (1.0 / 6.0 + h * (0.075 + h * (15.0 / 336.0))))


cdef inline Py_ssize_t _zone(double dec, double height, Py_ssize_t n_zones) noexcept nogil:
    cdef Py_ssize_t zone = <Py_ssize_t>((dec + 0.5 * PI) / height)
    if zone < 0:
        return 0
    return n_zones - 1 if zone > n_zones - 1 else zone


cdef inline int64 _cell(double ra, double dec, double height, const int64[::1] zone_offset) noexcept nogil:
    cdef Py_ssize_t zone = _zone(dec, height, zone_offset.shape[0] - 1)
    cdef int64 n = zone_offset[zone + 1] - zone_offset[zone]
    cdef int64 place = <int64>(ra * (n / TWO_PI))
    if place > n - 1:
        place = n - 1
    return zone_offset[zone] + place


cdef inline Py_ssize_t _bucket(int64 cell, int bits) noexcept nogil:
    return <Py_ssize_t>((<uint64>cell * <uint64>0x9E3779B97F4A7C15ULL) >> (64 - bits))


def touched_cells(const double[::1] ra, const double[::1] dec, const double[::1] reach, double height,
                  const int64[::1] zone_offset, int64[::1] out_cell, int32[::1] out_source):
    """Write every (cell, source) that a circle of ``reach`` touches; count on when the room ends, return the count."""
    cdef Py_ssize_t i, zone, first, last, n_zones = zone_offset.shape[0] - 1, room = out_cell.shape[0], count = 0
    cdef int64 n, low, high, place, wrapped
    cdef double width, per_rad, radius
    with nogil:
        for i in range(ra.shape[0]):
            radius = reach[i] + 1e-12
            width = _half_width(dec[i], radius)
            first = _zone(dec[i] - radius, height, n_zones)
            last = _zone(dec[i] + radius, height, n_zones)
            for zone in range(first, last + 1):
                n = zone_offset[zone + 1] - zone_offset[zone]
                per_rad = n / TWO_PI
                low = <int64>floor((ra[i] - width) * per_rad)
                high = <int64>floor((ra[i] + width) * per_rad)
                if high - low >= n - 1:
                    low, high = 0, n - 1
                for place in range(low, high + 1):
                    wrapped = place
                    if wrapped < 0:
                        wrapped += n
                    elif wrapped >= n:
                        wrapped -= n
                    if count < room:
                        out_cell[count] = zone_offset[zone] + wrapped
                        out_source[count] = i
                    count += 1
    return count


def fill_filter(const int64[::1] cell, int filter_bits, unsigned char[::1] bitmap):
    """Set the bit of every occupied cell: a table small enough for the cache that turns most of the list away."""
    cdef Py_ssize_t i
    cdef uint64 h
    with nogil:
        for i in range(cell.shape[0]):
            h = <uint64>_bucket(cell[i], filter_bits)
            bitmap[h >> 3] |= <unsigned char>(1 << (h & 7))


def fill_buckets(const int64[::1] cell, int bits, int32[::1] bucket_start, int32[::1] order):
    """Counting sort of entries by the bucket of their cell; ``bucket_start`` (2^bits + 1) comes zeroed."""
    cdef Py_ssize_t i, b, n_buckets = bucket_start.shape[0] - 1
    with nogil:
        for i in range(cell.shape[0]):
            bucket_start[_bucket(cell[i], bits) + 1] += 1
        for b in range(n_buckets):
            bucket_start[b + 1] += bucket_start[b]
        for i in range(cell.shape[0] - 1, -1, -1):
            b = _bucket(cell[i], bits)
            bucket_start[b + 1] -= 1
            order[bucket_start[b + 1]] = i
        # the starts have moved one place down: bucket b now begins at bucket_start[b + 1]
        for b in range(n_buckets):
            bucket_start[b] = bucket_start[b + 1]
        bucket_start[n_buckets] = cell.shape[0]


def pairs_from(Py_ssize_t begin, const double[::1] ref_ra, const double[::1] ref_dec, const double[::1] ref_var,
               double height, const int64[::1] zone_offset, int filter_bits, const unsigned char[::1] bitmap, int bits,
               const int32[::1] bucket_start, const int64[::1] cell, const int32[::1] source,
               const double[:, ::1] place, double n_sigma, double floor_rad, double cap_rad,
               int64[::1] out_source, int64[::1] out_ref, double[::1] out_sep):
    """Pairs with separation <= min(cap, n_sigma sqrt(var_s + var_r) + floor), from list row ``begin`` until room ends.

    Angles in rad, variances in rad^2; ``ref_var`` may have one element for all. ``place`` holds right ascension,
    declination, variance, cosine and sine of declination of the source of each entry, side by side since they are
    fetched together. List rows that are not finite are passed by. Returns (next row, pairs written).
    """
    cdef Py_ssize_t j, n = ref_ra.shape[0], room = out_sep.shape[0], count = 0, before, k, b, following = n
    cdef Py_ssize_t first, last, m, waiting
    cdef Py_ssize_t row[BATCH]
    cdef Py_ssize_t bucket[BATCH]
    cdef int64 where[BATCH]
    cdef bint one_variance = ref_var.shape[0] == 1
    cdef int64 here
    cdef uint64 h
    cdef double sep, limit, variance
    with nogil:
        first = begin
        while first < n and following == n:
            last = first + BATCH if first + BATCH < n else n
            waiting = 0
            for j in range(first, last):
                if ref_ra[j] != ref_ra[j] or ref_dec[j] != ref_dec[j]:
                    continue
                here = _cell(ref_ra[j], ref_dec[j], height, zone_offset)
                h = <uint64>_bucket(here, filter_bits)
                if bitmap[h >> 3] & (1 << (h & 7)):
                    row[waiting] = j
                    where[waiting] = here
                    bucket[waiting] = _bucket(here, bits)
                    FETCH_EARLY(&bucket_start[bucket[waiting]])
                    waiting += 1
            for m in range(waiting):
                k = bucket_start[bucket[m]]
                if k < bucket_start[bucket[m] + 1]:
                    FETCH_EARLY(&cell[k])
                    FETCH_EARLY(&place[k, 0])
                    FETCH_EARLY(&source[k])
            for m in range(waiting):
                j, here, b, before = row[m], where[m], bucket[m], count
                for k in range(bucket_start[b], bucket_start[b + 1]):
                    if cell[k] != here:
                        continue
                    variance = ref_var[0] if one_variance else ref_var[j]
                    limit = n_sigma * sqrt(place[k, 2] + variance) + floor_rad
                    if limit > cap_rad:
                        limit = cap_rad
                    if fabs(place[k, 1] - ref_dec[j]) > limit * 1.0000001 + 1e-14:
                        continue
                    sep = _near_separation(place[k, 0], place[k, 1], place[k, 3], place[k, 4], ref_ra[j], ref_dec[j])
                    if sep > limit:
                        continue
                    if count < room:
                        out_source[count] = source[k]
                        out_ref[count] = j
                        out_sep[count] = sep
                    count += 1
                if count > room:
                    count = before
                    following = j
                    break
            first = last
    return following, count


def count_in_cells(const double[::1] ref_ra, const double[::1] ref_dec, double height, const int64[::1] zone_offset,
                   int bits, const int32[::1] bucket_start, const int64[::1] cell, int64[::1] out):
    """Add up the list's rows in each of the given distinct cells (in bucket order)."""
    cdef Py_ssize_t j, k, b
    cdef int64 here
    with nogil:
        for j in range(ref_ra.shape[0]):
            if ref_ra[j] == ref_ra[j] and ref_dec[j] == ref_dec[j]:
                here = _cell(ref_ra[j], ref_dec[j], height, zone_offset)
                b = _bucket(here, bits)
                for k in range(bucket_start[b], bucket_start[b + 1]):
                    if cell[k] == here:
                        out[k] += 1
                        break


def cells_of(const double[::1] ra, const double[::1] dec, double height, const int64[::1] zone_offset, int64[::1] out):
    """The cell that each position stands in."""
    cdef Py_ssize_t i
    with nogil:
        for i in range(ra.shape[0]):
            out[i] = _cell(ra[i], dec[i], height, zone_offset)


def assign_in_order(const int64[::1] source, const int64[::1] ref, unsigned char[::1] chosen,
                    unsigned char[::1] source_taken, unsigned char[::1] ref_taken):
    """Choose pairs, given best first, whose two ends are both still free."""
    cdef Py_ssize_t k
    with nogil:
        for k in range(source.shape[0]):
            if source_taken[source[k]] == 0 and ref_taken[ref[k]] == 0:
                source_taken[source[k]] = 1
                ref_taken[ref[k]] = 1
                chosen[k] = 1
