"""A deployment's own part on the host: its steps in order, and what is left when one fails."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from order_service import program as host_program
from order_service.host import CommandError
from order_service.release import deploy, migrations, stack
from order_service.release import ledger as ledgers
from order_service.secrets import credentials, database_accounts, secret_files

from tests.support.clock import Clock
from tests.support.fake_docker import FakeDocker
from tests.support.fake_host import FakeHost, Program

FILES = ("docker-compose.yml", "deploy/host/base.yml", "deploy/mysql/order-service.cnf")
SECRETS = {"AUTH_PASSWORD_FILE": "brought along"}
STEPS = ["make secrets", "up --force-recreate mysql",  "flask db current",
         "back up before-migration", "flask db upgrade", "flask clients list --json",
         "start green", "reload", "stop blue"]  # fmt: skip
OLDER, NEWEST, NEWER = "0006", "0007 (head)", "Can't locate revision identified by '0008'"


class Deployer:
    """Deploys `new` on a host on which `old` serves; what was done is in `docker.did`."""

    def __init__(self, on: FakeHost, run: Program, monkeypatch: pytest.MonkeyPatch) -> None:
        self._on, self._run, self._monkeypatch = on, run, monkeypatch
        self.docker = on.docker
        self.revision = NEWEST
        self.settings = (on.root / "stack/.env").read_text()
        self.brought: dict[str, str] = {}
        self.handed: object = None
        on.docker.flask = self._flask
        monkeypatch.setattr(credentials, "make", self._make)
        monkeypatch.setattr(database_accounts, "wait", lambda: None)
        monkeypatch.setattr(database_accounts, "apply", lambda: on.docker.do("make accounts"))
        monkeypatch.setattr(migrations, "load", lambda: None)
        monkeypatch.setattr("order_service.release.migrations.backup.full", self._back_up)

    def _flask(self, command: list[str]) -> str:
        match command:
            case ["db", "current"]:
                if self.revision == NEWER:
                    raise CommandError(NEWER)
                return self.revision
            case ["clients", "list", *_]:
                return "[]\n"
        return '{"changed": false}\n'

    def _make(self, _: str, own: dict[str, str], from_head: object = None) -> set[str]:
        self.brought, self.handed = own, from_head
        self.docker.do("make secrets")
        return set()

    def _back_up(self, _: object, kind: str) -> None:
        self.docker.do(f"back up {kind}")

    @property
    def steps(self) -> list[str]:
        """What was done of the steps."""
        return [one for one in self.docker.did if one in STEPS]

    def run(self, *arguments: str, **told: object) -> None:
        """Deploy."""
        limits = {"https_port": self._on.https_port, "public_name": "orders.example"}
        given = {"settings": self.settings, "limits": limits, "secrets": SECRETS} | told
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(given)))
        self._run(deploy.main, "new", *arguments)

    def refused(self, *arguments: str, **told: object) -> str:
        """Deploy what fails; return what was said of it."""
        with pytest.raises(SystemExit) as ended:
            self.run(*arguments, **told)
        return str(ended.value)


@pytest.fixture
def deployer(
    on: FakeHost,
    clock: Clock,  # noqa: ARG001 - the rollout's
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
) -> Deployer:
    for name in ("old", "new"):
        for file in FILES:
            path = on.root / "releases" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{path.name}, the same\n")
        (on.root / "releases" / name / "deploy/host/__main__.py").write_text(f"# {name}\n")
    monkeypatch.setattr(host_program, "LINK", on.root / "link")
    stack.place("old")
    stack.up("old")
    on.docker.did.clear()
    return Deployer(on, program, monkeypatch)


def test_the_steps_are_taken_in_their_order(
    deployer: Deployer, on: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    deployer.revision = OLDER
    del on.docker.containers["order-service-mysql-1"]
    deployer.run(clients=[{"name": "shop", "revoked": True}])
    assert deployer.steps == STEPS
    assert on.serves() == ("new", "new")
    told = capsys.readouterr().out
    assert told.splitlines()[-1] == "CHANGED: new serves, in green"
    assert deployer.brought == SECRETS
    assert SECRETS["AUTH_PASSWORD_FILE"] not in told + "".join(deployer.docker.ran)
    assert host_program.PLACE.is_file()
    assert json.loads((on.root / "settings/clients.json").read_text())[0]["name"] == "shop"


def test_the_same_again_changes_nothing(
    deployer: Deployer, docker: FakeDocker, capsys: pytest.CaptureFixture[str]
) -> None:
    deployer.run()
    docker.did.clear()
    deployer.run()
    assert capsys.readouterr().out.splitlines()[-1] == "UNCHANGED: new serves already, in green"
    assert "start blue" not in docker.did


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_what_is_refused_leaves_the_settings_and_the_files(
    deployer: Deployer, docker: FakeDocker, on: FakeHost, dry_run: list[str]
) -> None:
    deployer.run()
    docker.did.clear()
    (on.root / "releases/new/docker-compose.yml").write_text("another")
    said = deployer.refused(*dry_run, settings=deployer.settings + "mysql: more memory\n")
    assert "would restart mysql" in said
    assert "-e allow_interruption=true" in said
    assert deployer.steps == []
    assert (on.root / "stack/.env").read_text() == deployer.settings
    assert (on.root / "stack/docker-compose.yml").read_text() != "another"


def test_a_dry_run_changes_nothing(
    deployer: Deployer, on: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    deployer.run("--dry-run", settings=deployer.settings + "LOG_LEVEL=DEBUG\n")
    assert capsys.readouterr().out == "would restart: nothing\nUNCHANGED: this was a dry run\n"
    assert deployer.steps == []
    assert (on.root / "stack/.env").read_text() == deployer.settings
    assert not host_program.PLACE.exists()


def test_a_migration_that_fails_leaves_the_former_release(
    deployer: Deployer, docker: FakeDocker, on: FakeHost
) -> None:
    deployer.revision = OLDER
    docker.failing["flask db upgrade"] = "no_such_table"
    said = deployer.refused()
    assert "The migrations of new failed; the former release serves on" in said
    assert "no_such_table" in said
    on.assert_old_serves()


def test_without_a_backup_nothing_is_migrated(deployer: Deployer, docker: FakeDocker) -> None:
    deployer.revision = OLDER
    docker.failing["back up before-migration"] = CommandError("the disk is full")
    assert "the disk is full" in deployer.refused()
    assert "flask db upgrade" not in docker.did


@pytest.mark.parametrize("revision", ["", NEWEST, NEWER], ids=["none", "newest", "newer"])
def test_what_needs_no_backup_makes_none(
    deployer: Deployer, docker: FakeDocker, on: FakeHost, revision: str
) -> None:
    """There is nothing on a new host, and a newer release has migrated already."""
    deployer.revision = revision
    deployer.run()
    assert "back up before-migration" not in docker.did
    assert ("flask db upgrade" in docker.did) == (revision == "")
    assert on.serves() == ("new", "new")


def test_a_new_host_sends_to_blue_at_first(
    deployer: Deployer, docker: FakeDocker, on: FakeHost, root: Path
) -> None:
    (root / "upstream/server.conf").unlink()
    del docker.containers["order-service-mysql-1"]
    docker.failing["up --force-recreate mysql"] = "enough of it"
    assert "enough of it" in deployer.refused()
    assert on.addresses["blue"] in (root / "upstream/server.conf").read_text()


def test_a_new_host_has_nginxs_network_before_any_container_is_run(
    deployer: Deployer, docker: FakeDocker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Compose 2.26 runs nothing of a project one of whose networks is missing."""
    docker.networks.clear()
    deployer.settings += "WEB_DYNAMIC_RANGE=10.1.5.128/25\n"
    deployer.run()
    told = capsys.readouterr().out
    assert 0 < told.index("made the network") < told.index("making the secrets")


