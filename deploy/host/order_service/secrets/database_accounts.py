"""MySQL's accounts on this host: who may log in, and the change of all passwords.

The passwords stay in the files that MySQL's container mounts: MySQL's own client reads them there,
so none passes through here. A change gives each account a second password (MySQL's "dual
passwords"), lets everyone change over, and ends the first one.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable

from order_service.host import CommandError, try_run

CONTAINER = "order-service-mysql-1"
ACCOUNTS = ("migrator", "service", "backup", "root")
START_SECONDS = 60
# What MySQL's client says where the password is not, or not yet, the account's.
ACCESS_DENIED = "ERROR 1045"
# One command for all of them: each takes a while to begin.
_LOG_IN = """for account; do
  said=$(mysql --defaults-extra-file="/run/secrets/$account.cnf" --execute="DO 1" 2>&1) ||
    echo "$account $(printf "%s" "$said" | tr "\\n" " ")"
done"""
_RUN_AS_ROOT = """cd /run/secrets && statements=$(cat "$@") &&
  printf "%s\\n" "$statements" | mysql --defaults-extra-file=root.cnf"""


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
    _as_root("users.live.sql")
    _check_logins(ACCOUNTS)


def accept_next() -> None:
    """Have the server accept the prepared passwords beside the present ones.

    Raises:
        CommandError: the server refuses, or a prepared password does not work after it.
    """
    prepared = [f"{account}.next" for account in ACCOUNTS]
    # Done twice it would end the present password, which everyone still uses. So whatever else
    # keeps an account out, such as too many connections, is not taken for a refusal.
    refused = login_problems(prepared)
    for account, problem in refused.items():
        if ACCESS_DENIED not in problem:
            raise CommandError(f"MySQL does not tell whether it accepts {account}: {problem}")
    if refused:
        _as_root(*(f"{account}.sql" for account in refused))
        _check_logins(refused)


def discard_former() -> None:
    """End the passwords that were in use before.

    Raises:
        CommandError: the server refuses.
    """
    _as_root("discard.sql")


def login_problems(accounts: Iterable[str]) -> dict[str, str]:
    """Try the accounts' options files; return what MySQL says against those that it refuses."""
    accounts = list(accounts)
    done = _inside(_LOG_IN, *accounts)
    if done.returncode != 0:
        return dict.fromkeys(accounts, done.stderr.strip())
    said = (line.partition(" ") for line in done.stdout.splitlines())
    return {account: problem.strip() for account, _, problem in said}


def _check_logins(accounts: Iterable[str]) -> None:
    for account, problem in login_problems(accounts).items():
        raise CommandError(f"MySQL's account {account!r} cannot log in: {problem}")


def _as_root(*files: str) -> None:
    """Run the statements in files of the container."""
    done = _inside(_RUN_AS_ROOT, *files)
    if done.returncode != 0:
        raise CommandError(f"MySQL refuses {' and '.join(files)}: {done.stderr.strip()}")


def _inside(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return try_run(["docker", "exec", CONTAINER, "sh", "-c", script, "sh", *arguments])
