"""SQL of the audit log: who did what, written in the transaction that does it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from service.storage.models import AuditEntry
from service.storage.models.base import NAME_LENGTH
from service.storage.moments import utcnow
from service.telemetry import request_id as ids

SUBJECT_LENGTH, DETAIL_LENGTH = 255, 1000


class Act(StrEnum):
    """What was done."""

    ORDER_CANCEL = "order.cancel"
    ORDER_RETRY = "order.retry"
    OPERATION_CREATE = "operation.create"
    OPERATION_STOP = "operation.stop"
    PROCESSING_PAUSE = "processing.pause"
    PROCESSING_RESUME = "processing.resume"
    EVENT_RESEND = "event.resend"
    CLIENT_CREATE = "client.create"
    CLIENT_SCOPES = "client.scopes"
    CLIENT_ROTATE = "client.rotate"
    CLIENT_REVOKE = "client.revoke"


_ALL = select(
    AuditEntry.id,
    AuditEntry.at,
    AuditEntry.who,
    AuditEntry.action,
    AuditEntry.subject,
    AuditEntry.detail,
    AuditEntry.request_id,
)


def record(
    connection: Connection,
    who: str,
    action: Act,
    subject: object,
    detail: str | None = None,
    *,
    request_id: str | None = None,
) -> None:
    """Note what is done, in the transaction that does it.

    Args:
        subject: what it is done to, such as an order's id or a client's name.
        request_id: by default that of the request at hand, if there is one.
    """
    connection.execute(
        insert(AuditEntry).values(
            at=utcnow(),
            who=who[:NAME_LENGTH],
            action=action.value,
            subject=str(subject)[:SUBJECT_LENGTH],
            detail=None if detail is None else detail[:DETAIL_LENGTH],
            request_id=request_id or ids.current.get(),
        )
    )


def list_entries(
    connection: Connection, *, limit: int, before: int | None = None
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return at most `limit` entries, newest first; those before the row `before` if given."""
    query = _ALL.order_by(AuditEntry.id.desc()).limit(limit)
    if before is not None:
        query = query.where(AuditEntry.id < before)
    return connection.execute(query).all()
