# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Kernels of `centroids`: windowed centroids and PSF fits, star by star, single-threaded."""

from libc.math cimport NAN, ceil, exp, fabs, floor, hypot, sqrt

cdef enum:
    MAX_SIDE = 129
    # Passes after which a PSF fit is close enough to tell strange pixels.
    SETTLED = 3

# A pixel is strange beyond so many sigma of its noise and this share of the model, by which a profile may be wrong.
cdef double STRANGE_SIGMA = 5.0
cdef double STRANGE_SHARE = 0.05


def windowed(
    const float[:, ::1] image,
    const unsigned char[:, ::1] mask,
    const double[::1] x_start,
    const double[::1] y_start,
    const double[::1] background_variance,
    double inverse_gain,
    double window_sigma,
    int passes,
    double step,
    double[::1] x_out,
    double[::1] y_out,
    double[:, ::1] covariance,
    unsigned char[::1] ok,
):
    """Fixed point of the Gaussian-windowed centroid and its covariance (xx, yy, xy); see `centroids.windowed`."""
    cdef Py_ssize_t k, n = x_start.shape[0]
    with nogil:
        for k in range(n):
            ok[k] = _windowed_one(
                image, mask, x_start[k], y_start[k], background_variance[k], inverse_gain, window_sigma,
                passes, step, &x_out[k], &y_out[k], &covariance[k, 0],
            )


cdef int _windowed_one(
    const float[:, ::1] image, const unsigned char[:, ::1] mask, double x0, double y0, double variance,
    double inverse_gain, double sigma, int passes, double step, double* x_out, double* y_out, double* cov,
) noexcept nogil:
    cdef double wx[MAX_SIDE]
    cdef double wy[MAX_SIDE]
    cdef double x = x0, y = y0, scale = 0.5 / (sigma * sigma), dx, dy, w, v, s2, value
    cdef double total = 0, mx = 0, my = 0, qxx = 0, qyy = 0, qxy = 0, nxx = 0, nyy = 0, nxy = 0
    cdef double axx, ayy, axy, det, half
    cdef int ny = <int>image.shape[0], nx = <int>image.shape[1], reach, ix, iy, i, j, x_lo, x_hi, y_lo, y_hi, it
    cdef int converged = 0
    x_out[0] = y_out[0] = cov[0] = cov[1] = NAN
    cov[2] = NAN
    reach = <int>ceil(4.0 * sigma)
    if reach > MAX_SIDE // 2:
        reach = MAX_SIDE // 2
    for it in range(passes + 1):
        if not (x >= -0.5 and x <= nx - 0.5 and y >= -0.5 and y <= ny - 0.5):
            return 0
        ix = <int>floor(x + 0.5)
        iy = <int>floor(y + 0.5)
        x_lo = max(ix - reach, 0)
        x_hi = min(ix + reach, nx - 1)
        y_lo = max(iy - reach, 0)
        y_hi = min(iy + reach, ny - 1)
        for i in range(x_lo, x_hi + 1):
            dx = i - x
            wx[i - x_lo] = exp(-dx * dx * scale)
        for j in range(y_lo, y_hi + 1):
            dy = j - y
            wy[j - y_lo] = exp(-dy * dy * scale)
        total = mx = my = qxx = qyy = qxy = nxx = nyy = nxy = 0.0
        for j in range(y_lo, y_hi + 1):
            dy = j - y
            for i in range(x_lo, x_hi + 1):
                if mask[j, i]:
                    continue
                dx = i - x
                w = wx[i - x_lo] * wy[j - y_lo]
                value = image[j, i]
                v = w * value
                total += v
                mx += v * dx
                my += v * dy
                if converged:
                    qxx += v * dx * dx
                    qyy += v * dy * dy
                    qxy += v * dx * dy
                    s2 = w * w * (variance + (value * inverse_gain if value > 0 else 0.0))
                    nxx += s2 * dx * dx
                    nyy += s2 * dy * dy
                    nxy += s2 * dx * dy
        if not total > 0.0:
            return 0
        if converged:
            break
        dx = 2.0 * mx / total
        dy = 2.0 * my / total
        x += dx
        y += dy
        if fabs(dx) < step and fabs(dy) < step:
            converged = 1
        elif it == passes - 1:
            converged = 1
    # Slope of the fixed-point equation: sum w I (1 - d d^T / sigma^2); about half of sum w I for a matched window.
    half = 2.0 * scale
    axx = total - qxx * half
    ayy = total - qyy * half
    axy = -qxy * half
    if axx < 0.3 * total or axx > 0.8 * total or ayy < 0.3 * total or ayy > 0.8 * total or fabs(axy) > 0.2 * total:
        axx = ayy = 0.5 * total
        axy = 0.0
    det = axx * ayy - axy * axy
    cov[0] = (ayy * ayy * nxx - 2.0 * ayy * axy * nxy + axy * axy * nyy) / (det * det)
    cov[1] = (axy * axy * nxx - 2.0 * axx * axy * nxy + axx * axx * nyy) / (det * det)
    cov[2] = (-ayy * axy * nxx + (axx * ayy + axy * axy) * nxy - axx * axy * nyy) / (det * det)
    x_out[0] = x
    y_out[0] = y
    return 1


