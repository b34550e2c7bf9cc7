"""One sample a minute, by whichever processor is first, and none for ever."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, insert, select, update

from service.storage import samples
from service.storage.models import Sample
from tests.support.inspection import Store
from tests.support.states import fill


def sample(minute: int, completed: int = 0) -> dict[str, Any]:
    names = ("pending", "processing", "failed", "cancelled", "waiting", "oldest_due_seconds")
    return {"minute": minute, "completed": completed} | dict.fromkeys(names, 0)


def this_minute(store: Store) -> int:
    store.run(samples.take_sample)
    taken = store.run(lambda its: its.execute(select(Sample.minute)).scalars().all())
    return max(taken)


def test_a_sample_has_the_figures_of_its_minute(store: Store) -> None:
    fill(store, pending=4, processing=3, completed=2, failed=1)
    due, seconds = store.run(samples.is_due)
    assert due
    assert 0 < seconds <= 60
    store.run(samples.take_sample)
    [taken] = store.run(lambda its: samples.list_samples(its, minutes=60))
    assert taken.minute == taken.now
    counts = (taken.pending, taken.processing, taken.completed, taken.failed, taken.waiting)
    assert counts == (4, 3, 2, 1, 0)
    assert taken.oldest_due_seconds > 0


def test_the_first_one_of_a_minute_counts(store: Store) -> None:
    minute = this_minute(store)
    changed = update(Sample).where(Sample.minute == minute).values(completed=77)
    store.run(lambda its: its.execute(changed))
    store.run(samples.take_sample)
    # Another minute may have begun meanwhile.
    first = store.run(lambda its: samples.list_samples(its, minutes=60))[0]
    assert (first.minute, first.completed) == (minute, 77)
    store.run(lambda its: its.execute(delete(Sample)))
    assert store.run(samples.is_due)[0]


def test_old_samples_are_forgotten(store: Store) -> None:
    minute = this_minute(store)
    old = [sample(minute - samples.KEPT_MINUTES + ago) for ago in (-2, -1, 2)]
    store.run(lambda its: its.execute(insert(Sample), old))
    store.run(samples.take_sample)
    left = store.run(lambda its: its.execute(select(Sample.minute)).scalars().all())
    assert set(left) - {minute, minute + 1} == {minute - samples.KEPT_MINUTES + 2}


def test_a_list_has_the_first_of_each_step(store: Store) -> None:
    minute = this_minute(store)
    stored = [sample(minute - ago, completed=ago) for ago in range(1, 90)]
    store.run(lambda its: its.execute(insert(Sample), stored))
    each = store.run(lambda its: samples.list_samples(its, minutes=30))
    assert [one.minute for one in each] == sorted(one.minute for one in each)
    assert 29 <= len(each) <= 30
    steps = store.run(lambda its: samples.list_samples(its, minutes=60, step=15))
    assert 4 <= len(steps) <= 5
    assert all(one.minute % 15 == 0 for one in steps[1:])
