"""What clients get from a release: counted from nginx's log while that is written."""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import DEVNULL, PIPE, Popen
from typing import IO, cast

from order_service.host import CommandError, now
from order_service.release import maintenance
from order_service.release.nginx import CONTAINER

UNEXPECTED = 500
# What Docker may be ahead of us, some 3,000 lines; it waits then.
PIPE_BYTES = 2**20
CHUNK_BYTES = 2**16
END_SECONDS = 10
# A pass reads what there is, but no longer than this: more can come all the time.
PASS_SECONDS = 1


class Answers:
    """The answers that come from one address, or from nobody; those of others are left out."""

    def __init__(self, log: int, address: str) -> None:
        self._log, self._address = log, address
        self._begun = b""
        self._closed = self._was_closed = maintenance.is_on()
        self.all = self.bad = 0

    def read(self) -> None:
        """Count what has been written since the last time.

        Raises:
            CommandError: nothing more will come, since nginx or Docker has stopped.
        """
        deadline = time.monotonic() + PASS_SECONDS
        # What comes now may have been said before the service was opened.
        self._was_closed, self._closed = self._closed, maintenance.is_on()
        while select.select([self._log], [], [], 0)[0] and time.monotonic() < deadline:
            chunk = os.read(self._log, CHUNK_BYTES)
            if not chunk:
                raise CommandError("nginx's log has ended: nginx or Docker stopped meanwhile")
            *lines, begun = (self._begun + chunk).split(b"\n")
            # Of a line without an end, only so much that it is no JSON.
            self._begun = begun[:CHUNK_BYTES]
            for line in lines:
                self._count(line)

    def _count(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            upstream, status = str(entry["upstream"]), int(entry["status"])
        except (ValueError, KeyError, TypeError):
            return
        bad = status >= UNEXPECTED
        closed = self._was_closed or self._closed or maintenance.is_on()
        from_nobody = bad and not upstream.strip("-") and not closed
        if self._address in upstream or from_nobody:
            self.all += 1
            self.bad += bad


@contextmanager
def followed(address: str) -> Iterator[Answers]:
    """Count the answers of what serves at the address, from this moment until the block ends."""
    command = ["docker", "logs", "--follow", "--since", now(), CONTAINER]
    with Popen(command, stdout=PIPE, stderr=DEVNULL, pipesize=PIPE_BYTES) as process:  # noqa: S603
        log = cast("IO[bytes]", process.stdout)
        try:
            yield Answers(log.fileno(), address)
        finally:
            process.kill()
            process.wait(END_SECONDS)
