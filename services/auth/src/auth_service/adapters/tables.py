"""Tables of auth's database, as queries see them; `auth_service.migrations` makes them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()


def _time(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("username", Text, nullable=False),
    Column("email", Text),
    Column("role", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("password_hash", Text),
    _time("created_at"),
    _time("status_changed_at"),
    _time("email_confirmed_at", nullable=True),
    Column("awaits_confirmation", Boolean, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    _time("created_at"),
    _time("expires_at"),
    _time("ended_at", nullable=True),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("session_id", Text, nullable=False),
    _time("issued_at"),
    _time("spent_at", nullable=True),
    Column("successor", LargeBinary),
    Column("retry_digest", LargeBinary),
)

personal_tokens = Table(
    "personal_tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("scopes", Text, nullable=False),
    _time("created_at"),
    _time("expires_at"),
    _time("last_used_at", nullable=True),
    _time("revoked_at", nullable=True),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("public_jwk", JSONB, nullable=False),
    Column("sealed_private", LargeBinary, nullable=False),
    _time("active_from"),
    _time("retired_at", nullable=True),
)

user_settings = Table(
    "user_settings",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("sections", JSONB, nullable=False),
    Column("version", Integer, nullable=False),
    _time("updated_at"),
)

third_party_keys = Table(
    "third_party_keys",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("key_version", Text, nullable=False),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("last4", Text),
    _time("updated_at"),
)

counters = Table(
    "counters",
    metadata,
    Column("bucket", Text, primary_key=True),
    Column("count", Integer, nullable=False),
    _time("ends_at"),
)

familiar_places = Table(
    "familiar_places",
    metadata,
    Column("place", Text, primary_key=True),
    _time("seen_at"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("recipient", Text),
    Column("user_id", Text),
    Column("account", Text),
    Column("facts", JSONB, nullable=False),
    _time("created_at"),
    _time("due_at"),
    Column("tries", Integer, nullable=False),
    _time("failed_at", nullable=True),
    Column("last_error", Text),
)

mailed_links = Table(
    "mailed_links",
    metadata,
    Column("purpose", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("address", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    _time("issued_at"),
    _time("expires_at"),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("id", BigInteger, primary_key=True),
    _time("at"),
    Column("event", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("actor", Text),
    Column("subject", Text),
    Column("source", Text),
    Column("request_id", Text),
    Column("facts", JSONB, nullable=False),
)
