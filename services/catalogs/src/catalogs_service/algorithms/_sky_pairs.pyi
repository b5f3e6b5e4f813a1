"""Types of the compiled loops."""

import numpy as np
from numpy.typing import NDArray

_F = NDArray[np.float64]
_I = NDArray[np.int64]
_I4 = NDArray[np.int32]
_B = NDArray[np.uint8]

def touched_cells(ra: _F, dec: _F, reach: _F, height: float, zone_offset: _I, out_cell: _I, out_source: _I4) -> int: ...
def fill_filter(cell: _I, filter_bits: int, bitmap: _B) -> None: ...
def fill_buckets(cell: _I, bits: int, bucket_start: _I4, order: _I4) -> None: ...
def pairs_from(
    begin: int,
    ref_ra: _F,
    ref_dec: _F,
    ref_var: _F,
    height: float,
    zone_offset: _I,
    filter_bits: int,
    bitmap: _B,
    bits: int,
    bucket_start: _I4,
    cell: _I,
    source: _I4,
    place: _F,
    n_sigma: float,
    floor_rad: float,
    cap_rad: float,
    out_source: _I,
    out_ref: _I,
    out_sep: _F,
) -> tuple[int, int]: ...
def count_in_cells(
    ref_ra: _F, ref_dec: _F, height: float, zone_offset: _I, bits: int, bucket_start: _I4, cell: _I, out: _I
) -> None: ...
def cells_of(ra: _F, dec: _F, height: float, zone_offset: _I, out: _I) -> None: ...
def assign_in_order(source: _I, ref: _I, chosen: _B, source_taken: _B, ref_taken: _B) -> None: ...
