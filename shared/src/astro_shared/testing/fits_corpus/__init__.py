"""Hostile and odd FITS files by name, each with how it must end.

Every case is built on demand. ``codes`` are the error codes that are right for it; an empty set means that it must be
read. Damage that nobody thought of is `flip_bits` over `codec_files`.
"""

from __future__ import annotations

import gzip

import numpy as np

from astro_shared.testing.fits_bytes import compressed_bytes, flip_bits, image_bytes, star_image
from astro_shared.testing.fits_corpus.cards import hostile_text, sky_cards
from astro_shared.testing.fits_corpus.case import CorpusCase
from astro_shared.testing.fits_corpus.images import CODECS, frames, hcompress, tiles
from astro_shared.testing.fits_corpus.layout import (
    archives,
    invalid_headers,
    long_headers,
    other_media,
    sizes,
    truncated,
)

__all__ = ["CorpusCase", "codec_files", "fits_corpus", "flip_bits"]


def fits_corpus() -> list[CorpusCase]:
    """All cases."""
    groups = (truncated, long_headers, invalid_headers, sizes, archives, tiles, hcompress, hostile_text, other_media,
              sky_cards, frames)  # fmt: skip
    return [case for group in groups for case in group()]


def codec_files() -> dict[str, bytes]:
    """One good small file per way of storing pixels, for mutations."""
    stars = star_image()
    floats = stars.astype(np.float32)
    files = {f"{codec} int".lower(): compressed_bytes(np.abs(stars), codec) for codec in CODECS}
    files |= {
        f"{codec} float".lower(): compressed_bytes(floats, codec) for codec in ("RICE_1", "GZIP_2", "HCOMPRESS_1")
    }
    files |= {"plain int": image_bytes(stars), "plain float": image_bytes(floats)}
    return files | {"gzip": gzip.compress(image_bytes(stars), mtime=0)}
