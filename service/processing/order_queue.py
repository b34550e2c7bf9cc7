"""The queue of orders as one process sees it: claims and results, in transactions."""

from __future__ import annotations

import os
import random
import socket
import uuid
from collections.abc import Collection, Sequence
from contextlib import suppress

from service.config import Settings
from service.storage import claims, leases, receiver
from service.storage.claims import Claim, ClaimedBatch, ClaimKey, LeaseRule
from service.storage.completions import NotAllHeld, complete_all, complete_one
from service.storage.database import Database
from service.storage.look import Look, look
from service.storage.models import OrderTotals
from service.storage.recording import record_results
from service.storage.results import Result, Verdict


class OrderQueue:
    """Claims orders for this process and records what became of them.

    `slot` is the row of the totals that this process counts in. Each method raises the database's
    exceptions (see `service.storage.failures.is_unavailable`).
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._lease_seconds = settings.processor_lease_seconds
        self._max_attempts = settings.most_attempts
        self.slot = random.randrange(OrderTotals.SLOTS)  # noqa: S311 - spreads load
        host = socket.gethostname()[:32]
        self.owner = f"{host}:{os.getpid()}:{uuid.uuid4().hex[:8]}"

    def look(self, rule: LeaseRule) -> Look:
        """Return what is to do now, at the cost of one query."""
        return self._database.statement(lambda connection: look(connection, rule))

    def become_prober(self, seconds: float, longest: float) -> bool:
        """Return whether this process may try a receiver that was away, for so many seconds, of
        the `longest` that any asks for."""
        return self._database.statement(
            lambda connection: receiver.become_prober(connection, self.owner, seconds, longest)
        )

    def leave_probing(self) -> None:
        """Let another process try the receiver."""
        self._database.statement(lambda connection: receiver.leave_probing(connection, self.owner))

    def claim(self, limit: int, *, idle: bool, rule: LeaseRule) -> ClaimedBatch:
        """Claim up to `limit` orders; `idle` tells that this process works on none."""
        return self._database.transaction(
            lambda connection: claims.claim_orders(
                connection,
                owner=self.owner,
                limit=limit,
                lease_seconds=self._lease_seconds,
                max_attempts=self._max_attempts,
                idle=idle,
                rule=rule,
            )
        )

    def renew(self, held: Collection[Claim]) -> set[ClaimKey]:
        """Renew the leases; return the keys of the claims that are still held."""
        return self._database.transaction(
            lambda connection: leases.renew_leases(connection, held, self._lease_seconds)
        )

    def record(self, results: Sequence[Result]) -> Sequence[Result | None]:
        """Record the results; return each as it was decided, or None if its claim was lost."""
        if all(one.verdict is Verdict.COMPLETE and not one.probe for one in results):
            with suppress(NotAllHeld):
                self._complete_all(results)
                return results
        recorded = self._database.transaction(
            lambda connection: record_results(connection, results, self.slot)
        )
        return [recorded.get(result.claim.key) for result in results]

    def _complete_all(self, results: Sequence[Result]) -> None:
        if len(results) == 1 and self._database.statement(
            lambda connection: complete_one(connection, results[0], self.slot)
        ):
            return
        self._database.transaction(lambda connection: complete_all(connection, results, self.slot))
