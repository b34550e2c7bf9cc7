"""What the processors do beside processing, each duty by whichever process is there."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from service.config import Settings
from service.processing.clock import DatabaseClock
from service.storage import (
    event_upkeep,
    idempotency_keys,
    operations,
    processors,
    samples,
    waiting,
)
from service.storage.database import Database
from service.storage.failures import describe, is_permanent, is_unavailable
from service.storage.look import Look
from service.storage.processors import Presence

log = logging.getLogger(__name__)

# Orders or keys that are changed in one transaction: others wait for its commit.
BATCH = 100
# Seconds between two times that old keys are looked for, and that it shows that it lives.
KEY_SECONDS, PRESENCE_SECONDS = 10.0, 10.0
# The same for events that were delivered long ago.
EVENT_SECONDS = 60.0
# Seconds to the next sample where the database does not say when a minute begins, and for which a
# process lets others be first.
SAMPLE_SECONDS, SAMPLE_JITTER = 60.0, 1.0
# Between two batches it rests for as long as one took, so that others get their turn.
REST = 1.0
# Seconds for which a process keeps an operation to itself; a batch takes a fraction of one.
RUNNER_SECONDS = 10.0


@dataclass
class Duty:
    """Something to do: `work` returns whether there is more to do at once.

    It is done each `every` seconds, or when somebody has set `next_at`, by `time.monotonic`.
    """

    name: str
    work: Callable[[], bool]
    every: float = math.inf
    next_at: float = 0.0


class Housekeeper:
    """A thread with a few duties, each of which does a little at a time.

    Args:
        on_due: called when orders became claimable.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        clock: DatabaseClock,
        *,
        owner: str,
        slot: int,
        on_due: Callable[[], None],
    ) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._owner = owner
        self._slot = slot
        self._on_due = on_due
        self._stopping = False
        self._changed = threading.Condition()
        # A start may follow a jump of the clock that no process has seen.
        self._jumps_seen = -1
        self._due = Duty("make orders claimable that are due", self._promote_due)
        self._operation = Duty("run an operation", self._run_operation)
        self._sample = Duty("take a sample of the figures", self._take_sample, SAMPLE_SECONDS)
        self._duties: tuple[Duty, ...] = (
            Duty("show that it lives", self._show_presence, PRESENCE_SECONDS),
            self._due,
            self._operation,
            Duty("forget old idempotency keys", self._forget_keys, KEY_SECONDS),
            self._sample,
        )
        if settings.events_url is not None:
            self._duties += (Duty("forget old events", self._forget_events, EVENT_SECONDS),)
        self.thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)

    def stop(self) -> None:
        """Let the thread end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def notice(self, seen: Look) -> None:
        """Do what a look has shown to be due."""
        if seen.due or self._clock.jumps != self._jumps_seen:
            self._call(self._due, 0.0)
        if seen.operations:
            self._call(self._operation, 0.0)

    def expect_due(self, seconds: float) -> None:
        """Look after so many seconds for what is due then."""
        self._call(self._due, seconds)

    def _call(self, duty: Duty, seconds: float) -> None:
        with self._changed:
            duty.next_at = min(duty.next_at, time.monotonic() + seconds)
            self._changed.notify()

    def _run(self) -> None:
        while self._await_turn():
            for duty in self._duties:
                if duty.next_at <= time.monotonic() and not self._stopping:
                    self._do(duty)
        self._try_quietly(lambda: self._database.statement(self._note_end))

    def _await_turn(self) -> bool:
        with self._changed:
            while not self._stopping:
                seconds = min(duty.next_at for duty in self._duties) - time.monotonic()
                if seconds <= 0:
                    return True
                self._changed.wait(seconds)
            return False

    def _do(self, duty: Duty) -> None:
        began = time.monotonic()
        duty.next_at = began + duty.every
        try:
            more = duty.work()
        except Exception as error:
            known = is_unavailable(error) or is_permanent(error)
            log.warning(
                "cannot %s: %s", duty.name, describe(error), exc_info=None if known else error
            )
            more = False
        if more:
            self._call(duty, REST * (time.monotonic() - began))

    def _show_presence(self) -> bool:
        presence = Presence(
            self._owner,
            self._settings.processor_threads,
            self._settings.processor_lease_seconds,
            self._settings.release,
        )
        self._database.statement(lambda connection: processors.note_presence(connection, presence))
        self._clock.note_longest_lease(self._database.statement(processors.longest_lease))
        return False

    def _note_end(self, connection: Connection) -> None:
        processors.note_end(connection, self._owner)

    def _promote_due(self) -> bool:
        find = waiting.find_due
        jumps = self._clock.jumps
        if jumps != self._jumps_seen:
            find = waiting.find_from_before_a_jump
        found = self._database.statement(lambda connection: find(connection, BATCH))
        if found:
            self._database.transaction(
                lambda connection: waiting.come_back(connection, found, self._slot)
            )
            self._on_due()
        if find is waiting.find_from_before_a_jump and len(found) < BATCH:
            self._jumps_seen = jumps
            return True
        return len(found) == BATCH

    def _run_operation(self) -> bool:
        number = self._database.statement(
            lambda connection: operations.find_work(connection, self._owner, RUNNER_SECONDS)
        )
        if number is None:
            return False
        try:
            more = self._database.transaction(
                lambda connection: operations.run_batch(
                    connection,
                    number,
                    runner=self._owner,
                    seconds=RUNNER_SECONDS,
                    slot=self._slot,
                )
            )
        except Exception as error:
            if is_unavailable(error):
                raise
            text = describe(error)
            self._database.statement(
                lambda connection: operations.fail_operation(connection, number, text)
            )
            raise
        self._on_due()
        return more

    def _forget_keys(self) -> bool:
        days = self._settings.idempotency_key_days
        found = self._database.statement(
            lambda connection: idempotency_keys.find_old_keys(connection, days, BATCH)
        )
        if found:
            self._database.statement(
                lambda connection: idempotency_keys.delete_keys(connection, found)
            )
        return len(found) == BATCH

    def _forget_events(self) -> bool:
        found = self._database.statement(
            lambda connection: event_upkeep.find_forgotten(connection, BATCH)
        )
        if found:
            self._database.statement(
                lambda connection: event_upkeep.delete_delivered(connection, found)
            )
        return len(found) == BATCH

    def _take_sample(self) -> bool:
        due, seconds = self._database.statement(samples.is_due)
        self._call(self._sample, seconds + random.uniform(0, SAMPLE_JITTER))  # noqa: S311
        if due:
            self._database.transaction(samples.take_sample)
        return False

    @staticmethod
    def _try_quietly(work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - it is forgotten by itself, only later
            log.info("cannot say that this processor ends: %s", describe(error))
