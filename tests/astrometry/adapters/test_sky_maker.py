"""The all-sky patterns: made once when they are first wanted, then mapped."""

import asyncio

import numpy as np
import pytest

from astro_shared.jobs.task import LocalLink, TaskContext
from astrometry_service.adapters.sky_index_store import SkyIndexStore
from astrometry_service.adapters.sky_maker import SKY_PATTERNS, RemoteSky, SkyMaker
from astrometry_service.algorithms.matching.sky_index import IndexOptions
from astrometry_service.domain.star_lists import SkyMap


class Run:
    def __init__(self):
        self.said = []

    async def progress(self, fraction, step, message=""):
        self.said.append(step)


@pytest.fixture
def sky() -> SkyMap:
    rng = np.random.default_rng(3)
    return SkyMap.from_columns(rng.uniform(0, 360, 900), rng.uniform(-90, 90, 900), rng.uniform(5, 9, 900))


class Maker(SkyMaker):
    """Makes a small list instead of that of an index file, or nothing."""

    def __init__(self, folder, sky):
        super().__init__(folder, ())
        self.folder, self.sky, self.made = folder, sky, 0

    def _make(self):
        self.made += 1
        if self.sky is not None:
            SkyIndexStore(self.folder).build(self.sky, "mine", options=IndexOptions(smallest_deg=12.8, levels=1))
        return self._there()


def child(maker, folder):
    def answer(payload):
        return asyncio.run(maker.answer(payload, Run()))

    return RemoteSky(TaskContext(folder, {}, LocalLink({SKY_PATTERNS: answer})))


def test_patterns_are_made_once_for_all_children(tmp_path, sky):
    maker = Maker(tmp_path / "sky", sky)
    for _ in range(3):
        assert len(child(maker, tmp_path).patterns().sky) == 900
    assert maker.made == 1


def test_a_plain_look_makes_nothing(tmp_path, sky):
    maker = Maker(tmp_path / "sky", sky)
    assert child(maker, tmp_path).load() is None and maker.made == 0


def test_the_stars_are_there_once_the_patterns_are(tmp_path, sky):
    asked = child(Maker(tmp_path / "sky", sky), tmp_path)
    assert asked.load() is None
    assert asked.patterns() is not None and len(asked.load()) == 900


def test_what_cannot_be_made_is_tried_once(tmp_path):
    maker = Maker(tmp_path / "sky", None)
    assert child(maker, tmp_path).patterns() is None
    assert child(maker, tmp_path).patterns() is None
    assert maker.made == 1


def test_without_a_platform_there_are_no_patterns(tmp_path):
    assert RemoteSky(TaskContext(tmp_path, {}, LocalLink())).patterns() is None


def test_the_job_says_what_it_waits_for(tmp_path, sky):
    run = Run()
    asyncio.run(Maker(tmp_path / "sky", sky).answer({"make": True}, run))
    assert run.said == ["all-sky patterns"]
