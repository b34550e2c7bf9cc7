"""The database fills in what each new row begins with, so that an INSERT needs parameters only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NOW = {
    "mysql": "(UTC_TIMESTAMP(6))",
    "sqlite": "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')",
}
MOMENTS = {
    "orders": ("available_at", "created_at", "updated_at"),
    "idempotency_keys": ("created_at",),
}
ZEROS = {"orders": ("attempts", "fence"), "idempotency_keys": ()}


def upgrade() -> None:
    """Give the columns their defaults.

    MySQL changes no row for it; SQLite makes the table anew.
    """
    now = sa.text(_NOW[op.get_bind().dialect.name])
    for table, moments in MOMENTS.items():
        with op.batch_alter_table(table) as batch:
            for column in moments:
                batch.alter_column(column, server_default=now)
            for column in ZEROS[table]:
                batch.alter_column(column, server_default=sa.text("0"))


def downgrade() -> None:
    """Leave the defaults: they change nothing for a release that names every column."""
