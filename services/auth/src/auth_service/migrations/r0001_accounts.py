"""Accounts, sessions, tokens, keys, settings, counters and the audit log."""

from alembic import op

revision = "auth_0001"
down_revision = None

STATEMENTS = (
    """
    CREATE TABLE users (
        id text PRIMARY KEY,
        username text NOT NULL UNIQUE,
        email text,
        role text NOT NULL CHECK (role IN ('user', 'admin')),
        status text NOT NULL CHECK (status IN ('active', 'disabled', 'deleted')),
        password_hash text,
        created_at timestamptz NOT NULL,
        status_changed_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX users_not_active ON users (status_changed_at) WHERE status <> 'active'",
    """
    CREATE TABLE sessions (
        id text PRIMARY KEY,
        user_id text NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        ended_at timestamptz
    )
    """,
    "CREATE INDEX sessions_live ON sessions (user_id) WHERE ended_at IS NULL",
    "CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL",
    "CREATE INDEX sessions_expiry ON sessions (expires_at)",
    """
    CREATE TABLE refresh_tokens (
        digest bytea PRIMARY KEY,
        session_id text NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
        issued_at timestamptz NOT NULL,
        spent_at timestamptz,
        successor bytea,
        retry_digest bytea
    )
    """,
    "CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id)",
    """
    CREATE TABLE personal_tokens (
        id text PRIMARY KEY,
        user_id text NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        name text NOT NULL,
        digest bytea NOT NULL,
        scopes text NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        last_used_at timestamptz,
        revoked_at timestamptz
    )
    """,
    "CREATE INDEX personal_tokens_user ON personal_tokens (user_id)",
    "CREATE INDEX personal_tokens_revoked ON personal_tokens (revoked_at) WHERE revoked_at IS NOT NULL",
    """
    CREATE TABLE signing_keys (
        kid text PRIMARY KEY,
        public_jwk jsonb NOT NULL,
        sealed_private bytea NOT NULL,
        active_from timestamptz NOT NULL,
        retired_at timestamptz
    )
    """,
    """
    CREATE TABLE user_settings (
        user_id text PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
        sections jsonb NOT NULL,
        version integer NOT NULL CHECK (version > 0),
        updated_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE third_party_keys (
        user_id text NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        name text NOT NULL,
        key_version text NOT NULL,
        wrapped_key bytea NOT NULL,
        ciphertext bytea NOT NULL,
        last4 text,
        updated_at timestamptz NOT NULL,
        PRIMARY KEY (user_id, name)
    )
    """,
    """
    CREATE TABLE counters (
        bucket text PRIMARY KEY,
        count integer NOT NULL,
        ends_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX counters_end ON counters (ends_at)",
    """
    CREATE TABLE familiar_places (
        place text PRIMARY KEY,
        seen_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE audit_events (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at timestamptz NOT NULL,
        event text NOT NULL,
        outcome text NOT NULL,
        actor text,
        subject text,
        source text,
        request_id text,
        facts jsonb NOT NULL
    )
    """,
    "CREATE INDEX audit_events_subject ON audit_events (subject, id)",
    """
    CREATE FUNCTION audit_events_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the audit log is append-only';
    END
    $$
    """,
    """
    CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
        FOR EACH STATEMENT EXECUTE FUNCTION audit_events_append_only()
    """,
)


def upgrade() -> None:
    """Make everything."""
    for statement in STATEMENTS:
        op.execute(statement)
