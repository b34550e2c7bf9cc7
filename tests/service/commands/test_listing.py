"""`flask orders list` and `show`: any number of orders, by when they came, and their attempts."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import Connection, update

from service.storage.models import Order
from service.storage.moments import parse_moment
from service.storage.results import Result, Verdict
from tests.support import states
from tests.support.answers import FULL_FIELDS
from tests.support.commands import assert_fails, json_from, run, table_from
from tests.support.databases import ONLY_SQLITE
from tests.support.inspection import Store


@pytest.fixture
def by_month(store: Store) -> Store:
    """Orders 1 to 6, accepted at the beginning of the first six months; the even ones are user
    2's."""
    store.add_orders(range(1, 7))

    def work(connection: Connection) -> None:
        for number in range(1, 7):
            values = {
                "created_at": parse_moment(f"2026-{number:02}-01T00:00:00Z"),
                "user_id": 2 - number % 2,
            }
            order = update(Order).where(Order.order_id == number)
            connection.execute(order.values(**values))

    store.run(work)
    return store


def ids(app: Flask, *options: str) -> list[int]:
    return [order["order_id"] for order in json_from(app, "orders", "list", *options)]


@pytest.mark.usefixtures("by_month")
def test_by_when_they_came(app: Flask) -> None:
    march, may = "2026-03-01T00:00:00Z", "2026-05-01T02:00:00+02:00"
    assert ids(app, "--from", march) == [6, 5, 4, 3]
    assert ids(app, "--to", may) == [4, 3, 2, 1]
    assert ids(app, "--from", march, "--to", may) == [4, 3]
    assert ids(app, "--from", march, "--user", "1") == [5, 3]
    assert ids(app, "--to", may, "--status", "Pending", "--user", "2") == [4, 2]
    assert ids(app, "--from", may, "--to", march) == []


@pytest.mark.usefixtures("by_month")
def test_from_the_first_moment_to_the_last(app: Flask) -> None:
    first, last = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"
    assert ids(app, "--from", first, "--to", last) == [6, 5, 4, 3, 2, 1]
    assert ids(app, "--from", last) == ids(app, "--to", first) == []


def test_any_number_of_orders(app: Flask, store: Store) -> None:
    """A statement fetches a hundred."""
    store.add_orders(range(1, 252))
    assert ids(app, "--limit", "1000") == list(range(251, 0, -1))
    result = run(app, "orders", "list", "--limit", "250")
    assert len(result.stdout.splitlines()) == 1 + 250
    assert result.stderr.startswith("There are more: --after ")


def test_a_list_goes_on_where_an_earlier_one_ended(app: Flask, store: Store) -> None:
    store.add_orders(range(1, 6))
    seen: list[str] = []
    after: tuple[str, ...] = ()
    for _ in range(3):
        result = run(app, "orders", "list", "--limit", "2", *after)
        assert result.exit_code == 0
        seen += [line.split()[0] for line in result.stdout.splitlines()[1:]]
        # Orders that come meanwhile do not shift it.
        store.add_orders([100 + len(seen)])
        after = tuple(result.stderr.split()[-2:])
    assert seen == ["5", "4", "3", "2", "1"]
    assert after == ()
    assert len(table_from(app, "orders", "list")) == 1 + 8


def test_an_order_is_shown_with_its_attempts(app: Flask, store: Store) -> None:
    store.add_orders([1])
    [claim] = states.claim(store, owner="first")
    states.record(
        store, [Result(claim, Verdict.RETRY, error="boom at once", seconds=0.5, worker="first")]
    )
    states.pass_time(store, 1)
    states.promote_due(store)
    [claim] = states.claim(store, owner="second")
    states.record(store, [Result(claim, Verdict.COMPLETE, microseconds=2_000_000)])
    found = json_from(app, "orders", "show", "1")
    first, second = found["attempt_list"]
    assert (first["attempt"], first["error"], first["worker"]) == (1, "boom at once", "first")
    assert (second["attempt"], second["result"]) == (2, "completed")
    assert found["attempts"] == 2
    printed = run(app, "orders", "show", "1").stdout
    fields, attempts = (part.splitlines() for part in printed.split("\n\n"))
    assert {line.split()[0] for line in fields} == {"field", "client"} | FULL_FIELDS
    header, *rows = (line.split() for line in attempts)
    assert header == ["attempt", "started_at", "ended_at", "result", "error", "worker"]
    moments = [first["started_at"], first["ended_at"]]
    assert rows[0] == ["1", *moments, first["result"], "boom", "at", "once", "first"]
    assert rows[1][0] == "2"
    assert rows[1][3:] == ["completed", "-", "-"]


@ONLY_SQLITE
def test_an_unknown_order_is_one_line(app: Flask) -> None:
    for command in ("show", "retry", "cancel"):
        assert_fails(run(app, "orders", command, "7"), "no order 7")
