"""Group commit: what concurrent callers ask of the database, collected into one statement.

A statement and its commit cost the same few round trips and the same wait for the disk for one row
as for fifty. So the first caller that finds no batch on its way takes what waits, at first only its
own entry, and sends it in its own thread. Those that come meanwhile wait, and one of them sends the
next batch. Nobody waits for company, and there are no other threads.

A batch that hangs (on a lock that somebody holds, say) must not hold up the others. So when it is
overdue the next one is sent beside it, up to `MOST_BATCHES`.

A ring of a caller's bell says only "look again", and every caller looks again by itself each
`LOOK_SECONDS`: no lost ring, and no thread that dies, holds up anyone for longer than that.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from service.storage.failures import OutcomeUnknown, Overloaded, is_unavailable

Entry = TypeVar("Entry")
Answer = TypeVar("Answer")

# Rows in a statement. More of them gain nothing, and a statement should stay far below the
# database's time-outs and packet size.
LARGEST_BATCH = 100
MOST_BATCHES = 4
# In seconds, as all that follow: when a batch on its way is overdue.
OVERDUE_SECONDS = 0.1
LOOK_SECONDS = 0.1
# How long an entry waits to be sent, and how long its caller waits in all.
QUEUE_TIMEOUT = 1.5
ANSWER_TIMEOUT = 9.0


class _Ticket(Generic[Entry, Answer]):
    """One caller's entry, and what became of it."""

    __slots__ = ("_bell", "alone", "answer", "entry", "queued", "settled")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.queued = True
        self.settled = False
        self.alone = False
        self.answer: Answer | Exception | None = None
        self._bell = threading.Lock()
        self._bell.acquire()

    def ring(self) -> None:
        """Have its caller look again; more rings than one are one."""
        with suppress(RuntimeError):
            self._bell.release()

    def wait(self, seconds: float) -> None:
        """Wait for a ring."""
        self._bell.acquire(timeout=seconds)


_Batch = list[_Ticket[Entry, Answer]]


class Batcher(Generic[Entry, Answer]):
    """Collects the entries of concurrent callers into batches.

    Args:
        work: is given a batch of at least one entry and returns an answer for each, in their
            order; an exception in place of an answer is raised to that caller.
        divide: returns for an exception of `work` whether each caller should try its entry again
            as a batch of its own, since the others are not to blame; else all callers get it.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Entry]], Sequence[Answer | Exception]],
        divide: Callable[[Exception], bool] = lambda _error: False,
    ) -> None:
        self._work = work
        self._divide = divide
        self._lock = threading.Lock()
        self._waiting: deque[_Ticket[Entry, Answer]] = deque()
        # When each batch on its way was sent, and since when none of them has been answered.
        self._sent: list[float] = []
        self._silent_since = 0.0

    @property
    def waiting(self) -> int:
        """How many entries wait to be sent."""
        return len(self._waiting)

    def silent_for(self) -> float:
        """Return for how many seconds nothing that was sent has been answered; 0 when nothing is
        on its way."""
        with self._lock:
            return time.monotonic() - self._silent_since if self._sent else 0.0

    def submit(self, entry: Entry) -> Answer:
        """Return the answer for this entry, once its batch has been worked on.

        Raises:
            Overloaded: it was not sent in time, and will not be.
            OutcomeUnknown: it was sent, and no answer came in time.
        """
        ticket: _Ticket[Entry, Answer] = _Ticket(entry)
        began = time.monotonic()
        with self._lock:
            self._waiting.append(ticket)
        while not ticket.settled:
            waited = time.monotonic() - began
            if waited < QUEUE_TIMEOUT and (led := self._take(ticket)):
                self._send(*led)
            elif self._may_wait(ticket, waited):
                ticket.wait(LOOK_SECONDS)
            else:
                break
        return self._outcome(ticket)

    def _take(self, ticket: _Ticket[Entry, Answer]) -> tuple[float, _Batch[Entry, Answer]] | None:
        """Return the batch that this caller sends now, and its beginning; None if it leads none.

        It is of the oldest entries; the caller's own may have to wait on.
        """
        with self._lock:
            now = time.monotonic()
            timely = any(now - sent < OVERDUE_SECONDS for sent in self._sent)
            if not ticket.queued or timely or len(self._sent) >= MOST_BATCHES:
                return None
            if not self._sent:
                self._silent_since = now
            self._sent.append(now)
            size = min(len(self._waiting), LARGEST_BATCH)
            batch = [self._waiting.popleft() for _ in range(size)]
            for one in batch:
                one.queued = False
            return now, batch

    def _send(self, sent: float, batch: _Batch[Entry, Answer]) -> None:
        alone = False
        # Whatever ends this thread, nobody is left waiting.
        answers: Sequence[Answer | Exception] = [OutcomeUnknown("broken off")] * len(batch)
        try:
            found = self._work([ticket.entry for ticket in batch])
            if len(found) != len(batch):
                raise ValueError(f"{len(found)} answers for {len(batch)} entries")  # noqa: TRY301
            answers = found
        except Exception as error:  # noqa: BLE001 - it is raised to the callers
            answers = [error] * len(batch)
            alone = len(batch) > 1 and self._divide(error)
        finally:
            self._settle(sent, batch, answers, alone)

    def _settle(
        self,
        sent: float,
        batch: _Batch[Entry, Answer],
        answers: Sequence[Answer | Exception],
        alone: bool,
    ) -> None:
        with self._lock:
            self._sent.remove(sent)
            if not any(isinstance(one, Exception) and is_unavailable(one) for one in answers):
                self._silent_since = time.monotonic()
            following = self._waiting[0] if self._waiting else None
        if following:
            # The next batch begins while the answers of this one go out.
            following.ring()
        for ticket, answer in zip(batch, answers, strict=True):
            ticket.answer, ticket.alone = answer, alone
            ticket.settled = True
            ticket.ring()

    def _may_wait(self, ticket: _Ticket[Entry, Answer], waited: float) -> bool:
        """Return whether its caller may wait on; an entry that may not is withdrawn."""
        if waited < QUEUE_TIMEOUT:
            return True
        with self._lock:
            if not ticket.queued:
                return waited < ANSWER_TIMEOUT
            self._waiting.remove(ticket)
            following = self._waiting[0] if self._waiting else None
        if following:
            # A ring may have been meant for the first in the queue, which this one was.
            following.ring()
        return False

    def _outcome(self, ticket: _Ticket[Entry, Answer]) -> Answer:
        if not ticket.settled:
            if ticket.queued:
                raise Overloaded("it waited too long to be sent")
            raise OutcomeUnknown("no answer came in time")
        answer = ticket.answer
        if ticket.alone:
            answer = self._work([ticket.entry])[0]
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[return-value] # settled, so it is there
