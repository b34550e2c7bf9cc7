"""Attempts, operations, and what all processors share."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Double, Index, Integer, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from service.storage.models.base import LAST_ERROR_LENGTH, NAME_LENGTH, Identity, Model, Moment


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
    requested_by: Mapped[str] = mapped_column(String(NAME_LENGTH))
    stopped_by: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    error: Mapped[str | None] = mapped_column(String(LAST_ERROR_LENGTH))
    runner: Mapped[str | None] = mapped_column(String(64))
    runner_until: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[datetime] = mapped_column(Moment)
    updated_at: Mapped[datetime] = mapped_column(Moment)
    finished_at: Mapped[datetime | None] = mapped_column(Moment)


class ProcessingState(Model):
    """What all processors share: whether they pause, and whether the receiver is away.

    `ROW` is about orders and the order handler's receiver. `EVENTS_ROW` is about the receiver of
    events, and nothing pauses there. A receiver is away while `away_since` is set; it is left alone
    until `away_until`, which was `away_seconds` ahead when it was set. Then `prober` tries with one
    order, or one event, until `prober_until`.
    """

    __tablename__ = "processing_state"
    ROW = 1
    EVENTS_ROW = 2

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    paused_at: Mapped[datetime | None] = mapped_column(Moment)
    paused_by: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
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
