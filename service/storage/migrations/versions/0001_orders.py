"""Orders, their totals and the idempotency keys."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SLOTS = 16

_identity = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_moment = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
_hash = sa.LargeBinary(32).with_variant(mysql.BINARY(32), "mysql")
# SQLite has no decimal: whole cents there.
_money = sa.Numeric(12, 2).with_variant(sa.BigInteger, "sqlite")
_options: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_0900_bin",
}


def upgrade() -> None:
    """Create the three tables, and the rows of the totals.

    MySQL commits each statement by itself, so after an interruption the next run goes on where
    this one was: what is there already is left alone.
    """
    op.create_table(
        "orders",
        sa.Column("id", _identity, primary_key=True, autoincrement=True),
        sa.Column("order_id", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("item_ids", sa.JSON, nullable=False),
        sa.Column("total_amount", _money, nullable=False),
        sa.Column("outcome", sa.String(9)),
        sa.Column("lease_owner", sa.String(64)),
        sa.Column("available_at", _moment, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("processing_microseconds", sa.BigInteger),
        sa.Column("last_error", sa.String(1000)),
        sa.Column("created_at", _moment, nullable=False),
        sa.Column("updated_at", _moment, nullable=False),
        if_not_exists=True,
        **_options,
    )
    create_index("uq_orders_order_id", ["order_id"], unique=True)
    create_index("ix_orders_outcome", ["outcome", "id"])
    create_index("ix_orders_user_id", ["user_id", "id"])
    op.create_table(
        "order_totals",
        sa.Column("slot", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("completed", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.BigInteger, nullable=False),
        sa.Column("processing_microseconds", sa.BigInteger, nullable=False),
        if_not_exists=True,
        **_options,
    )
    zeros = {"completed": 0, "failed": 0, "processing_microseconds": 0}
    present = set(op.get_bind().execute(sa.text("SELECT slot FROM order_totals")).scalars())
    missing = [{"slot": slot} | zeros for slot in range(SLOTS) if slot not in present]
    op.bulk_insert(sa.table("order_totals", *map(sa.column, ("slot", *zeros))), missing)
    op.create_table(
        "idempotency_keys",
        sa.Column("key_hash", _hash, primary_key=True),
        sa.Column("payload_hash", _hash, nullable=False),
        sa.Column("order_id", sa.BigInteger, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("created_at", _moment, nullable=False),
        if_not_exists=True,
        **_options,
    )


def create_index(name: str, columns: list[str], unique: bool = False) -> None:
    """Create an index of `orders`; MySQL has no IF NOT EXISTS for it."""
    present = sa.inspect(op.get_bind()).get_indexes("orders")
    if name not in {index["name"] for index in present}:
        op.create_index(name, "orders", columns, unique=unique)


def downgrade() -> None:
    """Drop everything."""
    op.drop_table("idempotency_keys")
    op.drop_table("order_totals")
    op.drop_table("orders")
