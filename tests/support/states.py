"""Orders in every state of their processing, reached as the processor reaches them."""

from __future__ import annotations

from sqlalchemy import Connection

from service.dao.claims import Claim, ClaimKey, Result, Verdict, claim_orders, record_results
from tests.support.inspection import Store


def claim(store: Store, limit: int) -> list[Claim]:
    """Claim the oldest pending orders, which makes them Processing."""
    return store.run(
        lambda connection: claim_orders(
            connection, owner="test", limit=limit, lease_seconds=60, max_attempts=5, idle=True
        )
    ).claims


def record(store: Store, results: list[Result], slot: int = 0) -> None:
    """Record the ends of attempts; fail when one of them did not count."""

    def work(connection: Connection) -> set[ClaimKey]:
        return record_results(connection, results, slot)

    assert store.run(work) == {result.claim.key for result in results}


def fill(store: Store, *, pending: int, processing: int, completed: int, failed: int) -> None:
    """Store as many orders in each state; the n-th completed one took n * 0.1 s.

    Their ids count from 1, and the finished ones come first: completed, failed, processing,
    pending. A failed one says "boom".
    """
    store.add_orders(range(1, completed + failed + processing + pending + 1))
    claims = claim(store, completed + failed + processing)
    record(
        store,
        [
            Result(one, Verdict.COMPLETE, microseconds=number * 100_000)
            for number, one in enumerate(claims[:completed], 1)
        ],
        slot=3,
    )
    lost = claims[completed : completed + failed]
    record(store, [Result(one, Verdict.FAIL, error="boom") for one in lost], slot=5)
