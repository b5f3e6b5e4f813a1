# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Kernels of the triangle matcher: listing image triangles, streaming catalogue triangles past them, quick check.

The image triangles (hundreds to some ten thousand) are put in a small table of side ratios. The catalogue triangles
(up to millions) are made one after the other, brightest stars first, looked up in that table and forgotten: nothing of
that size is stored or sorted, and the search ends at the first triangle that fits. Callers: ``triangle_matcher.py``,
where units and meaning are described. Plain-numpy twins: ``tests/astrometry/algorithms/matching/test_triangle_kernels.py``.
"""

from libc.math cimport exp, fabs, log, sqrt

cdef double TWO_PI = 6.283185307179586
cdef double HOPELESS = -99.0


cdef inline bint _shape(double opposite_a, double opposite_b, double opposite_c, double low2, double high2,
                        double thin2, int* order, double* ratios) noexcept nogil:
    """Order the vertices by their squared opposite side, longest first; False when the shape is not wanted."""
    cdef double s0 = opposite_a, s1 = opposite_b, s2 = opposite_c, swap
    cdef int o0 = 0, o1 = 1, o2 = 2, other
    if s0 < s1:
        swap = s0; s0 = s1; s1 = swap
        other = o0; o0 = o1; o1 = other
    if s1 < s2:
        swap = s1; s1 = s2; s2 = swap
        other = o1; o1 = o2; o2 = other
    if s0 < s1:
        swap = s0; s0 = s1; s1 = swap
        other = o0; o0 = o1; o1 = other
    if s0 < low2 or s0 > high2 or s2 < thin2 * s0:
        return False
    order[0] = o0; order[1] = o1; order[2] = o2
    ratios[0] = sqrt(s1 / s0)
    ratios[1] = sqrt(s2 / s0)
    ratios[2] = sqrt(s0)
    return True


def list_triangles(double[::1] x, double[::1] y, double longest_low, double longest_high, double thinnest,
                   int[:, ::1] vertices, double[:, ::1] shapes):
    """All triangles of a short list, brightest stars first; returns how many were written.

    ``vertices`` (m, 3): star opposite the longest, the middle and the shortest side. ``shapes`` (m, 3):
    middle / longest, shortest / longest, longest side. Stops when the buffers are full.
    """
    cdef int n = <int>x.shape[0], i, j, k, m = 0, room = <int>vertices.shape[0]
    cdef double low2 = longest_low * longest_low, high2 = longest_high * longest_high, thin2 = thinnest * thinnest
    cdef double ij, ik, jk
    cdef int order[3]
    cdef int stars[3]
    cdef double ratios[3]
    with nogil:
        for k in range(2, n):
            for j in range(1, k):
                jk = (x[j] - x[k]) * (x[j] - x[k]) + (y[j] - y[k]) * (y[j] - y[k])
                if jk > high2:
                    continue
                for i in range(j):
                    ik = (x[i] - x[k]) * (x[i] - x[k]) + (y[i] - y[k]) * (y[i] - y[k])
                    ij = (x[i] - x[j]) * (x[i] - x[j]) + (y[i] - y[j]) * (y[i] - y[j])
                    if not _shape(jk, ik, ij, low2, high2, thin2, order, ratios):
                        continue
                    if m == room:
                        with gil:
                            return m
                    stars[0] = i; stars[1] = j; stars[2] = k
                    vertices[m, 0] = stars[order[0]]
                    vertices[m, 1] = stars[order[1]]
                    vertices[m, 2] = stars[order[2]]
                    shapes[m, 0] = ratios[0]; shapes[m, 1] = ratios[1]; shapes[m, 2] = ratios[2]
                    m += 1
    return m


def count_cells(double[:, ::1] shapes, double tolerance, int cells, int[::1] start):
    """Add to ``start[cell + 1]`` one for every triangle whose tolerance box touches the cell (cells x cells)."""
    cdef int t, p, q
    for t in range(shapes.shape[0]):
        for p in range(_cell(shapes[t, 0] - tolerance, cells), _cell(shapes[t, 0] + tolerance, cells) + 1):
            for q in range(_cell(shapes[t, 1] - tolerance, cells), _cell(shapes[t, 1] + tolerance, cells) + 1):
                start[p * cells + q + 1] += 1


def fill_cells(double[:, ::1] shapes, double tolerance, int cells, int[::1] place, int[::1] members):
    """Write each triangle's number into its cells, in the order given; ``place`` holds the next free place."""
    cdef int t, p, q, cell
    for t in range(shapes.shape[0]):
        for p in range(_cell(shapes[t, 0] - tolerance, cells), _cell(shapes[t, 0] + tolerance, cells) + 1):
            for q in range(_cell(shapes[t, 1] - tolerance, cells), _cell(shapes[t, 1] + tolerance, cells) + 1):
                cell = p * cells + q
                members[place[cell]] = t
                place[cell] += 1


