"""Several servers of one database, of which one takes writes: it is looked for at each connect.

So a failover needs nothing between the service and the database: a connection that breaks, or whose
server takes no writes any more, is replaced by one to the server that does by then.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import exc
from sqlalchemy.engine import Dialect

from service.database_url import SERVERS

log = logging.getLogger(__name__)

# In seconds, for each of the two steps of a look. A server that is frozen accepts connections, and
# says nothing; a request is promised an answer within ten.
LOOK_TIMEOUT = 1
# A connection is asked again when the last answer is this old, in seconds.
FRESH_SECONDS = 2.0
# A group's member that may not write has both on; so has one that was killed and came back.
_LOOK = "SELECT @@GLOBAL.read_only OR @@GLOBAL.super_read_only"
_SERVER, _ASKED = "order_service.server", "order_service.asked"


class Servers:
    """The servers of one engine; the one that took writes last is asked first, and one that has
    failed last: a server that is cut off from the others says that it takes writes for a while.

    One thread looks at a time, and those that wait for it take what it has found. So a server that
    is frozen costs all of them one wait.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked = 0.0
        self._problem = ""
        self._found: str | None = None
        self._former: str | None = None
        self._failed: str | None = None

    def connect(
        self, dialect: Dialect, record: Any, arguments: Sequence[Any], parameters: dict[str, Any]
    ) -> Any:
        """Connect to the server that takes writes; SQLAlchemy's event `do_connect`.

        Returns:
            The connection, or None where there is one server only, and no choice.

        Raises:
            OperationalError: the driver's; no server takes writes, and the text says why of each.
        """
        named = parameters.pop(SERVERS, None)
        if named is None:
            return None

        def make(server: str, **limits: float) -> Any:
            host, _, port = server.rpartition(":")
            there = {"host": host, "port": int(port)}
            return dialect.connect(*arguments, **(parameters | there | limits))

        asked = time.monotonic()
        with self._lock:
            if self._looked < asked:
                self._look(named, make, dialect.loaded_dbapi.Error)
            found, problem = self._found, self._problem
        if found is None:
            # The number is the client library's for a server that cannot be reached.
            raise dialect.loaded_dbapi.OperationalError(
                2003, f"none of the database's servers takes writes: {problem}"
            )
        record.info[_SERVER] = found
        return make(found)

    def check(self, connection: Any, record: Any, _proxy: Any) -> None:
        """Ask now and then whether the connection leads to a server that still takes writes;
        SQLAlchemy's event `checkout`. Else what only reads would stay with a former one.

        Raises:
            InvalidatePoolError: it does not, and all connections of the pool lead there.
        """
        now = time.monotonic()
        if now - record.info.setdefault(_ASKED, now) < FRESH_SECONDS:
            return
        try:
            if _takes_writes(connection):
                record.info[_ASKED] = now
                return
        except connection.Error:
            log.info("a connection to the database is lost")
        self.leave(record.info)
        raise exc.InvalidatePoolError

    def leave(self, info: dict[Any, Any]) -> None:
        """Look at the others first: the connection with this `info` has failed."""
        self._failed = info.get(_SERVER)

    def _look(
        self, named: Sequence[str], make: Callable[..., Any], error_of_driver: type[Exception]
    ) -> None:
        problems = []
        self._found = None
        for server in sorted(named, key=self._rank):
            try:
                if _looks_writable(make, server):
                    self._found = server
                    break
                problems.append(f"{server} is read-only")
            except error_of_driver as error:
                problems.append(f"{server}: {error.args[-1] if error.args else error}")
        self._problem = "; ".join(problems)
        if self._found is not None:
            self._failed = None
            if self._found != self._former:
                log.info("the database's server that takes writes is %s", self._found)
            self._former = self._found
        self._looked = time.monotonic()

    def _rank(self, server: str) -> int:
        if server == self._failed:
            return 2
        return 0 if server == self._former else 1


def _looks_writable(make: Callable[..., Any], server: str) -> bool:
    # On a connection of its own, since a driver's time-outs cannot be changed afterwards.
    limits = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), LOOK_TIMEOUT)
    look = make(server, **limits)
    try:
        return _takes_writes(look)
    finally:
        look.close()


def _takes_writes(connection: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_LOOK)
        return bool(cursor.fetchone() == (0,))
