"""Secrets that one host makes and hands on to the others, each what it needs."""

from __future__ import annotations

import io
import json
import stat
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from order_service.certificates import authority
from order_service.host import CommandError
from order_service.release.rollout import Wanted
from order_service.secrets import (
    api_clients,
    credentials,
    database_accounts,
    database_check,
    handed,
    secret_files,
)

from tests.support.fake_docker import FakeDocker
from tests.support.fake_engine import Complaint
from tests.support.fake_host import FakeHost, Program

FILES = {
    secret_files.VOLUME: {"auth_password": "of the API", "database_url": "of the service"},
    api_clients.VOLUME: {
        "database_url": "of the migrator",
        "client_shop": "of the shop",
        "next_client_shop": "of its next day",
    },
    secret_files.MYSQL_VOLUME: {
        "root_password": "of root",
        "root_password.next": "of its next day",
        "root.cnf": "of a client",
    },
}


@pytest.fixture
def head(on: FakeHost, docker: FakeDocker) -> FakeHost:
    """A host that makes the secrets."""
    for volume, files in FILES.items():
        (docker.volumes / volume).mkdir(exist_ok=True)
        for name, text in files.items():
            (docker.volumes / volume / name).write_text(text)
    (on.root / "authority").mkdir()
    (on.root / "authority" / "ca.key").write_text("the key")
    (on.root / "authority" / "ca.crt").write_text("the certificate")
    return on


class Other:
    """A host that has a head, and what its one-shot was given."""

    def __init__(self, on: FakeHost, docker: FakeDocker) -> None:
        self.root = on.root
        self.given: list[dict[str, Any]] = []
        with (on.root / "stack" / ".env").open("a") as settings:
            settings.write("PARTS=web\nHEAD=orders-1\nDATABASE_SERVERS=10.0.1.1:3306\n")
        docker.make_secrets = self._make

    def _make(self, _: list[str], env: dict[str, str]) -> str:
        self.given.append(json.loads(Path(env["HANDED_FILE"]).read_text()))
        return "secrets: changed auth_password\n"


@pytest.fixture
def other(on: FakeHost, docker: FakeDocker) -> Other:
    return Other(on, docker)


@pytest.mark.parametrize(
    ("parts", "places"),
    [
        ("worker", {"service"}),
        ("web,worker", {"service", "authority"}),
        ("database", {"service", "migrate", "mysql", "authority"}),
    ],
)
def test_each_host_is_handed_what_it_needs(
    head: FakeHost,
    program: Program,
    capsys: pytest.CaptureFixture[str],
    parts: str,
    places: set[str],
) -> None:
    assert head
    program(credentials.main, "export", f"--for={parts}")
    told = json.loads(capsys.readouterr().out)
    assert set(told) == places
    assert told["service"] == FILES[secret_files.VOLUME]
    if "mysql" in places:
        # Neither what is prepared for a change, nor what follows the passwords.
        assert told["mysql"] == {"root_password": "of root"}
        assert set(told["migrate"]) == {"database_url", "client_shop"}


def test_what_a_host_is_there_for_has_to_be_known(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        program(credentials.main, "export", "--for=web,balancer")
    assert "'balancer' is none; expected some of worker, web, database" in capsys.readouterr().err


def test_it_is_taken_through_memory_and_the_service_begins_anew(
    other: Other,
    docker: FakeDocker,
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    switched: list[Wanted] = []

    def bring(wanted: Wanted) -> str:
        switched.append(wanted)
        return "CHANGED"

    monkeypatch.setattr("order_service.release.rollout.bring", bring)
    issuer = authority.make()
    told = {
        "service": {"auth_password": "another one"},
        "authority": {"ca.key": issuer.key_pem.decode(), "ca.crt": "the certificate"},
    }
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(told)))
    (other.root / "volumes" / secret_files.VOLUME / "auth_password").touch()
    program(credentials.main, "take")
    assert capsys.readouterr().out.splitlines()[-1].startswith("CHANGED: auth_password, ca.crt, ca")
    assert other.given == [{"service": told["service"]}]
    assert switched == [Wanted("old", force=True)]
    key = other.root / "authority" / "ca.key"
    assert (key.read_text(), stat.S_IMODE(key.stat().st_mode)) == (issuer.key_pem.decode(), 0o600)
    assert not (other.root / "run" / "order-service-secrets").exists()
    assert not any("another one" in command for command in docker.ran)


