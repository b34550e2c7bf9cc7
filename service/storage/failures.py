"""What a failure of the database means. Every part of the service asks here."""

from __future__ import annotations

from sqlalchemy import exc

LOCK_WAIT, DEADLOCK, NO_SUCH_TABLE, DUPLICATE_ENTRY = 1205, 1213, 1146, 1062
# The statement was sent, and no answer came.
LOST_ANSWER = 2013
# The server takes no writes or is about to go: read-only in four ways, offline, a group that the
# server has left, leaves, or has failed in, a shutdown. The service's address may lead to another
# server by now.
# https://dev.mysql.com/doc/mysql-errors/9.7/en/server-error-reference.html
TAKES_NO_WRITES = frozenset({1053, 1290, 1792, 1836, 3032, 3100, 3101, 3782, 3783, 3796, 3799})
# The statement is wrong for this database, or may not be run: the same again fails again. Unknown
# columns, tables that may not be used, values that a column refuses, what a trigger or a CHECK
# refuses, and a binary log that refuses the isolation level.
PERMANENT = frozenset(
    {1048, 1054, 1064, 1142, 1143, 1264, 1364, 1366, 1370, 1406, 1644, 1665, 3819, 4025}
)
PERMANENT_ON_SQLITE = ("no such column", "has no column", "syntax error", "no such function")


class NotConnected(Exception):
    """The database cannot be reached, or does not let the service in; nothing was sent to it."""


class Overloaded(Exception):
    """The database has too much to do, or does not answer; nothing was sent to it."""


class OutcomeUnknown(Exception):
    """The database was asked to store something, and has not said whether it did."""


def error_code(error: BaseException) -> int:
    """Return MySQL's number of the error; 0 where there is none."""
    arguments = getattr(getattr(error, "orig", None), "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else 0


def is_duplicate(error: exc.IntegrityError, key: str, column: str) -> bool:
    """Return whether this unique key was violated: `key` by its name, for MySQL, and `column`
    as `table.column`, for SQLite. Other keys and constraints are no duplicates."""
    if error_code(error):
        text = str(error.orig.args[-1]) if error.orig else ""
        return error_code(error) == DUPLICATE_ENTRY and text.endswith(f"{key}'")
    return str(error.orig) == f"UNIQUE constraint failed: {column}"


def is_conflict(error: BaseException) -> bool:
    """Return whether another transaction's lock was in the way."""
    return isinstance(error, exc.DBAPIError) and error_code(error) in (DEADLOCK, LOCK_WAIT)


def is_permanent(error: BaseException) -> bool:
    """Return whether the database refused the statement itself, so that it will do so again."""
    if not isinstance(error, exc.DBAPIError):
        return False
    if error_code(error):
        return error_code(error) in PERMANENT or isinstance(error, exc.IntegrityError)
    text = str(error.orig)
    return isinstance(error, exc.IntegrityError) or any(
        part in text for part in PERMANENT_ON_SQLITE
    )


def is_missing_table(error: BaseException) -> bool:
    """Return whether the error means that the database was never migrated."""
    if not isinstance(error, exc.DBAPIError):
        return False
    return error_code(error) == NO_SUCH_TABLE or "no such table" in str(error.orig)


def is_unavailable(error: BaseException) -> bool:
    """Return whether the database cannot serve now, and may do so later."""
    if isinstance(error, (NotConnected, Overloaded, OutcomeUnknown)):
        return True
    if is_missing_table(error):
        return True
    if is_permanent(error):
        return False
    # A file that is no SQLite database is a DatabaseError itself, and none of its kinds.
    kinds = (exc.OperationalError, exc.InterfaceError, exc.InternalError)
    return isinstance(error, kinds) or type(error) is exc.DatabaseError


def is_outcome_unknown(error: BaseException) -> bool:
    """Return whether the statement may have been carried out all the same."""
    return isinstance(error, exc.DBAPIError) and error_code(error) == LOST_ANSWER


def takes_no_writes(error: BaseException) -> bool:
    """Return whether the server that answered takes no writes, as a former primary does."""
    if error_code(error):
        return error_code(error) in TAKES_NO_WRITES
    return "readonly database" in str(getattr(error, "orig", ""))


def describe(error: BaseException) -> str:
    """Return the driver's one line on an error, without the statement around it."""
    return str(getattr(error, "orig", None) or error) or type(error).__name__
