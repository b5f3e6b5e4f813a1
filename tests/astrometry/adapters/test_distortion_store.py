"""Distortions of earlier frames in a real PostgreSQL: own ones only, versions that stay what they were."""

from types import SimpleNamespace

import pytest

from astro_shared.database.engine import make_engine
from astro_shared.database.errors import DatabaseUnavailableError
from astro_shared.database.migrations import upgrade
from astrometry_service.adapters.distortion_store import DistortionStore


@pytest.fixture
async def store(database):
    upgrade(database, "astrometry_service.migrations")
    engine = make_engine(database, application="test")
    yield DistortionStore(engine)
    await engine.dispose()


def run(owner="ann", job="j1"):
    return SimpleNamespace(job=SimpleNamespace(owner=owner, id=job))


def sample(value, **changes):
    return {
        "instrument": "cam / r",
        "nx": 20,
        "ny": 10,
        "terms_px": [[value], [value]],
        "covariance_px2": [[1.0]],
    } | changes


def question(version=None, **changes):
    return {"instrument": "cam / r", "nx": 20, "ny": 10, "version": version} | changes


async def test_distortions_come_back_oldest_first_and_an_older_version_stays_as_it_was(store):
    for number in range(4):
        await store.keep(sample(float(number)), run(job=f"j{number}"))
    rows = (await store.ask(question(), run()))["rows"]
    assert [row["terms_px"][0][0] for row in rows] == [0.0, 1.0, 2.0, 3.0]
    older = (await store.ask(question(version=rows[1]["version"]), run()))["rows"]
    assert older == rows[:2]


async def test_other_users_cameras_filters_and_sizes_are_apart(store):
    await store.keep(sample(1.0), run())
    assert (await store.ask(question(), run(owner="bob")))["rows"] == []
    assert (await store.ask(question(instrument="cam / g"), run()))["rows"] == []
    assert (await store.ask(question(nx=21), run()))["rows"] == []


async def test_a_job_that_is_tried_again_counts_once(store):
    await store.keep(sample(1.0), run(job="same"))
    await store.keep(sample(2.0), run(job="same"))
    assert len((await store.ask(question(), run()))["rows"]) == 1


async def test_a_database_that_is_away_is_tried_again_and_no_defect():
    """A solve that asked while the database restarted ended as an internal error."""
    engine = make_engine("postgresql://nobody:x@127.0.0.1:1/nowhere", application="test")
    try:
        for asked in (DistortionStore(engine).ask(question(), run()), DistortionStore(engine).keep(sample(1.0), run())):
            with pytest.raises(DatabaseUnavailableError) as raised:
                await asked
            assert raised.value.retryable
    finally:
        await engine.dispose()
