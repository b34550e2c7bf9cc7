"""Who calls the API, what a caller may do, and the table of clients that each process holds."""

from __future__ import annotations

import hmac
import logging
import math
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from service.config import Settings
from service.storage.clients import Credentials, Scope, hash_secret, read_credentials
from service.storage.database import Database
from service.storage.failures import describe, is_permanent, is_unavailable

log = logging.getLogger(__name__)

# What an operator may do without being given these scopes as well.
IMPLIED = frozenset({Scope.ORDERS_READ, Scope.METRICS_READ})
ALL_SCOPES = frozenset(Scope)
# Seconds between two reads of the table, which is how long a revocation may take.
REFRESH_SECONDS = 5.0
# For credentials that are not right the table is read at once, but not more often than this. Who
# brings some during a read waits for it, so long at most.
EARLIEST_SECONDS, PATIENCE = 1.0, 0.5
# Spellings of right credentials that are remembered.
MOST_REMEMBERED = 1000
# What secrets of unknown names are compared with.
_NOBODY = (secrets.token_bytes(32),)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request, by name, and the scopes that it was given."""

    name: str
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Return whether the caller has the scope, or `operate` in its place where that will do."""
        return scope in self.scopes or (scope in IMPLIED and Scope.OPERATE in self.scopes)


@dataclass(frozen=True, slots=True)
class _Table:
    """What is known at one time. It is replaced as a whole, and with it what was remembered."""

    credentials: tuple[Credentials, ...]
    by_name: dict[str, Credentials] = field(default_factory=dict)
    remembered: dict[str, Caller] = field(default_factory=dict)

    @classmethod
    def of(cls, credentials: Iterable[Credentials]) -> _Table:
        listed = tuple(credentials)
        return cls(listed, {one.name: one for one in listed})

    def find(self, name: str, secret: str) -> Caller | None:
        """Compare in constant time, also for an unknown name."""
        found = self.by_name.get(name)
        hashes = found.hashes if found else _NOBODY
        given = hash_secret(secret)
        # Twice in any case: the one before may be right as well.
        right = hmac.compare_digest(given, hashes[0]) | hmac.compare_digest(given, hashes[-1])
        return Caller(found.name, found.scopes) if found and right else None


class Clients:
    """The clients that may call, read from the database every few seconds and not for a request.

    `AUTH_USERNAME` is one of them, whatever the table says. While the database is away the last
    table stays.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        passwords = [settings.auth_password]
        if settings.auth_password_previous is not None:
            passwords.append(settings.auth_password_previous)
        hashes = tuple(map(hash_secret, passwords))
        self._owner = Credentials(settings.auth_username, ALL_SCOPES, hashes)
        self._table = _Table.of([self._owner])
        self._reading = threading.Lock()
        # When the last read began and ended, and the last early one, by `time.monotonic`.
        self._began_at = self._ended_at = self._early_at = -math.inf
        self._failing = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Keep the table fresh from now on, by a thread; never before a fork."""
        self._thread = threading.Thread(target=self._run, name="clients", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Leave the table as it is, without waiting for a read that is under way."""
        self._stopping.set()

    def remembered(self, header: str) -> Caller | None:
        """Return whose `Authorization` header this is, if it was right before with this table."""
        return self._table.remembered.get(header)

    def find(self, name: str, secret: str, header: str) -> Caller | None:
        """Return whose credentials these are, or None; `header` is remembered as theirs.

        A new client or secret is known at once, since what is not right has the table read.
        """
        table = self._table
        found = table.find(name, secret)
        if found is None and self._read_early():
            table = self._table
            found = table.find(name, secret)
        if found is not None and len(table.remembered) < MOST_REMEMBERED:
            table.remembered[header] = found
        return found

    def refresh(self) -> None:
        """Read the table."""
        with self._reading:
            self._read()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.refresh()
            self._stopping.wait(REFRESH_SECONDS)

    def _read_early(self) -> bool:
        asked = time.monotonic()
        # A regular read may have been just before a client was made, and does not count.
        last, rest = self._early_at, EARLIEST_SECONDS
        if self._failing:
            last, rest = self._ended_at, REFRESH_SECONDS
        if asked - last < rest:
            return False
        if not self._reading.acquire(timeout=PATIENCE):
            return False
        try:
            if self._began_at < asked:
                self._read()
                self._early_at = self._ended_at
        finally:
            self._reading.release()
        return True

    def _read(self) -> None:
        self._began_at = time.monotonic()
        try:
            stored = self._database.statement(read_credentials)
        except Exception as error:
            if not self._failing:
                known = is_unavailable(error) or is_permanent(error)
                log.warning(
                    "cannot read the clients, the last ones stay: %s",
                    describe(error),
                    exc_info=None if known else error,
                )
            self._failing = True
        else:
            others = (one for one in stored if one.name != self._owner.name)
            table = _Table.of([self._owner, *others])
            if table.credentials != self._table.credentials:
                self._table = table
            self._failing = False
        self._ended_at = time.monotonic()
