"""MySQL fills in what each new row begins with, so that an INSERT needs parameters only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NOW, ZERO = sa.text("(UTC_TIMESTAMP(6))"), sa.text("0")


def upgrade() -> None:
    """Give the columns their defaults, which changes no row.

    SQLite would have to make the tables anew. There the service names the values itself.
    """
    if op.get_bind().dialect.name == "sqlite":
        return
    for column in ("available_at", "created_at", "updated_at"):
        op.alter_column("orders", column, server_default=NOW)
    for column in ("attempts", "fence"):
        op.alter_column("orders", column, server_default=ZERO)
    op.alter_column("idempotency_keys", "created_at", server_default=NOW)


def downgrade() -> None:
    """Leave the defaults: they change nothing for a release that names every column."""
