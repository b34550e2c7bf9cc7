"""MySQL's accounts: who may log in, and the change of all passwords.

The passwords stay in the files that MySQL's container mounts: MySQL's own client reads them there,
so none passes through here. A change gives each account a second password (MySQL's "dual
passwords"), lets everyone change over, and ends the first one.

Of several servers that are a group one takes writes, and the others have the accounts from it.
Which one it is may change at any time.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Collection

from order_service.dotenv import database_servers
from order_service.host import CommandError, try_run

CONTAINER = "order-service-mysql-1"
ACCOUNTS = ("migrator", "service", "backup", "root")
OF_A_GROUP = ("replication", "admin")
START_SECONDS = 60
# Until the others of a group have what one of them was told.
FOLLOW_SECONDS = 15
# What MySQL's client says where the password is not, or not yet, the account's.
ACCESS_DENIED = "ERROR 1045"
# One command for all of them: each takes a while to begin.
_LOG_IN = """for account; do
  said=$(mysql --defaults-extra-file="/run/secrets/$account.cnf" --execute="DO 1" 2>&1) ||
    echo "$account $(printf "%s" "$said" | tr "\\n" " ")"
done"""
# Here, or on another host whose name is given.
_RUN = """cd /run/secrets && account=$1 host=$2 && shift 2 && statements=$(cat "$@") &&
  printf "%s\\n" "$statements" |
  mysql --defaults-extra-file="$account.cnf" ${host:+"--host=$host"}"""
_ASK_ROOT = 'mysql --defaults-extra-file=/run/secrets/root.cnf --skip-column-names --execute="$1"'
_OTHER_WRITER = (
    "SELECT MEMBER_HOST FROM performance_schema.replication_group_members"
    " WHERE MEMBER_ROLE = 'PRIMARY' AND MEMBER_ID <> @@server_uuid"
)
# Answered only once this member has all that the group had before.
_CAUGHT_UP = "SET SESSION group_replication_consistency = 'BEFORE'; SELECT COUNT(*) FROM mysql.user"


def names() -> tuple[str, ...]:
    """Return the accounts that this host's MySQL has."""
    return (*ACCOUNTS, *OF_A_GROUP) if _is_grouped() else ACCOUNTS


def is_running() -> bool:
    """Return whether MySQL's container runs."""
    state = try_run(["docker", "inspect", "--format", "{{.State.Running}}", CONTAINER])
    return state.stdout.strip() == "true"


def wait() -> None:
    """Wait until the server answers, which takes a moment after its start.

    Raises:
        CommandError: it does not.
    """
    deadline = time.monotonic() + START_SECONDS
    while problems := login_problems(["root"]):
        if time.monotonic() > deadline:
            raise CommandError(f"MySQL does not answer: {problems['root']}")
        time.sleep(0.5)


def apply() -> None:
    """Have the server's accounts be what the files say: passwords and grants.

    Raises:
        CommandError: the server refuses, or a password does not work after it.
    """
    _tell("users.live.sql")
    _check_logins(names())


def accept_next() -> None:
    """Have the server accept the prepared passwords beside the present ones.

    Raises:
        CommandError: the server refuses, or a prepared password does not work after it.
    """
    prepared = [f"{account}.next" for account in names()]
    # Done twice it would end the present password, which everyone still uses. So whatever else
    # keeps an account out, such as too many connections, is not taken for a refusal.
    if _is_grouped():
        _ask(_CAUGHT_UP)
    refused = login_problems(prepared)
    for account, problem in refused.items():
        if ACCESS_DENIED not in problem:
            raise CommandError(f"MySQL does not tell whether it accepts {account}: {problem}")
    if refused:
        _tell(*(f"{account}.sql" for account in refused))
        _check_logins(refused)


def discard_former() -> None:
    """End the passwords that were in use before.

    Raises:
        CommandError: the server refuses.
    """
    _tell("discard.sql")


def tell_member() -> None:
    """Have this host's server, where it is one of a group, know how it recovers from another one.

    Raises:
        CommandError: the server refuses.
    """
    if _is_grouped():
        _run("root", "", "recovery.sql")


def login_problems(accounts: Collection[str]) -> dict[str, str]:
    """Try the accounts' options files; return what MySQL says against those that it refuses."""
    done = _inside(_LOG_IN, *accounts)
    if done.returncode != 0:
        return dict.fromkeys(accounts, done.stderr.strip())
    said = (line.partition(" ") for line in done.stdout.splitlines())
    return {account: problem.strip() for account, _, problem in said}


def _check_logins(accounts: Collection[str]) -> None:
    deadline = time.monotonic() + (FOLLOW_SECONDS if _is_grouped() else 0)
    while problems := login_problems(accounts):
        if time.monotonic() > deadline:
            account, problem = next(iter(problems.items()))
            raise CommandError(f"MySQL's account {account!r} cannot log in: {problem}")
        time.sleep(0.5)


def _tell(*files: str) -> None:
    """Run the statements in files of the container, on the server that takes writes."""
    host = _other_writer() if _is_grouped() else ""
    _run("admin" if host else "root", host, *files)


def _run(account: str, host: str, *files: str) -> None:
    done = _inside(_RUN, account, host, *files)
    if done.returncode != 0:
        raise CommandError(f"MySQL refuses {' and '.join(files)}: {done.stderr.strip()}")


def _other_writer() -> str:
    """Return the host of the group's server that takes writes; empty where it is this one."""
    return _ask(_OTHER_WRITER)


def _ask(statements: str) -> str:
    done = _inside(_ASK_ROOT, statements)
    if done.returncode != 0:
        raise CommandError(f"MySQL does not tell how its group is: {done.stderr.strip()}")
    return done.stdout.strip()


def _is_grouped() -> bool:
    return len(database_servers()) > 1


def _inside(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return try_run(["docker", "exec", CONTAINER, "sh", "-c", script, "sh", *arguments])
