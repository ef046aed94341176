"""Failed logins are counted here, for all processes; the chains' fence is put up by `migrate`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from deploy.dashboard.database.types import Key, Moment

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "failed_logins",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failed_logins")),
    )
    op.create_index("ix_failed_logins_key", "failed_logins", ["key", "at"], unique=False)
    op.create_index("ix_failed_logins_at", "failed_logins", ["at"], unique=False)
