"""FITS files written byte by byte, so that they can be wrong in every way."""

from __future__ import annotations

import io
import zlib

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

BLOCK = 2880
MIB = 1024 * 1024

Cards = dict[str, object]


def card(keyword: str, value: object) -> bytes:
    """One 80-byte card; bytes as the value are put behind the equals sign as they are."""
    start = keyword.encode("latin-1").ljust(8) + b"= "
    if isinstance(value, bytes):
        return (start + value).ljust(80)[:80]
    if isinstance(value, bool):
        text = ("T" if value else "F").rjust(20)
    elif isinstance(value, int | float):
        text = str(value).rjust(20)
    else:
        text = "'" + str(value).replace("'", "''").ljust(8) + "'"
    return (start + text.encode("latin-1")).ljust(80)[:80]


def padded(data: bytes, fill: bytes = b"\0") -> bytes:
    """Whole blocks."""
    return data + fill * (-len(data) % BLOCK)


def header_bytes(cards: Cards, *, extra: bytes = b"", end: bool = True) -> bytes:
    """A header of whole blocks."""
    body = b"".join(card(k, v) for k, v in cards.items()) + extra
    return padded(body + (b"END".ljust(80) if end else b""), b" ")


def image_cards(shape: tuple[int, ...], bitpix: int = 16, **more: object) -> Cards:
    """The cards of a primary image."""
    axes = {f"NAXIS{k}": n for k, n in enumerate(reversed(shape), start=1)}
    return {"SIMPLE": True, "BITPIX": bitpix, "NAXIS": len(shape), **axes, **more}


def extension_axes(shape: tuple[int, ...]) -> Cards:
    """Cards of an image extension without XTENSION."""
    cards = image_cards(shape)
    del cards["SIMPLE"]
    return {**cards, "PCOUNT": 0, "GCOUNT": 1}


def image_bytes(data: NDArray[np.generic], **more: object) -> bytes:
    """A primary image of any numpy type that FITS knows."""
    bitpix = {"u1": 8, "i2": 16, "i4": 32, "i8": 64, "f4": -32, "f8": -64}[data.dtype.str[1:]]
    raw = data.astype(data.dtype.newbyteorder(">")).tobytes()
    return header_bytes(image_cards(data.shape, bitpix, **more)) + padded(raw)


def star_image(shape: tuple[int, int] = (64, 64), seed: int = 1) -> NDArray[np.int16]:
    """A small sky with a few stars, int16."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    image = rng.normal(300, 15, shape)
    for _ in range(6):
        cx, cy, flux = rng.uniform(5, shape[1] - 5), rng.uniform(5, shape[0] - 5), rng.uniform(200, 5000)
        image += flux * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 4.5)
    return image.astype(np.int16)


def compressed_bytes(data: NDArray[np.generic], codec: str = "RICE_1", tile: tuple[int, ...] | None = None) -> bytes:
    """A tile-compressed image in HDU 1, written by astropy."""
    target = io.BytesIO()
    hdu = fits.CompImageHDU(data, compression_type=codec, tile_shape=tile)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(target)
    return target.getvalue()


def with_card(data: bytes, keyword: str, value: object, *, occurrence: int = 0) -> bytes:
    """The file with one card of that keyword replaced, nothing else touched."""
    start = keyword.encode().ljust(8) + b"="
    at = -1
    for _ in range(occurrence + 1):
        at = data.index(start, at + 1)
        while at % 80:
            at = data.index(start, at + 1)
    return data[:at] + card(keyword, value) + data[at + 80 :]


def gzip_bomb(total_bytes: int, head: bytes = b"") -> bytes:
    """A gzip stream of ``head`` and then zeros up to about ``total_bytes``, made without unpacking it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(16 * MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + block * (total_bytes // (16 * MIB)) + packer.flush()


def flip_bits(rng: np.random.Generator, data: bytes) -> bytes:
    """Flip 1 to 64 bits, half of them within the headers (the first 8 blocks)."""
    damaged = np.frombuffer(data, dtype=np.uint8).copy()
    n = int(2 ** rng.uniform(0, 6))
    head = min(damaged.size, 8 * BLOCK)
    places = np.where(rng.random(n) < 0.5, rng.integers(0, head, n), rng.integers(0, damaged.size, n))
    np.bitwise_xor.at(damaged, places, (1 << rng.integers(0, 8, n)).astype(np.uint8))
    return damaged.tobytes()
