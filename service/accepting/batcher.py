"""Group commit: what concurrent requests ask of the database, collected into one statement.

A statement and its commit cost the same few round trips and the same wait for the disk for one row
as for fifty. So while one batch is on its way, the requests that arrive meanwhile collect, and are
sent together when it has ended. Nobody waits for company: a lone request is sent at once, as a
batch of one. Each request waits for its own batch's commit, and gets its own answer.

A batch that hangs (on a lock that somebody holds, say) must not hold up the others. So after
`OVERDUE_SECONDS` the next one is sent beside it, up to `MOST_BATCHES`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

from service.server.handover import Outcome, after_this_turn

Entry = TypeVar("Entry")
Answer = TypeVar("Answer")

# Rows in a statement. More of them gain nothing, and a statement should stay far below the
# database's time-outs and packet size.
LARGEST_BATCH = 100
OVERDUE_SECONDS = 0.1
MOST_BATCHES = 4


class _Ticket(Outcome[Answer], Generic[Entry, Answer]):
    """One caller's entry, and the answer that it waits for."""

    __slots__ = ("entry",)

    def __init__(self, entry: Entry) -> None:
        super().__init__()
        self.entry = entry


class Batcher(Generic[Entry, Answer]):
    """Collects the entries of concurrent callers into batches.

    Args:
        work: is given a batch of at least one entry and returns an answer for each, in their
            order; an exception in place of an answer is raised to that caller. It runs in one of
            the threads.
        threads: where batches are worked on.
        divide: tells for an exception of `work` whether each entry should be tried again as a
            batch of its own, since the others are not to blame; else all callers get it.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Entry]], Sequence[Answer | Exception]],
        threads: Executor,
        divide: Callable[[Exception], bool] = lambda _error: False,
    ) -> None:
        self._work = work
        self._threads = threads
        self._divide = divide
        self._lock = threading.Lock()
        self._waiting: deque[_Ticket[Entry, Answer]] = deque()
        # The batches on their way, by when they were sent.
        self._sent: dict[object, float] = {}
        self._scheduled = False
        self._relieving = False

    def submit(self, entry: Entry) -> Answer:
        """Return the answer for this entry, once its batch has been worked on."""
        ticket: _Ticket[Entry, Answer] = _Ticket(entry)
        with self._lock:
            self._waiting.append(ticket)
            schedule = self._schedule()
        if schedule:
            after_this_turn(self._send_next)
        return ticket.wait()

    def _schedule(self) -> bool:
        """Tell whether somebody has to see to it that the next batch is sent. Needs the lock."""
        due = bool(self._waiting) and not self._scheduled
        self._scheduled |= due
        return due

    def _send_next(self) -> None:
        with self._lock:
            self._scheduled = False
            batch = self._next_batch()
            relieve = bool(self._waiting) and not self._relieving
            self._relieving |= relieve
        if batch:
            self._threads.submit(self._send, batch)
        if relieve:
            self._threads.submit(self._relieve)

    def _next_batch(self) -> list[_Ticket[Entry, Answer]]:
        """Take the batch that may be sent now, or nothing. Needs the lock."""
        now = time.monotonic()
        timely = any(now - sent < OVERDUE_SECONDS for sent in self._sent.values())
        if timely or len(self._sent) >= MOST_BATCHES:
            return []
        size = min(len(self._waiting), LARGEST_BATCH)
        batch = [self._waiting.popleft() for _ in range(size)]
        if batch:
            self._sent[batch[0]] = now
        return batch

    def _send(self, batch: list[_Ticket[Entry, Answer]]) -> None:
        answered = self._answer(batch)
        with self._lock:
            del self._sent[batch[0]]
            schedule = self._schedule()
        if schedule:
            after_this_turn(self._send_next)
        if answered:
            Outcome.settle(batch)
            return
        for ticket in batch:
            self._threads.submit(self._send_alone, ticket)

    def _send_alone(self, ticket: _Ticket[Entry, Answer]) -> None:
        self._answer([ticket])
        Outcome.settle([ticket])

    def _answer(self, batch: list[_Ticket[Entry, Answer]]) -> bool:
        """Give each ticket its answer; False when each has to be tried alone."""
        try:
            answers = self._work([ticket.entry for ticket in batch])
            if len(answers) != len(batch):
                raise ValueError(f"{len(answers)} answers for {len(batch)} entries")  # noqa: TRY301
        except Exception as error:  # noqa: BLE001 - it is raised to the callers
            if len(batch) > 1 and self._divide(error):
                return False
            answers = [error] * len(batch)
        for ticket, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                ticket.raises(answer)
            else:
                ticket.returns(answer)
        return True

    def _relieve(self) -> None:
        # Entries wait behind a batch, and nobody may come any more to see that it hangs.
        while self._relieving:
            time.sleep(OVERDUE_SECONDS)
            with self._lock:
                self._relieving = bool(self._waiting)
            self._send_next()
