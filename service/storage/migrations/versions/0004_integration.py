"""Clients, events, who did what, and samples for charts; who posted an order, in which trace."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_identity = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_moment = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
_hash = sa.LargeBinary(32).with_variant(mysql.BINARY(32), "mysql")
_options: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_0900_bin",
}


def upgrade() -> None:
    """Add columns and tables; the release before this one works on with what it knows.

    MySQL commits each statement by itself, so after an interruption the next run goes on where
    this one was: what is there already is left alone.
    """
    add_column("orders", sa.Column("client", sa.String(255)))
    add_column("orders", sa.Column("traceparent", sa.String(55)))
    _create_clients()
    _create_events()
    _create_audit_log()
    _create_samples()


def _create_clients() -> None:
    op.create_table(
        "clients",
        sa.Column("id", _identity, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("scopes", sa.String(255), nullable=False),
        sa.Column("secret_hash", _hash, nullable=False),
        sa.Column("previous_hash", _hash),
        sa.Column("previous_until", _moment),
        sa.Column("created_at", _moment, nullable=False),
        sa.Column("changed_at", _moment, nullable=False),
        sa.Column("revoked_at", _moment),
        if_not_exists=True,
        **_options,
    )
    create_index("uq_clients_name", "clients", ["name"], unique=True)


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", _identity, primary_key=True, autoincrement=True),
        sa.Column("message_id", sa.String(64), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("order_id", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("order_attempts", sa.Integer, nullable=False),
        sa.Column("order_error", sa.String(1000)),
        sa.Column("traceparent", sa.String(55)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("absences", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("due_at", _moment),
        sa.Column("runner", sa.String(64)),
        sa.Column("runner_until", _moment),
        sa.Column("last_status", sa.SmallInteger),
        sa.Column("last_error", sa.String(1000)),
        sa.Column("created_at", _moment, nullable=False),
        sa.Column("updated_at", _moment, nullable=False),
        sa.Column("delivered_at", _moment),
        if_not_exists=True,
        **_options,
    )
    create_index("ix_events_due", "events", ["state", "due_at", "id"])
    create_index("ix_events_state", "events", ["state", "id"])
    create_index("ix_events_order_id", "events", ["order_id", "id"])


def _create_audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", _identity, primary_key=True, autoincrement=True),
        sa.Column("at", _moment, nullable=False),
        sa.Column("who", sa.String(255), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("detail", sa.String(1000)),
        sa.Column("request_id", sa.String(128)),
        if_not_exists=True,
        **_options,
    )


def _create_samples() -> None:
    counts = ("pending", "processing", "completed", "failed", "cancelled", "waiting")
    op.create_table(
        "samples",
        sa.Column("minute", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in counts),
        sa.Column("oldest_due_seconds", sa.Double, nullable=False),
        if_not_exists=True,
        **_options,
    )


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column, unless it is there."""
    present = sa.inspect(op.get_bind()).get_columns(table)
    if column.name not in {one["name"] for one in present}:
        op.add_column(table, column)


def create_index(name: str, table: str, columns: list[str], *, unique: bool = False) -> None:
    """Create an index, unless it is there."""
    present = sa.inspect(op.get_bind()).get_indexes(table)
    if name not in {index["name"] for index in present}:
        op.create_index(name, table, columns, unique=unique)


def downgrade() -> None:
    """Drop the tables; the columns do no harm to a release that does not know them."""
    for table in ("clients", "events", "audit_log", "samples"):
        op.drop_table(table)
