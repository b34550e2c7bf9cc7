"""Waits for later attempts, attempts that failed, operations, and what all processors share."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ZERO = sa.text("0")

_identity = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_moment = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
_options: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_0900_bin",
}


def upgrade() -> None:
    """Add columns, indexes and tables; the release before this one works on with what it knows.

    MySQL commits each statement by itself, so after an interruption the next run goes on where
    this one was: what is there already is left alone.
    """
    add_column("orders", sa.Column("next_attempt_at", _moment))
    add_column("orders", sa.Column("key_version", sa.Integer, nullable=False, server_default=ZERO))
    for name in ("waiting", "cancelled"):
        column = sa.Column(name, sa.BigInteger, nullable=False, server_default=ZERO)
        add_column("order_totals", column)
    create_index("ix_orders_claimable", "orders", ["outcome", "next_attempt_at", "id"])
    create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    _create_attempts()
    _create_operations()
    _create_shared_state()


def _create_attempts() -> None:
    op.create_table(
        "order_attempts",
        sa.Column("id", _identity, primary_key=True, autoincrement=True),
        sa.Column("order_row", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("started_at", _moment, nullable=False),
        sa.Column("ended_at", _moment, nullable=False),
        sa.Column("result", sa.String(16), nullable=False),
        sa.Column("error", sa.String(1000)),
        sa.Column("worker", sa.String(64)),
        if_not_exists=True,
        **_options,
    )
    create_index("ix_order_attempts_order_row", "order_attempts", ["order_row", "id"])


def _create_operations() -> None:
    op.create_table(
        "operations",
        sa.Column("id", _identity, primary_key=True, autoincrement=True),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("filter", sa.JSON, nullable=False),
        sa.Column("new_key", sa.SmallInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("last_row", sa.BigInteger, nullable=False),
        sa.Column("end_row", sa.BigInteger, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.Column("skipped", sa.BigInteger, nullable=False),
        sa.Column("requested_by", sa.String(255), nullable=False),
        sa.Column("stopped_by", sa.String(255)),
        sa.Column("error", sa.String(1000)),
        sa.Column("runner", sa.String(64)),
        sa.Column("runner_until", _moment),
        sa.Column("created_at", _moment, nullable=False),
        sa.Column("updated_at", _moment, nullable=False),
        sa.Column("finished_at", _moment),
        if_not_exists=True,
        **_options,
    )
    create_index("ix_operations_state", "operations", ["state", "id"])


def _create_shared_state() -> None:
    op.create_table(
        "processing_state",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("paused_at", _moment),
        sa.Column("paused_by", sa.String(255)),
        sa.Column("pause_reason", sa.String(1000)),
        sa.Column("away_since", _moment),
        sa.Column("away_until", _moment),
        sa.Column("away_seconds", sa.Double),
        sa.Column("prober", sa.String(64)),
        sa.Column("prober_until", _moment),
        if_not_exists=True,
        **_options,
    )
    op.create_table(
        "processors",
        sa.Column("owner", sa.String(64), primary_key=True),
        sa.Column("threads", sa.Integer, nullable=False),
        sa.Column("lease_seconds", sa.Double, nullable=False),
        sa.Column("release_name", sa.String(64), nullable=False),
        sa.Column("started_at", _moment, nullable=False),
        sa.Column("seen_at", _moment, nullable=False),
        if_not_exists=True,
        **_options,
    )


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column, unless it is there."""
    present = sa.inspect(op.get_bind()).get_columns(table)
    if column.name not in {one["name"] for one in present}:
        op.add_column(table, column)


def create_index(name: str, table: str, columns: list[str]) -> None:
    """Create an index, unless it is there."""
    present = sa.inspect(op.get_bind()).get_indexes(table)
    if name not in {index["name"] for index in present}:
        op.create_index(name, table, columns)


def downgrade() -> None:
    """Drop the tables; the columns and indexes do no harm to a release that does not know them."""
    for table in ("order_attempts", "operations", "processing_state", "processors"):
        op.drop_table(table)
