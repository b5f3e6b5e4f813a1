"""What the PSF kernels share: a tabulated PSF in memory, its sum of terms at one place, and its values at one star."""

cdef struct PsfTables:
    const float* planes     # [term][phase y][phase x][node y][node x]
    int terms               # 1 or a multiple of 4
    int oversampling        # nodes per pixel
    int half                # half size of the tables, pixels
    int nodes               # nodes of one phase along one axis, 2 half + 1

cdef struct LocalPsf:       # the sum of all terms at one place of the field
    float* nodes            # [phase y][phase x][node y][node x], rows of ``pitch`` floats; NULL = not there
    int oversampling
    int half                # largest half size of a stamp, pixels
    int margin              # nodes of a phase beyond it on each side
    int rows
    int pitch               # a multiple of 8

cdef struct Stamp:
    int half                # pixels -half..half around the pixel nearest to the star
    int stride              # floats per row, a multiple of 8
    float* across
    float* across_slope
    float* value            # fraction of the flux in each pixel
    float* slope_x          # its derivative to the star's x
    float* slope_y

cdef PsfTables psf_tables(const float[::1] planes, int terms, int oversampling, int half) noexcept
cdef bint local_allocate(LocalPsf* local, int half, int oversampling) noexcept nogil
cdef void local_sum(const PsfTables* psf, const float* mix, int half, LocalPsf* local) noexcept nogil
cdef bint stamp_allocate(Stamp* stamp, int half, int oversampling) noexcept
cdef void stamp_release(Stamp* stamp) noexcept
cdef void psf_evaluate(const LocalPsf* psf, double dx, double dy, int half, bint slopes, Stamp* stamp) noexcept nogil

cdef class StarPsfs:
    cdef PsfTables psf
    cdef const float[::1] planes
    cdef const float[:, ::1] mix
    cdef LocalPsf scratch
    cdef LocalPsf* kept
    cdef size_t room
    cdef bint constant
    cdef const LocalPsf* at(self, Py_ssize_t star, int half) noexcept nogil
