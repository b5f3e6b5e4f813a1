"""Where solved frames are on the sky, for the question which of them hold a position."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "astrometry_0003"
down_revision = "astrometry_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        text("""CREATE TABLE footprints (
            job_id varchar(64) PRIMARY KEY, owner varchar(64) NOT NULL, kind varchar(32) NOT NULL,
            frame_name varchar(255) NOT NULL, epoch_jyear double precision, scale_arcsec_px double precision NOT NULL,
            outline_deg jsonb NOT NULL, cells bigint[] NOT NULL, created_at timestamptz NOT NULL DEFAULT now())""")
    )
    op.execute(text("CREATE INDEX ix_footprints_cells ON footprints USING gin (cells)"))
    op.execute(text("CREATE INDEX ix_footprints_owner ON footprints (owner, created_at)"))
