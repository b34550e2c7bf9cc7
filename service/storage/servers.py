"""Several servers of one database, of which one takes writes: it is looked for at each connect.

So a failover needs nothing between the service and the database: a connection that breaks, or that
the server refuses a write on, is replaced by one to the server that takes writes by then.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Dialect

from service.database_url import SERVERS

log = logging.getLogger(__name__)

# In seconds, for each of the two steps of a look. A server that is frozen accepts connections, and
# says nothing; a request is promised an answer within ten.
LOOK_TIMEOUT = 1
# A group's member that may not write has both on; so has one that was killed and came back.
_LOOK = "SELECT @@GLOBAL.read_only OR @@GLOBAL.super_read_only"


class Servers:
    """The servers of one engine; the one that took writes last is asked first."""

    def __init__(self) -> None:
        self._former: str | None = None

    def connect(
        self, dialect: Dialect, _record: Any, arguments: Sequence[Any], parameters: dict[str, Any]
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
        problems = []
        for server in sorted(named, key=lambda one: one != self._former):
            host, _, port = server.rpartition(":")
            there = parameters | {"host": host, "port": int(port)}
            try:
                if _takes_writes(dialect, arguments, there):
                    made = dialect.connect(*arguments, **there)
                    self._remember(server)
                    return made
                problems.append(f"{server} is read-only")
            except dialect.loaded_dbapi.Error as error:
                problems.append(f"{server}: {error.args[-1] if error.args else error}")
        # The number is the client library's for a server that cannot be reached.
        raise dialect.loaded_dbapi.OperationalError(
            2003, f"none of the database's servers takes writes: {'; '.join(problems)}"
        )

    def _remember(self, server: str) -> None:
        if server != self._former:
            log.info("the database's server that takes writes is %s", server)
        self._former = server


def _takes_writes(dialect: Dialect, arguments: Sequence[Any], parameters: dict[str, Any]) -> bool:
    # On a connection of its own, since a driver's time-outs cannot be changed afterwards.
    limits = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), LOOK_TIMEOUT)
    look = dialect.connect(*arguments, **(parameters | limits))
    try:
        cursor = look.cursor()
        cursor.execute(_LOOK)
        return cursor.fetchone() == (0,)
    finally:
        look.close()
