"""Orders in every state of their processing, reached as the processor reaches them."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, select, update

from service.storage.claims import Claim, ClaimedBatch, ClaimKey, LeaseRule, claim_orders
from service.storage.models import Event, Order
from service.storage.recording import record_results
from service.storage.results import Result, Verdict
from service.storage.waiting import come_back, find_due
from tests.support.inspection import Store

# Leases end by the clock, and may last for an hour.
TRUSTING = LeaseRule(trusted=True, longest=3600)


def claim_batch(
    store: Store,
    limit: int = 10,
    *,
    owner: str = "test",
    lease_seconds: float = 60,
    max_attempts: int = 5,
    idle: bool = True,
    rule: LeaseRule = TRUSTING,
) -> ClaimedBatch:
    """Claim the oldest pending orders, and tell all that comes of it."""
    return store.run(
        lambda connection: claim_orders(
            connection,
            owner=owner,
            limit=limit,
            lease_seconds=lease_seconds,
            max_attempts=max_attempts,
            idle=idle,
            rule=rule,
        )
    )


def claim(
    store: Store, limit: int = 10, *, owner: str = "test", lease_seconds: float = 60
) -> list[Claim]:
    """Claim the oldest pending orders, which makes them Processing."""
    return claim_batch(store, limit, owner=owner, lease_seconds=lease_seconds).claims


def record_held(store: Store, results: list[Result], slot: int = 0) -> set[ClaimKey]:
    """Record the ends of attempts; return the keys of those that counted."""

    def work(connection: Connection) -> set[ClaimKey]:
        return set(record_results(connection, results, slot))

    return store.run(work)


def record(store: Store, results: list[Result], slot: int = 0) -> None:
    """Record the ends of attempts; fail when one of them did not count."""
    assert record_held(store, results, slot) == {result.claim.key for result in results}


def pass_time(store: Store, seconds: float) -> None:
    """Make ends of leases and of delays come that much earlier, as if the time had passed."""

    def work(connection: Connection) -> None:
        columns = Order.available_at, Order.next_attempt_at
        by = timedelta(seconds=seconds)
        for row_id, available, waits in connection.execute(select(Order.id, *columns)).all():
            earlier = {"next_attempt_at": waits - by} if waits else {"available_at": available - by}
            connection.execute(update(Order).where(Order.id == row_id).values(**earlier))

    store.run(work)


def promote_due(store: Store, limit: int = 500) -> int:
    """Make the waiting orders that are due claimable; return how many."""
    found = store.run(lambda connection: find_due(connection, limit))
    return store.run(lambda connection: come_back(connection, found, slot=2)) if found else 0


def pass_time_for_events(store: Store, seconds: float) -> None:
    """Make all that is due of events due that much earlier, their leases' ends too."""

    def work(connection: Connection) -> None:
        columns = Event.due_at, Event.runner_until
        by = timedelta(seconds=seconds)
        for event, *moments in connection.execute(select(Event.id, *columns)).all():
            earlier = {
                column.key: moment - by
                for column, moment in zip(columns, moments, strict=True)
                if moment
            }
            if earlier:
                connection.execute(update(Event).where(Event.id == event).values(**earlier))

    store.run(work)


def row_of(store: Store, order_id: int) -> int:
    """Return the `id` of an order's row."""
    return store.order(order_id).id


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
