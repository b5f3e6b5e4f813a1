"""One replica of the catalogs service that looks up the frames of a field: ``python gaia_replica.py '{...}'``.

The argument holds ``data_folder``, ``objects``, ``database_url``, ``gaia_url``, ``frames``, ``seed``; printed is how often each
layer answered.
"""

import asyncio
import collections
import json
import sys

import numpy as np

from catalogs_service.config import CatalogsSettings
from catalogs_service.domain.regions import Cone
from catalogs_service.domain.stars import Selection
from catalogs_service.factory import CatalogsParts

AT_ONCE = 8


async def main(given):
    settings = CatalogsSettings(
        environment="development", database_url=given["database_url"], client_secret="secret",
        storage={"kind": "folder", "folder": given["objects"], "url_secret": "x" * 32},
        data_folder=given["data_folder"], upstream={"gaia_url": given["gaia_url"]},
    )  # fmt: skip
    parts = CatalogsParts(settings)
    rng = np.random.default_rng(given["seed"])
    centres = [120.0, 30.0] + rng.normal(0, 0.02, (given["frames"], 2))
    room, layers = asyncio.Semaphore(AT_ONCE), collections.Counter()

    async def one(ra, dec):
        async with room:
            found = await parts.find_stars.find("gaia", Cone(ra, dec, 0.3), Selection(mag_limit=19.0), owner=None)
            assert len(found.stars) > 0
            layers[found.layer] += 1

    await asyncio.gather(*(one(float(ra), float(dec)) for ra, dec in centres))
    await parts.close()
    sys.stdout.write(json.dumps(layers))


asyncio.run(main(json.loads(sys.argv[1])))
