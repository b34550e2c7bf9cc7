"""Requests on the event loop: they let each other go on, and get what threads return."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial

import pytest

from service.server import handover
from service.server.handover import Outcome, WaitedTooLong
from tests.support.event_loop import SECONDS, Loop

number: ContextVar[int] = ContextVar("number")


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_one_that_waits_lets_the_next_go_on(loop: Loop, threads: ThreadPoolExecutor) -> None:
    go_on = threading.Event()
    loop.serve(lambda: handover.call(threads, lambda: go_on.wait(SECONDS)))
    loop.serve(lambda: "second")
    assert loop.ended == ["second"]
    go_on.set()
    assert loop.run_until_ended(2) == ["second", True]


def test_work_runs_in_a_thread_and_ends_on_the_loop(
    loop: Loop, threads: ThreadPoolExecutor
) -> None:
    def request() -> tuple[int, int]:
        worked_in = handover.call(threads, threading.get_ident)
        return worked_in, threading.get_ident()

    loop.serve(request)
    [(worked_in, ended_in)] = loop.run_until_ended(1)
    assert worked_in != ended_in == threading.get_ident()


def test_an_exception_is_raised_to_the_one_who_waits(
    loop: Loop, threads: ThreadPoolExecutor
) -> None:
    def fail() -> None:
        raise KeyError("broken")

    def request() -> str:
        with pytest.raises(KeyError, match="broken"):
            handover.call(threads, fail)
        return "caught"

    loop.serve(request)
    assert loop.run_until_ended(1) == ["caught"]


def test_each_request_has_a_context_of_its_own(loop: Loop, threads: ThreadPoolExecutor) -> None:
    def request(mine: int) -> list[int]:
        number.set(mine)
        return [handover.call(threads, number.get), number.get()]

    for mine in range(3):
        loop.serve(partial(request, mine))
    assert sorted(loop.run_until_ended(3)) == [[0, 0], [1, 1], [2, 2]]
    assert number.get(None) is None


def test_many_go_on_with_one_call_of_the_loop(loop: Loop) -> None:
    outcomes: list[Outcome[int]] = []

    def request() -> int:
        outcomes.append(Outcome())
        return outcomes[-1].wait()

    for _ in range(3):
        loop.serve(request)
    assert loop.ended == []
    for value, outcome in enumerate(outcomes):
        outcome.returns(value)
    Outcome.settle(outcomes)
    assert loop.due.qsize() == 1
    assert loop.run_until_ended(3) == [0, 1, 2]


def test_what_is_put_off_comes_after_all_that_is_ready(loop: Loop) -> None:
    def request() -> str:
        handover.after_this_turn(lambda: loop.ended.append("put off"))
        return "served"

    loop.serve(request)
    loop.serve(request)
    handover.end_turn()
    assert loop.ended == ["served", "served", "put off", "put off"]


def test_what_a_thread_puts_off_is_done_though_a_turn_ends_meanwhile(
    loop: Loop, threads: ThreadPoolExecutor
) -> None:
    handover.after_this_turn(lambda: loop.ended.append("of this turn"))
    put_off = threads.submit(handover.after_this_turn, lambda: loop.ended.append("a thread's"))
    put_off.result(SECONDS)
    handover.end_turn()
    loop.turn()
    assert loop.ended == ["of this turn", "a thread's"]


@pytest.mark.usefixtures("no_loop")
def test_without_a_loop_work_is_done_at_once(threads: ThreadPoolExecutor) -> None:
    assert handover.call(threads, threading.get_ident) == threading.get_ident()
    done: list[str] = []
    handover.after_this_turn(lambda: done.append("at once"))
    assert done == ["at once"]


def test_a_request_on_the_loop_gives_up_what_does_not_come(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes all the same is not taken for what it waits for next."""
    outcomes: list[Outcome[str]] = []

    def wait(longest: float) -> str:
        monkeypatch.setattr(handover, "LONGEST_WAIT", longest)
        outcomes.append(Outcome())
        return outcomes[-1].wait()

    def request() -> str:
        with pytest.raises(WaitedTooLong):
            wait(0.01)
        return wait(SECONDS)

    loop.serve(request)
    loop.run_until(lambda: len(outcomes) == 2)
    for outcome, value in zip(outcomes, ("too late", "in time"), strict=True):
        outcome.returns(value)
    Outcome.settle(outcomes)
    assert loop.run_until_ended(1) == ["in time"]


def test_a_request_in_a_thread_gives_up_what_does_not_come(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "LONGEST_WAIT", 0.01)
    with pytest.raises(WaitedTooLong):
        threads.submit(lambda: Outcome[str]().wait()).result(SECONDS)


def test_a_thread_beside_the_loop_just_waits(loop: Loop, threads: ThreadPoolExecutor) -> None:
    assert loop.ended == []

    def wait_in_thread() -> str:
        outcome: Outcome[str] = Outcome()
        outcome.returns("settled")
        threads.submit(Outcome.settle, [outcome])
        return outcome.wait()

    assert threads.submit(wait_in_thread).result(SECONDS) == "settled"
