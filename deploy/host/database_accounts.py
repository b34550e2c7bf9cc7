"""MySQL's accounts on this host: who may log in, and the change of all passwords.

The passwords stay in the files that MySQL's container mounts: MySQL's own client reads them there,
so none passes through here. A change gives each account a second password (MySQL's "dual
passwords"), lets everyone change over, and ends the first one.
"""

from __future__ import annotations

import time

from host import CommandError, try_run

CONTAINER = "order-service-mysql-1"
ACCOUNTS = ("migrator", "service", "backup", "root")
SECRETS = "/run/secrets"
START_SECONDS = 60


def is_running() -> bool:
    """Tell whether MySQL's container runs."""
    state = try_run(["docker", "inspect", "--format", "{{.State.Running}}", CONTAINER])
    return state.stdout.strip() == "true"


def wait() -> None:
    """Wait until the server answers, which takes a moment after its start.

    Raises:
        CommandError: it does not.
    """
    deadline = time.monotonic() + START_SECONDS
    while (problem := login_problem("root")) is not None:
        if time.monotonic() > deadline:
            raise CommandError(f"MySQL does not answer: {problem}")
        time.sleep(0.5)


def apply() -> None:
    """Have the server's accounts be what the files say: passwords and grants.

    Raises:
        CommandError: the server refuses, or a password does not work after it.
    """
    _as_root("users.live.sql")
    for account in ACCOUNTS:
        if (problem := login_problem(account)) is not None:
            raise CommandError(f"MySQL's account {account!r} cannot log in: {problem}")


def accept_next() -> None:
    """Have the server accept the prepared passwords beside the present ones.

    Raises:
        CommandError: the server refuses, or a prepared password does not work after it.
    """
    for account in ACCOUNTS:
        # Done twice it would end the present password, which everyone still uses.
        if login_problem(f"{account}.next") is not None:
            _as_root(f"{account}.next.sql")
            if (problem := login_problem(f"{account}.next")) is not None:
                raise CommandError(f"MySQL's account {account!r} cannot log in: {problem}")


def discard_former() -> None:
    """End the passwords that were in use before.

    Raises:
        CommandError: the server refuses.
    """
    _as_root("discard.sql")


def login_problem(account: str) -> str | None:
    """Try an account's options file; return what MySQL says against it, or None."""
    return _mysql(account, "/dev/stdin", "DO 1;")


def _as_root(statements: str) -> None:
    if (problem := _mysql("root", f"{SECRETS}/{statements}")) is not None:
        raise CommandError(f"MySQL refuses {statements}: {problem}")


def _mysql(account: str, statements: str, text: str = "") -> str | None:
    """Run the statements in a file of the container; return what is wrong, or None."""
    client = ("sh", "-c", 'exec mysql --defaults-extra-file="$0" <"$1"')
    given = (f"{SECRETS}/{account}.cnf", statements)
    done = try_run(["docker", "exec", "--interactive", CONTAINER, *client, *given], text=text)
    return None if done.returncode == 0 else done.stderr.strip()