# By what a host is there for: its steps, and what it says at last.
OWN = {
    "web": (["start green", "reload", "stop blue"], "CHANGED: new serves, in green"),
    "worker": (["start green", "stop blue"], "CHANGED: new serves, in green"),
    "database": ([], "CHANGED; UNCHANGED: this host has no service"),
}


@pytest.mark.parametrize("parts", OWN)
def test_a_host_takes_the_steps_of_what_it_is_there_for(
    deployer: Deployer, on: FakeHost, capsys: pytest.CaptureFixture[str], parts: str
) -> None:
    on.become(parts, HEAD="db1")
    deployer.settings = (on.root / "stack/.env").read_text()
    deployer.revision = OLDER
    deployer.run(handed={"service": {}})
    assert deployer.handed == {"service": {}}
    assert (deployer.steps, capsys.readouterr().out.splitlines()[-1]) == (
        ["make secrets", *OWN[parts][0]],
        OWN[parts][1],
    )
    known = ledgers.read()
    assert (known["active"], ledgers.previous(known)) == ("new", "old")


def test_a_release_and_another_way_to_mysql_come_one_after_the_other(
    deployer: Deployer, root: Path
) -> None:
    """Else there would be nothing to take a bad release back to."""
    alone = deployer.settings
    deployer.settings += "PARTS=web,database\nDATABASE_SERVERS=10.0.0.1:3306\n"
    assert "with the former inventory first" in deployer.refused("--allow-interruption")
    assert (deployer.steps, (root / "stack/.env").read_text()) == ([], alone)
    # Where it serves already, only its containers are others.
    ledgers.write(ledgers.read() | {"active": "new"})
    deployer.run("--allow-interruption", "--dry-run")


