"""Hostile text, broken cards, and world coordinates that must not be believed."""

from __future__ import annotations

from astro_shared.testing.fits_bytes import Cards, card, header_bytes, image_bytes, image_cards, padded, star_image
from astro_shared.testing.fits_corpus.case import CorpusCase, case

SKY: Cards = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 10.0,
    "CRVAL2": 20.0,
    "CRPIX1": 32.0,
    "CRPIX2": 32.0,
    "CD1_1": -2.8e-4,
    "CD1_2": 0.0,
    "CD2_1": 0.0,
    "CD2_2": 2.8e-4,
}
SIP: Cards = {**SKY, "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}
#: Harmless to read, and not to be believed as they are: repaired or refused by who reads world coordinates.
WRONG_SKIES: dict[str, Cards] = {
    "singular CD": {**SKY, "CD1_1": 0.0, "CD2_2": 0.0},
    "nearly singular CD": {**SKY, "CD1_2": -2.8e-4, "CD2_1": 2.8e-4},
    "SIP without CRPIX": {
        **{k: v for k, v in SIP.items() if not k.startswith("CRPIX")}, "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-6,
    },
    "unknown projection": {**SKY, "CTYPE1": "RA---FOO", "CTYPE2": "DEC--FOO"},
    "CRVAL of words": {**SKY, "CRVAL1": "ten hours"},
    "Dec 95": {**SKY, "CRVAL1": 200.0, "CRVAL2": 95.0},
    "look-up table": {**SKY, "CTYPE1": "RA---TAB", "CTYPE2": "DEC--TAB"},
}  # fmt: skip


def hostile_text() -> list[CorpusCase]:
    def with_text(value: bytes, keyword: str = "OBJECT") -> bytes:
        extra = card(keyword, b"'" + value + b"'")
        return header_bytes(image_cards((64, 64)), extra=extra) + padded(star_image().astype(">i2").tobytes())

    texts = {
        "non-ASCII": b"\xc3\xa9toile \xff\xfe",
        "NUL": b"a\0b",
        "ESC": b"\x1b[31mred\x1b[0m",
        "CR LF": b"a\r\nSet-Cookie: x",
        "HTML": b"<script>alert(1)</script>",
        "formula": b"=cmd|' /C calc'!A0",
        "percent": b"%s%n%x",
        "path": b"../../etc/passwd",
    }
    good = image_cards((64, 64))
    pixels = padded(star_image().astype(">i2").tobytes())
    return [
        *[case("hostile text", f"text {name}", with_text(value)) for name, value in texts.items()],
        case("hostile text", "1000 duplicates", header_bytes(good, extra=card("OBJECT", "twin") * 1000) + pixels),
        case(
            "hostile text",
            "broken values",
            header_bytes(good, extra=card("GAIN", b"1.5.5") + card("RON", b"'open")) + pixels,
            warns="GAIN",
        ),
        case("hostile text", "broken keyword", header_bytes(good, extra=card("a b?", 1) + card("\xe9", 2)) + pixels),
        case(
            "hostile text",
            "NaN and infinity",
            header_bytes(good, extra=card("GAIN", b"NaN") + card("RON", b"1e999")) + pixels,
        ),
        case(
            "hostile text",
            "binary in comments",
            header_bytes(good, extra=b"COMMENT \x00\x01\xff\x7f".ljust(80)) + pixels,
        ),
    ]


def sky_cards() -> list[CorpusCase]:
    def sky(cards: Cards) -> bytes:
        return image_bytes(star_image(), **cards)

    tpv: Cards = {**SKY, "CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV"}
    left_out: dict[str, tuple[Cards, str]] = {
        "A_ORDER 30000": ({**SIP, "A_ORDER": 30000, "B_ORDER": 30000}, "A_ORDER = 30000"),
        "A_ORDER text": ({**SIP, "A_ORDER": "30000"}, "A_ORDER = '30000'"),
        "PV 1e300": ({**tpv, "PV1_4": 1e300}, "PV1_4 = 1e+300"),
        "PV index 99": ({**tpv, "PV1_99": 1.0}, "PV1_99 does not exist"),
        "CTYPE nonsense": ({**SKY, "CTYPE1": "ABCDEFGH", "CTYPE2": "XXXX-YYY"}, "not a pair on the sky"),
        "CTYPE one of two": ({k: v for k, v in SKY.items() if k != "CTYPE2"}, "not a pair on the sky"),
        "WCSAXES 10^9": ({**SKY, "WCSAXES": 10**9}, "WCSAXES = 1000000000"),
        "alternate nonsense": ({**SKY, "CTYPE1A": "XX", "CRVAL1A": 1e300, "WCSAXESA": 9}, "CTYPE1A, CRVAL1A, WCSAXESA"),
    }
    kept: dict[str, Cards] = {
        "good TAN": SKY,
        "good SIP": {**SIP, "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-6, "B_0_2": 1e-6},
        "good TPV": {**SKY, "CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_39": 1e-3},
        "latitude first": {**SKY, "CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 20.0, "CRVAL2": 300.0},
        "galactic": {**SKY, "CTYPE1": "GLON-CAR", "CTYPE2": "GLAT-CAR"},
        **WRONG_SKIES,
    }
    nan = {**SKY, "CRVAL1": b"                 NaN"}
    return [
        *[case("sky cards", f"sky: {name}", sky(cards), warns=words) for name, (cards, words) in left_out.items()],
        *[case("sky cards", f"sky kept: {name}", sky(cards)) for name, cards in kept.items()],
        case("sky cards", "sky: CRVAL NaN", sky(nan), warns="CRVAL1"),
    ]
