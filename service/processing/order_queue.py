"""The queue of orders as one process sees it: claims and results, in transactions."""

from __future__ import annotations

import os
import random
import socket
import uuid
from collections.abc import Collection, Sequence
from contextlib import suppress

from service.config import Settings
from service.storage import claims
from service.storage.claims import Claim, ClaimedBatch, ClaimKey
from service.storage.completions import NotAllHeld, complete_all, complete_one
from service.storage.database import Database
from service.storage.models import OrderTotals
from service.storage.results import Result, Verdict, record_results


class OrderQueue:
    """Claims orders for this process and records what became of them.

    Each method raises the database's exceptions (see `service.storage.database.is_unavailable`).
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._lease_seconds = settings.processor_lease_seconds
        self._max_attempts = settings.processor_max_attempts
        self._slot = random.randrange(OrderTotals.SLOTS)  # noqa: S311 - spreads load
        host = socket.gethostname()[:32]
        self.owner = f"{host}:{os.getpid()}:{uuid.uuid4().hex[:8]}"

    def has_claimable(self) -> bool:
        """Return whether there is an order to claim, at the cost of one query."""
        return self._database.statement(claims.has_claimable)

    def claim(self, limit: int, *, idle: bool) -> ClaimedBatch:
        """Claim up to `limit` orders; `idle` tells that this process works on none."""
        return self._database.transaction(
            lambda connection: claims.claim_orders(
                connection,
                owner=self.owner,
                limit=limit,
                lease_seconds=self._lease_seconds,
                max_attempts=self._max_attempts,
                idle=idle,
            )
        )

    def renew(self, held: Collection[Claim]) -> set[ClaimKey]:
        """Renew the leases; return the keys of the claims that are still held."""
        return self._database.transaction(
            lambda connection: claims.renew_leases(connection, held, self._lease_seconds)
        )

    def record(self, results: Sequence[Result]) -> set[ClaimKey]:
        """Record the results; return the keys of the claims that were still held."""
        if all(result.verdict is Verdict.COMPLETE for result in results):
            with suppress(NotAllHeld):
                self._complete_all(results)
                return {result.claim.key for result in results}
        return self._database.transaction(
            lambda connection: record_results(connection, results, self._slot)
        )

    def _complete_all(self, results: Sequence[Result]) -> None:
        if len(results) == 1 and self._database.statement(
            lambda connection: complete_one(connection, results[0], self._slot)
        ):
            return
        self._database.transaction(lambda connection: complete_all(connection, results, self._slot))
