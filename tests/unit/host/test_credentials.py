"""Passwords of the API, and which secrets are shown: with the stack's own program that makes them.

What MySQL makes of a change of its passwords: tests/programs/test_credentials.py.
"""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import make_secrets
import pytest
from order_service.release.rollout import Wanted
from order_service.secrets import credentials, database_accounts, secret_files
from order_service.secrets.database_accounts import ACCOUNTS

from tests.support.fake_docker import FakeDocker
from tests.support.fake_host import FakeHost, Program

BROUGHT = "brought along by the operator"


class Secrets:
    """The stack's secrets, and how often the service was switched to new ones."""

    def __init__(self, on: FakeHost, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
        self._on, self._program, self._monkeypatch = on, program, monkeypatch
        self.switches = 0
        self.switching_fails = False
        on.docker.make_secrets = self._make
        monkeypatch.setattr("order_service.release.rollout.bring", self._roll_out)

    def _make(self, arguments: list[str], env: dict[str, str]) -> str:
        """Do what the one-shot does: Compose mounts the files that the environment names."""
        own = self._on.root / "run" / "own"
        own.mkdir(exist_ok=True)
        signing = [
            f"{kind}_secret{end}" for kind in ("webhook", "events") for end in ("", "_previous")
        ]
        for name in ("auth_password", *signing):
            (own / name).write_text(Path(env.get(f"{name.upper()}_FILE", os.devnull)).read_text())
        with redirect_stdout(io.StringIO()) as told:
            self._program(make_secrets.main, *arguments)
        return told.getvalue()

    def _roll_out(self, wanted: Wanted) -> str:
        assert wanted == Wanted("old", force=True)
        self.switches += 1
        if self.switching_fails:
            raise OSError("cut off")
        self.begin()
        return "CHANGED: old serves, in blue"

    def begin(self) -> None:
        """Let the service begin with the secrets of now, long before the next change of them."""
        for path in (self._on.docker.volumes / secret_files.VOLUME).iterdir():
            os.utime(path, (ago(hours=1).timestamp(),) * 2)
        self._on.docker.add("blue-app", release="old", started=ago(minutes=30))

    def run(self, *arguments: str, **vault: str) -> str:
        """Run the program, with what the Vault has; return what it said."""
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(vault)))
        with redirect_stdout(io.StringIO()) as told:
            self._program(credentials.main, *arguments)
        return told.getvalue()

    def refused(self, *arguments: str, **vault: str) -> str:
        """Run the program, which must refuse it; return what it said."""
        with pytest.raises(SystemExit) as refusal:
            self.run(*arguments, **vault)
        return str(refusal.value)

    def read(self, name: str) -> str:
        """Return one of the service's secrets."""
        return (self._on.docker.volumes / secret_files.VOLUME / name).read_text()


def ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


@pytest.fixture
def secrets(
    on: FakeHost, docker: FakeDocker, program: Program, monkeypatch: pytest.MonkeyPatch
) -> Secrets:
    """A host whose service can be reached from outside, before MySQL runs."""
    monkeypatch.setenv("BIND_ADDRESS", "0.0.0.0")  # noqa: S104 - nothing is bound
    for module in ("files", "database_secrets"):
        monkeypatch.setattr(f"{module}.MYSQL_ID", os.getgid())
    for name in ("mysql", "migrate", "service"):
        (docker.volumes / f"order-service_{name}-secrets").mkdir(exist_ok=True)
    docker.containers["order-service-mysql-1"].running = False
    made = Secrets(on, program, monkeypatch)
    made.run("make", "old")
    made.begin()
    return made


def test_the_former_password_is_accepted_until_it_is_retired(secrets: Secrets) -> None:
    old = secrets.read("auth_password")
    told = secrets.run("rotate", "api")
    assert told.endswith("CHANGED: auth_password, auth_password_previous\n")
    new = secrets.read("auth_password")
    assert new != old
    assert secrets.read("auth_password_previous") == old
    # A third one would leave clients with the first one behind.
    assert "end that one first: -e retire=api" in secrets.refused("rotate", "api")
    assert (secrets.read("auth_password"), secrets.switches) == (new, 1)

    assert secrets.run("retire").endswith("CHANGED: auth_password_previous\n")
    assert secrets.read("auth_password_previous") == ""
    assert secrets.switches == 2
    assert secrets.run("retire") == "UNCHANGED\n"
    assert secrets.switches == 2


