"""SQL of lists of orders: a page costs about the same whatever is asked for, and however many
orders there are.

Orders are found along an index, newest first. Where two conditions have an index each, a page is
found in steps, each along the index that has fewer entries from there on. A page that would have
to pass by more than `MOST_PASSED` orders ends early.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, union_all

from service.storage.models import BY_CLAIMABLE, BY_OUTCOME, BY_USER, Order, OrderStatus
from service.storage.orders import FULL, creation_bounds

# Entries of an index that one step takes. Most pages need one step.
STEPS = (200, 1000, 4000)
MOST_PASSED = sum(STEPS)
_IN_WORK = Order.lease_owner.is_not(None)
_UNFINISHED = Order.outcome.is_(None)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which orders are asked for: `created_from` is included, `created_to` is not."""

    statuses: Sequence[OrderStatus] = ()
    user_id: int | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Whole orders, newest first, and the row before which the next page begins, or None."""

    rows: Sequence[Row[*tuple[Any, ...]]]
    before: int | None


@dataclass(frozen=True, slots=True)
class _Way:
    """A walk along an index: what its entries have in common, and what is asked for besides."""

    hint: str | None
    entries: tuple[ColumnElement[bool], ...]
    besides: tuple[ColumnElement[bool], ...] = ()


@dataclass(frozen=True, slots=True)
class _Range:
    """The rows from `first` up to, and without, `end`; None is no bound."""

    first: int | None
    end: int | None

    def holds(self) -> tuple[ColumnElement[bool], ...]:
        low = () if self.first is None else (Order.id >= self.first,)
        return low if self.end is None else (*low, Order.id < self.end)


def list_page(
    connection: Connection, wanted: Wanted, *, limit: int, before: int | None = None
) -> Page:
    """Return a page of at most `limit` orders, those before the row `before` if that is given.

    It has fewer, or none, only at the end of the list or after `MOST_PASSED` orders that are not
    wanted.
    """
    first, end = creation_bounds(connection, wanted.created_from, wanted.created_to)
    if before is not None:
        end = before if end is None else min(before, end)
    rows: list[Row[*tuple[Any, ...]]] = []
    for step in STEPS:
        ways, reached = _choose(connection, _all_ways(wanted), _Range(first, end), step)
        # One more than asked for says whether there is a next page.
        some = _Range(first if reached is None else reached, end)
        rows += _read(connection, wanted, ways, some, limit + 1 - len(rows))
        if len(rows) > limit:
            return Page(rows[:limit], rows[limit - 1].id)
        if reached is None:
            return Page(rows, None)
        end = reached
    return Page(rows, end)


def _all_ways(wanted: Wanted) -> list[list[_Way]]:
    """Return the sets of ways of which each leads to all orders that are wanted."""
    every = set(wanted.statuses) == set(OrderStatus)
    by_status = [] if every else [_by_status(status) for status in wanted.statuses]
    if wanted.user_id is None:
        return [by_status or [_Way(None, ())]]
    mine = Order.user_id == wanted.user_id
    if not by_status:
        return [[_Way(BY_USER, (mine,))]]
    names = [status.value for status in wanted.statuses]
    # A sum, which no index has: SQLite, which takes no hint, is to keep to the other one.
    also_mine = (Order.user_id + 0) == wanted.user_id
    return [
        [_Way(BY_USER, (mine,), (Order.status.in_(names),))],
        [_Way(way.hint, way.entries, (*way.besides, also_mine)) for way in by_status],
    ]


def _by_status(status: OrderStatus) -> _Way:
    if status is OrderStatus.PROCESSING:
        # Past what waits for a later attempt, of which nothing is in work.
        claimable = (_UNFINISHED, Order.next_attempt_at.is_(None))
        return _Way(BY_CLAIMABLE, claimable, (_IN_WORK,))
    if status is OrderStatus.PENDING:
        return _Way(BY_OUTCOME, (_UNFINISHED,), (Order.lease_owner.is_(None),))
    return _Way(BY_OUTCOME, (Order.outcome == status.value,))


def _choose(
    connection: Connection, choices: list[list[_Way]], where: _Range, step: int
) -> tuple[list[_Way], int | None]:
    """Return the ways that lead furthest with `step` entries of an index each, and the row that
    they reach; None for all of the range."""
    if len(choices) == 1 and not any(way.besides for way in choices[0]):
        return choices[0], None
    best, furthest = choices[0], where.end
    for ways in choices:
        reached = _reach(connection, ways, where, step)
        if reached is None:
            return ways, None
        if furthest is None or reached < furthest:
            best, furthest = ways, reached
    return best, furthest


def _reach(connection: Connection, ways: list[_Way], where: _Range, step: int) -> int | None:
    reached = None
    for way in ways:
        entries = (
            _along(select(Order.id), way)
            .where(*where.holds())
            .order_by(Order.id.desc())
            .limit(step)
            .subquery()
        )
        query = select(func.count().label("entries"), func.min(entries.c.id).label("last"))
        found = connection.execute(query.select_from(entries)).one()
        if found.entries == step:
            reached = found.last if reached is None else max(reached, found.last)
    return reached


def _read(
    connection: Connection, wanted: Wanted, ways: list[_Way], where: _Range, limit: int
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the newest orders of the range, all ways together in one statement: an order that
    changes meanwhile is there once."""
    conditions = (*where.holds(), *_created(wanted))
    queries = [
        _along(FULL, way).where(*way.besides, *conditions).order_by(Order.id.desc()).limit(limit)
        for way in ways
    ]
    if len(queries) == 1:
        return connection.execute(queries[0]).all()
    together = union_all(*(select(query.subquery()) for query in queries))
    newest_first = sorted(connection.execute(together), key=attrgetter("id"), reverse=True)
    return newest_first[:limit]


def _along(query: Select[*tuple[Any, ...]], way: _Way) -> Select[*tuple[Any, ...]]:
    query = query.where(*way.entries)
    return query if way.hint is None else query.with_hint(Order, way.hint, "mysql")


def _created(wanted: Wanted) -> tuple[ColumnElement[bool], ...]:
    low = () if wanted.created_from is None else (Order.created_at >= wanted.created_from,)
    high = () if wanted.created_to is None else (Order.created_at < wanted.created_to,)
    return low + high
