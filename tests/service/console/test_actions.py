"""What is done in the console, on both databases, and what is recorded of it."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from service.console import bulk
from service.storage import audit, events, operations
from service.storage.models import OrderStatus
from tests.support import outage_day
from tests.support.console import OWN_PAGE, act, text_of
from tests.support.databases import ONLY_SQLITE
from tests.support.inspection import Store
from tests.support.stored_orders import add_finished, add_waiting

FAILED, PENDING, CANCELLED = (
    one.value for one in (OrderStatus.FAILED, OrderStatus.PENDING, OrderStatus.CANCELLED)
)


def entries(store: Store) -> list[tuple[Any, ...]]:
    """Return who did what to what, oldest first; each with the id of its request."""
    found = store.run(lambda its: audit.list_entries(its, limit=100))
    assert all(len(one.request_id) == 32 for one in found)
    return [(one.who, one.action, one.subject) for one in reversed(found)]


def test_one_order(client: FlaskClient, store: Store) -> None:
    add_finished(store, [1], OrderStatus.FAILED, last_error="no")
    after = act(client, "/orders/1/retry")
    assert "1 order put back" in text_of(client.get(after))
    assert "1 order cancelled" in text_of(client.get(act(client, "/orders/1/cancel")))
    # Too late for both.
    again = act(client, "/orders/1/retry")
    assert "1 order left alone" in text_of(client.get(again))
    assert store.statuses() == {1: CANCELLED}
    assert entries(store) == [("admin", "order.retry", "1"), ("admin", "order.cancel", "1")]


def test_a_selection(client: FlaskClient, store: Store) -> None:
    add_finished(store, [1, 2, 3], OrderStatus.FAILED, last_error="no")
    add_finished(store, [4], OrderStatus.COMPLETED)
    filters = {"status": "Failed", "error": "n\r\no"}
    after = act(client, "/orders/selected", action="retry", order_id=["3", "1", "4"], **filters)
    assert after.startswith("/console/orders?status=Failed&error=n%0Ao&done=retried&changed=2&")
    assert "2 orders put back, to be processed again. 1 order left alone" in text_of(
        client.get(after)
    )
    assert store.statuses() == {1: PENDING, 2: FAILED, 3: PENDING, 4: "Completed"}
    assert [subject for _, _, subject in entries(store)] == ["1", "3"]


@ONLY_SQLITE
def test_a_selection_of_nothing_or_of_too_much(client: FlaskClient) -> None:
    after = act(client, "/orders/selected", action="cancel", status="")
    assert after == "/console/orders?done=nothing"
    ids = [str(number) for number in range(1, 52)]
    data = {"action": "cancel", "order_id": ids}
    answer = client.post("/console/orders/selected", headers=OWN_PAGE, data=data)
    assert "at most 50" in text_of(answer, 400)
    text_of(client.post("/console/orders/7/retry", headers=OWN_PAGE), 404)
    large = {"reason": 70_000 * "x"}
    text_of(client.post("/console/processing/pause", headers=OWN_PAGE, data=large), 413)


def test_all_that_match(client: FlaskClient, store: Store) -> None:
    add_finished(store, [1, 2], OrderStatus.FAILED, last_error="no answer")
    add_finished(store, [3], OrderStatus.FAILED, last_error="refused")
    filters = {"status": "Failed", "error": "no answer", "from": "2026-01-01T00:00", "to": ""}
    asked = client.get("/console/bulk", query_string=filters | {"action": "retry"})
    assert "Retry 2 orders" in text_of(asked)
    after = act(client, "/bulk", action="retry", **filters)
    row = store.run(lambda its: operations.get_operation(its, int(after.rpartition("/")[2])))
    assert row is not None
    assert (row.action, row.requested_by, row.state) == ("retry", "admin", "Running")
    assert row.filter == {
        "status": "Failed",
        "error_contains": "no answer",
        "created_from": "2026-01-01T00:00:00Z",
    }
    assert "No processor lives" in text_of(client.get(after))
    assert "The operation stops" in text_of(client.get(act(client, f"/operations/{row.id}/stop")))
    assert [what for _, what, _ in entries(store)] == ["operation.create", "operation.stop"]


@ONLY_SQLITE
def test_waiting_orders_are_retried_and_pending_ones_cancelled(
    client: FlaskClient, store: Store
) -> None:
    add_waiting(store, [1, 2])
    store.add_orders([3])
    query = "/console/bulk?status=Pending&action="
    assert "Retry 2 orders" in text_of(client.get(f"{query}retry"))
    said = text_of(client.get(f"{query}cancel"))
    assert "Cancel 3 orders. This cannot be undone." in said


@ONLY_SQLITE
def test_many_are_counted_so_far_and_no_further(
    client: FlaskClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("MOST_COUNTED", 20), ("MOST_LOOKED_AT", 40), ("STEP", 10)):
        monkeypatch.setattr(bulk, name, value)
    query = "/console/bulk?action=retry&status=Failed"
    add_finished(store, range(1, 21), OrderStatus.FAILED, last_error="no")
    assert "Retry more than 20 orders" in text_of(client.get(query))
    assert "Retry 20 orders" not in text_of(client.get(query))
    add_finished(store, range(21, 61), OrderStatus.FAILED, last_error="rare")
    said = text_of(client.get(f"{query}&error=nowhere"))
    assert "None of the 40 oldest orders" in said
    assert "Retry more than 20 orders" in text_of(client.get(f"{query}&error=rare"))


def test_pause_and_resume(client: FlaskClient, store: Store) -> None:
    text_of(client.post("/console/processing/pause", headers=OWN_PAGE), 400)
    after = act(client, "/processing/pause", reason=" <b>down</b> ")
    said = text_of(client.get(after))
    assert "Processing is paused since" in said
    assert "by admin: “<b>down</b>”" in said
    assert "is paused since" not in text_of(client.get(act(client, "/processing/resume")))
    assert [what for _, what, _ in entries(store)] == ["processing.pause", "processing.resume"]


def test_events_are_sent_again(client: FlaskClient, store: Store) -> None:
    outage_day.fill(store)
    number = store.run(lambda its: events.list_events(its, limit=1))[0].id
    after = act(client, "/events/resend", event_id=number)
    assert "1 event will be delivered again." in text_of(client.get(after))
    found = store.run(lambda its: audit.list_entries(its, limit=1))[0]
    assert (found.who, found.action, found.subject) == ("admin", "event.resend", str(number))
    assert "No event was selected" in text_of(
        client.post("/console/events/resend", headers=OWN_PAGE), 404
    )
    # Nothing is recorded where nothing was done.
    assert "changed=0" in act(client, "/events/resend", event_id=2**63 - 1)
    assert store.run(lambda its: audit.list_entries(its, limit=1))[0] == found


@ONLY_SQLITE
def test_an_address_cannot_make_a_page_say_something(client: FlaskClient) -> None:
    said = text_of(client.get("/console/?done=<b>x</b>&changed=9"))
    assert "<b>" not in said
    assert "0 orders put back" in text_of(client.get("/console/orders?done=retried&changed=x"))