def test_a_change_that_was_cut_off_before_the_switch_is_ended_by_the_next(
    secrets: Secrets,
) -> None:
    secrets.switching_fails = True
    assert secrets.refused("rotate", "api") == "FAILED: cut off"
    new, previous = secrets.read("auth_password"), secrets.read("auth_password_previous")
    assert "a change of the passwords was cut off; end it first" in secrets.refused("retire")
    secrets.switching_fails = False
    assert "CHANGED: what had been cut off" in secrets.run("rotate", "api")
    assert (secrets.read("auth_password"), secrets.read("auth_password_previous")) == (
        new, previous,
    )  # fmt: skip


def test_other_hosts_can_take_the_new_password_before_the_change_ends(secrets: Secrets) -> None:
    old = secrets.read("auth_password")
    assert secrets.run("rotate", "api", "--finish") == "UNCHANGED\n"
    told = secrets.run("rotate", "api", "--begin")
    assert told.endswith("CHANGED: auth_password, auth_password_previous\n")
    new = secrets.read("auth_password")
    # As after a cut: nothing is made twice, and what is under way is not mixed with another change.
    assert secrets.run("rotate", "api", "--begin").endswith("UNCHANGED\n")
    assert "end it first: -e rotate=api" in secrets.refused("rotate", "all", "--begin")
    assert "end it first" in secrets.refused("retire")
    assert secrets.run("rotate", "api", "--finish").splitlines()[-1].startswith("CHANGED")
    assert secrets.run("rotate", "api", "--finish") == "UNCHANGED\n"
    assert (secrets.read("auth_password"), secrets.read("auth_password_previous")) == (new, old)
    assert secrets.switches == 1
    assert secrets.run("retire").endswith("CHANGED: auth_password_previous\n")


def test_what_was_cut_off_before_its_end_is_not_finished(secrets: Secrets) -> None:
    secrets.switching_fails = True
    secrets.refused("rotate", "api", "--begin")
    assert "run it again with --begin first" in secrets.refused("rotate", "api", "--finish")


def test_accounts_that_other_hosts_use_are_not_changed_without_them(
    secrets: Secrets, root: Path
) -> None:
    with (root / "stack" / ".env").open("a") as settings:
        settings.write("PARTS=database,web\nDATABASE_SERVERS=10.0.1.1:3306\n")
    for what in ("database", "all"):
        told = secrets.refused("rotate", what)
        assert f"run credentials.yml -e rotate={what}, which hands them on" in told


