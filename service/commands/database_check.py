"""`flask check-database`: whether the service can work with a database that others have set up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import click
from flask.cli import with_appcontext
from sqlalchemy import Connection, exc

from service.commands.output import plain
from service.runtime import runtime
from service.storage.failures import NotConnected, describe, error_code

OLDEST = (8, 0, 13)
# Of a table that nobody has, so nothing is changed: MySQL looks at the account's rights first.
OF_SERVICE = {
    "SELECT": "SELECT 1 FROM order_service_check",
    "INSERT": "INSERT INTO order_service_check VALUES (1)",
    "UPDATE": "UPDATE order_service_check SET id = 1",
    "DELETE": "DELETE FROM order_service_check",
}
OF_MIGRATOR = OF_SERVICE | {
    "CREATE": "CREATE TABLE order_service_check LIKE order_service_check_too",
    "ALTER": "ALTER TABLE order_service_check ADD id BIGINT",
    "INDEX": "CREATE INDEX by_id ON order_service_check (id)",
    "DROP": "DROP TABLE order_service_check",
}
DENIED = {1044, 1142, 1227}
NO_SUCH_TABLE = {1051, 1146}
# What the driver says, and what it means.
REASONS = {
    "CERTIFICATE_VERIFY_FAILED.*mismatch": (
        "its certificate is for other names; expected the one in DATABASE_URL among them"
    ),
    "CERTIFICATE_VERIFY_FAILED.*expired": "its certificate has ended; have it renewed",
    "CERTIFICATE_VERIFY_FAILED": (
        "its certificate is of another authority; expected the certificate of the one that has"
        " issued it (ssl_ca; database_ca in the inventory)"
    ),
    "SSL is required": "it does not offer TLS; expected a server that does",
    "Access denied .* to database": "its account has no right to this database; grant it",
    "Access denied": "it refuses the account or the password; expected those of its account",
    "Unknown database": "it has no such database; create it, with CHARACTER SET utf8mb4",
    "not allowed to connect": "it lets nobody in from this address; see the account's host",
    "Too many connections": "all its connections are in use; raise its max_connections",
    "read-only": "it takes no writes; expected the server that does",
}
UNREACHABLE = "it cannot be reached; check its address, port and firewall, and that it runs"


@click.command("check-database")
@click.option("--migrator", is_flag=True, help="Whether the account may migrate, too.")
@with_appcontext
def check_database(migrator: bool) -> None:
    """Tell whether the database of DATABASE_URL is fit for the service; nothing is changed."""
    database = runtime().database
    if database.on_sqlite:
        raise click.ClickException("DATABASE_URL names no MySQL")
    try:
        with database.connect() as connection:
            problems = list(_problems(connection, OF_MIGRATOR if migrator else OF_SERVICE))
            version = variables(connection)["version"]
    except (NotConnected, exc.SQLAlchemyError, OSError) as error:
        raise click.ClickException(f"the database cannot be used: {explain(error)}") from None
    if problems:
        raise click.ClickException(f"the database cannot be used: {'; '.join(problems)}")
    click.echo(f"MySQL {plain(version)} can be used")


def explain(error: BaseException) -> str:
    """Return what the failure of a connection means, with the driver's own words."""
    said = describe(error)
    meant = (meaning for form, meaning in REASONS.items() if re.search(form, said, re.IGNORECASE))
    return f"{next(meant, UNREACHABLE)} ({plain(said)})"


def _problems(connection: Connection, statements: dict[str, str]) -> Iterator[str]:
    """Find what is wrong; the account's rights only where the server is right."""
    server = variables(connection)
    wrong = [problem for check in _CHECKS if (problem := check(server))]
    yield from wrong
    if wrong:
        return
    missing = [name for name, statement in statements.items() if _denies(connection, statement)]
    if missing:
        yield (
            f"its account lacks {', '.join(missing)}; GRANT {', '.join(statements)} ON the database"
        )


def variables(connection: Connection) -> dict[str, str]:
    """Return the server's settings, as far as it knows them."""
    return {row[0]: row[1] for row in connection.exec_driver_sql("SHOW GLOBAL VARIABLES")}


def _too_old(variables: dict[str, str]) -> str:
    version = variables["version"]
    numbers = tuple(map(int, re.findall(r"\d+", version)[:3]))
    if numbers >= OLDEST and "mariadb" not in version.lower():
        return ""
    return f"it is {plain(version)}; expected MySQL {'.'.join(map(str, OLDEST))} or later"


def _reads_only(variables: dict[str, str]) -> str:
    on = [
        name
        for name in ("read_only", "super_read_only", "innodb_read_only")
        if variables.get(name, "OFF") not in ("OFF", "0")
    ]
    return f"it takes no writes ({on[0]} is on); expected the server that does" if on else ""


def _logs_statements(variables: dict[str, str]) -> str:
    # Such a binary log refuses writes at the isolation level that the service works at.
    if not _has_binary_log(variables) or variables.get("binlog_format", "ROW") != "STATEMENT":
        return ""
    return "its binlog_format is STATEMENT; expected ROW"


def _may_forget(variables: dict[str, str]) -> str:
    """What was answered with 201 has to be there after a crash."""
    names = ["innodb_flush_log_at_trx_commit"]
    names += ["sync_binlog"] if _has_binary_log(variables) else []
    wrong = [name for name in names if variables.get(name, "1") != "1"]
    return f"its {wrong[0]} is {variables[wrong[0]]}; expected 1" if wrong else ""


def _has_binary_log(variables: dict[str, str]) -> bool:
    return variables.get("log_bin") == "ON"


_CHECKS: tuple[Callable[[dict[str, str]], str], ...] = (
    _too_old,
    _reads_only,
    _logs_statements,
    _may_forget,
)


def _denies(connection: Connection, statement: str) -> bool:
    try:
        connection.exec_driver_sql(statement)
    except exc.DBAPIError as error:
        if error_code(error) in DENIED:
            return True
        if error_code(error) not in NO_SUCH_TABLE:
            raise
    return False
