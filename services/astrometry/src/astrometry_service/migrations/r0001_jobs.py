"""The job ledger."""

from __future__ import annotations

from alembic import op

from astro_shared.jobs.ledger import schema as jobs_schema

revision = "astrometry_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    jobs_schema.upgrade(op)
