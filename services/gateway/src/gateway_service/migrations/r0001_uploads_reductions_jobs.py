"""Uploads, reductions, and the job ledger."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from astro_shared.jobs.ledger import schema as jobs_schema

revision = "gateway_0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    """CREATE TABLE uploads (
        id varchar(36) PRIMARY KEY, owner varchar(64) NOT NULL, key varchar(300) NOT NULL,
        filename varchar(255) NOT NULL, size bigint NOT NULL, purpose varchar(16) NOT NULL, sha256 varchar(64),
        complete boolean NOT NULL DEFAULT false, created_at timestamptz NOT NULL DEFAULT now())""",
    """CREATE TABLE reductions (
        id varchar(36) PRIMARY KEY, owner varchar(64) NOT NULL, idempotency_key varchar(128),
        request_hash varchar(64) NOT NULL, frame_name varchar(255) NOT NULL, frame jsonb NOT NULL,
        settings jsonb NOT NULL, settings_hash varchar(64) NOT NULL, phase varchar(16) NOT NULL, status varchar(16),
        reason varchar, abort_requested boolean NOT NULL DEFAULT false, stages jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(), started_at timestamptz, ended_at timestamptz, due_at timestamptz,
        CONSTRAINT uq_reductions_owner_key UNIQUE (owner, idempotency_key))""",
    "CREATE INDEX ix_reductions_owner_created ON reductions (owner, created_at, id)",
    "CREATE INDEX ix_reductions_due ON reductions (due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX ix_reductions_stages ON reductions USING gin (stages jsonb_path_ops)",
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(text(statement))
    jobs_schema.upgrade(op)
