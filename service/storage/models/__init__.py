"""The tables. `service/storage/migrations` creates them; a test keeps the two the same."""

from service.storage.models.base import LAST_ERROR_LENGTH, NAME_LENGTH, PROCESSING, db
from service.storage.models.integration import AuditEntry, Client, Event, Sample
from service.storage.models.orders import (
    BY_CLAIMABLE,
    BY_OUTCOME,
    BY_PRIMARY,
    BY_USER,
    IdempotencyKey,
    Order,
    OrderStatus,
    OrderTotals,
)
from service.storage.models.processing import (
    Operation,
    OrderAttempt,
    ProcessingState,
    ProcessorRow,
)

__all__ = [
    "BY_CLAIMABLE",
    "BY_OUTCOME",
    "BY_PRIMARY",
    "BY_USER",
    "LAST_ERROR_LENGTH",
    "NAME_LENGTH",
    "PROCESSING",
    "AuditEntry",
    "Client",
    "Event",
    "IdempotencyKey",
    "Operation",
    "Order",
    "OrderAttempt",
    "OrderStatus",
    "OrderTotals",
    "ProcessingState",
    "ProcessorRow",
    "Sample",
    "db",
]
