"""The orders, what they count up to, and the keys of clients that repeat themselves."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import JSON, BigInteger, Index, Integer, SmallInteger, String, case
from sqlalchemy.orm import Mapped, column_property, mapped_column

from service.storage.models.base import (
    LAST_ERROR_LENGTH,
    NAME_LENGTH,
    ZERO,
    Hash,
    Identity,
    Model,
    Moment,
    Money,
)
from service.storage.moments import utcnow

# `00-<trace id>-<span id>-<flags>`: W3C Trace Context, version 00.
TRACEPARENT_LENGTH = 55

# MySQL's optimizer prefers to walk the primary key when a query has ORDER BY id and LIMIT, past
# all finished orders: so each such query names its index.
BY_CLAIMABLE = "FORCE INDEX (ix_orders_claimable)"
BY_OUTCOME = "FORCE INDEX (ix_orders_outcome)"
BY_PRIMARY = "FORCE INDEX (PRIMARY)"
BY_USER = "FORCE INDEX (ix_orders_user_id)"


class OrderStatus(StrEnum):
    """Where an order is in its processing."""

    PENDING = "Pending"
    PROCESSING = "Processing"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class Order(Model):
    """An accepted order and its processing.

    `outcome` is NULL until the order is finished, and `lease_owner` is NULL while nobody works on
    it, so a claim changes no index. `next_attempt_at` is NULL unless the order waits for a later
    attempt. `available_at` is since when the order may be claimed, or, while it is leased, the end
    of its lease. `fence` is new with each claim of any order; a worker may only finish the order
    with the number that its own claim got. `key_version` counts the retries with a new key.
    `client` posted the order, and `traceparent` is the trace (W3C) in which it did.
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
    client: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    traceparent: Mapped[str | None] = mapped_column(String(TRACEPARENT_LENGTH))

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

    key_hash: Mapped[bytes] = mapped_column(Hash, primary_key=True)
    payload_hash: Mapped[bytes] = mapped_column(Hash)
    order_id: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=utcnow())
