"""What all replicas know of each upstream: rate, places, breaker, counters."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "catalogs_0002"
down_revision = "catalogs_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        text("""CREATE TABLE upstreams (
            name varchar(40) PRIMARY KEY, next_slot double precision NOT NULL, failures integer NOT NULL,
            open_until double precision NOT NULL, not_before double precision NOT NULL,
            probing_until double precision NOT NULL, last_success double precision NOT NULL,
            last_failure double precision NOT NULL, last_cause varchar(40) NOT NULL, cache_hits bigint NOT NULL,
            cache_misses bigint NOT NULL, places jsonb NOT NULL)""")
    )
