"""A user's keys of third parties: fetched sealed, opened here, kept nowhere."""

from __future__ import annotations

from astro_shared.clients.user_keys import OpenKey
from astro_shared.errors import AlidadeError, NotFoundError
from catalogs_service.errors import QueryError


class UserKeys:
    """Keys by name for one user.

    Parameters
    ----------
    open_key : fetches and opens the key of a user by name; None where this process may not open any
    user : whose keys; None has none
    """

    def __init__(self, open_key: OpenKey | None, user: str | None) -> None:
        self._open_key = open_key
        self._user = user

    async def key(self, name: str) -> str | None:
        """The key, or None where none is set.

        Raises
        ------
        QueryError
            It is not known whether there is one.
        """
        if self._open_key is None or self._user is None:
            return None
        try:
            return await self._open_key(self._user, name)
        except NotFoundError:
            return None
        except AlidadeError as error:
            if error.details.get("upstream_status") == 404 or error.status == 404:
                return None
            raise QueryError("The user's key cannot be fetched at the moment.", cause="no_key") from None
