"""A receiver that is away, as the database has it: who may try it, and what it costs an order."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from service.storage.attempts import AttemptResult, list_attempts
from service.storage.claims import Claim
from service.storage.models import ProcessingState
from service.storage.processing_state import SharedState, read_state, resume
from service.storage.receiver import become_prober, leave_probing
from service.storage.recording import record_results
from service.storage.results import Absence, Result, Verdict
from tests.support.inspection import Store
from tests.support.states import claim, pass_time, promote_due, row_of


def state(store: Store) -> SharedState:
    return store.run(read_state)


def pause_of(store: Store) -> float | None:
    query = select(ProcessingState.away_seconds)
    return store.run(lambda its: its.execute(query).scalar())


def meet(
    one: Claim,
    *,
    retry_after: float = 0.0,
    others_succeed: bool = False,
    probe: bool = False,
    last: bool = False,
) -> Result:
    verdict, delay = (Verdict.FAIL, 0.0) if last else (Verdict.RETRY, 5.0)
    return Result(
        one,
        Verdict.PUT_ASIDE,
        error="away",
        kind=AttemptResult.RECEIVER_AWAY,
        seconds=0.5,
        worker="w",
        probe=probe,
        absence=Absence(retry_after, others_succeed, verdict, delay),
    )


def record(store: Store, *results: Result) -> list[tuple[Verdict, float]]:
    """Record the results; return what was decided, in their order."""
    decided = store.run(lambda its: record_results(its, list(results), slot=0))
    return [(decided[one.claim.key].verdict, decided[one.claim.key].delay) for one in results]


def come_back(store: Store, seconds: float = 3600) -> list[Claim]:
    pass_time(store, seconds)
    promote_due(store)
    return claim(store)


def test_the_first_sign_sends_all_away_and_costs_no_attempt(store: Store) -> None:
    store.add_orders([1, 2])
    one, two = claim(store)
    assert record(store, meet(one)) == [(Verdict.PUT_ASIDE, 2.0)]
    seen = state(store)
    assert seen.away
    assert seen.left_alone
    assert (store.order(1).attempts, store.order(1).last_error) == (0, "away")
    # Another one, under way meanwhile, changes nothing about the pause.
    assert record(store, meet(two)) == [(Verdict.PUT_ASIDE, 2.0)]
    assert pause_of(store) == 1.0
    assert store.statistics().waiting == 2


def test_the_receiver_says_how_long(store: Store) -> None:
    store.add_orders([1, 2])
    one, two = claim(store)
    assert record(store, meet(one, retry_after=25)) == [(Verdict.PUT_ASIDE, 26.0)]
    assert pause_of(store) == 25
    assert record(store, meet(two, retry_after=90)) == [(Verdict.PUT_ASIDE, 91.0)]
    assert pause_of(store) == 90


def test_pauses_double_up_to_a_minute_while_tries_fail(store: Store) -> None:
    store.add_orders([1])
    [one] = claim(store)
    record(store, meet(one))
    pauses = []
    for _ in range(7):
        [one] = come_back(store)
        record(store, meet(one, probe=True))
        pauses.append(pause_of(store))
    assert pauses == [2, 4, 8, 16, 32, 60, 60]
    assert store.order(1).attempts == 0
    row = row_of(store, 1)
    kept = store.run(lambda its: list_attempts(its, row))
    assert [(one.result, one.worker) for one in kept] == [("receiver_away", "w")], "kept once"


@pytest.mark.parametrize(
    ("verdict", "kind"),
    [
        (Verdict.COMPLETE, AttemptResult.COMPLETED),
        (Verdict.RETRY, AttemptResult.FAILED),
        (Verdict.FAIL, AttemptResult.REJECTED),
    ],
)
def test_whoever_reaches_it_ends_the_absence(
    store: Store, verdict: Verdict, kind: AttemptResult
) -> None:
    store.add_orders([1, 2])
    one, two = claim(store)
    record(store, meet(one))
    record(store, Result(two, verdict, error="x", kind=kind, seconds=1, worker="w", probe=True))
    assert not state(store).away


def test_a_try_that_is_given_back_ends_nothing_and_lets_another_try(store: Store) -> None:
    store.add_orders([1, 2])
    one, two = claim(store)
    record(store, meet(one))
    assert store.run(lambda its: become_prober(its, "w", 60, 60))
    given_back = AttemptResult.GIVEN_BACK
    record(store, Result(two, Verdict.GIVE_BACK, kind=given_back, worker="w", probe=True))
    assert state(store).away
    assert store.run(lambda its: become_prober(its, "v", 60, 60))


def test_an_order_that_meets_it_alone_has_failed_the_second_time(store: Store) -> None:
    store.add_orders([1])
    [one] = claim(store)
    assert record(store, meet(one, others_succeed=True)) == [(Verdict.PUT_ASIDE, 2.0)]
    assert not state(store).away, "others succeed"
    [one] = come_back(store)
    assert record(store, meet(one, others_succeed=True)) == [(Verdict.RETRY, 5.0)]
    assert store.order(1).attempts == 1
    [one] = come_back(store)
    assert record(store, meet(one, retry_after=30, others_succeed=True)) == [(Verdict.RETRY, 30.0)]
    [one] = come_back(store)
    assert record(store, meet(one, others_succeed=True, last=True)) == [(Verdict.FAIL, 0.0)]
    assert not state(store).away
    assert (store.order(1).status, store.order(1).attempts) == ("Failed", 3)


def test_the_first_sign_of_several_absences_costs_no_attempt_until_it_is_the_only_one(
    store: Store,
) -> None:
    store.add_orders([1])
    decided = []
    for _ in range(5):
        [one] = come_back(store)
        decided += [verdict for verdict, _ in record(store, meet(one))]
        assert state(store).away
        number = 100 + len(decided)
        store.add_orders([number])
        [other] = claim(store)
        record(store, Result(other, Verdict.COMPLETE, microseconds=1, worker="w", probe=True))
        assert not state(store).away
    assert decided == [Verdict.PUT_ASIDE] * 3 + [Verdict.RETRY] * 2
    assert store.order(1).attempts == 2


def test_one_processor_at_a_time_tries(store: Store) -> None:
    store.add_orders([1])
    [one] = claim(store)
    assert not store.run(lambda its: become_prober(its, "a", 60, 60)), "it is not away"
    record(store, meet(one))
    assert store.run(lambda its: become_prober(its, "a", 60, 60))
    assert store.run(lambda its: become_prober(its, "a", 60, 60)), "it goes on"
    assert not store.run(lambda its: become_prober(its, "b", 60, 60))
    store.run(lambda its: leave_probing(its, "b"))
    assert not store.run(lambda its: become_prober(its, "b", 60, 60)), "it was not the other's"
    assert store.run(lambda its: become_prober(its, "b", 0, 60)) is False
    store.run(lambda its: leave_probing(its, "a"))
    assert store.run(lambda its: become_prober(its, "b", -1, 60))
    assert store.run(lambda its: become_prober(its, "a", 60, 60)), "the other's time is over"


def test_resuming_tries_it_at_once(store: Store) -> None:
    store.add_orders([1])
    [one] = claim(store)
    record(store, meet(one, retry_after=3600))
    assert state(store).left_alone
    store.run(lambda its: resume(its, "operator"))
    assert (state(store).away, state(store).left_alone) == (True, False)
