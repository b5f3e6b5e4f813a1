"""Jobs and their queue."""

from alembic import op

from astro_shared.jobs.ledger import schema

revision = "example_0001"
down_revision = None


def upgrade() -> None:
    schema.upgrade(op)
