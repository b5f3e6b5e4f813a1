"""What the fits of single stars and of groups share: a frame in memory, and drawing a star on its residual image."""

from photometry_service.algorithms.psf._model cimport LocalPsf, Stamp

cdef struct Frame:
    const float* data
    float* residual
    const float* rms
    const unsigned char* state      # 0 good, bit 0 bad, bit 1 saturated
    Py_ssize_t ny
    Py_ssize_t nx
    float shot                      # variance per unit of signal
    float floor2                    # square of the weight floor

cdef Frame frame_view(
    const float[:, ::1] data, float[:, ::1] residual, const float[:, ::1] rms, const unsigned char[:, ::1] state,
    double shot, double weight_floor,
) noexcept
cdef double limited(double v, double limit) noexcept nogil
cdef bint is_inside(double x, double y, const Frame* frame, int half) noexcept nogil
cdef void render(
    const Frame* frame, const LocalPsf* psf, double flux, double x, double y, int half, double sign,
    Stamp* stamp,
) noexcept nogil