cdef inline int _cell(double ratio, int cells) noexcept nogil:
    cdef int cell = <int>(ratio * cells)
    if ratio < 0.0:
        return 0
    return cell if cell < cells else cells - 1


cdef class TriangleSearch:
    """A resumable pass of the catalogue's triangles over a table of image triangles.

    ``advance`` goes on from the catalogue vertex where it stopped. Counters: ``triangles`` made, ``checks`` done;
    ``best_score`` is the highest log-odds of a quick check so far.
    """

    cdef double[::1] x, y, u, v, density
    cdef int[::1] cell_start, cell_stars, table_start, table_members, head, following
    cdef int[:, ::1] vertices
    cdef double[:, ::1] shapes
    cdef int checked_stars, catalogue_vertices, columns, rows, table_cells, near_columns, near_rows, vertex
    cdef double low, high, thinnest, scale_low, scale_high, tolerance
    cdef double left, bottom, cell, near_cell, disc2, cover
    cdef double sigma, growth, unmatched, give_up, passing
    cdef int[::1] near
    cdef double[::1] near_distance2
    cdef readonly long long triangles, checks, triangle_limit
    cdef readonly double best_score

    def __init__(self, double[::1] x, double[::1] y, int[:, ::1] vertices, double[:, ::1] shapes,
                 int[::1] table_start, int[::1] table_members, int table_cells,
                 double[::1] u, double[::1] v, int catalogue_vertices, grid, *,
                 double low, double high, double thinnest, double tolerance, double scale_low, double scale_high,
                 double disc_radius, double cover, double sigma, double growth, double unmatched,
                 double give_up, double passing, long long triangle_limit, int[::1] work_int, double[::1] work_float):
        self.x, self.y, self.vertices, self.shapes = x, y, vertices, shapes
        self.table_start, self.table_members, self.table_cells = table_start, table_members, table_cells
        self.u, self.v, self.catalogue_vertices = u, v, catalogue_vertices
        self.checked_stars = <int>x.shape[0]
        self.left, self.bottom, self.cell = grid.left, grid.bottom, grid.cell
        self.columns, self.rows = grid.columns, grid.rows
        self.cell_start, self.cell_stars, self.density = grid.start, grid.stars, grid.density
        self.low, self.high, self.thinnest, self.tolerance = low, high, thinnest, tolerance
        self.scale_low, self.scale_high = scale_low, scale_high
        self.disc2, self.cover = disc_radius * disc_radius, cover
        self.sigma, self.growth, self.unmatched = sigma, growth, unmatched
        self.give_up, self.passing = give_up, passing
        self.triangle_limit = triangle_limit
        # neighbour lists of the catalogue vertices seen so far: cells of one longest side
        self.near_cell = high
        self.near_columns = <int>((grid.columns * grid.cell) / high) + 1
        self.near_rows = <int>((grid.rows * grid.cell) / high) + 1
        cdef int cells = self.near_columns * self.near_rows, i
        if work_int.shape[0] < cells + 2 * catalogue_vertices or work_float.shape[0] < catalogue_vertices:
            raise ValueError("work arrays are too small")
        self.head = work_int[:cells]
        self.following = work_int[cells:cells + catalogue_vertices]
        self.near = work_int[cells + catalogue_vertices:cells + 2 * catalogue_vertices]
        self.near_distance2 = work_float[:catalogue_vertices]
        for i in range(cells):
            self.head[i] = -1
        self.vertex = 0
        self.triangles = 0
        self.checks = 0
        self.best_score = HOPELESS

    def advance(self, double[:, ::1] passed, long long work_limit, int vertex_limit):
        """Go on until some hypothesis passes the quick check; returns how many rows of ``passed`` were written.

        A row: alpha (real, imaginary), beta (real, imaginary), parity, log-odds, centre x and y and longest side of
        the image triangle. Ends, with 0, at ``vertex_limit``, at the last vertex, at the limit of triangles, or when
        this call has done ``work_limit`` of work: triangles plus ten times the checks. All triangles of one catalogue
        vertex are gone through before it returns.
        """
        cdef int found = 0
        cdef long long begin = self.triangles + 10 * self.checks
        with nogil:
            while self.vertex < self.catalogue_vertices and self.vertex < vertex_limit:
                if self.triangles >= self.triangle_limit or self.triangles + 10 * self.checks - begin >= work_limit:
                    break
                found = self._vertex(self.vertex, passed)
                self.vertex += 1
                if found:
                    break
        return found

    @property
    def exhausted(self):
        """True when no triangle is left, or the limit of triangles is reached."""
        return self.vertex >= self.catalogue_vertices or self.triangles >= self.triangle_limit

    cdef int _vertex(self, int k, double[:, ::1] passed) noexcept nogil:
        """All triangles of vertex k with brighter vertices."""
        cdef int column = <int>((self.u[k] - self.left) / self.near_cell)
        cdef int row = <int>((self.v[k] - self.bottom) / self.near_cell)
        cdef int p, q, j, count = 0, a, b, found = 0
        cdef double d2, high2 = self.high * self.high, low2 = self.low * self.low
        cdef double thin2 = self.thinnest * self.thinnest, between
        cdef int order[3]
        cdef int stars[3]
        cdef double ratios[3]
        for q in range(max(row - 1, 0), min(row + 1, self.near_rows - 1) + 1):
            for p in range(max(column - 1, 0), min(column + 1, self.near_columns - 1) + 1):
                j = self.head[q * self.near_columns + p]
                while j >= 0:
                    d2 = (self.u[j] - self.u[k]) * (self.u[j] - self.u[k]) \
                        + (self.v[j] - self.v[k]) * (self.v[j] - self.v[k])
                    if d2 <= high2:
                        self.near[count] = j
                        self.near_distance2[count] = d2
                        count += 1
                    j = self.following[j]
        p = row * self.near_columns + column
        self.following[k] = self.head[p]
        self.head[p] = k
        for b in range(1, count):
            for a in range(b):
                between = (self.u[self.near[a]] - self.u[self.near[b]]) * (self.u[self.near[a]] - self.u[self.near[b]]) \
                    + (self.v[self.near[a]] - self.v[self.near[b]]) * (self.v[self.near[a]] - self.v[self.near[b]])
                if not _shape(self.near_distance2[b], self.near_distance2[a], between, low2, high2, thin2, order,
                              ratios):
                    continue
                self.triangles += 1
                stars[0] = self.near[a]; stars[1] = self.near[b]; stars[2] = k
                found = self._look_up(stars[order[0]], stars[order[1]], stars[order[2]], ratios, passed, found)
        return found

    cdef inline int _look_up(self, int first, int second, int third, double* ratios, double[:, ::1] passed,
                             int found) noexcept nogil:
        """Every image triangle of the same shape and a possible scale is a hypothesis."""
        cdef int cell = _cell(ratios[0], self.table_cells) * self.table_cells + _cell(ratios[1], self.table_cells)
        cdef int begin = self.table_start[cell], end = self.table_start[cell + 1], stop = end, middle, t
        cdef double shortest = ratios[2] / self.scale_high, longest = ratios[2] / self.scale_low
        # members of a cell are in order of their longest side
        while begin < stop:
            middle = (begin + stop) >> 1
            if self.shapes[self.table_members[middle], 2] < shortest:
                begin = middle + 1
            else:
                stop = middle
        while begin < end:
            t = self.table_members[begin]
            begin += 1
            if self.shapes[t, 2] > longest:
                break
            if fabs(self.shapes[t, 0] - ratios[0]) > self.tolerance \
                    or fabs(self.shapes[t, 1] - ratios[1]) > self.tolerance:
                continue
            found = self._check(t, first, second, third, passed, found)
        return found

    cdef int _check(self, int t, int first, int second, int third, double[:, ::1] passed, int found) noexcept nogil:
        """Similarity of two triangles by least squares, and its log-odds over the bright stars."""
        cdef int a = self.vertices[t, 0], b = self.vertices[t, 1], c = self.vertices[t, 2], i, worst
        cdef double turn_image = (self.x[b] - self.x[a]) * (self.y[c] - self.y[a]) \
            - (self.y[b] - self.y[a]) * (self.x[c] - self.x[a])
        cdef double turn_sky = (self.u[second] - self.u[first]) * (self.v[third] - self.v[first]) \
            - (self.v[second] - self.v[first]) * (self.u[third] - self.u[first])
        cdef double parity = 1.0 if turn_image * turn_sky > 0.0 else -1.0
        cdef double mx = (self.x[a] + self.x[b] + self.x[c]) / 3.0, my = (self.y[a] + self.y[b] + self.y[c]) / 3.0
        cdef double mu = (self.u[first] + self.u[second] + self.u[third]) / 3.0
        cdef double mv = (self.v[first] + self.v[second] + self.v[third]) / 3.0
        cdef double real = 0.0, imaginary = 0.0, norm = 0.0, px, py, qx, qy, score
        cdef int image[3]
        cdef int sky[3]
        image[0] = a; image[1] = b; image[2] = c
        sky[0] = first; sky[1] = second; sky[2] = third
        for i in range(3):
            px = self.x[image[i]] - mx
            py = parity * (self.y[image[i]] - my)
            qx = self.u[sky[i]] - mu
            qy = self.v[sky[i]] - mv
            real += px * qx + py * qy
            imaginary += px * qy - py * qx
            norm += px * px + py * py
        real /= norm
        imaginary /= norm
        cdef double beta_u = mu - (real * mx - imaginary * parity * my)
        cdef double beta_v = mv - (real * parity * my + imaginary * mx)
        self.checks += 1
        score = self._score(real, imaginary, beta_u, beta_v, parity, a, b, c, mx, my, self.shapes[t, 2])
        if score > self.best_score:
            self.best_score = score
        if score < self.passing:
            return found
        if found < passed.shape[0]:
            i = found
            found += 1
        else:
            worst = 0
            for i in range(1, found):
                if passed[i, 5] < passed[worst, 5]:
                    worst = i
            if passed[worst, 5] >= score:
                return found
            i = worst
        passed[i, 0] = real; passed[i, 1] = imaginary; passed[i, 2] = beta_u; passed[i, 3] = beta_v
        passed[i, 4] = parity; passed[i, 5] = score
        passed[i, 6] = mx; passed[i, 7] = my; passed[i, 8] = self.shapes[t, 2]
        return found

    def score(self, double real, double imaginary, double beta_u, double beta_v, double parity, int a, int b, int c,
              double mx, double my, double size):
        """Log-odds of one similarity, for tests."""
        return self._score(real, imaginary, beta_u, beta_v, parity, a, b, c, mx, my, size)

    cdef double _score(self, double real, double imaginary, double beta_u, double beta_v, double parity,
                       int a, int b, int c, double mx, double my, double size) noexcept nogil:
        """Log-odds over the bright stars other than the triangle's own, given up early."""
        cdef double total = 0.0, miss = log(self.unmatched), magnification = sqrt(real * real + imaginary * imaginary)
        cdef double px, py, zu, zv, distance, sigma, reach, best, d2
        cdef int s, inside = 0, seen = 0, i, j, q, k, hit
        for s in range(self.checked_stars):
            if s == a or s == b or s == c:
                continue
            px = self.x[s]
            py = parity * self.y[s]
            zu = real * px - imaginary * py + beta_u
            zv = real * py + imaginary * px + beta_v
            seen += 1
            if zu * zu + zv * zv > self.disc2:
                if seen > 7 and inside < self.cover * seen:
                    return HOPELESS
                continue
            inside += 1
            distance = sqrt((self.x[s] - mx) * (self.x[s] - mx) + (self.y[s] - my) * (self.y[s] - my))
            sigma = self.sigma * (1.0 + 0.5 * distance / size)
            if distance > 0.5 * size:
                sigma += self.growth * (distance - 0.5 * size)
            sigma *= magnification
            reach = 3.0 * sigma
            best = reach * reach
            hit = 0
            for j in range(max(<int>((zv - reach - self.bottom) / self.cell), 0),
                           min(<int>((zv + reach - self.bottom) / self.cell), self.rows - 1) + 1):
                for i in range(max(<int>((zu - reach - self.left) / self.cell), 0),
                               min(<int>((zu + reach - self.left) / self.cell), self.columns - 1) + 1):
                    q = j * self.columns + i
                    for k in range(self.cell_start[q], self.cell_start[q + 1]):
                        d2 = (self.u[self.cell_stars[k]] - zu) * (self.u[self.cell_stars[k]] - zu) \
                            + (self.v[self.cell_stars[k]] - zv) * (self.v[self.cell_stars[k]] - zv)
                        if d2 < best:
                            best = d2
                            hit = 1
            if hit:
                i = min(max(<int>((zu - self.left) / self.cell), 0), self.columns - 1)
                j = min(max(<int>((zv - self.bottom) / self.cell), 0), self.rows - 1)
                total += log((1.0 - self.unmatched) * exp(-0.5 * best / (sigma * sigma))
                             / (TWO_PI * sigma * sigma * self.density[j * self.columns + i]) + self.unmatched)
            else:
                total += miss
            if total < self.give_up:
                return total
        if inside < 3:
            return HOPELESS
        return total
