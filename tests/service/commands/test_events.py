"""`flask events …`: what is listed, and what is sent again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from service.commands import events as command
from service.storage.audit import list_entries
from service.storage.models import Event
from service.storage.moments import format_moment
from tests.support.commands import (
    assert_fails,
    assert_wrong_usage,
    json_from,
    run,
    table_from,
)
from tests.support.databases import ONLY_SQLITE
from tests.support.inspection import Store
from tests.support.stored_events import end_orders, states_of_events, stored_events

FAILED, DELIVERED = range(1, 6), range(6, 9)


@pytest.fixture
def events(store: Store) -> Store:
    """Five events that failed, three that were delivered, and two that wait, an hour apart."""
    end_orders(store, range(1, 11))
    now = stored_events(store)[0].created_at
    for event in stored_events(store):
        values = {"created_at": now - timedelta(hours=10 - event.order_id)}
        if event.order_id in FAILED:
            said = "\x1b[31mno\n"
            values |= {"state": "Failed", "due_at": None, "attempts": 3, "last_error": said}
        elif event.order_id in DELIVERED:
            values |= {"state": "Delivered", "delivered_at": now, "attempts": 1, "last_status": 204}
        change = update(Event).where(Event.id == event.id).values(**values)
        store.run(lambda its: its.execute(change))  # noqa: B023
    return store


def ids_of(store: Store, *order_ids: int) -> list[str]:
    return [str(event.id) for event in stored_events(store) if event.order_id in order_ids]


def moment_of(store: Store, order_id: int) -> str:
    [event] = [event for event in stored_events(store) if event.order_id == order_id]
    return format_moment(event.created_at)


def orders_listed(app: Flask, *arguments: str) -> list[int]:
    return [event["order_id"] for event in json_from(app, "events", "list", *arguments)]


def test_they_are_listed_newest_first_in_pages(app: Flask, events: Store) -> None:
    assert orders_listed(app) == list(range(10, 0, -1))
    assert orders_listed(app, "--state", "Failed") == [5, 4, 3, 2, 1]
    assert orders_listed(app, "--order", "7") == [7]
    assert orders_listed(app, "--order", "7", "--state", "Failed") == []
    page = run(app, "events", "list", "--limit", "3", "--state", "Failed")
    assert page.stderr == f"There are more: --after {ids_of(events, 3)[0]}\n"
    after = page.stderr.split()[-1]
    assert orders_listed(app, "--state", "Failed", "--after", after) == [2, 1]


def test_all_of_an_event_is_shown_and_nothing_of_it_is_obeyed(app: Flask, events: Store) -> None:
    shown = run(app, "events", "list").stdout
    assert "\x1b" not in shown
    assert r"\x1b[31mno" in shown
    [listed] = json_from(app, "events", "list", "--order", "8")
    [stored] = [event for event in stored_events(events) if event.order_id == 8]
    assert listed == {
        "id": stored.id,
        "type": "order.cancelled",
        "order_id": 8,
        "state": "Delivered",
        "attempts": 1,
        "created_at": format_moment(stored.created_at),
        "delivered_at": format_moment(stored.delivered_at),
        "next_attempt_at": None,
        "last_status": 204,
        "last_error": None,
        "message_id": stored.message_id,
    }
    [waiting] = json_from(app, "events", "list", "--order", "9")
    assert waiting["next_attempt_at"] is not None
    assert table_from(app, "events", "list", "--order", "8")[1][:4] == [
        *(str(stored.id), "order.cancelled", "8", "Delivered")
    ]


def test_by_id(app: Flask, events: Store) -> None:
    before = {event.order_id: event.message_id for event in stored_events(events)}
    chosen = ids_of(events, 1, 6, 9)
    result = run(app, "events", "resend", *chosen, *chosen)
    assert (result.exit_code, result.stdout) == (0, "3 events are sent again.\n")
    assert result.stderr.startswith("EVENTS_URL is not set here")
    assert states_of_events(events) == {"Waiting": 4, "Failed": 4, "Delivered": 2}
    for event in stored_events(events):
        assert event.message_id == before[event.order_id]
        if event.order_id in (1, 6):
            assert (event.attempts, event.delivered_at) == (0, None)
            assert event.due_at >= event.created_at
    [entry] = events.run(lambda its: list_entries(its, limit=5))
    assert (entry.action, entry.subject) == ("event.resend", ", ".join(chosen))
    assert entry.who.startswith("command line: ")


def test_one_that_is_not_there_is_said(app: Flask, events: Store) -> None:
    [there] = ids_of(events, 1)
    result = run(app, "events", "resend", there, "999999")
    assert result.exit_code == 1
    assert "1 of them are not there" in result.stderr
    assert states_of_events(events)["Failed"] == 4


def test_all_of_a_time_in_batches(
    app: Flask, events: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "BATCH", 2)
    monkeypatch.setattr(command, "COUNTED", 2)
    since, until = moment_of(events, 2), moment_of(events, 5)
    window = ["events", "resend", "--from", since, "--to", until]
    assert run(app, *window, "--dry-run").stdout == "3 events match; nothing was changed.\n"
    assert run(app, *window, typed="n\n").exit_code == 1
    assert states_of_events(events)["Failed"] == 5
    assert run(app, *window, typed="y\n").stdout.endswith("3 events are sent again.\n")
    left = [event.order_id for event in stored_events(events) if event.state == "Failed"]
    assert left == [1, 5]
    again = run(app, *window, "--state", "Delivered", "--yes", "--json")
    assert (again.exit_code, again.stdout) == (0, '{"changed":0}\n')
    assert (
        run(app, "events", "resend", "--from", since, "--state", "Delivered", "--yes").exit_code
        == 0
    )
    assert states_of_events(events) == {"Failed": 2, "Waiting": 8}
    entries = events.run(lambda its: list_entries(its, limit=5))
    assert entries[-1].subject == f"Failed from {since} to {until}"
    assert entries[-1].detail == "3 events"


@ONLY_SQLITE
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["1", "--from", "2026-01-01T00:00:00Z"],
        ["1", "--dry-run"],
        ["--state", "Failed"],
        ["--from", "yesterday"],
        ["--from", "2026-01-01T00:00:00Z", "--state", "Waiting"],
        ["0"],
    ],
)
def test_wrong_usage(app: Flask, arguments: list[str]) -> None:
    assert_wrong_usage(run(app, "events", "resend", *arguments))


@ONLY_SQLITE
def test_a_database_without_the_table_is_said_in_one_line(app: Flask, store: Store) -> None:
    store.run(lambda its: its.exec_driver_sql("DROP TABLE events"))
    assert_fails(run(app, "events", "list"), "flask db upgrade")
