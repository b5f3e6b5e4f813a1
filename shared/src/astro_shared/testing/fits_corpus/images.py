"""Compressed tiles that lie, and images on which nothing or little can be measured."""

from __future__ import annotations

from functools import partial

import numpy as np

from astro_shared.testing.fits_bytes import (
    compressed_bytes,
    header_bytes,
    image_bytes,
    image_cards,
    padded,
    star_image,
    with_card,
)
from astro_shared.testing.fits_corpus.case import CorpusCase, case

CODECS = ("RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1")


def tiles() -> list[CorpusCase]:
    refused = ("fits_corrupt", "archive_limit", "fits_header_invalid", "fits_size_mismatch", "image_unusable")
    rice = compressed_bytes(star_image(), "RICE_1")
    table = _second_data(rice)
    cases = [
        case(
            "compressed tiles",
            f"{codec} of zeros 4000^2",
            partial(compressed_bytes, np.zeros((4000, 4000), np.int16), codec),
            "image_unusable",
        )
        for codec in ("RICE_1", "GZIP_1", "HCOMPRESS_1")
    ]
    cases += [
        case("compressed tiles", f"{codec} stars", partial(compressed_bytes, np.abs(star_image()), codec))
        for codec in CODECS
    ]
    changes: dict[str, tuple[str, object]] = {
        "ZNAXIS1 10^5": ("ZNAXIS1", 10**5),
        "ZNAXIS 10^5": ("ZNAXIS", 10**5),
        "ZNAXIS2 0": ("ZNAXIS2", 0),
        "ZNAXIS1 -1": ("ZNAXIS1", -1),
        "ZTILE1 0": ("ZTILE1", 0),
        "ZTILE1 -1": ("ZTILE1", -1),
        "ZTILE1 60000": ("ZTILE1", 60_000),
        "ZTILE2 60000": ("ZTILE2", 60_000),
        "ZBITPIX 7": ("ZBITPIX", 7),
        "ZCMPTYPE nonsense": ("ZCMPTYPE", "SQUEEZE"),
        "TFORM1 nonsense": ("TFORM1", "1ZZ"),
        "TFORM1 no descriptor": ("TFORM1", "8B"),
        "THEAP 0": ("THEAP", 0),
        "THEAP 10^9": ("THEAP", 10**9),
    }
    for name, (keyword, value) in changes.items():
        known = keyword.encode().ljust(8) + b"=" in rice
        data = (
            with_card(rice, keyword, value)
            if known
            else with_card(rice, "EXTNAME", value).replace(b"EXTNAME ", keyword.encode().ljust(8))
        )
        cases.append(case("compressed tiles", name, data, *refused, "hdu_not_found"))
    for name, words in {
        "descriptor beyond": (50, 10**9),
        "descriptor negative": (-1, 0),
        "descriptor at -5": (9, -5),
    }.items():
        data = rice[:table] + np.array(words, ">i4").tobytes() + rice[table + 8 :]
        cases.append(case("compressed tiles", name, data, *refused))
    big = compressed_bytes(star_image(), "RICE_1")
    for keyword in ("ZNAXIS1", "ZNAXIS2"):
        big = with_card(big, keyword, 100_000)
    return [*cases, case("compressed tiles", "ZNAXIS1 and 2 10^5", big, *refused)]


def hcompress() -> list[CorpusCase]:
    good = compressed_bytes(star_image(), "HCOMPRESS_1", (64, 64))
    at = good.index(b"\xdd\x99", _second_data(good)) + 2
    sizes = {
        "65 x 65": (65, 65),
        "128 x 64": (128, 64),
        "64 x 128": (64, 128),
        "negative": (-64, -64),
        "65536": (65536, 65536),
        "0": (0, 0),
        "huge product": (2**31 - 1, 2**31 - 1),
    }
    return [
        case(
            "HCOMPRESS",
            f"HCOMPRESS stream {name}",
            good[:at] + np.array(size, ">i4").tobytes() + good[at + 8 :],
            "fits_corrupt",
        )
        for name, size in sizes.items()
    ] + [case("HCOMPRESS", "HCOMPRESS stream without magic", good[: at - 2] + b"\0\0" + good[at:], "fits_corrupt")]


