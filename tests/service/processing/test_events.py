"""Events and their receiver: real processors, and a real receiver that comes and goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import simplejson
from sqlalchemy import update

from service.processing.events import deliverer
from service.processing.events.loading import MOST_AT_ONCE
from service.storage import processing_state
from service.storage.deliveries import LEASE_SECONDS
from service.storage.models import Event, ProcessingState
from service.storage.moments import utcnow
from service.storage.processing_state import SharedState, read_state
from tests.support.inspection import Store
from tests.support.polling import wait_until
from tests.support.processors import NEVER, processing
from tests.support.receiver import Receiver
from tests.support.service_process import Worker
from tests.support.states import pass_time_for_events
from tests.support.stored_events import end_orders, states_of_events, stored_events

pytestmark = pytest.mark.slow

SECONDS = 60.0
NOOP = {"ORDER_HANDLER": "tests.support.order_handlers:noop"}
MANY = 2000
OUTAGE_SECONDS = 3.0


@contextmanager
def worker(directory: Path, url: str, **environment: object) -> Iterator[Worker]:
    with Worker(directory, url, **environment) as found:
        yield found.start()
        assert found.stop() == 0


def wait_delivered(store: Store, number: int, seconds: float = SECONDS) -> None:
    def delivered() -> bool:
        return states_of_events(store) == {"Delivered": number}

    wait_until(delivered, seconds, f"the delivery of {number} events", every=0.1)


def message_ids(receiver: Receiver) -> dict[int, set[str]]:
    """Return the `webhook-id`s that were sent of each order."""
    found: dict[int, set[str]] = {}
    for call in list(receiver.calls):
        found.setdefault(call.order_id, set()).add(call.headers["webhook-id"])
    return found


def events_state(store: Store) -> SharedState:
    return store.run(lambda its: read_state(its, ProcessingState.EVENTS_ROW))


def test_a_killed_deliverer_loses_none(tmp_path: Path, url: str, store: Store) -> None:
    end_orders(store, range(1, MANY + 1))
    with Receiver() as receiver:
        receiver.seconds = 0.02
        with Worker(tmp_path, url, **NOOP, **receiver.events) as killed:
            killed.start()
            wait_until(lambda: len(receiver.calls) > MANY / 5, SECONDS, "the middle", every=0.005)
            killed.kill9_group()
        receiver.seconds = 0.0
        left = states_of_events(store)["Waiting"]
        assert left > 0, "all were delivered before, so this test has shown nothing"
        pass_time_for_events(store, 30)
        with worker(tmp_path, url, **NOOP, **receiver.events):
            wait_delivered(store, MANY)
    assert set(receiver.answered(200)) == set(range(1, MANY + 1))
    assert len(receiver.calls) <= MANY + MOST_AT_ONCE
    ids = {event.order_id: {event.message_id} for event in stored_events(store)}
    assert message_ids(receiver) == ids


@pytest.mark.parametrize("how", ["closed", "429 with Retry-After"])
def test_a_receiver_that_is_away_costs_no_attempt_and_holds_up_no_order(
    tmp_path: Path, url: str, store: Store, how: str
) -> None:
    receiver = Receiver()
    receiver.status = 200 if how == "closed" else 429
    receiver.retry_after = "2" if how == "429 with Retry-After" else None
    if how != "closed":
        receiver.open()
    settings = {"PROCESSOR_RETRY_DELAYS": "none"} | NOOP | receiver.events
    with worker(tmp_path, url, **settings):
        store.add_orders(range(1, 101))
        wait_until(lambda: events_state(store).away, SECONDS, "the absence")
        began = time.monotonic()
        store.add_orders(range(101, 201))
        store.wait_finished(OUTAGE_SECONDS)
        assert not store.run(read_state).away, "that is another receiver"
        wait_until(lambda: time.monotonic() > began + OUTAGE_SECONDS, SECONDS)
        assert set(states_of_events(store)) == {"Waiting"}
        in_vain = len(receiver.calls)
        receiver.status = 200
        if how == "closed":
            receiver.open()
        wait_delivered(store, 200)
    receiver.close()
    # Those that were under way at the first sign, and then one at a time, after growing pauses.
    assert in_vain <= MOST_AT_ONCE + 4
    assert {event.attempts for event in stored_events(store)} == {1}
    assert receiver.answered(200) == dict.fromkeys(range(1, 201), 1)
    assert not events_state(store).away


def test_orders_that_cannot_be_processed_hold_up_no_event(
    tmp_path: Path, url: str, store: Store
) -> None:
    handlers_receiver = Receiver()  # never opened
    with Receiver() as receiver:
        settings = handlers_receiver.environment | receiver.events
        with worker(tmp_path, url, **settings):
            store.add_orders([1])
            wait_until(lambda: store.run(read_state).away, SECONDS, "the absence")
            end_orders(store, range(2, 52))
            wait_delivered(store, 50)
            assert store.run(read_state).away
            store.run(lambda its: processing_state.pause(its, "a test", "a test"))
            end_orders(store, range(52, 102))
            wait_delivered(store, 100)
    assert store.statuses()[1] == "Pending"


@pytest.mark.parametrize("status", [500, 503])
def test_one_that_is_never_taken_holds_up_no_other(
    tmp_path: Path, url: str, store: Store, status: int
) -> None:
    with Receiver(poisonous={1}) as receiver:
        receiver.poison = status
        settings = NOOP | receiver.events | {"PROCESSOR_RETRY_DELAYS": "50ms,50ms"}
        with worker(tmp_path, url, **settings):
            ended = 0
            while not states_of_events(store)["Failed"]:
                end_orders(store, range(ended + 1, ended + 41))
                ended += 40
                wait_until(
                    lambda: states_of_events(store)["Delivered"] >= ended - 1,  # noqa: B023
                    SECONDS,
                    "the delivery of all others",
                    every=0.1,
                )
                assert ended < 40 * SECONDS
        failed = stored_events(store)[0]
    assert (failed.order_id, failed.state, failed.last_status) == (1, "Failed", status)
    assert failed.attempts == (1 if status == 410 else 3)
    assert message_ids(receiver)[1] == {failed.message_id}
    assert states_of_events(store) == {"Delivered": ended - 1, "Failed": 1}


def test_slow_calls_go_on_side_by_side_and_a_stop_waits_for_them(
    tmp_path: Path, url: str, store: Store
) -> None:
    end_orders(store, range(1, 2 * MOST_AT_ONCE + 1))
    with Receiver() as receiver:
        receiver.seconds = 4.0
        began = time.monotonic()
        with worker(tmp_path, url, **NOOP, **receiver.events):
            wait_until(lambda: len(receiver.calls) == MOST_AT_ONCE, SECONDS, "the first calls")
        assert time.monotonic() - began < MOST_AT_ONCE / 3
    assert len(receiver.calls) == MOST_AT_ONCE, "after the stop none was begun"
    assert states_of_events(store) == {"Delivered": MOST_AT_ONCE, "Waiting": MOST_AT_ONCE}
    assert {event.runner for event in stored_events(store)} == {None}


def test_who_stops_while_it_tries_a_receiver_leaves_that_to_others(url: str, store: Store) -> None:
    end_orders(store, [1])
    with Receiver() as receiver:
        receiver.status = 503
        address = receiver.events["EVENTS_URL"]
        with processing(
            url, lambda _task: None, events_url=address, events_secret="secret"
        ) as processor:
            wait_until(lambda: receiver.calls, SECONDS, "the first call")
            receiver.seconds = 5.0
            wait_until(lambda: len(receiver.calls) == 2, SECONDS, "a try")
            processor.stop(0.5)
        receiver.status, receiver.seconds = 200, 0.0
        with processing(url, lambda _task: None, events_url=address, events_secret="secret"):
            wait_delivered(store, 1, LEASE_SECONDS / 2)


def test_the_end_of_an_order_wakes_the_deliverer(
    url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer, "POLL_SECONDS", NEVER)
    with Receiver() as receiver:
        address = receiver.events["EVENTS_URL"]
        with processing(
            url, lambda _task: None, events_url=address, events_secret="secret"
        ) as processor:
            for order_id in (1, 2):
                store.add_orders([order_id])
                processor.wake()
                wait_delivered(store, order_id)
        assert receiver.answered(200) == {1: 1, 2: 1}


def test_all_that_wait_since_before_the_clock_was_set_back_are_delivered(
    url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer, "BATCH", 10)
    end_orders(store, range(1, 26))
    later = {"due_at": utcnow(3600.0), "updated_at": utcnow(3600.0)}
    store.run(lambda its: its.execute(update(Event).values(**later)))
    with Receiver() as receiver:
        address = receiver.events["EVENTS_URL"]
        with processing(url, lambda _task: None, events_url=address, events_secret="secret"):
            wait_delivered(store, 25)


def test_old_ones_are_forgotten_in_batches(url: str, store: Store) -> None:
    end_orders(store, range(1, 251))
    store.run(
        lambda its: its.execute(
            update(Event).values(state="Delivered", due_at=utcnow(-1.0), delivered_at=utcnow())
        )
    )
    address = Receiver().events["EVENTS_URL"]
    with processing(url, lambda _task: None, events_url=address, events_secret="secret"):
        wait_until(lambda: not stored_events(store), SECONDS, "that they are forgotten")


def test_what_a_call_says(tmp_path: Path, url: str, store: Store) -> None:
    largest = 2**63 - 1
    with Receiver() as receiver, worker(tmp_path, url, **NOOP, **receiver.events):
        store.add_orders([largest], user_id=largest - 1)
        wait_delivered(store, 1)
    [call] = receiver.calls
    [event] = stored_events(store)
    body = simplejson.loads(call.body)
    assert body.pop("timestamp") == event.created_at.isoformat(timespec="microseconds") + "Z"
    data = {
        "order_id": largest,
        "user_id": largest - 1,
        "status": "Completed",
        "attempts": 1,
        "error": None,
    }
    assert body == {"type": "order.completed", "data": data}
    assert call.headers["webhook-id"] == event.message_id
    assert (event.last_status, event.last_error) == (200, None)