cdef inline void _cubic(double t, double* w, double* d) noexcept nogil:
    """Four-point Lagrange weights at fraction t and their derivatives."""
    w[0] = -t * (t - 1) * (t - 2) / 6
    w[1] = (t + 1) * (t - 1) * (t - 2) / 2
    w[2] = -(t + 1) * t * (t - 2) / 2
    w[3] = (t + 1) * t * (t - 1) / 6
    d[0] = -(3 * t * t - 6 * t + 2) / 6
    d[1] = (3 * t * t - 4 * t - 1) / 2
    d[2] = -(3 * t * t - 2 * t - 2) / 2
    d[3] = (3 * t * t - 1) / 6


def half_light(
    const float[:, ::1] image, const double[::1] x, const double[::1] y, double reach, double[::1] radius
):
    """Radii that hold half of the light within ``reach``; pixels are cut into quarters. NaN without light."""
    cdef double rings[512]
    cdef Py_ssize_t k
    cdef int ny = <int>image.shape[0], nx = <int>image.shape[1], i, j, a, n, most
    cdef double total, dx, dy, r2, value, half, limit = reach * reach, sum_before
    # Rings of equal area: the radius of ring n is sqrt(n / fine).
    cdef double fine = 500.0 / limit
    with nogil:
        for k in range(x.shape[0]):
            most = <int>(limit * fine) + 1
            for n in range(most + 1):
                rings[n] = 0.0
            for j in range(max(<int>floor(y[k] - reach), 0), min(<int>ceil(y[k] + reach), ny - 1) + 1):
                for i in range(max(<int>floor(x[k] - reach), 0), min(<int>ceil(x[k] + reach), nx - 1) + 1):
                    value = 0.25 * image[j, i]
                    for a in range(4):
                        dx = i - x[k] + (0.25 if a & 1 else -0.25)
                        dy = j - y[k] + (0.25 if a & 2 else -0.25)
                        r2 = dx * dx + dy * dy
                        if r2 < limit:
                            rings[<int>(r2 * fine)] += value
            total = 0.0
            for n in range(most + 1):
                total += rings[n]
            half, sum_before, radius[k] = 0.5 * total, 0.0, NAN
            if not total > 0.0:
                continue
            for n in range(most + 1):
                if sum_before + rings[n] >= half:
                    radius[k] = sqrt((n + (half - sum_before) / rings[n]) / fine)
                    break
                sum_before += rings[n]


def psf_fit_together(
    const float[:, ::1] image,
    float[:, ::1] light,
    const unsigned char[:, ::1] mask,
    const double[::1] x_start,
    const double[::1] y_start,
    const double[::1] background_variance,
    double inverse_gain,
    const double[:, ::1] psf,
    int oversampling,
    int reach,
    int far,
    int rounds,
    int passes,
    double step,
    double still,
    double[::1] x_out,
    double[::1] y_out,
    double[::1] flux_out,
    double[::1] chi2_out,
    double[:, ::1] covariance,
    int[::1] rejected,
    unsigned char[::1] ok,
    double[::1] moved,
):
    """Fits one after the other with the present models of all others taken off, until a star moves less than ``still``, or
    fails for the third time.

    ``light``, zeros, is the sum of the models in the end; ``moved`` is in pixels, large numbers at first.
    """
    cdef Py_ssize_t k, n = x_start.shape[0]
    cdef int turn
    cdef double x, y
    with nogil:
        for turn in range(rounds):
            for k in range(n):
                if moved[k] < still:
                    continue
                x, y = x_start[k], y_start[k]
                if ok[k]:
                    x, y = x_out[k], y_out[k]
                    _add_star(light, psf, oversampling, far, x, y, -flux_out[k])
                ok[k] = _psf_one(
                    image, light, True, mask, x, y, background_variance[k], inverse_gain, psf, oversampling, reach,
                    passes, step, &x_out[k], &y_out[k], &flux_out[k], &chi2_out[k], &covariance[k, 0], &rejected[k],
                )
                if ok[k]:
                    _add_star(light, psf, oversampling, far, x_out[k], y_out[k], flux_out[k])
                if turn > 1:
                    moved[k] = hypot(x_out[k] - x, y_out[k] - y) if ok[k] else 0.0


