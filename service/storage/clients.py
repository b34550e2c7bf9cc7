"""SQL of the API's clients: their scopes, and the hashes of their secrets."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """What a client may do. `operate` is everything an operator does, but not to post orders."""

    ORDERS_WRITE = "orders:write"
    ORDERS_READ = "orders:read"
    METRICS_READ = "metrics:read"
    OPERATE = "operate"