def test_the_heads_own_member_of_a_group_recovers_with_the_new_password(
    secrets: Secrets, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (root / "stack" / ".env").open("a") as settings:
        settings.write(
            "PARTS=database\nDATABASE_SERVERS=10.0.1.1:3306,10.0.1.2:3306,10.0.1.3:3306\n"
        )
    called: list[str] = []
    for step in ("wait", "accept_next", "apply", "tell_member", "discard_former"):
        monkeypatch.setattr(database_accounts, step, partial(called.append, step))
    secrets.run("rotate", "database", "--begin")
    assert called == ["wait", "accept_next", "apply", "tell_member"]
    secrets.run("rotate", "database", "--finish")
    assert called[4:] == ["wait", "discard_former"]


def test_the_passwords_of_a_database_that_others_run_are_theirs(
    secrets: Secrets, root: Path
) -> None:
    with (root / "stack" / ".env").open("a") as settings:
        settings.write("PARTS=web\nDATABASE_SERVERS=db.example:3306\n")
    assert "then database_url in your Vault file" in secrets.refused("rotate", "database")
    shown = secrets.run("show")
    assert "Database       sudo cat " in shown
    assert "MySQL" not in shown


def test_the_vaults_password_wins_and_the_former_one_overlaps(
    secrets: Secrets, docker: FakeDocker, root: Path
) -> None:
    made = secrets.read("auth_password")
    told = secrets.run("make", "old", AUTH_PASSWORD_FILE=BROUGHT)
    assert told == "CHANGED: auth_password, auth_password_previous\n"
    assert secrets.read("auth_password") == BROUGHT
    assert secrets.read("auth_password_previous") == made
    # The service has not read it yet: that is made up for, and then there is nothing to change.
    secrets.run("rotate", "api", AUTH_PASSWORD_FILE=BROUGHT)
    assert secrets.switches == 1
    same = secrets.refused("rotate", "api", AUTH_PASSWORD_FILE=BROUGHT)
    assert "is the password in use already; change it in your Vault file first" in same
    assert secrets.run("make", "old", AUTH_PASSWORD_FILE=BROUGHT) == "UNCHANGED\n"
    # Without it what is there stays.
    assert secrets.run("make", "old") == "UNCHANGED\n"
    # It was handed over in memory.
    assert not (root / "run" / "order-service-secrets").exists()
    assert not any(BROUGHT in command for command in docker.ran)


def test_the_webhooks_former_secret_signs_until_the_vault_has_it_no_longer(
    secrets: Secrets,
) -> None:
    own = {"WEBHOOK_SECRET_FILE": BROUGHT, "WEBHOOK_SECRET_PREVIOUS_FILE": "the former"}
    told = secrets.run("make", "old", **own)
    assert told == "CHANGED: webhook_secret, webhook_secret_previous\n"
    # Passwords change, and nothing of the webhook's.
    for arguments in (["rotate", "api"], ["retire"]):
        assert "webhook" not in secrets.run(*arguments)
    assert secrets.read("webhook_secret_previous") == "the former"
    ends = "the former   signs as well: to end it, remove webhook_secret_previous and deploy"
    assert ends in secrets.run("show")

    told = secrets.run("make", "old", WEBHOOK_SECRET_FILE=BROUGHT)
    assert told == "CHANGED: webhook_secret_previous\n"
    assert secrets.read("webhook_secret_previous") == ""
    assert "signs as well" not in secrets.run("show")


def test_before_the_first_release_there_is_nothing_to_change(secrets: Secrets, root: Path) -> None:
    (root / "state" / "ledger.json").unlink()
    for arguments in (["rotate", "all"], ["retire"], ["show"]):
        assert "nothing serves on this host yet" in secrets.refused(*arguments)


def test_every_secret_is_shown_when_asked_for_only(secrets: Secrets, docker: FakeDocker) -> None:
    service = docker.volumes / secret_files.VOLUME
    mysql = docker.volumes / secret_files.MYSQL_VOLUME
    paths = {
        "API password": service / "auth_password",
        "Webhook secret": service / "webhook_secret",
        "Events secret": service / "events_secret",
        "prometheus": docker.volumes / "order-service_migrate-secrets" / "client_prometheus",
    }
    paths |= {account: mysql / f"{account}_password" for account in ACCOUNTS}

    def shown(*arguments: str) -> dict[str, str]:
        lines = secrets.run("show", *arguments).splitlines()
        return {line[:15].strip(): line[15:] for line in lines}

    without, with_them = shown(), shown("--password")
    for label, path in paths.items():
        assert without[label] == f"sudo cat {path}"
        assert with_them[label] == path.read_text()
    assert not {path.read_text() for path in paths.values()} & set(without.values())
    assert without["the former"] == "none is accepted"


def test_it_is_shown_that_a_former_password_is_accepted_and_what_was_cut_off(
    secrets: Secrets, root: Path
) -> None:
    secrets.run("rotate", "api")
    pending = {"next": "", "since": "2026-11-22T10:15:00Z", "by": "ann@laptop"}
    (root / "state" / "rotation.json").write_text(json.dumps(pending))
    told = secrets.run("show")
    assert "the former   is still accepted: end it with -e retire=api" in told
    assert "CUT OFF        the change by ann@laptop since 2026-11-22T10:15:00Z" in told