cdef void _add_star(
    float[:, ::1] image, const double[:, ::1] psf, int oversampling, int far, double x, double y, double flux
) noexcept nogil:
    cdef double wx[4]
    cdef double wy[4]
    cdef double slope[4]
    cdef int ny = <int>image.shape[0], nx = <int>image.shape[1], side = <int>psf.shape[0], centre = side // 2
    cdef int ix = <int>floor(x + 0.5), iy = <int>floor(y + 0.5), i, j, a, px, py, row, column
    cdef double tx = -(x - ix) * oversampling, ty = -(y - iy) * oversampling, value
    px, py = <int>floor(tx), <int>floor(ty)
    _cubic(tx - px, wx, slope)
    _cubic(ty - py, wy, slope)
    for j in range(max(iy - far, 0), min(iy + far, ny - 1) + 1):
        row = centre + py + (j - iy) * oversampling - 1
        if row < 0 or row + 3 >= side:
            continue
        for i in range(max(ix - far, 0), min(ix + far, nx - 1) + 1):
            column = centre + px + (i - ix) * oversampling - 1
            if column < 0 or column + 3 >= side:
                continue
            value = 0.0
            for a in range(4):
                value += wy[a] * (
                    wx[0] * psf[row + a, column] + wx[1] * psf[row + a, column + 1]
                    + wx[2] * psf[row + a, column + 2] + wx[3] * psf[row + a, column + 3]
                )
            image[j, i] += <float>(flux * value)


def psf_fit(
    const float[:, ::1] image,
    const unsigned char[:, ::1] mask,
    const double[::1] x_start,
    const double[::1] y_start,
    const double[::1] background_variance,
    double inverse_gain,
    const double[:, ::1] psf,
    int oversampling,
    int reach,
    int passes,
    double step,
    double[::1] x_out,
    double[::1] y_out,
    double[::1] flux_out,
    double[::1] chi2_out,
    double[:, ::1] covariance,
    int[::1] rejected,
    unsigned char[::1] ok,
):
    """Weighted fits of flux and place with a tabulated PSF; covariance (xx, yy, xy); see `centroids.psf_fit`."""
    cdef Py_ssize_t k, n = x_start.shape[0]
    with nogil:
        for k in range(n):
            ok[k] = _psf_one(
                image, image, False, mask, x_start[k], y_start[k], background_variance[k], inverse_gain, psf, oversampling, reach,
                passes, step, &x_out[k], &y_out[k], &flux_out[k], &chi2_out[k], &covariance[k, 0], &rejected[k],
            )


