"""What is in the way of a batch: looked up, so that the rest can be stored without it."""

from __future__ import annotations

from collections.abc import Collection

from service.storage import orders as dao
from service.storage.database import Database
from service.storage.failures import Overloaded


def find_taken(database: Database, order_ids: Collection[int]) -> set[int]:
    """Return which of these `order_id`s, of which one is known to be taken, are.

    Raises:
        Overloaded: none is, any more.
    """
    if len(order_ids) == 1:
        return set(order_ids)
    found = database.statement(lambda connection: dao.find_taken(connection, order_ids))
    expect_progress(found)
    return found


def expect_progress(found: Collection[object]) -> None:
    """Refuse to go on where what was in the way is not found: somebody removes rows at this moment.

    Raises:
        Overloaded: nothing was found.
    """
    if not found:
        raise Overloaded("what was in the way was not found")
