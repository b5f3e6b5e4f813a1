"""Tables of the gateway's database."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, MetaData, String, Table, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

uploads = Table(
    "uploads",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("key", String(300), nullable=False),
    Column("filename", String(255), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("purpose", String(16), nullable=False),
    Column("sha256", String(64)),
    Column("complete", Boolean, nullable=False, default=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

reductions = Table(
    "reductions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("idempotency_key", String(128)),
    Column("request_hash", String(64), nullable=False),
    Column("frame_name", String(255), nullable=False),
    Column("frame", JSONB, nullable=False),
    Column("settings", JSONB, nullable=False),
    Column("settings_hash", String(64), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("status", String(16)),
    Column("reason", String),
    Column("abort_requested", Boolean, nullable=False, default=False),
    Column("stages", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("started_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("due_at", DateTime(timezone=True), comment="When a worker should look next; null when ended"),
    UniqueConstraint("owner", "idempotency_key", name="uq_reductions_owner_key"),
    Index("ix_reductions_owner_created", "owner", "created_at", "id"),
    Index("ix_reductions_due", "due_at", postgresql_where="due_at IS NOT NULL"),
    Index("ix_reductions_stages", "stages", postgresql_using="gin", postgresql_ops={"stages": "jsonb_path_ops"}),
)
