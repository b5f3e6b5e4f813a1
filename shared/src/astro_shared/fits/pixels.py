"""Pixels of one HDU as native float32, a plane at most, in bands that bound the memory."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astro_shared.fits.cards import BLOCK, CARD
from astro_shared.fits.errors import FitsCorruptError, ImageUnusableError, damage_named
from astro_shared.fits.limits import FitsLimits
from astro_shared.fits.prescan import HduSummary

BAND_ROWS = 256

_DTYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
#: The cards that a decoder of tiles needs; no others are shown to it.
_DECODER_CARDS = re.compile(
    r"XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TFIELDS|TFORM\d+|TTYPE\d+|THEAP|BSCALE|BZERO|BLANK|ZIMAGE|ZCMPTYPE|ZBITPIX"
    r"|ZNAXIS\d*|ZTILE\d+|ZNAME\d+|ZVAL\d+|ZQUANTIZ|ZDITHER0|ZBLANK|ZSCALE|ZZERO|ZTENSION|ZPCOUNT|ZGCOUNT|ZSIMPLE"
)


def read_plane(file: BinaryIO, hdu: HduSummary, limits: FitsLimits) -> NDArray[np.float32]:
    """Read the first plane of an image HDU: (ny, nx), BSCALE and BZERO applied, BLANK as NaN.

    Raises
    ------
    ImageUnusableError, FitsCorruptError
        As of `read_values`.
    """
    return np.asarray(read_values(file, hdu, limits, np.float32))


def read_values(
    file: BinaryIO, hdu: HduSummary, limits: FitsLimits, dtype: type[np.floating[Any]] = np.float64
) -> NDArray[Any]:
    """The same in a precision of choice: flags of 32 bits need float64.

    Raises
    ------
    ImageUnusableError
        More pixels than allowed.
    FitsCorruptError
        Tiles that can not be decoded, or a scale that is not a number.
    """
    ny, nx = hdu.shape[-2:]
    if ny * nx > limits.max_pixels:
        raise ImageUnusableError(
            f"The image has {ny * nx / 1e6:.0f} million pixels, the limit is {limits.max_pixels / 1e6:.0f}.",
            reason="too_large",
        )
    bands = _compressed_bands(file, hdu) if hdu.kind == "compressed_image" else _plain_bands(file, hdu)
    plane = np.empty((ny, nx), dtype=dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for start, band in bands:
            plane[start : start + band.shape[0]] = band
    return plane


def _plain_bands(file: BinaryIO, hdu: HduSummary) -> Iterator[tuple[int, NDArray[np.generic]]]:
    """Rows of an uncompressed image, scaled; (first row, pixels)."""
    ny, nx = hdu.shape[-2:]
    dtype = np.dtype(_DTYPES[hdu.bitpix])
    scale, zero, blank = (_number(hdu, keyword) for keyword in ("BSCALE", "BZERO", "BLANK"))
    rows = max(1, min(ny, (1 << 22) // max(nx, 1)))
    for start in range(0, ny, rows):
        count = min(rows, ny - start)
        file.seek(hdu.header.data_offset + start * nx * dtype.itemsize)
        raw = np.frombuffer(file.read(count * nx * dtype.itemsize), dtype=dtype).reshape(count, nx)
        if scale is None and zero is None and blank is None:
            yield start, raw
            continue
        values = raw.astype(np.float64)
        if blank is not None and hdu.bitpix > 0:
            values[raw == blank] = np.nan
        values *= 1.0 if scale is None else scale
        values += 0.0 if zero is None else zero
        yield start, values


def _compressed_bands(file: BinaryIO, hdu: HduSummary) -> Iterator[tuple[int, NDArray[np.generic]]]:
    """Rows of a tile-compressed image, decoded by astropy from a file of this one HDU alone."""
    ny, axes = hdu.shape[-2], len(hdu.shape)
    tile = hdu.header.integer("ZTILE2", 1)
    rows = tile * -(-BAND_ROWS // tile)
    first = (0,) * (axes - 2)
    with damage_named("The compressed image", hdu=hdu.index), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(io.BytesIO(_alone(file, hdu)), memmap=False) as opened:
            section = opened[1].section
            for start in range(0, ny, rows):
                yield start, np.asarray(section[(*first, slice(start, min(start + rows, ny)))])


def _alone(file: BinaryIO, hdu: HduSummary) -> bytes:
    """A FITS file with a bare primary header and this compressed HDU, its header cut to what the decoder needs."""
    primary = fits.Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True)]).tostring().encode()
    kept = [card for card in hdu.header.cards if _DECODER_CARDS.fullmatch(card[:8].decode("ascii", "replace").strip())]
    kept.append(b"END".ljust(CARD))
    header = b"".join(kept)
    header += b" " * (-len(header) % BLOCK)
    file.seek(hdu.header.data_offset)
    data = file.read(hdu.data_bytes)
    return b"".join((primary, header, data, b"\0" * (-len(data) % BLOCK)))


def _number(hdu: HduSummary, keyword: str) -> float | None:
    """A scaling keyword; None when missing, or when it changes nothing."""
    start = keyword.encode().ljust(8) + b"="
    for card in hdu.header.cards:
        if not card.startswith(start):
            continue
        text = card[9:].split(b"/")[0].strip().decode("ascii", "replace").upper().replace("D", "E")
        try:
            value = float(text)
        except ValueError as error:
            raise FitsCorruptError(f"{keyword} is not a number: {text[:20]!r}.", keyword=keyword) from error
        neutral = {"BSCALE": 1.0, "BZERO": 0.0}.get(keyword)
        return None if value == neutral else value
    return None
