# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Kernels of the all-sky search: making patterns of four stars cell by cell, and looking image patterns up.

A pattern: A and B are the most distant pair, C and D lie in the circle over AB. Its code is the places of C and D in a
frame where A = 0 and B = 1 (complex plane): it does not change when the image is shifted, turned or scaled, and is
conjugated when it is mirrored. Callers: ``sky_index.py`` and ``all_sky_search.py``. Plain-numpy twins:
``tests/astrometry/algorithms/matching/test_all_sky_search.py``.
"""

from libc.math cimport asin, atan2, cos, exp, log, sin, sqrt

cdef double PI = 3.141592653589793
cdef double TWO_PI = 6.283185307179586
cdef double HOPELESS = -99.0
cdef enum:
    MOST_CANDIDATES = 24


cdef inline bint _code(double* u, double* v, int* order, double* code, double* base2) noexcept nogil:
    """Order four points as A, B, C, D and compute the code; False when C or D is outside the circle over AB.

    The order is made unique: re C + re D <= 1 and re C <= re D.
    """
    cdef int i, j, a = 0, b = 1, c = -1, d = -1, swap
    cdef double d2, best = -1.0, dx, dy, rc, ic, rd, id_, px, py, number
    for i in range(4):
        for j in range(i):
            d2 = (u[i] - u[j]) * (u[i] - u[j]) + (v[i] - v[j]) * (v[i] - v[j])
            if d2 > best:
                best = d2
                a = j
                b = i
    for i in range(4):
        if i != a and i != b:
            if c < 0:
                c = i
            else:
                d = i
    if best <= 0.0:
        return False
    dx = u[b] - u[a]
    dy = v[b] - v[a]
    px = u[c] - u[a]
    py = v[c] - v[a]
    rc = (px * dx + py * dy) / best
    ic = (py * dx - px * dy) / best
    if (rc - 0.5) * (rc - 0.5) + ic * ic > 0.25:
        return False
    px = u[d] - u[a]
    py = v[d] - v[a]
    rd = (px * dx + py * dy) / best
    id_ = (py * dx - px * dy) / best
    if (rd - 0.5) * (rd - 0.5) + id_ * id_ > 0.25:
        return False
    if rc + rd > 1.0:
        swap = a; a = b; b = swap
        rc = 1.0 - rc; ic = -ic
        rd = 1.0 - rd; id_ = -id_
    if rc > rd:
        swap = c; c = d; d = swap
        number = rc; rc = rd; rd = number
        number = ic; ic = id_; id_ = number
    order[0] = a; order[1] = b; order[2] = c; order[3] = d
    code[0] = rc; code[1] = ic + 0.5; code[2] = rd; code[3] = id_ + 0.5
    base2[0] = best
    return True


def quad_code(double[::1] u, double[::1] v):
    """Order and code of one pattern, or None; for tests."""
    cdef int order[4]
    cdef double code[4]
    cdef double base2
    if not _code(&u[0], &v[0], order, code, &base2):
        return None
    return [order[i] for i in range(4)], [code[i] for i in range(4)], sqrt(base2)


def make_quads(double[:, ::1] vectors, int[::1] rank, int[::1] start, double[::1] band_edge, int[::1] band_first,
               int[::1] band_count, double smallest, double cell_side, int quads_per_cell, int candidates,
               int uses, int[:, ::1] quads, unsigned short[:, ::1] codes):
    """The brightest patterns whose base has its middle in a cell, for every cell; returns how many were written.

    ``vectors`` (n, 3) unit vectors of the level's stars, cell by cell (``start``); ``rank`` (n,) brightness order;
    bands of declination with ``band_first`` cell and ``band_count`` cells each. ``smallest`` [rad]: the base AB is
    between it and twice it. Stops when the buffers are full.
    """
    cdef int bands = <int>band_count.shape[0], band, k, count, n, written = 0, room = <int>quads.shape[0]
    cdef int i, j, l, made, q, t
    cdef double ra, dec, reach = smallest + 0.71 * cell_side
    cdef double centre[3]
    cdef double east[3]
    cdef double north[3]
    cdef int near[MOST_CANDIDATES]
    cdef double u[MOST_CANDIDATES]
    cdef double v[MOST_CANDIDATES]
    cdef int used[MOST_CANDIDATES]
    cdef double pu[4]
    cdef double pv[4]
    cdef int four[4]
    cdef int order[4]
    cdef double code[4]
    cdef double base2, dot, middle_u, middle_v
    if candidates > MOST_CANDIDATES:
        raise ValueError("too many candidates per cell")
    with nogil:
        for band in range(bands):
            for k in range(band_count[band]):
                dec = 0.5 * (band_edge[band] + band_edge[band + 1])
                ra = TWO_PI * (k + 0.5) / band_count[band]
                centre[0] = cos(dec) * cos(ra); centre[1] = cos(dec) * sin(ra); centre[2] = sin(dec)
                east[0] = -sin(ra); east[1] = cos(ra); east[2] = 0.0
                north[0] = -sin(dec) * cos(ra); north[1] = -sin(dec) * sin(ra); north[2] = cos(dec)
                count = _gather(vectors, rank, start, band_edge, band_first, band_count, bands, ra, dec, centre, reach,
                                candidates, near)
                for i in range(count):
                    n = near[i]
                    dot = vectors[n, 0] * centre[0] + vectors[n, 1] * centre[1] + vectors[n, 2] * centre[2]
                    u[i] = (vectors[n, 0] * east[0] + vectors[n, 1] * east[1]) / dot
                    v[i] = (vectors[n, 0] * north[0] + vectors[n, 1] * north[1] + vectors[n, 2] * north[2]) / dot
                    used[i] = 0
                made = 0
                for n in range(3, count):
                    for l in range(2, n):
                        if used[n] >= uses:
                            break
                        for j in range(1, l):
                            if used[n] >= uses or used[l] >= uses:
                                break
                            for i in range(j):
                                if used[n] >= uses or used[l] >= uses or used[j] >= uses:
                                    break
                                if used[i] >= uses or made >= quads_per_cell:
                                    continue
                                four[0] = i; four[1] = j; four[2] = l; four[3] = n
                                for t in range(4):
                                    pu[t] = u[four[t]]
                                    pv[t] = v[four[t]]
                                if not _code(pu, pv, order, code, &base2):
                                    continue
                                if base2 < smallest * smallest or base2 >= 4.0 * smallest * smallest:
                                    continue
                                middle_u = 0.5 * (pu[order[0]] + pu[order[1]])
                                middle_v = 0.5 * (pv[order[0]] + pv[order[1]])
                                if middle_u > 0.5 * cell_side or middle_u < -0.5 * cell_side \
                                        or middle_v > 0.5 * cell_side or middle_v < -0.5 * cell_side:
                                    continue
                                if written == room:
                                    with gil:
                                        return written
                                for t in range(4):
                                    quads[written, t] = near[four[order[t]]]
                                    codes[written, t] = <unsigned short>(code[t] * 65535.0 + 0.5)
                                    used[four[t]] += 1
                                written += 1
                                made += 1
    return written


cdef int _gather(double[:, ::1] vectors, int[::1] rank, int[::1] start, double[::1] band_edge, int[::1] band_first,
                 int[::1] band_count, int bands, double ra, double dec, double* centre, double reach, int most,
                 int* near) noexcept nogil:
    """The brightest stars within ``reach`` of a place, in order of brightness."""
    cdef double least = cos(reach), half, c
    cdef int band, first, last, k, cell, n, i, count = 0, cells
    cdef int low_band = <int>((dec - reach + 0.5 * PI) / (PI / bands))
    cdef int high_band = <int>((dec + reach + 0.5 * PI) / (PI / bands))
    for band in range(max(low_band, 0), min(high_band, bands - 1) + 1):
        cells = band_count[band]
        c = min(cos(band_edge[band]), cos(band_edge[band + 1]))
        half = reach / c if c > reach else 10.0
        if half >= PI:
            first = 0
            last = cells - 1
        else:
            first = <int>((ra - half) / TWO_PI * cells + cells) - cells
            last = <int>((ra + half) / TWO_PI * cells + cells) - cells
            if last - first >= cells:
                first = 0
                last = cells - 1
        for k in range(first, last + 1):
            cell = band_first[band] + ((k + 2 * cells) % cells)
            for n in range(start[cell], start[cell + 1]):
                if vectors[n, 0] * centre[0] + vectors[n, 1] * centre[1] + vectors[n, 2] * centre[2] < least:
                    continue
                if count == most:
                    if rank[n] >= rank[near[count - 1]]:
                        continue
                    count -= 1
                i = count
                while i > 0 and rank[near[i - 1]] > rank[n]:
                    near[i] = near[i - 1]
                    i -= 1
                near[i] = n
                count += 1
    return count


cdef class QuadSearch:
    """Looks the patterns of one image up in one level of a sky index, brightest stars first.

    Hypotheses: z = alpha (x + i parity y) + beta on the plane [rad] that touches the sky in the middle of the base.
    """

    cdef double[::1] x, y
    cdef double[:, ::1] vectors
    cdef int[::1] start, band_first, band_count, cell_start
    cdef double[::1] band_edge
    cdef int[:, ::1] quads
    cdef unsigned short[:, ::1] codes
    cdef int cells, bands, vertices, checked
    cdef double tolerance, scale_low, scale_high, smallest, cell_area, shortest2, half_diagonal
    cdef double sigma, growth, unmatched, give_up, passing
    cdef readonly long long patterns, checks
    cdef readonly double best_score

    def __init__(self, double[::1] x, double[::1] y, level, *, int vertices, double tolerance, double scale_low,
                 double scale_high, double shortest, double sigma, double growth, double unmatched, double give_up,
                 double passing):
        self.x, self.y, self.checked = x, y, <int>x.shape[0]
        self.vertices = min(vertices, self.checked)
        self.vectors, self.start = level.vectors, level.start
        self.band_edge, self.band_first, self.band_count = level.band_edge, level.band_first, level.band_count
        self.bands = <int>level.band_count.shape[0]
        self.quads, self.codes, self.cell_start = level.quads, level.codes, level.cell_start
        self.cells = level.code_cells
        self.smallest = level.smallest
        self.cell_area = level.cell_side * level.cell_side
        self.tolerance, self.scale_low, self.scale_high = tolerance, scale_low, scale_high
        self.shortest2 = shortest * shortest
        self.sigma, self.growth, self.unmatched = sigma, growth, unmatched
        self.give_up, self.passing = give_up, passing
        self.patterns = 0
        self.checks = 0
        self.best_score = HOPELESS

    def advance(self, int n, double[:, ::1] passed):
        """All patterns whose faintest star is the n-th; returns how many rows of ``passed`` were written.

        A row: alpha (re, im), beta (re, im), parity, log-odds, middle of the image's base (x, y), its length, and the
        unit vector of the tangent point.
        """
        cdef int found = 0
        if n >= self.vertices:
            return 0
        with nogil:
            found = self._patterns(n, passed)
        return found

    cdef int _patterns(self, int n, double[:, ::1] passed) noexcept nogil:
        cdef int i, j, l, t, found = 0
        cdef int four[4]
        cdef int order[4]
        cdef int image[4]
        cdef double u[4]
        cdef double v[4]
        cdef double code[4]
        cdef double base2, base
        for l in range(2, n):
            for j in range(1, l):
                for i in range(j):
                    four[0] = i; four[1] = j; four[2] = l; four[3] = n
                    for t in range(4):
                        u[t] = self.x[four[t]]
                        v[t] = self.y[four[t]]
                    if not _code(u, v, order, code, &base2) or base2 < self.shortest2:
                        continue
                    base = sqrt(base2)
                    # is a base of this length possible on this level?
                    if base * self.scale_low > 2.02 * self.smallest or base * self.scale_high < 0.98 * self.smallest:
                        continue
                    for t in range(4):
                        image[t] = four[order[t]]
                    self.patterns += 1
                    found = self._look_up(image, code, base, 1.0, passed, found)
                    code[1] = 1.0 - code[1]
                    code[3] = 1.0 - code[3]
                    found = self._look_up(image, code, base, -1.0, passed, found)
        return found

    cdef int _look_up(self, int* image, double* code, double base, double parity, double[:, ::1] passed,
                      int found) noexcept nogil:
        """Patterns of the index within the tolerance of a code."""
        cdef int low[4]
        cdef int high[4]
        cdef int t, a, b, c, d, k, cell
        cdef double reach2 = self.tolerance * self.tolerance * 65535.0 * 65535.0
        cdef double e0, e1, e2, e3, d2
        for t in range(4):
            low[t] = max(<int>((code[t] - self.tolerance) * self.cells), 0)
            high[t] = min(<int>((code[t] + self.tolerance) * self.cells), self.cells - 1)
        e0 = code[0] * 65535.0; e1 = code[1] * 65535.0; e2 = code[2] * 65535.0; e3 = code[3] * 65535.0
        for a in range(low[0], high[0] + 1):
            for b in range(low[1], high[1] + 1):
                for c in range(low[2], high[2] + 1):
                    cell = ((a * self.cells + b) * self.cells + c) * self.cells
                    for d in range(low[3], high[3] + 1):
                        for k in range(self.cell_start[cell + d], self.cell_start[cell + d + 1]):
                            d2 = (self.codes[k, 0] - e0) * (self.codes[k, 0] - e0) \
                                + (self.codes[k, 1] - e1) * (self.codes[k, 1] - e1)
                            if d2 > reach2:
                                continue
                            d2 += (self.codes[k, 2] - e2) * (self.codes[k, 2] - e2) \
                                + (self.codes[k, 3] - e3) * (self.codes[k, 3] - e3)
                            if d2 <= reach2:
                                found = self._check(image, k, base, parity, passed, found)
        return found

    cdef int _check(self, int* image, int k, double base, double parity, double[:, ::1] passed,
                    int found) noexcept nogil:
        """Similarity of an image pattern and a pattern of the index, and its log-odds."""
        cdef double centre[3]
        cdef double east[3]
        cdef double north[3]
        cdef double u[4]
        cdef double v[4]
        cdef double norm, dot, mx = 0.0, my = 0.0, mu = 0.0, mv = 0.0, px, py, qx, qy, re = 0.0, im = 0.0, size = 0.0
        cdef double scale, score, beta_u, beta_v, mid_x, mid_y
        cdef int t, star, worst, i
        self.checks += 1
        for t in range(3):
            centre[t] = self.vectors[self.quads[k, 0], t] + self.vectors[self.quads[k, 1], t]
        norm = sqrt(centre[0] * centre[0] + centre[1] * centre[1] + centre[2] * centre[2])
        for t in range(3):
            centre[t] /= norm
        _triad(centre, east, north)
        for t in range(4):
            star = self.quads[k, t]
            dot = self.vectors[star, 0] * centre[0] + self.vectors[star, 1] * centre[1] + self.vectors[star, 2] * centre[2]
            u[t] = (self.vectors[star, 0] * east[0] + self.vectors[star, 1] * east[1]) / dot
            v[t] = (self.vectors[star, 0] * north[0] + self.vectors[star, 1] * north[1]
                    + self.vectors[star, 2] * north[2]) / dot
            mx += 0.25 * self.x[image[t]]
            my += 0.25 * self.y[image[t]]
            mu += 0.25 * u[t]
            mv += 0.25 * v[t]
        for t in range(4):
            px = self.x[image[t]] - mx
            py = parity * (self.y[image[t]] - my)
            qx = u[t] - mu
            qy = v[t] - mv
            re += px * qx + py * qy
            im += px * qy - py * qx
            size += px * px + py * py
        re /= size
        im /= size
        scale = sqrt(re * re + im * im)
        if scale < self.scale_low or scale > self.scale_high:
            return found
        beta_u = mu - (re * mx - im * parity * my)
        beta_v = mv - (re * parity * my + im * mx)
        mid_x = 0.5 * (self.x[image[0]] + self.x[image[1]])
        mid_y = 0.5 * (self.y[image[0]] + self.y[image[1]])
        score = self._score(re, im, beta_u, beta_v, parity, scale, image, mid_x, mid_y, base, centre, east, north)
        if score > self.best_score:
            self.best_score = score
        if score < self.passing:
            return found
        i = found
        if found < passed.shape[0]:
            found += 1
        else:
            i = 0
            for worst in range(1, found):
                if passed[worst, 5] < passed[i, 5]:
                    i = worst
            if passed[i, 5] >= score:
                return found
        passed[i, 0] = re; passed[i, 1] = im; passed[i, 2] = beta_u; passed[i, 3] = beta_v
        passed[i, 4] = parity; passed[i, 5] = score; passed[i, 6] = mid_x; passed[i, 7] = mid_y; passed[i, 8] = base
        passed[i, 9] = centre[0]; passed[i, 10] = centre[1]; passed[i, 11] = centre[2]
        return found

    cdef double _score(self, double re, double im, double beta_u, double beta_v, double parity, double scale,
                       int* image, double mid_x, double mid_y, double base, double* centre, double* east,
                       double* north) noexcept nogil:
        """Log-odds over the bright stars other than the pattern's own, given up early."""
        cdef double total = 0.0, miss = log(self.unmatched), px, py, zu, zv, distance, sigma, best, norm, density
        cdef double place[3]
        cdef int s, t
        for s in range(self.checked):
            if s == image[0] or s == image[1] or s == image[2] or s == image[3]:
                continue
            px = self.x[s]
            py = parity * self.y[s]
            zu = re * px - im * py + beta_u
            zv = re * py + im * px + beta_v
            distance = sqrt((self.x[s] - mid_x) * (self.x[s] - mid_x) + (self.y[s] - mid_y) * (self.y[s] - mid_y))
            sigma = self.sigma * (1.0 + 0.5 * distance / base)
            if distance > 0.5 * base:
                sigma += self.growth * (distance - 0.5 * base)
            sigma *= scale
            norm = 1.0 / sqrt(1.0 + zu * zu + zv * zv)
            for t in range(3):
                place[t] = (centre[t] + zu * east[t] + zv * north[t]) * norm
            best = self._nearest(place, 3.0 * sigma, &density)
            if best >= 0.0:
                total += log((1.0 - self.unmatched) * exp(-0.5 * best / (sigma * sigma))
                             / (TWO_PI * sigma * sigma * density) + self.unmatched)
            else:
                total += miss
            if total < self.give_up:
                return total
        return total

    cdef double _nearest(self, double* place, double reach, double* density) noexcept nogil:
        """Squared distance [rad^2] of the nearest star of the level within ``reach``, or -1; local density."""
        cdef double dec = asin(max(-1.0, min(1.0, place[2]))), ra = atan2(place[1], place[0]), half, c
        cdef double best = reach * reach, d2
        cdef int band, k, cell, n, t, cells, first, last, hit = 0, seen = 0, looked = 0
        if ra < 0.0:
            ra += TWO_PI
        for band in range(max(<int>((dec - reach + 0.5 * PI) / (PI / self.bands)), 0),
                          min(<int>((dec + reach + 0.5 * PI) / (PI / self.bands)), self.bands - 1) + 1):
            cells = self.band_count[band]
            c = cos(dec)
            half = reach / c if c > reach else 10.0
            if half >= PI:
                first = 0
                last = cells - 1
            else:
                first = <int>((ra - half) / TWO_PI * cells + cells) - cells
                last = <int>((ra + half) / TWO_PI * cells + cells) - cells
                if last - first >= cells:
                    first = 0
                    last = cells - 1
            for k in range(first, last + 1):
                cell = self.band_first[band] + ((k + 2 * cells) % cells)
                looked += 1
                seen += self.start[cell + 1] - self.start[cell]
                for n in range(self.start[cell], self.start[cell + 1]):
                    d2 = 0.0
                    for t in range(3):
                        d2 += (self.vectors[n, t] - place[t]) * (self.vectors[n, t] - place[t])
                    if d2 < best:
                        best = d2
                        hit = 1
        density[0] = max(seen, 1) / (max(looked, 1) * self.cell_area)
        return best if hit else -1.0


cdef inline void _triad(double* centre, double* east, double* north) noexcept nogil:
    """East and north at a unit vector; at a pole east is along x."""
    cdef double across = sqrt(centre[0] * centre[0] + centre[1] * centre[1])
    if across < 1e-12:
        east[0] = 1.0; east[1] = 0.0; east[2] = 0.0
    else:
        east[0] = -centre[1] / across; east[1] = centre[0] / across; east[2] = 0.0
    north[0] = centre[1] * east[2] - centre[2] * east[1]
    north[1] = centre[2] * east[0] - centre[0] * east[2]
    north[2] = centre[0] * east[1] - centre[1] * east[0]
