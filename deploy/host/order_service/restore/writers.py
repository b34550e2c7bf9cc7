"""Keeps the writers of all hosts away from a database that they share, and lets them in again.

The service's account is locked, and its sessions are ended. Where it cannot log in, the service
answers 503 with `Retry-After`, and its processors wait.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from order_service.backup import external
from order_service.backup.mysql_session import Server, Session
from order_service.backup.settings import BackupError, Settings
from order_service.database import members
from order_service.host import CommandError

# What a statement that is under way may take to end.
END_SECONDS = 60
# MySQL may be restarting when they are to be let in again.
RESTART_SECONDS = 120
_ALTER = "ALTER USER '{}'@'%' ACCOUNT {}"


@dataclass(frozen=True)
class Writers:
    """The service's account, by its name, and who may lock it; `itself` may end its sessions."""

    name: str
    admin: Server
    itself: Server

    @classmethod
    def of(cls, settings: Settings) -> Writers:
        """Return those of this host's database.

        Raises:
            BackupError: they cannot be told from who restores.
        """
        admin = external.server(settings, "root")
        if not settings.external:
            return cls(external.SERVICE, admin, admin)
        itself = external.server(settings, external.SERVICE)
        if itself.account == admin.account:
            raise BackupError(
                f"{admin.account} is the service's account, and that of the migrations, too. A"
                " restore to live locks the service's: set another as database_migrator_url"
            )
        return cls(itself.account, admin, itself)

    def let_in(self) -> None:
        """Let them log in; of a group by whichever member takes the writes by now.

        Raises:
            BackupError: MySQL is not up, or does not allow that.
        """
        self.admin.wait_until_up(RESTART_SECONDS)
        statement = _ALTER.format(self.name, "UNLOCK")
        try:
            self.admin.query(statement)
        except BackupError:
            if not members.is_group():
                raise
            _have_writer_do(statement)

    @contextmanager
    def kept_out(self) -> Iterator[None]:
        """Have none of them meanwhile.

        Raises:
            BackupError: one of their sessions does not end, or they cannot be let in again.
        """
        with self.itself.session("--force") as session:
            # Before the account is locked, which this may be a session of.
            ((own,),) = session.query("SELECT CONNECTION_ID()")
            try:
                self.admin.query(_ALTER.format(self.name, "LOCK"))
                self._end_sessions(session, own)
                yield
            finally:
                self._let_in_again()

    def _let_in_again(self) -> None:
        try:
            self.let_in()
        except (BackupError, CommandError) as problem:
            raise BackupError(
                f"MySQL's account {self.name} is still locked, so no host's service works:"
                f" {problem}. Have MySQL at work, then restore again, or run deploy.yml if the"
                " database is yours"
            ) from None

    def _end_sessions(self, session: Session, own: str) -> None:
        deadline = time.monotonic() + END_SECONDS
        # One that was ended is listed until what it did is undone.
        while others := [
            row[0]
            for row in session.query("SHOW PROCESSLIST")
            if row[0] != own and row[1:2] == [self.name]
        ]:
            if time.monotonic() > deadline:
                raise BackupError(f"sessions of {self.name} do not end: {', '.join(others)}")
            for one in others:
                session.query(f"KILL {one}")
            time.sleep(0.2)


def _have_writer_do(statement: str) -> None:
    """Have the member do it that takes the writes, which the group may have to elect.

    Raises:
        CommandError: there is none in time, or it refuses.
    """
    found: list[members.Member] = []

    def is_there() -> bool:
        found[:] = [one for one in members.survey() if one.is_primary]
        return bool(found)

    members.wait(is_there, RESTART_SECONDS, "a member of the group takes writes")
    members.ask(statement, found[0].address)
