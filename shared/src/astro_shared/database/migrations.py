"""Migrations: each service brings revisions as a package, this runs them one process at a time.

A service keeps ``migrations/__init__.py`` and revisions such as ``migrations/r0001_first.py``::

    revision = "photometry_0001"
    down_revision = None

    def upgrade() -> None:
        jobs_schema.upgrade(op)
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from astro_shared.database.engine import database_url
from astro_shared.database.errors import DatabaseUnavailableError, SchemaError

_SCRIPTS = Path(__file__).parent / "scripts"
_LOCK = 0x416C6964
_ONE_AT_A_TIME = threading.Lock()
"""Alembic keeps its context in a global of the process."""
_CONNECT_TIMEOUT_S = 5


def upgrade(address: str | SecretStr, migrations_package: str) -> tuple[str | None, str]:
    """Bring a database to the newest revision of a service, in one transaction; return revision before and after.

    Whoever comes second waits for the first (advisory lock) and finds nothing to do.

    Raises
    ------
    SchemaError
        The database was written by a newer release. Nothing is changed.
    """
    config = _config(migrations_package)
    with _ONE_AT_A_TIME, _connected(address) as connection, connection.begin():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        before = _known_revision(connection, config)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return before, _head(config)


def check_schema(address: str | SecretStr, migrations_package: str) -> None:
    """Raise SchemaError unless the database is at the revision that this software needs; for the start of a process."""
    config = _config(migrations_package)
    with _connected(address) as connection:
        current = _known_revision(connection, config)
        name = connection.engine.url.database
    if current != _head(config):
        raise SchemaError(
            f"database {name} is at revision {current or 'none'}, this software needs {_head(config)}: "
            "run its migration first"
        )


def _config(migrations_package: str) -> Config:
    package = importlib.import_module(migrations_package)
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(Path(str(package.__file__)).parent).replace("%", "%%"))
    return config


def _head(config: Config) -> str:
    head = ScriptDirectory.from_config(config).get_current_head()
    if head is None:
        raise SchemaError("this service has no database revisions")
    return head


def _known_revision(connection: Connection, config: Config) -> str | None:
    """Revision of the database; SchemaError where this release does not know it."""
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise SchemaError(
            f"database {connection.engine.url.database} is at revision {current}, which this release does not know: "
            "it was written by a newer release; install that one or restore a backup"
        )
    return current


@contextmanager
def _connected(address: str | SecretStr) -> Iterator[Connection]:
    url = database_url(address)
    engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": _CONNECT_TIMEOUT_S})
    try:
        with engine.connect() as connection:
            yield connection
    except OperationalError as error:
        raise DatabaseUnavailableError(f"can not reach the database {url.database}") from error
    finally:
        engine.dispose()
