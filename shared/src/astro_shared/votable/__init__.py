"""VOTables from outside (bytes or a file enter, columns and what the document says of its query leave; nothing is followed),
and ours written as a stream."""

from astro_shared.votable.cells import VoField
from astro_shared.votable.document import VoDocument, VoTable, parse_votable, read_votable
from astro_shared.votable.errors import VotableError
from astro_shared.votable.writer import vounit, write_votable

__all__ = [
    "VoDocument",
    "VoField",
    "VoTable",
    "VotableError",
    "parse_votable",
    "read_votable",
    "vounit",
    "write_votable",
]
