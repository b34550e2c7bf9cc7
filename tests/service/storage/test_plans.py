"""How each statement finds its orders: by which index, and past how few others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import product
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, text

from service.storage import archive, browsing, operations, orders
from service.storage.browsing import Search
from service.storage.claims import Claim, claim_orders
from service.storage.completions import complete_all, complete_one
from service.storage.idempotency_keys import NewKey, find_old_keys, get_keys, insert_keys
from service.storage.leases import renew_leases
from service.storage.look import look
from service.storage.models import OrderStatus
from service.storage.order_changes import cancel, cancel_one, retry
from service.storage.order_lists import MOST_PASSED, Page, Wanted, list_page
from service.storage.recording import record_results
from service.storage.results import Result, Verdict
from service.storage.statistics import glance, read_statistics
from service.storage.waiting import come_back, find_due
from tests.support.databases import migrate
from tests.support.inspection import Store, open_store
from tests.support.mysql_server import MySQLServer
from tests.support.plans import PRIMARY, SCAN, MySQLPlans, SQLitePlans
from tests.support.statements import statements
from tests.support.states import TRUSTING

CLAIMABLE, OUTCOME = "ix_orders_claimable", "ix_orders_outcome"
USER, ORDER_ID = "ix_orders_user_id", "uq_orders_order_id"
FINISHED, UNFINISHED, WAITING = 20_000, 50, 5_000
# The oldest orders are one client's, and failed: whoever looks for them among all orders, newest
# first, passes the others.
OLDEST, OLD_CLIENT = 100, 7
# Every other order is this client's: all that are completed.
BIG_CLIENT = 8
# Rows, and steps of which each row takes several: to pass the finished orders costs far more.
MOST = {"mysql": 10 * OLDEST, "sqlite": FINISHED}
# For each order that a page passes by, along two indexes.
MOST_EACH = {"mysql": 4, "sqlite": 60}
STATUSES: list[tuple[OrderStatus, ...]] = [
    (),
    *((status,) for status in OrderStatus),
    (OrderStatus.FAILED, OrderStatus.COMPLETED),
    (OrderStatus.PENDING, OrderStatus.PROCESSING, OrderStatus.FAILED),
]
FIRST_WAITING = FINISHED + UNFINISHED + 1
KEY = b"k" * 32
MOMENT = datetime(2026, 1, 2)  # noqa: DTZ001 - naive UTC
FILL = """
INSERT INTO orders (order_id, user_id, item_ids, total_amount, outcome, available_at, attempts,
                    fence, processing_microseconds, created_at, updated_at, next_attempt_at)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :stored)
SELECT n, CASE WHEN n <= :oldest THEN :old WHEN n % 2 = 0 THEN :big ELSE 1000 + n % 1000 END,
       '[1, 2, 3]', 100,
       CASE WHEN n <= :oldest THEN 'Failed' WHEN n > :finished THEN NULL
            WHEN n % 2 = 0 THEN 'Completed' ELSE 'Cancelled' END,
       :moment, 1, 1, 1000, :moment, :moment,
       CASE WHEN n > :first_waiting THEN '2999-01-01 00:00:00.000000' END
