"""VOTables from outside: bytes or a file enter, columns and what the document says of its query leave; nothing is followed."""

from astro_shared.votable.cells import VoField
from astro_shared.votable.document import VoDocument, VoTable, parse_votable, read_votable
from astro_shared.votable.errors import VotableError

__all__ = ["VoDocument", "VoField", "VoTable", "VotableError", "parse_votable", "read_votable"]
