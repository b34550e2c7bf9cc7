"""The thread that delivers events, several at once, apart from all that processes orders."""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from concurrent.futures import Future
from contextlib import suppress

from service.processing.clock import DatabaseClock
from service.processing.events.reports import report
from service.processing.events.sender import Sender
from service.processing.handlers.coroutines import EventLoop
from service.storage import deliveries as dao
from service.storage.database import Database
from service.storage.deliveries import Delivery, TakenEvent
from service.storage.event_upkeep import bring_back_from_before_a_jump
from service.storage.failures import describe, is_permanent, is_unavailable
from service.storage.receiver import become_prober, leave_probing
from service.storage.results import Verdict

log = logging.getLogger(__name__)

# An idle deliverer asks this often, in seconds; orders that end in this process wake it at once.
POLL_SECONDS = 1.0
# Seconds until a failed turn is tried again, at first and at last.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
# Events that are looked at in one turn after the clock has jumped.
BATCH = 1000
# Seconds that a stop waits for the connections to be closed.
CLOSE_SECONDS = 1.0


class Deliverer:
    """Takes events that are due, at most `most` at once, and records how their calls ended.

    The calls run on an event loop, so that a slow one holds up no other. All that is shared with
    other processes is in the database: whose an event is, and whether the receiver is away.
    """

    def __init__(
        self, database: Database, sender: Sender, clock: DatabaseClock, *, runner: str, most: int
    ) -> None:
        self._database = database
        self._sender = sender
        self._clock = clock
        self._runner = runner
        self._most = most
        self._loop = EventLoop()
        self._under_way: dict[int, TakenEvent] = {}
        self._ended: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        # Ends that are not recorded yet: the database was away.
        self._unrecorded: list[Delivery] = []
        self._jumps_seen = clock.jumps
        # The last event that was looked at after a jump; None when all were. A start may follow a
        # jump that no process has seen.
        self._followed: int | None = 0
        self._woken = threading.Event()
        self._woken.set()
        self._stop_at: float | None = None
        self.thread = threading.Thread(target=self._run, name="events", daemon=True)

    def wake(self) -> None:
        """Look for new events at once."""
        self._woken.set()

    def stop(self, seconds: float) -> None:
        """Take no more events; let the thread end with the calls, or after so many seconds."""
        self._stop_at = time.monotonic() + seconds
        self._woken.set()

    def _run(self) -> None:
        pause = 0.0
        while not self._is_over():
            self._woken.wait(self._seconds_left(pause or POLL_SECONDS * random.uniform(0.9, 1.1)))  # noqa: S311
            self._woken.clear()
            try:
                self._turn()
                pause = 0.0
            except Exception as error:
                known = is_unavailable(error) or is_permanent(error)
                exc_info = None if known else error
                log.warning("cannot deliver events: %s", describe(error), exc_info=exc_info)
                pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, pause * 2))
        self._end()

    def _is_over(self) -> bool:
        if self._stop_at is None:
            return False
        return not self._under_way or time.monotonic() >= self._stop_at

    def _seconds_left(self, most: float) -> float:
        if self._stop_at is None:
            return most
        return min(most, max(0.0, self._stop_at - time.monotonic()))

    def _turn(self) -> None:
        self._record()
        if self._stop_at is not None or len(self._under_way) >= self._most:
            return
        self._follow_the_clock()
        seen = self._database.statement(dao.look_at_events)
        if not seen.due:
            return
        if not seen.state.away:
            self._take(self._most - len(self._under_way))
        elif not seen.state.left_alone and not self._under_way and self._become_prober():
            self._take_to_probe()

    def _record(self) -> None:
        """Record the ends that have come by now, in one transaction."""
        with suppress(queue.Empty):
            while True:
                self._unrecorded.append(self._ended.get_nowait())
        if not self._unrecorded:
            return
        ends = self._unrecorded
        recorded = self._database.transaction(
            lambda connection: dao.record_deliveries(connection, ends, self._runner)
        )
        report(recorded)
        for one in ends:
            self._under_way.pop(one.event.id, None)
        self._unrecorded = []

    def _take(self, limit: int, *, probe: bool = False) -> bool:
        taken = self._database.transaction(
            lambda connection: dao.take_events(connection, self._runner, limit)
        )
        for event in taken:
            # An event whose lease ended here is taken a second time while its call goes on.
            if event.id not in self._under_way:
                self._under_way[event.id] = event
                self._begin(event, probe=probe)
        return bool(taken)

    def _take_to_probe(self) -> None:
        if not self._take(1, probe=True):
            self._database.statement(
                lambda connection: leave_probing(connection, self._runner, dao.RECEIVER)
            )

    def _begin(self, event: TakenEvent, *, probe: bool) -> None:
        def note(future: Future[Delivery]) -> None:
            failed = future.cancelled() or future.exception() is not None
            end = Delivery(event, Verdict.GIVE_BACK, probe=probe) if failed else future.result()
            self._ended.put(end)
            self._woken.set()

        self._loop.submit(self._sender.send(event, probe=probe)).add_done_callback(note)

    def _become_prober(self) -> bool:
        seconds = dao.LEASE_SECONDS
        return self._database.statement(
            lambda connection: become_prober(
                connection, self._runner, seconds, seconds, dao.RECEIVER
            )
        )

    def _follow_the_clock(self) -> None:
        """Look at the next of the events that may wait since before a jump."""
        if self._clock.jumps != self._jumps_seen:
            self._jumps_seen, self._followed = self._clock.jumps, 0
        after = self._followed
        if after is None:
            return
        self._followed = self._database.transaction(
            lambda connection: bring_back_from_before_a_jump(connection, after, BATCH)
        )
        if self._followed is not None:
            self._woken.set()

    def _end(self) -> None:
        """Give back what this process does not deliver to the end."""
        try:
            self._record()
            # One of them may be a try, which another process may make now.
            left = [
                Delivery(event, Verdict.GIVE_BACK, probe=True) for event in self._under_way.values()
            ]
            if left:
                self._database.transaction(
                    lambda connection: dao.record_deliveries(connection, left, self._runner)
                )
            self._loop.submit(self._sender.close()).result(CLOSE_SECONDS)
        except Exception as error:  # noqa: BLE001 - their leases end by themselves, only later
            log.info("cannot give back events: %s", describe(error))
