"""Files that are cut, endless, impossible, packed, or no FITS at all."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable

import numpy as np

from astro_shared.testing.fits_bytes import (
    MIB,
    Cards,
    card,
    extension_axes,
    gzip_bomb,
    header_bytes,
    image_bytes,
    image_cards,
    padded,
    star_image,
)
from astro_shared.testing.fits_corpus.case import CorpusCase, case


def good_file() -> bytes:
    return image_bytes(star_image())


def truncated() -> list[CorpusCase]:
    good = good_file()
    cuts = {"cut in header": 1000, "cut at 2879": 2879, "cut in data": 2880 + 4000, "cut at header end": 2880}
    cases = [case("truncated", name, good[:at], "fits_truncated") for name, at in cuts.items()]
    two = good + header_bytes({"XTENSION": "IMAGE", **extension_axes((8, 8))})
    return [
        *cases,
        case("truncated", "empty", b"", "fits_truncated"),
        case("truncated", "one byte", b"S", "fits_truncated"),
        case("truncated", "one odd byte", b"\x07", "fits_truncated"),
        case("truncated", "cut in second header", two[: len(good) + 500], "fits_truncated"),
        case("truncated", "cut in second data", two, "fits_truncated"),
        case("truncated", "padding missing", good[: 2880 + 64 * 64 * 2], warns="padded"),
        case("truncated", "cut gzip", gzip.compress(good)[:-2000], "fits_truncated"),
    ]


def long_headers() -> list[CorpusCase]:
    cards = image_cards((64, 64))
    filler = b"".join(card(f"K{n:06d}", n) for n in range(10))

    def many(n: int) -> Callable[[], bytes]:
        return lambda: header_bytes(cards, extra=filler * (n // 10)) + padded(bytes(8192))

    def long_string() -> bytes:
        pieces = card("LONGSTR", "a&") + b"CONTINUE  'more of it &'".ljust(80) * 100_000
        return header_bytes(cards, extra=pieces) + padded(bytes(8192))

    def many_hdus() -> bytes:
        return good_file() + header_bytes({"XTENSION": "IMAGE", **extension_axes(())}) * 20_000

    return [
        case("long header", "no END, one block", header_bytes(cards, end=False), "fits_header_limit"),
        case(
            "long header",
            "no END, 80 MB",
            lambda: header_bytes(cards, end=False) + b" " * (2880 * 28_000),
            "fits_header_limit",
            big=True,
        ),
        case(
            "long header",
            "4,000 cards",
            lambda: header_bytes(cards, extra=filler * 400) + padded(star_image().astype(">i2").tobytes()),
        ),
        case("long header", "100,000 cards", many(100_000), "fits_header_limit"),
        case("long header", "1,000,000 cards", many(1_000_000), "fits_header_limit", big=True),
        case("long header", "100,000 CONTINUE", long_string, "fits_header_limit"),
        case("long header", "20,000 HDUs", many_hdus, "fits_header_limit", big=True),
    ]


def invalid_headers() -> list[CorpusCase]:
    def changed(**cards: object) -> bytes:
        return header_bytes({**image_cards((64, 64)), **cards}) + padded(bytes(8192))

    missing = {k: v for k, v in image_cards((64, 64)).items() if k != "NAXIS2"}
    invalid: dict[str, bytes] = {
        "BITPIX 7": changed(BITPIX=7),
        "BITPIX abc": changed(BITPIX="abc"),
        "BITPIX missing": header_bytes({"SIMPLE": True, "NAXIS": 0}),
        "BITPIX 16.0": changed(BITPIX=16.0),
        "BITPIX of 200 digits": changed(BITPIX=b"1" * 70),
        "NAXIS -1": changed(NAXIS=-1),
        "NAXIS 999": changed(NAXIS=999),
        "NAXIS 10^9": changed(NAXIS=10**9),
        "NAXIS missing": header_bytes({"SIMPLE": True, "BITPIX": 8}),
        "NAXIS2 missing": header_bytes(missing),
        "NAXIS1 negative": changed(NAXIS1=-64),
        "NAXIS1 2^40": changed(NAXIS1=2**40),
        "NAXIS1 10^9": changed(NAXIS1=10**9),
        "NAXIS1 text": changed(NAXIS1="64"),
        "SIMPLE F": changed(SIMPLE=False),
        "BITPIX twice": header_bytes(image_cards((64, 64)), extra=card("BITPIX", -64)) + padded(bytes(8192)),
        "GCOUNT 5": good_file() + header_bytes({"XTENSION": "IMAGE", **extension_axes((4, 4)), "GCOUNT": 5}),
        "PCOUNT negative": good_file() + header_bytes({"XTENSION": "IMAGE", **extension_axes((4, 4)), "PCOUNT": -9}),
    }
    return [case("invalid header", name, data, "fits_header_invalid") for name, data in invalid.items()]


def sizes() -> list[CorpusCase]:
    def table(**cards: object) -> bytes:
        layout: Cards = {
            "XTENSION": "BINTABLE",
            "BITPIX": 8,
            "NAXIS": 2,
            "NAXIS1": 8,
            "NAXIS2": 4,
            "PCOUNT": 0,
            "GCOUNT": 1,
            "TFIELDS": 1,
            "TFORM1": "1D",
        }
        return good_file() + header_bytes({**layout, **cards}) + padded(bytes(2000))

    pointing = {"NAXIS2": 2, "TFORM1": "1PE(9)", "PCOUNT": 64}
    descriptors = np.array([[9, 0], [10**9, 8]], dtype=">i4").tobytes()

    def variable() -> bytes:
        head = table(**pointing)
        at = len(head) - 2880
        return head[:at] + descriptors + head[at + len(descriptors) :]

    return [
        case(
            "impossible size",
            "80 GB claimed",
            header_bytes(image_cards((100_000, 100_000), -64)) + bytes(2880),
            "fits_size_mismatch",
        ),
        case("impossible size", "table with 10^9 rows", table(NAXIS2=10**9), "fits_size_mismatch"),
        case("impossible size", "table with 10^9 fields", table(TFIELDS=10**9), "fits_size_mismatch"),
        case("impossible size", "table with -1 fields", table(TFIELDS=-1), "fits_size_mismatch"),
        case("impossible size", "descriptor of 10^9 elements", variable, "fits_size_mismatch"),
        case("impossible size", "heap inside the rows", table(**pointing, THEAP=3), "fits_size_mismatch"),
        case("impossible size", "heap of 10^12 bytes", table(PCOUNT=10**12), "fits_size_mismatch"),
        case(
            "impossible size",
            "rows of the wrong length",
            table(**{**pointing, "TFORM1": "1QE(9)"}),
            "fits_header_invalid",
        ),
        case("impossible size", "a good table behind", table()),
    ]


def archives() -> list[CorpusCase]:
    good = good_file()
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.fits", good)
    damaged = bytearray(gzip.compress(good))
    damaged[len(damaged) // 2] ^= 0xFF
    return [
        case("archive", "gzip", gzip.compress(good)),
        case("archive", "gzip in two members", gzip.compress(good[:5000]) + gzip.compress(good[5000:])),
        case("archive", "gzip with padding", gzip.compress(good) + bytes(512)),
        case("archive", "gzip bomb of 4 GB", lambda: gzip_bomb(4096 * MIB), "archive_limit"),
        case("archive", "small header, 4 GB of zeros", lambda: gzip_bomb(4096 * MIB, good), "archive_limit"),
        case("archive", "gzip twice", gzip.compress(gzip.compress(good)), "unsupported_media"),
        case("archive", "gzip damaged", bytes(damaged), "fits_corrupt", "fits_truncated"),
        case("archive", "gzip of nothing", gzip.compress(b""), "fits_truncated"),
        case("archive", "gzip magic alone", b"\x1f\x8b", "fits_truncated"),
        case("archive", "bzip2", b"BZh91AY&SY" + bytes(500), "unsupported_media"),
        case("archive", "xz", b"\xfd7zXZ\x00\x00" + bytes(500), "unsupported_media"),
        case("archive", "zip", zipped.getvalue(), "unsupported_media"),
        case("archive", "compress .Z", b"\x1f\x9d\x90" + bytes(500), "unsupported_media"),
        case("archive", "zstd", b"(\xb5/\xfd" + bytes(500), "unsupported_media"),
        case("archive", "7-Zip", b"7z\xbc\xaf\x27\x1c" + bytes(500), "unsupported_media"),
    ]


def other_media() -> list[CorpusCase]:
    good = good_file()
    tar = b"a.fits".ljust(257, b"\0") + b"ustar\x0000" + bytes(300)
    media = {
        "PNG": b"\x89PNG\r\n\x1a\n" + bytes(600),
        "JPEG": b"\xff\xd8\xff\xe0" + bytes(600),
        "HTML": b"<!DOCTYPE html><html>" + b" " * 600,
        "HTML after blanks": b"\n\n  <html>" + b" " * 600,
        "tar": tar,
        "PDF": b"%PDF-1.7" + bytes(600),
        "TIFF": b"II*\0" + bytes(600),
        "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(600),
        "XISF": b"XISF0100" + bytes(600),
        "text": b"hello world\n" * 60,
        "zeros": bytes(5760),
        "extension alone": b"XTENSION= 'IMAGE   '".ljust(2880),
    }
    return [
        *[case("other media", name, data, "unsupported_media") for name, data in media.items()],
        case("other media", "FITS and ZIP", good + b"PK\x03\x04" + bytes(500), warns="ignored"),
        case("other media", "FITS and HTML", good + b"<html><script>".ljust(2880), warns="ignored"),
        case(
            "other media",
            "HTML in header",
            header_bytes(image_cards((64, 64)), extra=b"COMMENT <html>".ljust(80))
            + padded(star_image().astype(">i2").tobytes()),
        ),
    ]
