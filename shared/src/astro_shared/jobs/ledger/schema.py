"""Tables of the job ledger, beside those of procrastinate in the same database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from procrastinate.schema import SchemaManager
from sqlalchemy.dialects.postgresql import JSONB

if TYPE_CHECKING:
    from alembic.operations import Operations

metadata = sa.MetaData()

_ACTIVE = sa.text("phase IN ('QUEUED', 'EXECUTING', 'SUSPENDED')")
_TIME = sa.DateTime(timezone=True)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("idempotency_key", sa.Text, nullable=False),
    sa.Column("request", JSONB, nullable=False),
    sa.Column("request_hash", sa.Text, nullable=False),
    sa.Column("callback_url", sa.Text),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("lease_until", _TIME),
    sa.Column("worker", sa.Text),
    sa.Column("delivery_id", sa.BigInteger),
    sa.Column("due_at", _TIME, nullable=False, server_default=sa.func.now()),
    sa.Column("progress_fraction", sa.Float, nullable=False, server_default="0"),
    sa.Column("progress_step", sa.Text, nullable=False, server_default=""),
    sa.Column("progress_message", sa.Text, nullable=False, server_default=""),
    sa.Column("created_at", _TIME, nullable=False, server_default=sa.func.now()),
    sa.Column("started_at", _TIME),
    sa.Column("ended_at", _TIME),
    sa.Column("result", JSONB(none_as_null=True)),
    sa.Column("files", JSONB, nullable=False, server_default="{}"),
    sa.Column("error", JSONB(none_as_null=True)),
    sa.Column("usage", JSONB(none_as_null=True)),
    sa.UniqueConstraint("owner", "idempotency_key", name="jobs_idempotency"),
    sa.Index("jobs_active", "phase", "due_at", postgresql_where=_ACTIVE),
    sa.Index("jobs_by_owner", "owner", "created_at", "id"),
)
"""One row per job.

``attempt`` numbers the executions and fences them: a writer whose number is not the row's writes nothing. ``failures``
counts those that failed, not those that were handed back. ``lease_until`` is renewed by the worker; all times are the
database's. ``delivery_id`` is the queue row that announces the job, ``due_at`` when it should be taken at the earliest.
"""

job_events = sa.Table(
    "job_events",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("job_id", sa.Uuid, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("at", _TIME, nullable=False, server_default=sa.func.now()),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("data", JSONB, nullable=False),
    sa.Index("job_events_by_job", "job_id", "id"),
)
"""Append-only history of the jobs; ``id`` rises within a job, since its writers hold the job's row."""


def upgrade(op: Operations | Any) -> None:
    """Create the ledger and procrastinate's schema; called by the first revision of a service that has jobs."""
    connection = op.get_bind()
    cursor = connection.connection.cursor()
    try:
        # The driver itself: procrastinate's script holds several statements and percent signs that are not parameters.
        cursor.execute(SchemaManager.get_schema())
    finally:
        cursor.close()
    metadata.create_all(connection, checkfirst=False)
