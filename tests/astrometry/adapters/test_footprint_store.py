"""Frames are found by the cells that cover them, and by their exact outlines."""

from types import SimpleNamespace

import numpy as np
import pytest

from astro_shared.database.engine import make_engine
from astro_shared.database.migrations import upgrade
from astrometry_service.adapters.footprint_store import FootprintStore
from astrometry_service.algorithms.field_search import frame_cells, frame_outline, unique_cells
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.workflows.find_frames import FindFrames

NX, NY, SCALE = 600, 400, 3.0 / 3600


@pytest.fixture
async def store(database):
    upgrade(database, "astrometry_service.migrations")
    engine = make_engine(database, application="test")
    yield FootprintStore(engine)
    await engine.dispose()


def plane(ra, dec, angle=0.4):
    turn = SCALE * np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return PlaneAffine(np.column_stack([turn, -turn @ [(NX - 1) / 2, (NY - 1) / 2]]), ra, dec)


async def keep(store, job, transform, owner="ann"):
    outline = frame_outline(transform, NX, NY)
    payload = {
        "frame_name": f"{job}.fits", "epoch_jyear": 2020.5, "scale_arcsec_px": 3.0, "outline_deg": outline.tolist(),
        "cells": unique_cells(frame_cells(outline)),
    }  # fmt: skip
    await store.keep(payload, SimpleNamespace(job=SimpleNamespace(id=job, owner=owner, kind="solve")))


@pytest.mark.parametrize(("ra", "dec"), [(150.0, 20.0), (0.02, -30.0), (200.0, 89.9), (10.0, -89.95)])
async def test_what_is_on_a_pixel_is_found_and_what_is_beside_is_not(store, ra, dec):
    transform = plane(ra, dec)
    await keep(store, "one", transform)
    find = FindFrames(store)
    for x, y in ((0.0, 0.0), (NX - 1.0, 0.0), (NX - 1.0, NY - 1.0), (0.0, NY - 1.0), (300.0, 200.0), (-0.4, 100.0)):
        at = transform.pixel_to_sky(x, y)
        assert [frame.job_id for frame in await find("ann", float(at[0]) % 360, float(at[1]))] == ["one"]
    for x, y in ((-1.0, 200.0), (NX + 1.0, 100.0), (300.0, -1.0), (300.0, NY + 1.0), (-40.0, -40.0)):
        at = transform.pixel_to_sky(x, y)
        assert await find("ann", float(at[0]) % 360, float(at[1])) == []


async def test_frames_of_others_are_not_found_and_newest_come_first(store):
    for job, owner in (("a", "ann"), ("b", "bob"), ("c", "ann")):
        await keep(store, job, plane(150.0, 20.0), owner)
    await keep(store, "far", plane(151.5, 20.0))
    assert [frame.job_id for frame in await FindFrames(store)("ann", 150.0, 20.0)] == ["c", "a"]


async def test_a_job_that_is_tried_again_replaces_its_footprint(store):
    await keep(store, "one", plane(150.0, 20.0))
    await keep(store, "one", plane(10.0, 20.0))
    assert await FindFrames(store)("ann", 150.0, 20.0) == []
    assert len(await FindFrames(store)("ann", 10.0, 20.0)) == 1
