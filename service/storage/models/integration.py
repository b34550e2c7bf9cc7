"""Clients of the API, events for receivers, and what the console shows of the past."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Double, Index, Integer, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from service.storage.models.base import (
    LAST_ERROR_LENGTH,
    NAME_LENGTH,
    ZERO,
    Hash,
    Identity,
    Model,
    Moment,
)


class Client(Model):
    """A client of the API. Its name is never given to another one, so it is kept when revoked.

    `scopes` are separated by spaces. The secret before the present one is right until
    `previous_until`.
    """

    __tablename__ = "clients"
    __table_args__ = (Index("uq_clients_name", "name", unique=True),)

    id: Mapped[int] = mapped_column(Identity, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    scopes: Mapped[str] = mapped_column(String(255))
    secret_hash: Mapped[bytes] = mapped_column(Hash)
    previous_hash: Mapped[bytes | None] = mapped_column(Hash)
    previous_until: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[datetime] = mapped_column(Moment)
    changed_at: Mapped[datetime] = mapped_column(Moment)
    revoked_at: Mapped[datetime | None] = mapped_column(Moment)


class Event(Model):
    """That an order ended, to be told to `EVENTS_URL`: the outbox and the log of its deliveries.

    `message_id` is random, since the numbers of a database that was restored come again.
    `state` is `Waiting` until it is `Delivered` or, after the last attempt, `Failed`. `due_at` is
    when the next attempt of a waiting one is due, and when a delivered one is forgotten; a failed
    one has none. `runner` delivers it until `runner_until`. `attempts`, `absences` (how often it
    met a receiver that was away), `last_status` and `last_error` are of its deliveries; the rest is
    of the order.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_due", "state", "due_at", "id"),
        Index("ix_events_state", "state", "id"),
        Index("ix_events_order_id", "order_id", "id"),
    )

    id: Mapped[int] = mapped_column(Identity, primary_key=True, autoincrement=True)
    message_id: Mapped[str] = mapped_column(String(64))
    type: Mapped[str] = mapped_column(String(32))
    order_id: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[int] = mapped_column(BigInteger)
    order_attempts: Mapped[int] = mapped_column(Integer)
    order_error: Mapped[str | None] = mapped_column(String(LAST_ERROR_LENGTH))
    traceparent: Mapped[str | None] = mapped_column(String(55))
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    absences: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    due_at: Mapped[datetime | None] = mapped_column(Moment)
    runner: Mapped[str | None] = mapped_column(String(64))
    runner_until: Mapped[datetime | None] = mapped_column(Moment)
    last_status: Mapped[int | None] = mapped_column(SmallInteger)
    last_error: Mapped[str | None] = mapped_column(String(LAST_ERROR_LENGTH))
    created_at: Mapped[datetime] = mapped_column(Moment)
    updated_at: Mapped[datetime] = mapped_column(Moment)
    delivered_at: Mapped[datetime | None] = mapped_column(Moment)


class AuditEntry(Model):
    """Who did what: each change that a person, or a client with `operate`, has asked for."""

    __tablename__ = "audit_log"

    id: Mapped[int] = mapped_column(Identity, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(Moment)
    who: Mapped[str] = mapped_column(String(NAME_LENGTH))
    action: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(255))
    detail: Mapped[str | None] = mapped_column(String(1000))
    request_id: Mapped[str | None] = mapped_column(String(128))


class Sample(Model):
    """The figures at the beginning of a minute, for the console's charts.

    `minute` counts from 1970 (UTC). Throughput is the difference of two samples.
    """

    __tablename__ = "samples"

    minute: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    pending: Mapped[int] = mapped_column(BigInteger)
    processing: Mapped[int] = mapped_column(BigInteger)
    completed: Mapped[int] = mapped_column(BigInteger)
    failed: Mapped[int] = mapped_column(BigInteger)
    cancelled: Mapped[int] = mapped_column(BigInteger)
    waiting: Mapped[int] = mapped_column(BigInteger)
    oldest_due_seconds: Mapped[float] = mapped_column(Double)
