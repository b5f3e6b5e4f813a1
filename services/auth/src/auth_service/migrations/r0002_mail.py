"""Mail: the outbox, links that are mailed, and whether an address was confirmed."""

from alembic import op

revision = "auth_0002"
down_revision = "auth_0001"

STATEMENTS = (
    """
    ALTER TABLE users
        ADD COLUMN email_confirmed_at timestamptz,
        ADD COLUMN awaits_confirmation boolean NOT NULL DEFAULT false
    """,
    "CREATE INDEX users_email ON users (lower(email)) WHERE email IS NOT NULL",
    """
    CREATE TABLE outbox (
        id text PRIMARY KEY,
        kind text NOT NULL,
        recipient text,
        user_id text REFERENCES users (id) ON DELETE CASCADE,
        account text,
        facts jsonb NOT NULL,
        created_at timestamptz NOT NULL,
        due_at timestamptz NOT NULL,
        tries integer NOT NULL,
        failed_at timestamptz,
        last_error text
    )
    """,
    "CREATE INDEX outbox_due ON outbox (due_at) WHERE failed_at IS NULL",
    """
    CREATE TABLE mailed_links (
        purpose text NOT NULL,
        subject text NOT NULL,
        address text NOT NULL,
        digest bytea NOT NULL UNIQUE,
        issued_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (purpose, subject)
    )
    """,
    "CREATE INDEX mailed_links_expiry ON mailed_links (expires_at)",
)


def upgrade() -> None:
    """Add it."""
    for statement in STATEMENTS:
        op.execute(statement)
