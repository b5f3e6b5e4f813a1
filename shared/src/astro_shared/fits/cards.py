"""Headers as bytes: found and read without any FITS library, within limits."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import BinaryIO

from astro_shared.fits.errors import FitsHeaderInvalidError, FitsHeaderLimitError, FitsTruncatedError
from astro_shared.fits.limits import FitsLimits

BLOCK = 2880
CARD = 80

_INTEGER = re.compile(rb"\s*([+-]?\d{1,19})\s*(?:/.*)?")
_STRING = re.compile(rb"\s*'((?:[^']|'')*)'")
_STRUCTURAL = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|GROUPS|TFIELDS|TFORM\d+|THEAP"
    r"|ZIMAGE|ZCMPTYPE|ZBITPIX|ZNAXIS\d*|ZTILE\d+"
)


@dataclass(frozen=True)
class RawHeader:
    """The cards of one header, undecoded.

    Attributes
    ----------
    offset, data_offset
        Where the header and its data begin, bytes.
    cards
        Without END; 80 bytes each.
    structural
        Values (bytes after the equals sign) of the keywords that decide the layout, first occurrence.
    """

    offset: int
    data_offset: int
    cards: tuple[bytes, ...]
    structural: dict[str, bytes] = field(repr=False)

    def integer(self, keyword: str, default: int | None = None) -> int:
        """Value of a structural integer keyword.

        Raises
        ------
        FitsHeaderInvalidError
            Missing without a default, or not an integer.
        """
        raw = self.structural.get(keyword)
        if raw is None:
            if default is None:
                raise FitsHeaderInvalidError(f"The keyword {keyword} is missing.", keyword=keyword, offset=self.offset)
            return default
        match = _INTEGER.fullmatch(raw)
        if match is None:
            raise FitsHeaderInvalidError(
                f"The keyword {keyword} is not an integer: {_show(raw)!r}.", keyword=keyword, offset=self.offset
            )
        return int(match[1])

    def text(self, keyword: str) -> str:
        """Value of a structural text keyword; empty when missing or not a text."""
        match = _STRING.match(self.structural.get(keyword, b""))
        return match[1].decode("ascii", "replace").rstrip() if match else ""

    def is_true(self, keyword: str) -> bool:
        """Whether a structural logical keyword is T."""
        return self.structural.get(keyword, b"").split(b"/")[0].strip() == b"T"

    def find_text(self, keyword: str) -> str:
        """Value of any text keyword; empty when missing."""
        start = keyword.encode().ljust(8) + b"= "
        for card in self.cards:
            if card.startswith(start) and (match := _STRING.match(card[10:])):
                return match[1].decode("ascii", "replace").rstrip()
        return ""

    def find_integer(self, keyword: str, default: int) -> int:
        """Value of any integer keyword, or the default."""
        start = keyword.encode().ljust(8) + b"= "
        for card in self.cards:
            if card.startswith(start) and (match := _INTEGER.fullmatch(card[10:])):
                return int(match[1])
        return default


def read_header(file: BinaryIO, offset: int, size: int, limits: FitsLimits) -> RawHeader:
    """Read the header that begins at ``offset`` of a file of ``size`` bytes.

    Raises
    ------
    FitsHeaderLimitError
        More cards than allowed, or whole blocks to the end of the file without END.
    FitsTruncatedError
        The file ends inside a block.
    FitsHeaderInvalidError
        A structural keyword is given twice with different values.
    """
    file.seek(offset)
    cards: list[bytes] = []
    at = offset
    while True:
        block = file.read(BLOCK)
        if len(block) < BLOCK:
            if block or size % BLOCK:
                raise FitsTruncatedError(f"The file ends inside a header, after {size} bytes.", size=size)
            raise FitsHeaderLimitError(f"The header at byte {offset} has no END card.", offset=offset)
        at += BLOCK
        for start in range(0, BLOCK, CARD):
            card = block[start : start + CARD]
            if card.rstrip() == b"END":
                _check_count(cards, offset, limits)
                return RawHeader(offset, at, tuple(cards), _structural(cards, offset))
            cards.append(card)
        _check_count(cards, offset, limits)


def _check_count(cards: list[bytes], offset: int, limits: FitsLimits) -> None:
    """Raise for more cards than allowed."""
    if len(cards) > limits.max_cards:
        raise FitsHeaderLimitError(
            f"The header at byte {offset} has more than {limits.max_cards} cards.", limit=limits.max_cards
        )


def _structural(cards: list[bytes], offset: int) -> dict[str, bytes]:
    """Layout keywords and their values."""
    values: dict[str, bytes] = {}
    for card in cards:
        if card[8:9] != b"=":
            continue
        keyword = card[:8].decode("ascii", "replace").rstrip()
        if not _STRUCTURAL.fullmatch(keyword):
            continue
        value = card[9:].split(b"/")[0].strip() if b"'" not in card else card[9:]
        if values.setdefault(keyword, value) != value:
            raise FitsHeaderInvalidError(
                f"The keyword {keyword} is given twice with different values.", keyword=keyword, offset=offset
            )
    return values


def _show(raw: bytes) -> str:
    """A value fit for a message."""
    return raw[:30].decode("ascii", "replace").strip()
