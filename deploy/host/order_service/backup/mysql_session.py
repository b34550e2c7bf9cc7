"""One session of a MySQL server in a container, through the `mysql` client that is in there.

Passwords stay in files of the container: neither a command line nor an environment has them.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Self, TextIO, cast

from order_service.backup.settings import BackupError

_END = "--end of the answer--"
# The largest table is read within this time, or a server that is frozen is given up.
QUERY_SECONDS = 3 * 3600
ANSWER_SECONDS = 10
# bash hands the password over by a file descriptor.
_AS_ROOT = (
    'exec "$0" --defaults-extra-file=<(printf \'[client]\\npassword="%s"\\n\''
    ' "$(cat /run/secrets/root_password)") --user=root --protocol=socket "$@"'
)


class Server:
    """A MySQL server in a container, and the account that is used."""

    def __init__(self, container: str, account: str) -> None:
        self.container = container
        self.account = account

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the command line that runs one of MySQL's clients in the container."""
        inside = ["docker", "exec", "--interactive", self.container]
        if self.account == "root":
            return [*inside, "bash", "-c", _AS_ROOT, program, *arguments]
        if self.account == "backup":
            return [*inside, program, "--defaults-extra-file=/run/secrets/backup.cnf", *arguments]
        return [*inside, program, f"--user={self.account}", "--protocol=socket", *arguments]

    def session(self, *options: str) -> Session:
        """Open a session; with `--force` it goes on after what MySQL refuses."""
        batch = ("--batch", "--skip-column-names", "--unbuffered")
        return Session(self.command("mysql", *batch, *options))

    def wait_until_up(self, seconds: float) -> None:
        """Wait until it answers, for it may be restarting.

        Raises:
            BackupError: it did not within that time; the text is what was said last.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.query("SELECT 1", ANSWER_SECONDS)
            except BackupError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
            else:
                return

    def query(self, sql: str, seconds: float = QUERY_SECONDS) -> list[list[str]]:
        """Run one statement in a session of its own and return its rows."""
        with self.session() as session:
            return session.query(sql, seconds)


class Session:
    """A connection that lasts: locks and transactions are its own."""

    def __init__(self, command: Sequence[str]) -> None:
        self._client = subprocess.Popen(  # noqa: S603 - a list, without a shell
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        self._stdin = cast("TextIO", self._client.stdin)
        self._stdout = cast("TextIO", self._client.stdout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def query(self, sql: str, seconds: float = QUERY_SECONDS) -> list[list[str]]:
        """Run one statement and return its rows; NULL is the text `NULL`.

        Raises:
            BackupError: MySQL refused it, has not answered within that time, or the connection is
                gone; the client ends with that.
        """
        rows: list[list[str]] = []
        deadline = time.monotonic() + seconds
        given_up = threading.Timer(seconds, self._client.kill)
        given_up.start()
        try:
            # A client that ended has said why: it is read below.
            with suppress(OSError):
                self._stdin.write(f"{sql};\nSELECT '{_END}';\n")
                self._stdin.flush()
            for line in self._stdout:
                if line == f"{_END}\n":
                    return rows
                rows.append(line.rstrip("\n").split("\t"))
            said = " ".join(" ".join(row) for row in rows[-3:]).strip()
            if time.monotonic() >= deadline:
                said = f"no answer within {seconds:g} s"
        finally:
            given_up.cancel()
        raise BackupError(f"MySQL refused {sql[:60]!r}: {said or 'no answer'}")

    def close(self) -> None:
        """End the session; what it holds is let go."""
        with suppress(OSError):
            self._stdin.close()
        try:
            self._client.wait(10)
        except subprocess.TimeoutExpired:
            self._client.kill()
            self._client.wait()
        self._stdout.close()
