"""What can go wrong with a database before work begins."""

from __future__ import annotations

from astro_shared.errors import AlidadeError, UnavailableError


class SchemaError(AlidadeError):
    """The database has the schema of another release; the message says what to do."""

    code = "schema_mismatch"


class DatabaseUnavailableError(UnavailableError):
    """The database does not answer."""

    code = "database_unavailable"