def frames() -> list[CorpusCase]:
    stars = star_image()
    floats = stars.astype(np.float32)
    rng = np.random.default_rng(5)
    nan_1, inf_01 = floats.copy(), floats.copy()
    nan_1[rng.random(stars.shape) < 0.01] = np.nan
    inf_01[rng.random(stars.shape) < 0.001] = np.inf
    row, most, huge = floats.copy(), floats.copy(), floats.copy()
    row[10], most[:40], huge[3, 4] = np.nan, np.nan, 1e34
    y, x = (g.astype(np.int16) for g in np.indices(stars.shape))
    unusable: dict[str, bytes] = {
        "zeros": image_bytes(np.zeros((64, 64), np.int16)),
        "constant": image_bytes(np.full((64, 64), 7.0, np.float32)),
        "saturated": image_bytes(np.full((64, 64), 32767, np.int16)),
        "all NaN": image_bytes(np.full((64, 64), np.nan, np.float32)),
        "all infinite": image_bytes(np.full((64, 64), np.inf, np.float32)),
        "all 1e34": image_bytes(np.full((64, 64), 1e34, np.float32) * np.float32(1 + 1e-3) ** (x % 3)),
        "mostly NaN": image_bytes(most),
        "one pixel": image_bytes(np.ones((1, 1), np.int16)),
        "1 x N": image_bytes(stars[:1]),
        "3 x N": image_bytes(stars[:3]),
        "N x 1": image_bytes(stars[:, :1]),
        "31 x 64": image_bytes(stars[:31]),
        "denormal": image_bytes((floats * 1e-42).astype(np.float32)),
        "BLANK everywhere": image_bytes(np.full((64, 64), -5, np.int16), BLANK=-5),
    }
    readable: dict[str, bytes] = {
        "1 % NaN": image_bytes(nan_1),
        "0.1 % infinite": image_bytes(inf_01),
        "NaN row": image_bytes(row),
        "one pixel of 1e34": image_bytes(huge),
        "float64": image_bytes(stars.astype(np.float64)),
        "int32": image_bytes(stars.astype(np.int32)),
        "int64": image_bytes(stars.astype(np.int64)),
        "bytes": image_bytes((stars % 200).astype(np.uint8)),
        "uint16": image_bytes(stars, BZERO=32768),
        "BSCALE": image_bytes(stars, BSCALE=0.5, BZERO=10.0),
        "BLANK": image_bytes(np.where(stars > 400, np.int16(-1), stars), BLANK=-1),
        "cube": image_bytes(np.stack([stars, stars[::-1]])),
        "four axes": image_bytes(stars[None, None]),
        "negative": image_bytes(np.negative(stars)),
        "ramp": image_bytes(np.asarray(x + y, dtype=np.int16)),
        "checkerboard": image_bytes(np.asarray((x + y) % 2, dtype=np.int16)),
        "blob": image_bytes((3e4 * np.exp(-((x - 32) ** 2 + (y - 32) ** 2) / 400)).astype(np.int16)),
        "tiny values": image_bytes((floats * 1e-11).astype(np.float32)),
    }
    return [
        *[case("frame", f"frame: {name}", data, "image_unusable") for name, data in unusable.items()],
        *[case("frame", f"frame kept: {name}", data) for name, data in readable.items()],
        case("frame", "frame: one axis", image_bytes(stars[0]), "hdu_not_found"),
        case("frame", "frame: no data", header_bytes(image_cards(())), "hdu_not_found"),
        case("frame", "frame: NAXIS2 0", header_bytes(image_cards((0, 64))), "hdu_not_found"),
        case(
            "frame",
            "frame: 160 Mpix",
            lambda: header_bytes(image_cards((12_500, 12_800), 8)) + padded(bytes(160_000_000)),
            "image_unusable",
            big=True,
        ),
    ]


def _second_data(data: bytes) -> int:
    """Where the data of the first extension begin."""
    at = data.index(b"XTENSION")
    while data[at : at + 80].rstrip() != b"END":
        at += 80
    return -(-(at + 80) // 2880) * 2880
