"""Engines, and the three spellings of a database's address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError, TimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from astro_shared.database.errors import DatabaseUnavailableError
from astro_shared.settings import DatabaseSettings

_AWAY = (OperationalError, InterfaceError)
_DRIVER = "postgresql+psycopg"
_CONNECT_TIMEOUT_S = 5


def database_url(address: str | SecretStr) -> URL:
    """Return SQLAlchemy's form of ``postgresql://...``, with the driver that all services use."""
    plain = address.get_secret_value() if isinstance(address, SecretStr) else address
    return make_url(plain).set(drivername=_DRIVER)


def conninfo(address: str | SecretStr | URL) -> str:
    """Return libpq's form of an address, for psycopg itself."""
    url = address if isinstance(address, URL) else database_url(address)
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def make_engine(
    address: str | SecretStr, settings: DatabaseSettings | None = None, *, application: str = "alidade"
) -> AsyncEngine:
    """Make the engine of a process; nothing connects yet.

    Parameters
    ----------
    address
        ``postgresql://user:password@host/name``.
    settings
        Pool sizes; the defaults suit a process that shares a machine with many others.
    application
        Name shown in the server's list of connections.
    """
    settings = settings or DatabaseSettings()
    return create_async_engine(
        database_url(address),
        pool_size=settings.pool_size,
        max_overflow=settings.pool_overflow,
        pool_timeout=settings.pool_timeout_s,
        pool_pre_ping=True,
        connect_args=connect_arguments(settings, application=application),
    )


def connect_arguments(settings: DatabaseSettings, *, application: str) -> dict[str, str | int]:
    """Return what every long-lived connection is opened with, besides its address."""
    return {
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "application_name": application,
        "options": f"-c idle_in_transaction_session_timeout={round(1000 * settings.idle_transaction_s)}",
    }


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Open a transaction that commits at the end of the block; a database that is away is DatabaseUnavailableError."""
    try:
        async with engine.begin() as connection:
            yield connection
    except (DBAPIError, TimeoutError) as error:
        if isinstance(error, DBAPIError) and not (isinstance(error, _AWAY) or error.connection_invalidated):
            raise
        raise DatabaseUnavailableError("the database does not answer") from error


async def check_connection(engine: AsyncEngine) -> None:
    """Raise DatabaseUnavailableError where the database does not answer (for readiness)."""
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    except (SQLAlchemyError, OSError) as error:
        raise DatabaseUnavailableError("the database does not answer") from error


def create_database_if_missing(address: str | SecretStr, *, maintenance_database: str = "postgres") -> bool:
    """Create the database of an address on its server; True where it was made now.

    Two processes may do so at the same time. The user of the address must be allowed to create databases.
    """
    url = database_url(address)
    engine = create_engine(
        url.set(database=maintenance_database),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={"connect_timeout": _CONNECT_TIMEOUT_S},
    )
    try:
        with engine.connect() as connection:
            exists = text("SELECT 1 FROM pg_database WHERE datname = :name")
            if connection.execute(exists, {"name": url.database}).first():
                return False
            quoted = engine.dialect.identifier_preparer.quote_identifier(str(url.database))
            try:
                connection.execute(text(f"CREATE DATABASE {quoted}"))
            except SQLAlchemyError:
                if connection.execute(exists, {"name": url.database}).first():
                    return False
                raise
            return True
    except OperationalError as error:
        raise DatabaseUnavailableError(f"can not reach the database server of {url.database}") from error
    finally:
        engine.dispose()
