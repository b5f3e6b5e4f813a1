"""What can be wrong with a VOTable."""

from __future__ import annotations

from astro_shared.errors import InvalidRequestError


class VotableError(InvalidRequestError):
    """A document that is no VOTable, is damaged or cut off, lies, leads elsewhere, or is beyond a limit."""

    code = "votable_invalid"
