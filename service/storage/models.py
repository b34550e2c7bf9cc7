"""The tables. `service/storage/migrations` creates them; a test keeps the two the same."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    JSON,
    BigInteger,
    Double,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    case,
    text,
)
from sqlalchemy import DateTime as SqlDateTime
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

from service.storage.moments import utcnow

LAST_ERROR_LENGTH = 1000
# The engine of those that process orders (Flask-SQLAlchemy: a bind key).
PROCESSING = "processing"


class Base(DeclarativeBase):
    """The declarative base of all tables."""


db = SQLAlchemy(model_class=Base)
if TYPE_CHECKING:  # what a type checker knows of `db.Model`
    Model = Base
else:
    Model = db.Model


class OrderStatus(StrEnum):
    """Where an order is in its processing."""

    PENDING = "Pending"
    PROCESSING = "Processing"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class Money(TypeDecorator[Decimal]):
    """An amount with two decimals: DECIMAL on MySQL, whole cents on SQLite, which has none."""

    impl = Numeric(12, 2)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(Numeric(12, 2))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Turn an amount into what is stored."""
        if value is None or dialect.name != "sqlite":
            return value
        return int(value.scaleb(2))

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Turn what is stored into an amount."""
        if value is None or dialect.name != "sqlite":
            return cast("Decimal | None", value)
        return Decimal(value).scaleb(-2)


# SQLite counts rows by itself only in a column of the type INTEGER.
Identity = BigInteger().with_variant(Integer, "sqlite")
Moment = SqlDateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
ZERO = text("0")


# MySQL's optimizer prefers to walk the primary key when a query has ORDER BY id and LIMIT, past
# all finished orders: so each such query names its index.
BY_CLAIMABLE = "FORCE INDEX (ix_orders_claimable)"
BY_OUTCOME = "FORCE INDEX (ix_orders_outcome)"
BY_PRIMARY = "FORCE INDEX (PRIMARY)"
BY_USER = "FORCE INDEX (ix_orders_user_id)"


class Order(Model):
    """An accepted order and its processing.

    `outcome` is NULL until the order is finished, and `lease_owner` is NULL while nobody works on
    it, so a claim changes no index. `next_attempt_at` is NULL unless the order waits for a later
    attempt. `available_at` is since when the order may be claimed, or, while it is leased, the end
    of its lease. `fence` is new with each claim of any order; a worker may only finish the order
    with the number that its own claim got. `key_version` counts the retries with a new key.
    """

    __tablename__ = "orders"
    __table_args__ = (
        Index("uq_orders_order_id", "order_id", unique=True),
        Index("ix_orders_outcome", "outcome", "id"),
        Index("ix_orders_claimable", "outcome", "next_attempt_at", "id"),
        Index("ix_orders_user_id", "user_id", "id"),
    )

    id: Mapped[int] = mapped_column(Identity, primary_key=True, autoincrement=True)
    order_id: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[int] = mapped_column(BigInteger)
    item_ids: Mapped[list[int]] = mapped_column(JSON)
    total_amount: Mapped[Decimal] = mapped_column(Money)
    outcome: Mapped[str | None] = mapped_column(String(9))
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    available_at: Mapped[datetime] = mapped_column(Moment, server_default=utcnow())
    attempts: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    fence: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    processing_microseconds: Mapped[int | None] = mapped_column(BigInteger)
    last_error: Mapped[str | None] = mapped_column(String(LAST_ERROR_LENGTH))
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=utcnow())
    updated_at: Mapped[datetime] = mapped_column(Moment, server_default=utcnow())
    next_attempt_at: Mapped[datetime | None] = mapped_column(Moment)
    key_version: Mapped[int] = mapped_column(Integer, server_default=ZERO)

    status: Mapped[str] = column_property(
        case(
            (outcome.is_not(None), outcome),
            (lease_owner.is_not(None), OrderStatus.PROCESSING.value),
            else_=OrderStatus.PENDING.value,
        )
    )


class OrderTotals(Model):
    """How many orders are finished, or wait for a later attempt, kept by the transactions that
    change it.

    The sum over all rows counts; a single row may be below zero. There are several (`SLOTS`), so
    that processes which finish orders at the same time do not wait for each other's commit.
    """

    __tablename__ = "order_totals"
    SLOTS = 16

    slot: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    completed: Mapped[int] = mapped_column(BigInteger)
    failed: Mapped[int] = mapped_column(BigInteger)
    processing_microseconds: Mapped[int] = mapped_column(BigInteger)
    waiting: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    cancelled: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)


class IdempotencyKey(Model):
    """The first answer to each idempotency key: its status (201 or 409) and its order."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("ix_idempotency_keys_created_at", "created_at"),)

    key_hash: Mapped[bytes] = mapped_column(
        LargeBinary(32).with_variant(mysql.BINARY(32), "mysql"), primary_key=True
    )
    payload_hash: Mapped[bytes] = mapped_column(
        LargeBinary(32).with_variant(mysql.BINARY(32), "mysql")
    )
    order_id: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=utcnow())