def test_a_member_hears_of_it_once_it_answers(
    other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (other.root / "stack" / ".env").open("a") as settings:
        settings.write(
            "PARTS=database\nDATABASE_SERVERS=10.0.1.1:3306,10.0.1.2:3306,10.0.1.3:3306\n"
        )
    called: list[str] = []
    for step in ("wait", "tell_member"):
        monkeypatch.setattr(database_accounts, step, partial(called.append, step))
    credentials.make("old", {}, {"mysql": {"replication_password": "another one"}})
    assert called == ["wait", "tell_member"]


@pytest.mark.parametrize("arguments", [["rotate", "all"], ["retire"], ["export", "--for=web"]])
def test_passwords_are_the_heads_business(
    other: Other, program: Program, arguments: list[str]
) -> None:
    with pytest.raises(SystemExit, match="orders-1"):
        program(credentials.main, *arguments)
    assert other.given == []


def test_the_head_takes_none(head: FakeHost, program: Program) -> None:
    assert head
    with pytest.raises(SystemExit, match="this host makes its secrets itself"):
        program(credentials.main, "take")


@pytest.mark.parametrize(
    "told", [[], {"volumes": {}}, {"service": "x"}, {"service": {"../x": ""}}, {"mysql": {"a": 1}}]
)
def test_what_is_no_heads_is_refused(other: Other, told: Any) -> None:
    with pytest.raises(CommandError, match="expected an object of service, migrate, mysql"):
        handed.take("old", told)
    assert other.given == []


class Look:
    """What looks at databases, in the place of the release's image."""

    def __init__(self, docker: FakeDocker) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.complaint = ""
        docker.check_database = self._run

    def _run(self, given: list[str]) -> str:
        mounts = [one.removeprefix("--volume=") for one in given if one.startswith("--volume=")]
        assert [one.split(":")[1:] for one in mounts] == [
            ["/run/secrets/database_url", "ro"], ["/run/secrets/database_ca.pem", "ro"],
        ][: len(mounts)]  # fmt: skip
        texts = [Path(one.split(":")[0]).read_text() for one in mounts]
        self.asked.append((*texts, *given[given.index("check-database") + 1 :]))
        if self.complaint:
            raise Complaint(self.complaint)
        return "MySQL 9.7.4 can be used\n"


@pytest.fixture
def look(docker: FakeDocker) -> Look:
    return Look(docker)


def test_the_database_of_somebody_else_is_looked_at_as_both_accounts(
    on: FakeHost, look: Look, docker: FakeDocker
) -> None:
    assert on
    own = {"DATABASE_URL_FILE": "of the service", "DATABASE_CA_FILE": "the authority"}
    database_check.run("new", own, None)
    database_check.run("new", own | {"DATABASE_MIGRATOR_URL_FILE": "of the migrator"}, None)
    service = ("of the service", "the authority")
    assert look.asked == [
        service, (*service, "--migrator"), service, ("of the migrator", service[1], "--migrator"),
    ]  # fmt: skip
    assert all("of the" not in command for command in docker.ran)


def test_other_hosts_look_at_what_the_head_has_handed_on(other: Other, look: Look) -> None:
    assert other
    service = {"database_url": "of the service", "database_ca.pem": "the authority"}
    database_check.run("new", {}, {"service": service})
    assert look.asked == [("of the service", "the authority")]


def test_a_host_that_has_its_own_looks_at_none(on: FakeHost, look: Look) -> None:
    assert on
    database_check.run("new", {"AUTH_PASSWORD_FILE": "mine"}, None)
    assert look.asked == []


def test_what_is_wrong_is_told_with_the_settings_name(on: FakeHost, look: Look) -> None:
    assert on
    look.complaint = "some noise\nError: the database cannot be used: it takes no writes"
    with pytest.raises(CommandError) as refused:
        database_check.run("new", {"DATABASE_URL_FILE": "of the service"}, None)
    expected = "database_url: the database cannot be used: it takes no writes"
    assert str(refused.value) == expected
