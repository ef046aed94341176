"""What Alembic runs: always on a connection that the caller opened, in the caller's transaction."""

from __future__ import annotations

from alembic import context

from deploy.dashboard.database.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
)
context.run_migrations()
