"""Migrations against a real server."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from astro_shared.database.engine import (
    check_connection,
    conninfo,
    create_database_if_missing,
    database_url,
    make_engine,
)
from astro_shared.database.errors import DatabaseUnavailableError, SchemaError
from astro_shared.database.migrations import check_schema, upgrade

EXAMPLE = "astro_shared.testing.example_migrations"


def test_an_empty_database_is_brought_to_the_head_once(database):
    assert upgrade(database, EXAMPLE) == (None, "example_0001")
    assert upgrade(database, EXAMPLE) == ("example_0001", "example_0001")
    check_schema(database, EXAMPLE)
    with psycopg.connect(conninfo(database)) as connection:
        tables = {row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert {"jobs", "job_events", "procrastinate_jobs", "alembic_version"} <= tables


def test_simultaneous_migrations_wait_for_each_other(database):
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: upgrade(database, EXAMPLE), range(4)))
    assert sorted(results, key=str).count((None, "example_0001")) == 1
    assert results.count(("example_0001", "example_0001")) == 3


def test_a_newer_schema_is_refused_in_one_line(database):
    upgrade(database, EXAMPLE)
    with psycopg.connect(conninfo(database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'example_9999'")
    for call in (upgrade, check_schema):
        with pytest.raises(SchemaError) as refused:
            call(database, EXAMPLE)
        assert "example_9999" in refused.value.message and "newer release" in refused.value.message
        assert "\n" not in refused.value.message


def test_a_database_without_schema_is_told_to_migrate(database):
    with pytest.raises(SchemaError, match="run its migration first"):
        check_schema(database, EXAMPLE)


def test_a_failed_migration_changes_nothing(database):
    with psycopg.connect(conninfo(database)) as connection:
        connection.execute("CREATE TABLE job_events (in_the_way int)")
    with pytest.raises(Exception, match="job_events"):
        upgrade(database, EXAMPLE)
    with psycopg.connect(conninfo(database)) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert rows == [("job_events",)]


def test_a_missing_database_is_made_once(database):
    other = database_url(database).set(database='odd"name').render_as_string(hide_password=False)
    assert create_database_if_missing(other) is True
    assert create_database_if_missing(other) is False
    with psycopg.connect(conninfo(database), autocommit=True) as connection:
        connection.execute('DROP DATABASE "odd""name"')


async def test_a_server_that_is_away_is_unavailable(tmp_path):
    address = f"postgresql://user:hush@/db?host={tmp_path}"
    for call in (lambda: upgrade(address, EXAMPLE), lambda: create_database_if_missing(address)):
        with pytest.raises(DatabaseUnavailableError) as away:
            call()
        assert "hush" not in away.value.message
    engine = make_engine(address)
    with pytest.raises(DatabaseUnavailableError):
        await check_connection(engine)


async def test_a_pool_stays_small(database):
    engine = make_engine(database, application="tests")
    for _ in range(5):
        await check_connection(engine)
    with psycopg.connect(conninfo(database)) as connection:
        counted = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tests'"
        assert connection.execute(counted).fetchone() == (1,)
    await engine.dispose()
