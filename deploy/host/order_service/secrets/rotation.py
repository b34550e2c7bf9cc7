"""Changes the API's and MySQL's passwords in steps, without a request that is refused.

`state/rotation.json` names the step that is next, so a change that was cut off anywhere is ended by
starting it again. Of several hosts the head takes all steps but the last, the others take what it
hands on, and then it ends the former passwords.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from order_service.dotenv import DATABASE, WEB, WORKER, database_servers, has_part
from order_service.host import STATE, CommandError, caller, now, read_json, say, write_json
from order_service.release import colours, rollout
from order_service.secrets import database_accounts, secret_files

PENDING = STATE / "rotation.json"
PASSWORD, PREVIOUS = "auth_password", "auth_password_previous"
LAST_STEP = "end the former passwords"
# Where nothing else has a name: what an earlier call had begun.
BEGUN = "what had been cut off"


@dataclass
class Rotation:
    """A change: of `what`, with secrets of the operator's own; `changed` gets names of files."""

    release: str
    what: str
    own: Mapping[str, str]
    begin_only: bool = False
    finish_only: bool = False
    changed: set[str] = field(default_factory=set)

    def run(self) -> set[str]:
        """Take the steps that are left; return the names of what has changed.

        Raises:
            CommandError: it cannot be begun now, or a step failed: run it again.
        """
        pending = self._pending()
        if self.finish_only and not pending:
            return set()
        if self.what != "database" and not self.finish_only:
            self._change_api(pending=bool(pending))
        if self._of_database:
            database_accounts.wait()
        return self._take_steps(pending or self._begin())

    @property
    def _of_database(self) -> bool:
        return self.what != "api" and has_part(DATABASE)

    def _pending(self) -> dict[str, str]:
        if self.what == "database" and not self._of_database:
            raise CommandError(
                "these hosts do not run the database; change the password there, then database_url"
                " in your Vault file, and run deploy.yml"
            )
        if self._of_database and database_servers() and not (self.begin_only or self.finish_only):
            raise CommandError(
                "other hosts log in with these passwords; run credentials.yml"
                f" -e rotate={self.what}, which hands them on before the former ones end"
            )
        pending: dict[str, str] = read_json(PENDING, {})
        if pending and (begun := pending.get("what", "database")) != self.what:
            raise CommandError(
                f"the change by {pending['by']} since {pending['since']} has not ended; end it"
                f" first: -e rotate={begun}"
            )
        return pending

    def _change_api(self, *, pending: bool) -> None:
        """Have a new API password, or the operator's own, beside the present one."""
        brought = "AUTH_PASSWORD_FILE" in self.own
        change = "--overlap" if brought else "--change-api"
        self.changed |= secret_files.make(self.release, change, own=self.own)
        if PASSWORD not in self.changed and not pending and not is_behind():
            raise CommandError(_why_not_again(brought=brought))

    def _begin(self) -> dict[str, str]:
        if self._of_database:
            secret_files.make(self.release, "--prepare-database")
        return {
            "what": self.what,
            "next": next(iter(self._steps())),
            "since": now(),
            "by": caller(),
        }

    def _take_steps(self, pending: dict[str, Any]) -> set[str]:
        steps = self._steps()
        names = list(steps)
        left = names[names.index(pending["next"]) :]
        if self.finish_only and left != [LAST_STEP]:
            raise CommandError(f"next is to {left[0]}: run it again with --begin first")
        say(f"changing passwords since {pending['since']}")
        for name in left:
            write_json(PENDING, pending | {"next": name})
            if self.begin_only and name == LAST_STEP:
                return self.changed or (set() if left == [name] else {BEGUN})
            say(name)
            steps[name]()
        PENDING.unlink()
        return self.changed or {BEGUN}

    def _steps(self) -> dict[str, Callable[[], None]]:
        def commit() -> None:
            self.changed |= secret_files.make(self.release, "--commit-database")
            # A restart of MySQL since the last step went back to the former passwords.
            database_accounts.apply()
            # Else this host's member of a group could not get from others what it misses.
            database_accounts.tell_member()

        def switch_if_behind() -> None:
            if is_behind():
                switch(self.release)

        steps: dict[str, Callable[[], None]] = {}
        if self._of_database:
            steps["have MySQL accept new passwords"] = database_accounts.accept_next
            steps["hand the new passwords over"] = commit
        steps["switch to containers that use them"] = switch_if_behind
        steps[LAST_STEP] = database_accounts.discard_former if self._of_database else lambda: None
        return steps


def retire(release: str) -> set[str]:
    """End the API's former password; return the names of what has changed.

    Raises:
        CommandError: a change has not ended.
    """
    if secret_files.text(PREVIOUS) and (PENDING.exists() or is_behind()):
        raise CommandError(
            "a change of the passwords was cut off; end it first, by the same -e rotate=... again"
        )
    changed = secret_files.make(release, "--retire-api")
    if is_behind():
        switch(release)
        changed.add(PREVIOUS)
    return changed


def is_behind() -> bool:
    """Return whether this host has a service whose containers are older than their secrets."""
    if not (has_part(WEB) or has_part(WORKER)):
        return False
    return secret_files.newer_than([one["id"] for one in colours.serving().containers()])


def switch(release: str) -> None:
    """Replace the service's containers by ones that have read the new files."""
    say(rollout.bring(rollout.Wanted(release, force=True)))


def _why_not_again(*, brought: bool) -> str:
    if brought:
        return (
            "api_password is the password in use already; change it in your Vault file first, or"
            " remove it there and a password is made here"
        )
    return (
        f"the API's password was changed at {secret_files.changed_at(PASSWORD):%Y-%m-%d %H:%M} UTC,"
        " and the one before is still accepted; end that one first: -e retire=api"
    )