FROM numbers
"""
Work = Callable[[Connection, list[Claim]], object]
T = TypeVar("T")


def claim(connection: Connection) -> list[Claim]:
    return claim_orders(
        connection,
        owner="a",
        limit=5,
        lease_seconds=3600,
        max_attempts=5,
        idle=False,
        rule=TRUSTING,
    ).claims


def record_each_verdict(connection: Connection, held: list[Claim]) -> None:
    results = [Result(one, verdict) for one, verdict in zip(held, Verdict, strict=True)]
    record_results(connection, results, slot=0)


def complete_first(connection: Connection, held: list[Claim]) -> None:
    result = Result(held[0], Verdict.COMPLETE)
    if not complete_one(connection, result, slot=0):
        complete_all(connection, [result], slot=0)


def complete_held(connection: Connection, held: list[Claim]) -> None:
    complete_all(connection, [Result(one, Verdict.COMPLETE) for one in held], slot=0)


def next_of_operation(connection: Connection, _held: list[Claim]) -> None:
    filters = {"error_contains": "no"}
    new = operations.NewOperation(operations.Action.RETRY, filters, "a test")
    operations.count_matching(connection, new, after=0, end=FINISHED, limit=50)


CASES: dict[str, tuple[Work, set[str]]] = {
    "look": (lambda its, _: look(its, TRUSTING), {CLAIMABLE}),
    "claim": (lambda its, _: claim(its), {CLAIMABLE, PRIMARY}),
    "renew": (lambda its, held: renew_leases(its, held, 60), {PRIMARY}),
    "record each verdict": (record_each_verdict, {PRIMARY}),
    "complete one": (complete_first, {PRIMARY}),
    "complete all": (complete_held, {PRIMARY}),
    "statuses": (lambda its, _: orders.get_statuses(its, [1, 9000, 20_001]), {ORDER_ID}),
    "one order": (lambda its, _: orders.get_order(its, 9000), {ORDER_ID}),
    "retry failed ones": (lambda its, _: retry(its, [1, 2, 3]), {PRIMARY}),
    "retry waiting ones": (lambda its, _: retry(its, [FIRST_WAITING]), {PRIMARY}),
    "cancel some": (lambda its, _: cancel(its, [FIRST_WAITING, FIRST_WAITING + 1]), {PRIMARY}),
    "cancel one": (lambda its, _: cancel_one(its, FIRST_WAITING, "a test"), {ORDER_ID, PRIMARY}),
    "what is due": (lambda its, _: find_due(its, 10), {CLAIMABLE}),
    "come back": (lambda its, _: come_back(its, [FIRST_WAITING], slot=0), {PRIMARY}),
    "an operation's next orders": (next_of_operation, {OUTCOME, PRIMARY}),
    "old keys": (lambda its, _: find_old_keys(its, 30, 10), {"ix_idempotency_keys_created_at"}),
    "what to archive": (lambda its, _: archive.next_rows(its, 50, MOMENT, 50), {PRIMARY}),
    "figures": (lambda its, _: read_statistics(its), {CLAIMABLE}),
    "figures at a glance": (lambda its, _: glance(its, 40), {CLAIMABLE}),
    "a repeated key": (lambda its, _: get_keys(its, [KEY]), {PRIMARY}),
}


def fill(connection: Connection) -> None:
    """Store orders as the service would have left them."""
    if connection.dialect.name == "mysql":
        connection.execute(text("SET SESSION cte_max_recursion_depth = 1000000"))
    values = {
        "stored": FINISHED + UNFINISHED + WAITING,
        "first_waiting": FINISHED + UNFINISHED,
        "finished": FINISHED,
        "oldest": OLDEST,
        "old": OLD_CLIENT,
        "big": BIG_CLIENT,
        "moment": "2026-01-01 00:00:00.000000",
    }
    connection.execute(text(FILL), values)
    insert_keys(connection, [NewKey(KEY, KEY, 1, 201)])
    if connection.dialect.name == "mysql":
        connection.execute(text("ANALYZE TABLE orders, idempotency_keys"))


class Filled:
    """A database in which nearly all orders are finished, and a few under way."""

    def __init__(self, store: Store, plans: SQLitePlans | MySQLPlans) -> None:
        store.run(fill)
        self._held = store.run(claim)
        self._database = store.database
        self._plans = plans
        self.dialect = store.database.engine.dialect.name

    def run(self, work: Work) -> tuple[set[str], bool]:
        """Return the indexes that the work goes by, and whether it passes by few other orders.

        What it does is undone.
        """
        with self._database.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            with statements(connection.engine) as sent:
                cost = self._plans.cost(connection, lambda its: work(its, self._held))
            connection.exec_driver_sql("ROLLBACK")
            found = [self._plans.indexes(connection, statement) for statement in sent]
        return set[str]().union(*found), cost <= MOST[self.dialect]

    def cost(self, read: Callable[[Connection], T]) -> tuple[T, int]:
        """Return what was read, and what that cost."""
        results: list[T] = []
        with self._database.connect() as connection:
            cost = self._plans.cost(connection, lambda its: results.append(read(its)))
        return results[0], cost


@pytest.fixture(scope="module")
def filled_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    url = f"sqlite:///{tmp_path_factory.mktemp('plans')}/orders.db"
    migrate(url)
    with open_store(url) as store:
        yield Filled(store, SQLitePlans())


@pytest.fixture(scope="module")
def filled_mysql(mysql_server: MySQLServer) -> Iterator[Filled]:
    name = mysql_server.create_database()
    migrate(mysql_server.url(name))
    with open_store(mysql_server.url(name)) as store:
        yield Filled(store, MySQLPlans(mysql_server))
    mysql_server.drop_database(name)


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.mysql)])
def filled(request: pytest.FixtureRequest) -> Filled:
    made: Filled = request.getfixturevalue(f"filled_{request.param}")
    return made


def test_a_statement_that_passes_by_all_orders_is_noticed(filled: Filled) -> None:
    query = text("SELECT SUM(total_amount) FROM orders")
    _, cheap = filled.run(lambda its, _: its.execute(query).all())
    assert not cheap


@pytest.mark.parametrize("name", CASES)
def test_it_goes_by_its_index(filled: Filled, name: str) -> None:
    work, indexes = CASES[name]
    assert filled.run(work) == (indexes, True)


def listing(before: int | None = None, **filters: Any) -> Work:
    return lambda its, _: list_page(its, Wanted(**filters), limit=20, before=before)


INDEX_OF = dict.fromkeys(OrderStatus, OUTCOME) | {OrderStatus.PROCESSING: CLAIMABLE}


def test_lists_go_by_their_index_whatever_is_asked_for(filled: Filled) -> None:
    for statuses, before in product(STATUSES, (None, FINISHED // 2)):
        indexes = {INDEX_OF[status] for status in statuses} or {PRIMARY}
        found = filled.run(listing(before, statuses=statuses))
        assert found == (indexes, True), f"{statuses}, before {before}"


@pytest.mark.parametrize("user", [OLD_CLIENT, BIG_CLIENT])
def test_lists_of_a_user_go_by_the_shorter_index(filled: Filled, user: int) -> None:
    for statuses, before in product(STATUSES, (None, FINISHED // 2)):
        indexes, cheap = filled.run(listing(before, statuses=statuses, user_id=user))
        assert USER in indexes
        assert indexes <= {USER} | {INDEX_OF[status] for status in statuses}
        # Of the others' it finds none: see below.
        assert cheap or OrderStatus.CANCELLED in statuses, f"{statuses}, before {before}"


def test_a_page_that_would_pass_by_too_many_orders_ends_early(filled: Filled) -> None:
    """All the client's orders are Completed, and between any two is a Cancelled one of others."""
    wanted = Wanted([OrderStatus.CANCELLED], BIG_CLIENT)
    page, cost = filled.cost(lambda its: list_page(its, wanted, limit=20))
    assert page.rows == []
    assert page.before is not None
    assert FINISHED - page.before > MOST_PASSED
    assert cost < MOST_PASSED * MOST_EACH[filled.dialect], cost
    last, cost = filled.cost(lambda its: list_page(its, wanted, limit=20, before=page.before))
    assert last == Page([], None)
    assert cost < MOST_PASSED * MOST_EACH[filled.dialect], cost


def test_the_consoles_lists_look_at_a_bounded_number_of_orders(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOOKED_AT", "NEWEST_FAILED", "OLDEST_CLAIMABLE"):
        monkeypatch.setattr(browsing, name, 40)

    def finding(search: Search, **place: int | None) -> Work:
        return lambda its, _: browsing.find_orders(its, search, **place)

    places: tuple[dict[str, int], ...] = ({}, {"before": FINISHED // 2}, {"after": OLDEST // 2})
    for status, user, error, place in product(
        (None, *OrderStatus), (None, OLD_CLIENT), (None, "no"), places
    ):
        in_work = status is OrderStatus.PROCESSING and user is None
        by_status = CLAIMABLE if in_work else OUTCOME
        index = USER if user else by_status if status else PRIMARY
        found, cheap = filled.run(finding(Search(status, user, error=error), **place))
        assert index in found, f"{status}, {user}, {error}, {place}: {found}"
        assert SCAN not in found
        assert cheap, f"status {status}, user {user}, error {error}, {place}"
    found, cheap = filled.run(lambda its, _: browsing.failed_by_error(its))
    assert (OUTCOME in found, SCAN in found, cheap) == (True, False, True)