cdef int _psf_one(
    const float[:, ::1] image, const float[:, ::1] light, bint lit, const unsigned char[:, ::1] mask, double x0, double y0, double variance,
    double inverse_gain, const double[:, ::1] psf, int oversampling, int reach, int passes, double step,
    double* x_out, double* y_out, double* flux_out, double* chi2_out, double* cov, int* rejected,
) noexcept nogil:
    cdef double wx[4]
    cdef double wy[4]
    cdef double gx[4]
    cdef double gy[4]
    cdef double rows[3][4]
    cdef int ny = <int>image.shape[0], nx = <int>image.shape[1], side = <int>psf.shape[0], centre = side // 2
    cdef int ix, iy, i, j, it, a, px, py, column, row, used = 0
    cdef double x = x0, y = y0, flux = -1.0, tx, ty, p, px_d, py_d, weight, r, value, others
    cdef double m00, m01, m02, m11, m12, m22, b0, b1, b2, c00, c01, c02, det, df, dx, dy, chi2 = 0, top, bottom
    x_out[0] = y_out[0] = flux_out[0] = chi2_out[0] = NAN
    cov[0] = cov[1] = cov[2] = NAN
    ix = <int>floor(x0 + 0.5)
    iy = <int>floor(y0 + 0.5)
    for it in range(passes + 1):
        if not (fabs(x - x0) < 2.0 and fabs(y - y0) < 2.0):
            return 0
        # Pixel i lies at (i - x) * oversampling from the centre of the table; the fraction is common to all pixels.
        tx = -(x - ix) * oversampling
        ty = -(y - iy) * oversampling
        px = <int>floor(tx)
        py = <int>floor(ty)
        _cubic(tx - px, wx, gx)
        _cubic(ty - py, wy, gy)
        m00 = m01 = m02 = m11 = m12 = m22 = b0 = b1 = b2 = chi2 = top = bottom = 0.0
        used = 0
        rejected[0] = 0
        for j in range(max(iy - reach, 0), min(iy + reach, ny - 1) + 1):
            row = centre + py + (j - iy) * oversampling - 1
            if row < 0 or row + 3 >= side:
                continue
            for i in range(max(ix - reach, 0), min(ix + reach, nx - 1) + 1):
                column = centre + px + (i - ix) * oversampling - 1
                if column < 0 or column + 3 >= side or mask[j, i]:
                    continue
                p = px_d = py_d = 0.0
                for a in range(4):
                    value = (
                        wx[0] * psf[row + a, column] + wx[1] * psf[row + a, column + 1]
                        + wx[2] * psf[row + a, column + 2] + wx[3] * psf[row + a, column + 3]
                    )
                    r = (
                        gx[0] * psf[row + a, column] + gx[1] * psf[row + a, column + 1]
                        + gx[2] * psf[row + a, column + 2] + gx[3] * psf[row + a, column + 3]
                    )
                    p += wy[a] * value
                    px_d += wy[a] * r
                    py_d += gy[a] * value
                others = light[j, i] if lit else 0.0
                value = image[j, i] - others
                used += 1
                if flux < 0.0:
                    top += p * value
                    bottom += p * p
                    continue
                px_d *= -oversampling * flux
                py_d *= -oversampling * flux
                r = value - flux * p
                weight = (flux * p + others) * inverse_gain
                weight = 1.0 / (variance + (weight if weight > 0 else 0.0))
                if it >= SETTLED and fabs(r) > STRANGE_SIGMA * sqrt(1.0 / weight + (STRANGE_SHARE * flux * p) ** 2):
                    used -= 1
                    rejected[0] += 1
                    continue
                m00 += weight * p * p
                m01 += weight * p * px_d
                m02 += weight * p * py_d
                m11 += weight * px_d * px_d
                m12 += weight * px_d * py_d
                m22 += weight * py_d * py_d
                b0 += weight * p * r
                b1 += weight * px_d * r
                b2 += weight * py_d * r
                chi2 += weight * r * r
        if used < 6:
            return 0
        if flux < 0.0:
            if not (bottom > 0.0 and top > 0.0):
                return 0
            flux = top / bottom
            continue
        c00 = m11 * m22 - m12 * m12
        c01 = m02 * m12 - m01 * m22
        c02 = m01 * m12 - m02 * m11
        det = m00 * c00 + m01 * c01 + m02 * c02
        if not det > 0.0:
            return 0
        df = (c00 * b0 + c01 * b1 + c02 * b2) / det
        dx = (c01 * b0 + (m00 * m22 - m02 * m02) * b1 + (m01 * m02 - m00 * m12) * b2) / det
        dy = (c02 * b0 + (m01 * m02 - m00 * m12) * b1 + (m00 * m11 - m01 * m01) * b2) / det
        cov[0] = (m00 * m22 - m02 * m02) / det
        cov[1] = (m00 * m11 - m01 * m01) / det
        cov[2] = (m01 * m02 - m00 * m12) / det
        # A step of more than half a pixel leaves the region where the model is linear.
        r = sqrt(dx * dx + dy * dy)
        if r > 0.5:
            dx *= 0.5 / r
            dy *= 0.5 / r
        flux += df
        x += dx
        y += dy
        if not flux > 0.0:
            return 0
        if it > SETTLED and fabs(dx) < step and fabs(dy) < step:
            break
    x_out[0] = x
    y_out[0] = y
    flux_out[0] = flux
    chi2_out[0] = chi2 / (used - 3)
    return 1
