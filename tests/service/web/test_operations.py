"""`/operations`: what is asked for, who asked, how far it is, and which orders it is about.

Each batch is run here by hand. That the processors run them is in processing/test_operations.py.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Connection, event, select, update

from service.storage import operations
from service.storage.models import Order, OrderStatus
from service.storage.moments import parse_moment
from service.storage.results import Result, Verdict
from tests.support import states
from tests.support.answers import error_of, json_of
from tests.support.databases import ONLY_MYSQL, ONLY_SQLITE
from tests.support.inspection import Store
from tests.support.stored_orders import add_finished, add_waiting

JANUARY, FEBRUARY, MARCH = (f"2026-{month:02}-01T00:00:00Z" for month in (1, 2, 3))
# Of each order: its user, when it was accepted, and its last error.
ORDERS = {
    1: (1, JANUARY, "Timeout: 100% busy"),
    2: (1, FEBRUARY, "boom"),
    3: (2, MARCH, "timeout"),
    4: (1, FEBRUARY, "Timeout"),
    5: (2, MARCH, "boom"),
    6: (1, JANUARY, None),
    7: (2, FEBRUARY, None),
    8: (1, JANUARY, "boom"),
    9: (1, JANUARY, None),
    10: (1, JANUARY, "boom"),
}


@pytest.fixture
def filled(store: Store) -> Store:
    """Orders 1 to 3 Failed, 4 and 5 waiting, 6 and 7 Pending, 8 Processing, 9 Completed and 10
    Cancelled."""
    store.add_orders([8])
    states.claim(store)
    add_finished(store, [1, 2, 3], OrderStatus.FAILED)
    add_waiting(store, [4, 5])
    store.add_orders([6, 7])
    add_finished(store, [9], OrderStatus.COMPLETED)
    add_finished(store, [10], OrderStatus.CANCELLED)

    def work(connection: Connection) -> None:
        for order_id, (user_id, moment, error) in ORDERS.items():
            values = {"user_id": user_id, "created_at": parse_moment(moment), "last_error": error}
            order = update(Order).where(Order.order_id == order_id)
            connection.execute(order.values(**values))

    store.run(work)
    return store


def ask(client: FlaskClient, action: str, **filters: object) -> int:
    """Begin an operation; return its id."""
    answer = client.post("/operations", json={"action": action, "filter": filters})
    assert answer.status_code == 202, answer.text
    number: int = json_of(answer)["operation_id"]
    return number


def run_batch(store: Store, number: int, runner: str = "test") -> bool:
    """Run the next batch, as a processor does; return whether there is more."""
    return store.run(
        lambda its: operations.run_batch(its, number, runner=runner, seconds=60, slot=3)
    )


def shown(client: FlaskClient, number: int) -> dict[str, Any]:
    body: dict[str, Any] = json_of(client.get(f"/operations/{number}"))
    return body


def progress(client: FlaskClient, number: int) -> tuple[str, int, int]:
    found = shown(client, number)
    return found["state"], found["changed"], found["skipped"]


def all_states(store: Store) -> dict[int, tuple[str, bool]]:
    """Return the status of each order, and whether it waits for a later attempt."""
    query = select(Order.order_id, Order.status.label("status"), Order.next_attempt_at)
    rows = store.run(lambda its: its.execute(query).all())
    return {number: (status, next_at is not None) for number, status, next_at in rows}


def assert_figures_are_exact(client: FlaskClient, store: Store) -> None:
    """Check the figures against the orders themselves."""
    now = all_states(store).values()
    counts = Counter(status for status, _ in now)
    figures = json_of(client.get("/metrics"))
    for status in OrderStatus:
        assert figures[f"{status.value.lower()}_orders"] == counts[status.value]
    assert figures["total_orders"] == counts.total()
    assert store.statistics().waiting == sum(waits for _, waits in now)


RETRIES: list[tuple[dict[str, object], set[int]]] = [
    ({}, {1, 2, 3}),
    ({"status": "Failed"}, {1, 2, 3}),
    ({"status": "Pending"}, {4, 5}),
    ({"user_id": 1}, {1, 2}),
    ({"created_from": FEBRUARY}, {2, 3}),
    ({"created_to": FEBRUARY}, {1}),
    ({"created_from": FEBRUARY, "created_to": MARCH}, {2}),
    ({"created_from": "2026-02-01T02:00:00.000001+02:00"}, {3}),
    ({"error_contains": "imeout"}, {1, 3}),
    ({"error_contains": "Timeout"}, {1}),
    ({"error_contains": "0%"}, {1}),
    ({"error_contains": "%busy"}, set()),
    ({"error_contains": "b__m"}, set()),
    ({"status": "Pending", "error_contains": "Timeout"}, {4}),
    ({"user_id": 1, "created_from": FEBRUARY, "error_contains": "boom"}, {2}),
    ({"user_id": 2**63 - 1}, set()),
]
CANCELLATIONS: list[tuple[dict[str, object], set[int]]] = [
    ({}, {4, 5, 6, 7}),
    ({"status": "Pending", "user_id": 2}, {5, 7}),
    ({"created_from": FEBRUARY, "created_to": MARCH}, {4, 7}),
    ({"error_contains": "boom"}, {5}),
]


@pytest.mark.parametrize(
    ("action", "filters", "ids"),
    [("retry", *case) for case in RETRIES] + [("cancel", *case) for case in CANCELLATIONS],
    ids=str,
)
def test_it_changes_all_that_match_and_no_other(
    client: FlaskClient, filled: Store, action: str, filters: dict[str, object], ids: set[int]
) -> None:
    before = all_states(filled)
    number = ask(client, action, **filters)
    assert progress(client, number) == ("Running", 0, 0)
    assert not run_batch(filled, number)
    assert progress(client, number) == ("Completed", len(ids), 0)
    status = "Pending" if action == "retry" else "Cancelled"
    assert all_states(filled) == before | dict.fromkeys(ids, (status, False))
    assert_figures_are_exact(client, filled)


def test_it_says_who_asked_for_what_and_when(client: FlaskClient) -> None:
    filters = {"status": "Failed", "user_id": 7, "error_contains": "\x1b é", "created_to": MARCH}
    body = {"action": "retry", "filter": filters, "new_key": True}
    answer = client.post("/operations", json=body)
    found = json_of(answer)
    assert answer.headers["Location"] == f"/operations/{found['operation_id']}"
    assert found == json_of(client.get(answer.headers["Location"]))
    for name in ("created_at", "updated_at"):
        moment = datetime.fromisoformat(found.pop(name))
        assert abs(datetime.now(UTC) - moment) < timedelta(minutes=5)
    assert found == body | {
        "operation_id": found["operation_id"],
        "state": "Running",
        "changed": 0,
        "skipped": 0,
        "requested_by": "admin",
        "stopped_by": None,
        "error": None,
        "finished_at": None,
    }


def test_it_goes_on_batch_by_batch_and_meets_each_order_once(
    client: FlaskClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "BATCH", 2)
    add_finished(store, range(1, 6), OrderStatus.FAILED)
    number = ask(client, "retry")
    # What fails after it was asked for is not meant.
    add_finished(store, [6], OrderStatus.FAILED)
    assert run_batch(store, number)
    assert progress(client, number) == ("Running", 2, 0)
    again = states.claim(store)
    assert {claim.order_id for claim in again} == {1, 2}
    states.record(store, [Result(claim, Verdict.FAIL, error="again") for claim in again])
    assert run_batch(store, number)
    assert progress(client, number) == ("Running", 4, 0)
    assert not run_batch(store, number)
    assert progress(client, number) == ("Completed", 5, 0)
    assert shown(client, number)["finished_at"] == shown(client, number)["updated_at"]
    pending = dict.fromkeys((3, 4, 5), "Pending")
    assert store.statuses() == dict.fromkeys((1, 2, 6), "Failed") | pending
    assert_figures_are_exact(client, store)
    assert not run_batch(store, number)
    assert progress(client, number) == ("Completed", 5, 0)


def test_a_batch_that_is_cut_off_has_changed_nothing(client: FlaskClient, store: Store) -> None:
    """Its last statement notes how far the operation is."""
    add_finished(store, [1, 2, 3], OrderStatus.FAILED)
    number, before = ask(client, "retry"), all_states(store)

    def cut_off(_connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
        if sql.startswith("UPDATE operations"):
            raise KeyboardInterrupt

    engine = store.database.engine
    event.listen(engine, "before_cursor_execute", cut_off)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_batch(store, number)
    finally:
        event.remove(engine, "before_cursor_execute", cut_off)
    assert all_states(store) == before
    assert progress(client, number) == ("Running", 0, 0)
    assert_figures_are_exact(client, store)
    assert not run_batch(store, number)
    assert progress(client, number) == ("Completed", 3, 0)


@pytest.mark.parametrize(("new_key", "version"), [(False, 0), (True, 1)])
def test_a_new_key_is_given_when_it_is_asked_for(
    client: FlaskClient, store: Store, *, new_key: bool, version: int
) -> None:
    add_finished(store, [1], OrderStatus.FAILED)
    body = {"action": "retry", "filter": {}, "new_key": new_key}
    number = json_of(client.post("/operations", json=body))["operation_id"]
    run_batch(store, number)
    [claim] = states.claim(store)
    assert (claim.key_version, claim.attempt) == (version, 1)


@ONLY_MYSQL
def test_what_is_claimed_between_the_look_and_the_change_is_skipped(
    client: FlaskClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_orders([1, 2, 3])
    number = ask(client, "cancel", user_id=1)
    look = operations._matching

    def look_and_be_late(*arguments: Any) -> Any:
        found = look(*arguments)
        states.claim(store, 1)
        return found

    monkeypatch.setattr(operations, "_matching", look_and_be_late)
    assert not run_batch(store, number)
    assert progress(client, number) == ("Completed", 2, 1)
    assert store.statuses() == {1: "Processing", 2: "Cancelled", 3: "Cancelled"}
    assert_figures_are_exact(client, store)


def test_it_is_stopped_where_it_is(
    client: FlaskClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "BATCH", 2)
    store.add_orders(range(1, 6))
    number = ask(client, "cancel")
    assert run_batch(store, number)
    answer = client.post(f"/operations/{number}/stop")
    assert answer.status_code == 200
    stopped = json_of(answer)
    assert (stopped["state"], stopped["changed"], stopped["stopped_by"]) == ("Stopped", 2, "admin")
    assert stopped["finished_at"] is not None
    assert not run_batch(store, number)
    # A second stop changes nothing.
    assert json_of(client.post(f"/operations/{number}/stop")) == stopped == shown(client, number)
    assert Counter(store.statuses().values()) == {"Cancelled": 2, "Pending": 3}
    assert_figures_are_exact(client, store)


def test_what_has_ended_is_not_stopped(client: FlaskClient, store: Store) -> None:
    number = ask(client, "retry")
    run_batch(store, number)
    ended = shown(client, number)
    assert (ended["state"], ended["stopped_by"]) == ("Completed", None)
    assert json_of(client.post(f"/operations/{number}/stop")) == ended


@ONLY_SQLITE
@pytest.mark.parametrize("text", ["2", "0", "01", "abc", str(2**63)])
def test_an_unknown_operation(client: FlaskClient, text: str) -> None:
    assert ask(client, "retry") == 1
    assert error_of(client.get(f"/operations/{text}"), 404) == "Operation not found"
    assert error_of(client.post(f"/operations/{text}/stop"), 404) == "Operation not found"
    assert shown(client, 1)["state"] == "Running"
