"""Deliveries of events in the database: whose an event is, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import update
from sqlalchemy.event import listen, remove

from service.storage.deliveries import (
    Delivery,
    TakenEvent,
    look_at_events,
    record_deliveries,
    take_events,
)
from service.storage.event_upkeep import (
    EventFigures,
    bring_back_from_before_a_jump,
    delete_delivered,
    find_forgotten,
    read_figures,
)
from service.storage.events import list_events, resend
from service.storage.models import Event, ProcessingState
from service.storage.moments import utcnow
from service.storage.processing_state import SharedState, read_state
from service.storage.receiver import become_prober
from service.storage.results import Absence, Verdict
from tests.support.databases import ONLY_MYSQL
from tests.support.inspection import Store, open_store
from tests.support.states import pass_time_for_events
from tests.support.stored_events import end_orders, states_of_events, stored_events

DAY = 86_400.0
AWAY = Absence(retry_after=0.0, others_succeed=False, verdict=Verdict.RETRY, delay=5.0)
ALONE = Absence(retry_after=0.0, others_succeed=True, verdict=Verdict.RETRY, delay=5.0)


def take(store: Store, limit: int = 100, runner: str = "a") -> list[TakenEvent]:
    return store.run(lambda its: take_events(its, runner, limit))


def record(store: Store, *ends: Delivery, runner: str = "a") -> list[Delivery]:
    return store.run(lambda its: record_deliveries(its, ends, runner))


def delivered(events: Sequence[TakenEvent], status: int = 200) -> list[Delivery]:
    return [Delivery(event, Verdict.COMPLETE, status) for event in events]


def state(store: Store) -> SharedState:
    return store.run(lambda its: read_state(its, ProcessingState.EVENTS_ROW))


def seconds_from_now(store: Store, column: str) -> float:
    """Return how far ahead a moment of the one event is."""
    now = state(store).now
    [event] = stored_events(store)
    return float((getattr(event, column) - now).total_seconds())


def test_each_is_taken_once_until_its_lease_ends(store: Store) -> None:
    end_orders(store, range(1, 6))
    assert store.run(look_at_events).due
    first, second = take(store, 3), take(store, 3, "b")
    assert [event.order_id for event in (*first, *second)] == [1, 2, 3, 4, 5]
    assert take(store) == []
    assert not store.run(look_at_events).due
    pass_time_for_events(store, 19)
    assert take(store) == []
    pass_time_for_events(store, 2)
    assert len(take(store, runner="b")) == 5
    # What the former runner says of them now changes nothing.
    assert record(store, *delivered(first)) == []
    assert states_of_events(store) == {"Waiting": 5}
    assert len(record(store, *delivered(first), runner="b")) == 3


def test_a_lease_from_before_the_clock_was_set_back_holds_nobody_up(store: Store) -> None:
    end_orders(store, [1])
    take(store)
    pass_time_for_events(store, -3600)
    assert store.run(lambda its: bring_back_from_before_a_jump(its, 0, 10)) is None
    assert take(store, runner="b") == []
    store.run(lambda its: its.execute(update(Event).values(updated_at=utcnow(3600.0))))
    assert store.run(lambda its: bring_back_from_before_a_jump(its, 0, 10)) is None
    assert [event.order_id for event in take(store, runner="b")] == [1]


@ONLY_MYSQL
def test_one_that_is_delivered_while_the_clock_is_followed_is_not_forgotten(
    url: str, store: Store
) -> None:
    end_orders(store, [1])
    taken = take(store)
    store.run(lambda its: its.execute(update(Event).values(updated_at=utcnow(3600.0))))
    with open_store(url) as other:

        def deliver(_connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
            if sql.startswith("UPDATE"):
                record(other, *delivered(taken))

        listen(store.database.engine, "before_cursor_execute", deliver)
        store.run(lambda its: bring_back_from_before_a_jump(its, 0, 10))
        remove(store.database.engine, "before_cursor_execute", deliver)
    assert states_of_events(store) == {"Delivered": 1}
    assert store.run(lambda its: find_forgotten(its, 10)) == []


@ONLY_MYSQL
def test_what_others_have_locked_is_passed_by(url: str, store: Store) -> None:
    end_orders(store, range(1, 11))
    with open_store(url) as other, other.database.connect() as connection:
        connection.exec_driver_sql("START TRANSACTION")
        held = take_events(connection, "b", 4)
        assert [event.order_id for event in held] == [1, 2, 3, 4]
        assert [event.order_id for event in take(store)] == [5, 6, 7, 8, 9, 10]
        connection.exec_driver_sql("ROLLBACK")
    assert len(take(store)) == 4


def test_what_becomes_of_each(store: Store) -> None:
    end_orders(store, range(1, 6))
    first, second, third, fourth, fifth = take(store)
    recorded = record(
        store,
        *delivered([first], 204),
        Delivery(second, Verdict.RETRY, 500, "answered with status 500", 60.0),
        Delivery(third, Verdict.FAIL, 410, "refused with status 410"),
        Delivery(fourth, Verdict.GIVE_BACK),
        *delivered([fifth], 200),
    )
    assert len(recorded) == 5
    events = {event.order_id: event for event in stored_events(store)}
    assert {event.runner for event in events.values()} == {None}
    said = {
        order_id: (event.state, event.attempts, event.last_status, event.last_error)
        for order_id, event in events.items()
    }
    assert said == {
        1: ("Delivered", 1, 204, None),
        2: ("Waiting", 1, 500, "answered with status 500"),
        3: ("Failed", 1, 410, "refused with status 410"),
        4: ("Waiting", 0, None, None),
        5: ("Delivered", 1, 200, None),
    }
    assert [event.order_id for event in take(store)] == [4]
    pass_time_for_events(store, 61)
    again = {event.order_id: event for event in take(store)}
    assert again[2].attempts == 1
    assert again[2].message_id == second.message_id


def test_the_first_sign_of_an_absence_costs_no_attempt(store: Store) -> None:
    end_orders(store, [1])
    [recorded] = record(store, *met(take(store), AWAY))
    assert recorded.verdict is Verdict.PUT_ASIDE
    [event] = stored_events(store)
    assert (event.state, event.attempts, event.absences) == ("Waiting", 0, 1)
    assert event.last_error == "no answer"
    # A second longer than the receiver is left alone.
    assert 1.0 < seconds_from_now(store, "due_at") <= 2.0
    assert state(store).away
    assert state(store).left_alone
    assert not store.run(read_state).away, "that is the order handler's receiver"


def met(events: Sequence[TakenEvent], absence: Absence, *, probe: bool = False) -> list[Delivery]:
    return [
        Delivery(event, Verdict.RETRY, 503, "no answer", 5.0, probe, absence) for event in events
    ]


def test_pauses_grow_with_each_try_and_end_with_the_first_answer(store: Store) -> None:
    end_orders(store, [1])
    record(store, *met(take(store), AWAY))
    pauses = []
    for _ in range(8):
        assert become(store, "a")
        assert not become(store, "b"), "one process tries"
        pass_time_for_events(store, 100)
        record(store, *met(take(store), AWAY, probe=True))
        until = state(store).away_until
        assert until is not None
        pauses.append(round((until - state(store).now).total_seconds()))
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]
    [event] = stored_events(store)
    assert (event.attempts, event.absences) == (0, 1)
    pass_time_for_events(store, 100)
    become(store, "a")
    refused = Delivery(take(store)[0], Verdict.FAIL, 410, "refused", probe=True)
    record(store, refused)
    assert not state(store).away


def become(store: Store, runner: str) -> bool:
    row = ProcessingState.EVENTS_ROW
    return store.run(lambda its: become_prober(its, runner, 60, 60, row))


def test_retry_after_is_obeyed(store: Store) -> None:
    end_orders(store, [1])
    away = Absence(retry_after=600.0, others_succeed=False, verdict=Verdict.RETRY, delay=5.0)
    record(store, *met(take(store), away))
    assert 599 < seconds_from_now(store, "due_at") <= 601
    until = state(store).away_until
    assert until is not None
    assert 598 < (until - state(store).now).total_seconds() <= 600


def test_who_alone_meets_it_again_uses_up_attempts(store: Store) -> None:
    end_orders(store, [1])
    for attempts in (0, 1, 2):
        pass_time_for_events(store, 100)
        record(store, *met(take(store), ALONE))
        [event] = stored_events(store)
        assert event.attempts == attempts
        assert not state(store).away, "others succeed"


def test_resending(store: Store) -> None:
    end_orders(store, range(1, 5))
    first, second, *_ = take(store, 3)
    record(store, *delivered([first]), *met([second], AWAY))
    ids = [event.id for event in stored_events(store)]
    message_id = first.message_id
    # Not the one that is being delivered, nor the one that is not there.
    assert store.run(lambda its: resend(its, [*ids, 999_999])) == 3
    events = stored_events(store)
    assert {event.state for event in events} == {"Waiting"}
    assert [(event.attempts, event.delivered_at) for event in events] == [(0, None)] * 4
    assert events[0].message_id == message_id
    assert not state(store).left_alone, "the receiver is tried at once"
    assert [event.order_id for event in take(store, runner="b")] == [1, 2, 4]


def test_lists(store: Store) -> None:
    end_orders(store, range(1, 7))
    record(store, *delivered(take(store, 4)))

    def listed(**given: Any) -> list[int]:
        rows = store.run(lambda its: list_events(its, limit=3, **given))
        return [row.order_id for row in rows]

    assert listed() == [6, 5, 4]
    fourth = stored_events(store)[3].id
    assert listed(before=fourth) == [3, 2, 1]
    assert listed(state="Waiting") == [6, 5]
    assert listed(state="Delivered", before=fourth) == [3, 2, 1]
    assert listed(order_id=2) == [2]
    [row] = store.run(lambda its: list_events(its, limit=1, order_id=2))
    assert row.next_attempt_at is None


def test_delivered_ones_are_forgotten_after_30_days_and_others_never(store: Store) -> None:
    end_orders(store, range(1, 6))
    first, second, third, *_ = take(store, 3)
    failed = Delivery(third, Verdict.FAIL, 410, "refused")
    record(store, *delivered([first, second]), failed)
    pass_time_for_events(store, 29.9 * DAY)
    assert store.run(lambda its: find_forgotten(its, 10)) == []
    pass_time_for_events(store, 0.2 * DAY)
    assert store.run(lambda its: find_forgotten(its, 1)) == [first.id]
    found = store.run(lambda its: find_forgotten(its, 10))
    assert sorted(found) == [first.id, second.id]
    # Meanwhile somebody has it sent again.
    store.run(lambda its: resend(its, [second.id]))
    store.run(lambda its: delete_delivered(its, found))
    assert [event.order_id for event in stored_events(store)] == [2, 3, 4, 5]


def test_figures(store: Store) -> None:
    assert store.run(read_figures) is None, "no events are written here"
    end_orders(store, range(1, 4))
    record(store, *delivered(take(store, 1)), *met(take(store, 1), AWAY))
    pass_time_for_events(store, 50)
    figures = store.run(read_figures)
    assert isinstance(figures, EventFigures)
    assert (figures.waiting, figures.away) == (2, True)
    assert 50 <= figures.oldest_due_seconds < 80
    pass_time_for_events(store, -1000)
    later = store.run(read_figures)
    assert later is not None
    assert later.oldest_due_seconds == 0
