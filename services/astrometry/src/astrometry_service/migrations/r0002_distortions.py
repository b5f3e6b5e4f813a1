"""Distortions that earlier frames of a camera and filter showed, kept per user."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "astrometry_0002"
down_revision = "astrometry_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        text("""CREATE TABLE distortions (
            version bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner varchar(64) NOT NULL,
            instrument varchar(200) NOT NULL, nx integer NOT NULL, ny integer NOT NULL, job_id varchar(64) NOT NULL UNIQUE,
            terms_px jsonb NOT NULL, covariance_px2 jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now())""")
    )
    op.execute(text("CREATE INDEX ix_distortions_camera ON distortions (owner, instrument, nx, ny, version)"))
