"""A process that takes a place at an upstream and keeps it until it is killed: ``python gate_holder.py DATABASE LEASE_S``."""

import asyncio
import sys

from astro_shared.database.engine import make_engine
from catalogs_service.adapters.upstream.breaker_store import DatabaseBreakerStore
from catalogs_service.adapters.upstream.gate import UpstreamGate
from catalogs_service.domain.upstream_state import Limits


async def main(database, lease_s):
    memory = DatabaseBreakerStore(make_engine(database))
    gate = UpstreamGate(memory, "simbad", Limits(requests_per_s=1000.0, concurrency=1), lease_s=lease_s)
    async with gate.admitted() as probing:
        sys.stdout.write(f"{'probe' if probing else 'place'}\n")
        sys.stdout.flush()
        await asyncio.sleep(60)


asyncio.run(main(sys.argv[1], float(sys.argv[2])))
