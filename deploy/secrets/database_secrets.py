"""The passwords of MySQL's accounts, in each form that somebody reads, and their change.

A change is prepared beside what is in use and put in its place as a second step. Between the two
MySQL is told to accept both (`*.next.sql`). Each step can be cut off anywhere, and run again.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from files import MIGRATE, MYSQL, MYSQL_ID, SERVICE, keep_or_make, own, read, say, write
from users import (
    CA,
    GROUPED,
    NAMES,
    ROOT,
    change_sql,
    client_cnf,
    database_url,
    discard_sql,
    live_users_sql,
    recovery_sql,
    users_sql,
)

ACCOUNTS = (*NAMES, ROOT)
# What the host is there for; where MySQL is no part of it, it is somebody else's.
PARTS = os.environ.get("PARTS", "")
EXTERNAL = bool(PARTS) and "database" not in PARTS.split(",")


def make() -> None:
    """Make the passwords that are missing, and what MySQL and its clients read."""
    MYSQL.chmod(0o750)
    os.chown(MYSQL, -1, MYSQL_ID)
    passwords = {name: keep_or_make(_password(name)) for name in ACCOUNTS}
    write(MYSQL / "users.sql", users_sql(passwords))
    write(MYSQL / "users.live.sql", live_users_sql(passwords))
    write(MYSQL / "discard.sql", discard_sql())
    if GROUPED:
        write(MYSQL / "recovery.sql", recovery_sql(passwords))
    for name, password in passwords.items():
        write(MYSQL / f"{name}.cnf", client_cnf(name, password))
    _take_ca()
    write(MIGRATE / "database_url", database_url("migrator", passwords["migrator"]))
    write(SERVICE / "database_url", database_url("service", passwords["service"]))


def take_external() -> None:
    """Take the URLs of a database that somebody else runs, and have its certificate verified.

    What was taken before stays where nothing is brought.
    """
    _take_ca()
    brought = own("database_url")
    urls = {SERVICE: brought, MIGRATE: own("database_migrator_url") or brought}
    for folder, url in urls.items():
        if url:
            write(folder / "database_url", url)
        elif not read(folder / "database_url"):
            sys.exit(
                "secrets: there is no MySQL on this host, and DATABASE_URL_FILE names no other;"
                " expected database_url in the inventory"
            )


def _take_ca() -> None:
    """Have the authority that clients verify MySQL with, where it is not in their own network."""
    if brought := own("database_ca"):
        for folder in (MIGRATE, SERVICE):
            write(folder / Path(CA).name, brought + "\n")


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
