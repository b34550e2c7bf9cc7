"""The passwords of MySQL's accounts, in each form that somebody reads, and their change.

A change is prepared beside what is in use and put in its place as a second step. Between the two
MySQL is told to accept both (`*.next.sql`). Each step can be cut off anywhere, and run again.
"""

from __future__ import annotations

import os
from pathlib import Path

from files import MIGRATE, MYSQL, MYSQL_ID, SERVICE, keep_or_make, say, write
from users import (
    NAMES,
    ROOT,
    change_sql,
    client_cnf,
    database_url,
    discard_sql,
    live_users_sql,
    users_sql,
)

ACCOUNTS = (*NAMES, ROOT)


def make() -> None:
    """Make the passwords that are missing, and what MySQL and its clients read."""
    MYSQL.chmod(0o750)
    os.chown(MYSQL, -1, MYSQL_ID)
    passwords = {name: keep_or_make(_password(name)) for name in ACCOUNTS}
    write(MYSQL / "users.sql", users_sql(passwords))
    write(MYSQL / "users.live.sql", live_users_sql(passwords))
    write(MYSQL / "discard.sql", discard_sql())
    for name, password in passwords.items():
        write(MYSQL / f"{name}.cnf", client_cnf(name, password))
    write(MIGRATE / "database_url", database_url("migrator", passwords["migrator"]))
    write(SERVICE / "database_url", database_url("service", passwords["service"]))


def prepare_change() -> None:
    """Make the accounts' next passwords, and what tells MySQL about them."""
    for name in ACCOUNTS:
        password = keep_or_make(_next(name))
        write(MYSQL / f"{name}.next.cnf", client_cnf(name, password))
        write(MYSQL / f"{name}.next.sql", change_sql(name, password))


def commit_change() -> None:
    """Put the next passwords, which MySQL accepts by now, in the place of the present ones."""
    for name in ACCOUNTS:
        if _next(name).exists():
            _next(name).replace(_password(name))
            say(f"changed {_password(name).name}")
    make()
    for left in MYSQL.glob("*.next.*"):
        left.unlink()


def _password(name: str) -> Path:
    return MYSQL / f"{name}_password"


def _next(name: str) -> Path:
    return MYSQL / f"{name}_password.next"