def test_a_mysql_of_the_hosts_own_keeps_its_passwords(
    deployer: Deployer, on: FakeHost, docker: FakeDocker
) -> None:
    on.become("database", HEAD="db1")
    deployer.settings = (on.root / "stack/.env").read_text()
    volume = docker.volumes / secret_files.MYSQL_VOLUME
    volume.mkdir()
    (volume / "root_password").write_text("of its own\n")
    handed = {"mysql": {"root_password": "the head's"}}
    assert "docker volume rm order-service_mysql-data" in deployer.refused(handed=handed)
    assert deployer.handed is None
    # A member has the others' data, and takes each new password.
    (on.root / "state" / "group.json").write_text("{}")
    deployer.run(handed=handed)
    assert deployer.handed == handed


@pytest.mark.parametrize("parts", ["worker", "database"])
def test_the_head_migrates_for_all_hosts(deployer: Deployer, on: FakeHost, parts: str) -> None:
    """After a backup, wherever the database is."""
    on.become(parts)
    deployer.settings = (on.root / "stack/.env").read_text()
    deployer.revision = OLDER
    deployer.run()
    migrated = STEPS[STEPS.index("flask db current") : STEPS.index("start green")]
    assert deployer.steps[1 : len(migrated) + 1] == migrated
    # Where the database is, they do not come with its start.
    assert ("make accounts" in on.docker.did) == (parts == "database")


def test_what_a_host_was_there_for_is_ended_at_last(deployer: Deployer, on: FakeHost) -> None:
    on.become("database", "worker")
    on.docker.add("nginx")
    on.docker.add("blue-app", release="old")
    has_nginx: dict[str, bool] = {}
    on.docker.watch = lambda what: has_nginx.update(
        {what: "order-service-nginx-1" in on.docker.containers}
    )
    deployer.settings = (on.root / "stack/.env").read_text().replace(",worker", "")
    deployer.run()
    assert has_nginx["stop blue"]
    assert list(on.docker.containers) == ["order-service-mysql-1"]


def test_what_it_is_told_wrongly_is_one_line(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("{"))
    with pytest.raises(SystemExit, match=r"^FAILED: Expecting property name"):
        program(deploy.main, "new")
