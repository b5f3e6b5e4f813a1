"""How much of a file from outside is believed."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class FitsLimits:
    """Limits before and around parsing; what lies beyond is refused with its own error.

    Attributes
    ----------
    max_cards
        Cards per header (80 bytes each).
    max_hdus
        Header and data units per file.
    max_axis
        Pixels along one axis of an image.
    max_naxis
        Axes of an image.
    max_data_bytes
        Bytes of one data unit, and of one image after decompression of its tiles.
    max_columns
        Columns of a table.
    max_unpacked_bytes, max_ratio, ratio_free_bytes
        Of a gzip file: bytes after unpacking; unpacked over packed size, watched once more than
        ``ratio_free_bytes`` came out.
    min_side_px, max_pixels
        Size of an image that can be measured.
    min_finite_fraction
        Share of its pixels that must be finite.
    max_abs_value
        Pixels at or beyond this are masked.
    """

    max_cards: int = 5_000
    max_hdus: int = 200
    max_axis: int = 100_000_000
    max_naxis: int = 4
    max_data_bytes: int = 2048 * MIB
    max_columns: int = 999
    max_unpacked_bytes: int = 2048 * MIB
    max_ratio: float = 200.0
    ratio_free_bytes: int = 32 * MIB
    min_side_px: int = 32
    max_pixels: int = 150_000_000
    min_finite_fraction: float = 0.5
    max_abs_value: float = 1e30


DEFAULT_LIMITS = FitsLimits()
