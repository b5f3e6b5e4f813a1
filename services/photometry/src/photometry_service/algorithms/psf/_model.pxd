"""What the PSF kernels share: a tabulated PSF in memory and its evaluation at one star."""

cdef struct PsfTables:
    const float* planes     # [term][phase y][phase x][node y][node x]
    int terms               # 1 or a multiple of 4
    int oversampling        # nodes per pixel
    int half                # half size of the tables, pixels
    int nodes               # nodes of one phase along one axis, 2 half + 1

cdef struct Stamp:
    int half                # pixels -half..half around the pixel nearest to the star
    int stride              # floats per row, a multiple of 8
    int capacity            # largest half size the memory is made for
    float* composed
    float* across
    float* across_slope
    float* value            # fraction of the flux in each pixel
    float* slope_x          # its derivative to the star's x
    float* slope_y

cdef PsfTables psf_tables(const float[::1] planes, int terms, int oversampling, int half) noexcept
cdef bint stamp_allocate(Stamp* stamp, int half, int oversampling) noexcept
cdef void stamp_release(Stamp* stamp) noexcept
cdef void psf_evaluate(
    const PsfTables* psf, const float* mix, double dx, double dy, int half, bint slopes, Stamp* stamp
) noexcept nogil
