"""SQL for the usual end of attempts: all completed, and all by those who hold the orders.

One statement completes them, and its row count says whether all were held. What is told apart
otherwise (lost leases, failures, retries) is for `service.storage.recording.record_results`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection, text

from service.storage.outbox import write_events, writes_events
from service.storage.results import Result
from service.storage.totals import add_totals


class NotAllHeld(Exception):
    """Some of the claims are held no longer; roll back."""


# The orders are found one by one through their primary key, in the order of the array. A list of
# values in the statement itself, one for each order, would be parsed anew each time. The plus keeps
# SQLite from the index on `outcome`: it would walk all unfinished orders for each of these.
COMPLETE = {
    "mysql": text("""
        UPDATE JSON_TABLE(:ended, '$[*]' COLUMNS (
          id BIGINT PATH '$[0]', fence BIGINT PATH '$[1]', microseconds BIGINT PATH '$[2]'
        )) AS ended
        STRAIGHT_JOIN orders FORCE INDEX (PRIMARY)
          ON orders.id = ended.id AND orders.fence = ended.fence
        SET orders.outcome = 'Completed', orders.lease_owner = NULL,
          orders.processing_microseconds = ended.microseconds,
          orders.updated_at = UTC_TIMESTAMP(6)
        WHERE orders.outcome IS NULL
    """),
    "sqlite": text("""
        UPDATE orders
        SET outcome = 'Completed', lease_owner = NULL,
          processing_microseconds = json_extract(ended.value, '$[2]'),
          updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'
        FROM json_each(:ended) AS ended
        WHERE orders.id = json_extract(ended.value, '$[0]')
          AND orders.fence = json_extract(ended.value, '$[1]') AND +orders.outcome IS NULL
    """),
}


# With a single order, either both rows change or none: one round trip, and no transaction to say.
# The sum makes the totals wait for the order: a row that is known at once would be locked first.
_COMPLETE_ONE = text("""
    UPDATE orders STRAIGHT_JOIN order_totals ON order_totals.slot = :slot + 0 * orders.fence
    SET orders.outcome = 'Completed', orders.lease_owner = NULL,
      orders.processing_microseconds = :microseconds, orders.updated_at = UTC_TIMESTAMP(6),
      order_totals.completed = order_totals.completed + 1,
      order_totals.processing_microseconds = order_totals.processing_microseconds + :microseconds
    WHERE orders.id = :id AND orders.fence = :fence AND orders.outcome IS NULL
""")
BOTH_ROWS = 2


def complete_one(connection: Connection, result: Result, slot: int) -> bool:
    """Complete the order and add it to the totals' row `slot`, in one statement.

    Returns:
        False when nothing was done: it is held no longer, an event has to be written, or the
        database (SQLite) has no statement that changes two tables.
    """
    if connection.dialect.name == "sqlite" or writes_events(connection):
        return False
    row_id, fence = result.claim.key
    changed = connection.execute(
        _COMPLETE_ONE,
        {"id": row_id, "fence": fence, "microseconds": result.microseconds, "slot": slot},
    ).rowcount
    return changed == BOTH_ROWS


def complete_all(connection: Connection, results: Sequence[Result], slot: int) -> None:
    """Complete the orders, all or none, and add them to the totals' row `slot`.

    Needs a transaction.

    Raises:
        NotAllHeld: there is a claim among them that is held no longer.
    """
    ended = sorted((*result.claim.key, result.microseconds) for result in results)
    changed = connection.execute(
        COMPLETE[connection.dialect.name], {"ended": json.dumps(ended)}
    ).rowcount
    if changed != len(results):
        raise NotAllHeld
    write_events(connection, [result.claim.id for result in results])
    add_totals(
        connection,
        slot=slot,
        completed=len(results),
        processing_microseconds=sum(result.microseconds for result in results),
    )