class OrderAttempt(Model):
    """An attempt that did not complete its order. `order_row` is the order's `id`."""

    __tablename__ = "order_attempts"
    __table_args__ = (Index("ix_order_attempts_order_row", "order_row", "id"),)

    id: Mapped[int] = mapped_column(Identity, primary_key=True, autoincrement=True)
    order_row: Mapped[int] = mapped_column(BigInteger)
    attempt: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime] = mapped_column(Moment)
    ended_at: Mapped[datetime] = mapped_column(Moment)
    result: Mapped[str] = mapped_column(String(16))
    error: Mapped[str | None] = mapped_column(String(LAST_ERROR_LENGTH))
    worker: Mapped[str | None] = mapped_column(String(64))


class Operation(Model):
    """A retry or a cancellation of all orders that match a filter.

    It has dealt with the orders up to the row `last_row`, and ends with the row `end_row`, which
    was the newest when it began. `runner` works on it until `runner_until`.
    """

    __tablename__ = "operations"
    __table_args__ = (Index("ix_operations_state", "state", "id"),)

    id: Mapped[int] = mapped_column(Identity, primary_key=True, autoincrement=True)
    action: Mapped[str] = mapped_column(String(16))
    filter: Mapped[dict[str, Any]] = mapped_column(JSON)
    new_key: Mapped[int] = mapped_column(SmallInteger)
    state: Mapped[str] = mapped_column(String(16))
    last_row: Mapped[int] = mapped_column(BigInteger)
    end_row: Mapped[int] = mapped_column(BigInteger)
    changed: Mapped[int] = mapped_column(BigInteger)
    skipped: Mapped[int] = mapped_column(BigInteger)
    requested_by: Mapped[str] = mapped_column(String(255))
    stopped_by: Mapped[str | None] = mapped_column(String(255))
    error: Mapped[str | None] = mapped_column(String(LAST_ERROR_LENGTH))
    runner: Mapped[str | None] = mapped_column(String(64))
    runner_until: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[datetime] = mapped_column(Moment)
    updated_at: Mapped[datetime] = mapped_column(Moment)
    finished_at: Mapped[datetime | None] = mapped_column(Moment)


class ProcessingState(Model):
    """What all processors share, in one row: whether they pause, and whether the receiver is away.

    The receiver is away while `away_since` is set; it is left alone until `away_until`, which was
    `away_seconds` ahead when it was set. Then `prober` tries with one order, until `prober_until`.
    """

    __tablename__ = "processing_state"
    ROW = 1

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    paused_at: Mapped[datetime | None] = mapped_column(Moment)
    paused_by: Mapped[str | None] = mapped_column(String(255))
    pause_reason: Mapped[str | None] = mapped_column(String(1000))
    away_since: Mapped[datetime | None] = mapped_column(Moment)
    away_until: Mapped[datetime | None] = mapped_column(Moment)
    away_seconds: Mapped[float | None] = mapped_column(Double)
    prober: Mapped[str | None] = mapped_column(String(64))
    prober_until: Mapped[datetime | None] = mapped_column(Moment)


class ProcessorRow(Model):
    """A processor that lives: it renews `seen_at` every few seconds."""

    __tablename__ = "processors"

    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    threads: Mapped[int] = mapped_column(Integer)
    lease_seconds: Mapped[float] = mapped_column(Double)
    release_name: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[datetime] = mapped_column(Moment)
    seen_at: Mapped[datetime] = mapped_column(Moment)
