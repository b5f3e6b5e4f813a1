"""Lists at hand: replaced while they are searched, damaged, absent."""

import numpy as np
import pytest

from catalogs_service.adapters.reference_store import ReferenceStore
from catalogs_service.domain.regions import Cone
from catalogs_service.domain.stars import Selection, Stars
from catalogs_service.errors import MirrorDamagedError, ReferenceListNotFoundError
from catalogs_service.workflows.find_reference_stars import FindReferenceStars

CONE = Cone(10.0, 10.0, 1.0)


def one(identifier):
    return Stars({"source_id": np.array([identifier]), "ra": np.array([10.0]), "dec": np.array([10.0])})


@pytest.fixture
def store(tmp_path):
    store = ReferenceStore(tmp_path)
    store.save(one(1), name="mine", scope="global", owner=None, facts={})
    return store


async def test_a_list_that_is_replaced_during_a_search_is_searched_again(store, tmp_path):
    stale = store.find("mine", None)
    ReferenceStore(tmp_path).save(one(2), name="mine", scope="global", owner=None, facts={})
    found = await FindReferenceStars(store)._from_hand("mine", stale, CONE, Selection(), None)
    assert found.stars["source_id"].tolist() == [2]


async def test_a_damaged_list_is_an_error_of_ours(store):
    next(store.find("mine", None).folder.rglob("Npix=*.parquet")).write_bytes(b"x")
    with pytest.raises(MirrorDamagedError):
        await FindReferenceStars(store).find("mine", CONE, Selection(), owner=None)


async def test_an_unknown_list_is_not_found(store):
    with pytest.raises(ReferenceListNotFoundError, match="no reference list other"):
        await FindReferenceStars(store).find("other", CONE, Selection(), owner=None)
