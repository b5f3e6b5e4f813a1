"""The pixel scale that a header tells, or that its pixel size and focal length give."""

from __future__ import annotations

import re

from astro_shared.fits.aliases import QUANTITIES, CardReader

ARCSEC_PER_RADIAN = 206264.806
SHORTEST_FOCAL_MM, LARGEST_PIXEL_UM, SMALLEST_PIXEL_UM = 30.0, 200.0, 0.5
PIXEL_SIZES = (
    "XPIXSZ",
    "PIXSIZE1",
    "PIXSIZE",
    "PIXSZ",
    "XPIXELSZ",
    "PIXELSZ",
    "XPIXSIZE",
    "CCDXPIXE",
    "PIXWIDTH",
    "CCDPSIZE",
)
FOCAL_LENGTHS = ("FOCALLEN", "FOCAL", "FOCUSLEN", "TELFOCAL", "FOCLEN", "TELFL", "FOCALLENGTH")

_ARCMIN = re.compile(r"arc-?\s?min|\bamin\b", re.I)
_MAS = re.compile(r"\bmas\b|milli-?\s?arc", re.I)
_ARCSEC = re.compile(r"arc-?\s?sec|\bas\b|\"", re.I)
_DEGREES = re.compile(r"\bdeg", re.I)
_LENGTHS = (
    (re.compile(r"\bnm\b|nano-?met", re.I), 1e-6), (re.compile(r"\b[uµμ]m\b|\?{1,2}m\b|micro", re.I), 1e-3),
    (re.compile(r"\bmm\b|milli-?met", re.I), 1.0), (re.compile(r"\bcm\b|centi-?met", re.I), 10.0),
    (re.compile(r"\binch(?:es)?\b|\[in\]", re.I), 25.4), (re.compile(r"\[m\]|\(m\)|\bmet(?:er|re)s?\b|\bin m\b", re.I), 1000.0),
)  # fmt: skip


def pixel_scale(reader: CardReader) -> float | None:
    """Arcsec per pixel; None where neither a keyword nor the optics tell."""
    factors = {key: _angle_factor(reader.comment(key)) for key in QUANTITIES["pixel_scale_arcsec"].keywords}
    told = reader.number("pixel_scale_arcsec", factors)
    return _of_optics(reader) if told is None else told


def _angle_factor(comment: str) -> float:
    """What brings a scale to arcsec."""
    for pattern, factor in ((_MAS, 1e-3), (_ARCMIN, 60.0), (_ARCSEC, 1.0), (_DEGREES, 3600.0)):
        if pattern.search(comment):
            return factor
    return 1.0


def _of_optics(reader: CardReader) -> float | None:
    """From the size of a pixel (after binning) and the focal length.

    Notes
    -----
    Without a unit in the comment a focal length below 30 counts metres, and a pixel below 0.5 counts millimetres, below
    0.0005 metres: no telescope and no detector has such millimetres and micrometres.
    """
    size_um, focal_mm = _first(reader, PIXEL_SIZES, 1e3), _first(reader, FOCAL_LENGTHS, 1.0)
    if size_um is None or focal_mm is None:
        return None
    size, size_told = size_um
    focal, focal_told = focal_mm
    if not size_told:
        size *= 1e6 if size < SMALLEST_PIXEL_UM / 1e3 else 1e3 if size < SMALLEST_PIXEL_UM else 1.0
    if not focal_told and focal < SHORTEST_FOCAL_MM:
        focal *= 1000.0
    scale = ARCSEC_PER_RADIAN * size / 1000.0 / focal
    row = QUANTITIES["pixel_scale_arcsec"]
    return scale if size <= LARGEST_PIXEL_UM and row.low <= scale <= row.high else None


def _first(reader: CardReader, keywords: tuple[str, ...], per_mm: float) -> tuple[float, bool] | None:
    """The first length among keywords, and whether its unit is told: then in mm times ``per_mm``."""
    for keyword in keywords:
        value = reader.value(keyword)
        if value is not None and value > 0:
            for pattern, factor in _LENGTHS:
                if pattern.search(reader.comment(keyword)):
                    return value * factor * per_mm, True
            return value, False
    return None
