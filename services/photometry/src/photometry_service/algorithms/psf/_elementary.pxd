"""Logarithm and exponential without branches or tables, so that the compiler works on several numbers at once.

Relative errors are below 1e-14: log of numbers in 1e-300..1e300 (the odd series of the inverse hyperbolic tangent about
the nearest power of two), exp of numbers in -700..700 (a Taylor series about the nearest multiple of ln 2).
"""

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    static inline double alidade_log(double x) {
        uint64_t bits, whole, upper, exponent_bits;
        double m, e, s, z;
        memcpy(&bits, &x, sizeof bits);
        upper = bits - 0x3fe6a09e667f3bcdULL;             /* of the square root of a half */
        whole = upper >> 52;                              /* exponent, modulo 4096 */
        bits -= whole << 52;                              /* mantissa in sqrt(1/2)..sqrt(2) */
        whole = (whole + 1024) & 4095;                    /* exponent + 1024, positive */
        exponent_bits = whole | 0x4330000000000000ULL;    /* 2^52 + that, as a number */
        memcpy(&m, &bits, sizeof m);
        memcpy(&e, &exponent_bits, sizeof e);
        e -= 4503599627370496.0 + 1024.0;
        s = (m - 1.0) / (m + 1.0);
        z = s * s;
        s *= 2.0 + z * (2.0 / 3 + z * (2.0 / 5 + z * (2.0 / 7 + z * (2.0 / 9 + z * (2.0 / 11 + z * (2.0 / 13
             + z * (2.0 / 15 + z * (2.0 / 17))))))));
        return e * 0.6931471805599453 + s;
    }

    static inline double alidade_exp(double y) {
        uint64_t bits;
        double shifted = y * 1.4426950408889634 + 6755399441055744.0, k, r, scale;
        k = shifted - 6755399441055744.0;                 /* the nearest whole number */
        memcpy(&bits, &shifted, sizeof bits);
        bits = (bits + 1023) << 52;
        memcpy(&scale, &bits, sizeof scale);
        r = (y - k * 0.693147180369123816490) - k * 1.90821492927058770002e-10;
        return scale * (1.0 + r * (1.0 + r * (1.0 / 2 + r * (1.0 / 6 + r * (1.0 / 24 + r * (1.0 / 120 + r * (1.0 / 720
               + r * (1.0 / 5040 + r * (1.0 / 40320 + r * (1.0 / 362880 + r * (1.0 / 3628800
               + r * (1.0 / 39916800))))))))))));
    }
    """
    double alidade_log(double x) noexcept nogil
    double alidade_exp(double y) noexcept nogil
