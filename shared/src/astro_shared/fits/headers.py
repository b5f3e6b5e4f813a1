"""Headers from outside made safe: every card readable, every text plain ASCII, layout keywords ours."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Sequence

from astropy.io import fits

from astro_shared.fits.cards import RawHeader
from astro_shared.frame_warnings import FrameWarning, WarningCode

#: Keywords that describe how pixels are stored; they are dropped because the pixels delivered are stored otherwise.
_LAYOUT = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|GROUPS|EXTEND|BSCALE|BZERO|BLANK|CHECKSUM|DATASUM|BLOCKED"
    r"|TFIELDS|TFORM\d+|TTYPE\d+|TUNIT\d+|TSCAL\d+|TZERO\d+|TNULL\d+|TDISP\d+|TDIM\d+|THEAP"
    r"|ZIMAGE|ZCMPTYPE|ZBITPIX|ZNAXIS\d*|ZTILE\d+|ZNAME\d+|ZVAL\d+|ZQUANTIZ|ZDITHER0|ZBLANK|ZSIMPLE|ZEXTEND"
    r"|ZTENSION|ZPCOUNT|ZGCOUNT|ZHECKSUM|ZDATASUM|ZMASKCMP|ZBLOCKED|ZSCALE|ZZERO|FZALGOR|FZTILE|FZQ\w*|FZDTHR\w*"
    r"|END|CONTINUE|"
)
_KEYWORD = re.compile(r"[A-Z0-9_-]{1,8}|HIERARCH [\x21-\x7e ]{1,60}")
_COMMENTARY = ("COMMENT", "HISTORY")
_PRINTABLE = bytes(c if 0x20 <= c < 0x7F else 0x3F for c in range(256))

#: Keywords of an extension that the primary header must not lend it (they are about its own pixels).
_NOT_INHERITED = re.compile(
    r"EXTNAME|EXTVER|EXTLEVEL|INHERIT|WCSAXES\w?|WCSNAME\w?|(?:CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA)\d+\w?"
    r"|(?:CD|PC|PV|PS)\d+_\d+\w?|LONPOLE\w?|LATPOLE\w?|(?:A|B|AP|BP)_(?:ORDER|DMAX|\d+_\d+)|BUNIT"
)


def clean_text(value: str, *, limit: int = 200) -> str:
    """Text fit for logs, tables and pages: printable ASCII (others become ``?``), trimmed, at most ``limit`` long."""
    return "".join(c if " " <= c <= "~" else "?" for c in value[: 4 * limit]).strip()[:limit]


def read_cards(raw: RawHeader) -> tuple[fits.Header, list[FrameWarning]]:
    """Decode the cards of a header, without those that describe the storage of pixels.

    Returns
    -------
    The header, its texts sanitised, and a warning naming the cards that could not be read.

    Notes
    -----
    A value that breaks the standard (``CRVAL1 = 05:32:00`` without quotes, a number with a comma) is kept as the text that
    stands there; a card with such a keyword, or a number that is not finite, is left out.
    """
    header, as_text, left_out = fits.Header(), [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what cannot be read is named in our own warning
        decoded = fits.Header.fromstring(b"".join(raw.cards).translate(_PRINTABLE).decode("ascii"))
        for card in decoded.cards:
            kept = _safe_card(card)
            if kept is None and (text := _text_card(card)) is not None:
                header.append(text, end=True, bottom=True)
                as_text.append(text.keyword)
            elif kept is None:
                left_out.append(clean_text(card.image[:8], limit=8))
            elif kept:
                header.append(kept, end=True, bottom=True)
    notes = []
    if as_text:
        told = f"the values of {names_of(as_text)} break the FITS standard and are read as text"
        notes.append(WarningCode.HEADER_CARDS_INVALID(told))
    if left_out:
        told = f"{len(left_out)} header cards break the FITS standard and are ignored: {names_of(left_out)}"
        notes.append(WarningCode.HEADER_CARDS_INVALID(told))
    return header, notes


def names_of(keywords: Iterable[str], *, most: int = 10) -> str:
    """Keywords in words, each once; of very many only the first ones and their number."""
    distinct = list(dict.fromkeys(keywords))
    more = f" and {len(distinct) - most} more" if len(distinct) > most else ""
    return ", ".join(distinct[:most]) + more


def _text_card(card: fits.Card) -> fits.Card | None:
    """The value of a card that cannot be read, as text; None where the keyword is at fault or there is no text."""
    image = card.image[:80]
    keyword, text = image[:8].strip(), image[10:].split(" /")[0].strip().strip("'").strip()
    is_number = re.fullmatch(r"[+-]?(?:\d[\d.]*[eEdD][+-]?\d+|nan|inf(?:inity)?)", text, re.I)
    if image[8:10] != "= " or not text or is_number or not _KEYWORD.fullmatch(keyword) or _LAYOUT.fullmatch(keyword):
        return None
    return fits.Card(keyword, clean_text(text))


def _safe_card(card: fits.Card) -> fits.Card | tuple[()] | None:
    """The card made plain; empty when it is of no concern, None when it can not be read."""
    try:
        keyword, value, comment = card.keyword, card.value, card.comment
    except (fits.VerifyError, ValueError, IndexError, TypeError, AttributeError):
        return None
    if _LAYOUT.fullmatch(keyword):
        return ()
    if keyword in _COMMENTARY:
        return fits.Card(keyword, clean_text(str(value), limit=72))
    name = keyword if len(keyword) <= 8 and " " not in keyword else f"HIERARCH {keyword}"
    if not _KEYWORD.fullmatch(name) or isinstance(value, fits.card.Undefined):
        return None if not _KEYWORD.fullmatch(name) else ()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        value = clean_text(value, limit=400)
    elif not isinstance(value, bool | int | float):
        return None
    return fits.Card(name, value, clean_text(comment or "", limit=72))


def inherit(header: fits.Header, primary: fits.Header) -> fits.Header:
    """The header of an extension with the cards of the primary header that it lacks, except those about its pixels."""
    merged = header.copy()
    for card in primary.cards:
        keyword = card.keyword
        if keyword in _COMMENTARY or keyword in header or _NOT_INHERITED.fullmatch(keyword):
            continue
        merged.append(card, end=True)
    return merged


def original_text(raws: Sequence[RawHeader]) -> str:
    """Headers as they are in the file, a line of 80 bytes for each card, END included.

    Notes
    -----
    Bytes that the standard forbids in a header (anything but printable ASCII) become ``?``: terminals obey them.
    """
    cards = [card for raw in raws for card in (*raw.cards, b"END".ljust(80))]
    return "\n".join(card.translate(_PRINTABLE).decode("ascii") for card in cards) + "\n"


def header_of_text(text: str) -> fits.Header:
    """What `header_text` has written, or cards of 80 characters one after the other; cards that cannot be read are left out.

    Notes
    -----
    A long text whose continuation begins with a quote is one: astropy writes it and does not read it again.
    """
    read = fits.Header.fromstring(text, sep="\n" if "\n" in text else "")
    return fits.Header([card for card in read.cards if _is_readable(card)])


def _is_readable(card: fits.Card) -> bool:
    try:
        return card.value is not None and card.comment is not None
    except (fits.VerifyError, ValueError):
        return False


def header_text(header: fits.Header) -> str:
    """The header as lines of at most 80 printable characters, for people and files."""
    return "\n".join(_lines(str(card.image) for card in header.cards))


def _lines(images: Iterable[str]) -> Iterable[str]:
    """80-character pieces (long texts continue), cleaned and without trailing blanks."""
    for image in images:
        for start in range(0, max(len(image), 1), 80):
            yield "".join(c if " " <= c <= "~" else "?" for c in image[start : start + 80]).rstrip()
