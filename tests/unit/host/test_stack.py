"""MySQL and nginx: what a release would restart is known, and refused, before it happens."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
from order_service.backup import backup
from order_service.host import CommandError
from order_service.release import ledger, maintenance, mysql_upgrade, stack
from order_service.release.colours import Colour
from order_service.release.project import base
from order_service.restore import restore

from tests.support.fake_docker import FakeDocker
from tests.support.fake_engine import Container

ALLOWED, DRY_RUN = "allowed", "dry run"
COMPOSE, MYSQL, NGINX = (
    "docker-compose.yml", "deploy/mysql/order-service.cnf", "deploy/nginx/nginx.conf"
)  # fmt: skip
BASE, SHARED = "deploy/host/base.yml", "deploy/host/shared.yml"
FILES = (COMPOSE, MYSQL, NGINX, BASE, "deploy/mysql/mysqld.sh", SHARED)
NOTHING = "would restart: nothing"
BACKED_UP = ["before-upgrade", "restored"]


class Host:
    """A host on which the release `old` is in place and runs; `new` has the same files."""

    def __init__(
        self,
        root: Path,
        docker: FakeDocker,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.root, self.docker, self._capsys = root, docker, capsys
        # The backups themselves are tested with a real server.
        self.backups: list[str] = []
        for file in FILES:
            for release in ("old", "new"):
                self.write(file, f"{Path(file).name}, the same", release)
                self.write(BASE, "mounted: mysqld.sh and order-service.cnf", release)
        self.set("mysql: the same memory")
        self.deploy("old")
        docker.did.clear()

    def write(self, file: str, text: str, release: str = "new") -> None:
        """Write a file of a release's; lines are about the service that they begin with."""
        path = self.root / "releases" / release / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")

    def set(self, setting: str) -> None:
        """Have another setting."""
        (self.root / "stack").mkdir(exist_ok=True)
        (self.root / "stack/.env").write_text(setting + "\n")

    def placed(self, file: str) -> str:
        """Return what is in place."""
        return (self.root / "stack" / file).read_text().strip()

    def run(self, action: str, *options: str, release: str = "new") -> str:
        """Take a step of a deployment; return what comes of it."""
        if action == "plan":
            self._capsys.readouterr()
            stack.plan(release, allowed=ALLOWED in options, dry_run=DRY_RUN in options)
            return self._capsys.readouterr().out.splitlines()[-1]
        if action == "place":
            return "CHANGED" if stack.place(release) else "UNCHANGED"
        started = stack.up(release)
        return f"CHANGED: started {', '.join(started)}" if started else "UNCHANGED"

    def deploy(self, release: str = "new", *options: str) -> None:
        """Do what a deployment does."""
        self.run("plan", *options, release=release)
        self.run("place", release=release)
        self.run("up", release=release)

    def refused(self, what: str) -> None:
        """Check that a plain deployment is, before anything is done."""
        with pytest.raises(CommandError, match=rf"would restart {what}: .*allow_interruption=tr"):
            self.run("plan")

    def forget(self) -> None:
        """Be as a release leaves the host that keeps nothing of what it starts."""
        shutil.rmtree(self.root / "state/started")


@pytest.fixture
def host(
    root: Path,
    docker: FakeDocker,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Host:
    """MySQL and nginx, as a deployment has left them."""
    made = Host(root, docker, capsys)
    monkeypatch.setattr(mysql_upgrade, "load", lambda: None)
    monkeypatch.setattr(backup, "full", lambda _, kind: made.backups.append(kind))
    monkeypatch.setattr(restore, "prove", lambda _: made.backups.append("restored"))
    return made


def test_a_release_that_changes_neither_restarts_nothing(host: Host) -> None:
    # Its own configuration is put in place with the colour, without a restart.
    host.write(NGINX, "another")
    host.write(COMPOSE, "# a comment, and other services\napp: another")
    assert host.run("plan") == NOTHING
    assert host.docker.did == []
    host.deploy()
    assert host.docker.did == []
    assert host.backups == []


def test_another_version_of_compose_restarts_nothing(host: Host) -> None:
    host.docker.hashes = {"mysql": "of-another-version", "nginx": "of-another-version"}
    assert host.run("plan") == NOTHING
    host.deploy()
    assert host.docker.did == []
    host.write(COMPOSE, "nginx: another")
    host.refused("nginx")


def change(host: Host, what: str) -> None:
    """Change a setting, or a line of the release's files."""
    if what == "setting":
        host.set("mysql: more memory")
    elif what == "configuration":
        host.write(MYSQL, "another")
    else:
        host.write(COMPOSE, f"{what}: another")


def test_a_member_hands_the_writes_over_before_it_is_restarted(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_over = "order_service.database.bring.hand_over"
    monkeypatch.setattr(hand_over, lambda: host.docker.do("hand over"))
    change(host, "mysql")
    stack.place("new")
    stack.up("new")
    assert host.docker.did == ["hand over", "up --force-recreate mysql"]


@pytest.mark.parametrize("fails", [False, True])
def test_clients_are_told_to_come_again_during_a_restart(host: Host, fails: bool) -> None:
    change(host, "mysql")
    restart = "up --force-recreate mysql"
    closed: dict[str, bool] = {}
    host.docker.watch = lambda what: closed.update({what: maintenance.is_on()})
    if fails:
        host.docker.failing[restart] = "enough of it"
    with pytest.raises(CommandError) if fails else nullcontext():
        host.deploy("new", ALLOWED)
    assert closed[restart]
    assert not maintenance.is_on()


@pytest.mark.parametrize("what", ["setting", "mysql", "configuration", "nginx"])
def test_a_restart_has_to_be_allowed(host: Host, what: str) -> None:
    change(host, what)
    named = "nginx" if what == "nginx" else "mysql"
    host.refused(named)
    assert host.docker.did == []
    assert host.run("plan", ALLOWED) == f"would restart: {named}"
    host.deploy("new", ALLOWED)
    assert f"up --force-recreate {named}" in host.docker.did
    # Memory can be given back; what a configuration does to the data cannot.
    assert host.backups == (BACKED_UP if what == "configuration" else [])


def test_both_are_named(host: Host) -> None:
    host.write(COMPOSE, "mysql: another\nnginx: another")
    host.refused("mysql and nginx")


def test_a_configuration_that_mysql_refuses_stops_it(host: Host) -> None:
    """MySQL tries the release's own files, not those that are in place."""
    host.write(MYSQL, "another")
    host.docker.failing["try MySQL with new"] = "[ERROR] unknown variable 'sense=1'"
    with pytest.raises(CommandError, match=r"it runs on with what it has: .*'sense=1'"):
        host.run("plan", ALLOWED)


def test_where_nothing_runs_nothing_is_restarted(host: Host) -> None:
    host.write(COMPOSE, "mysql: another\nnginx: another")
    host.docker.containers["order-service-mysql-1"].running = False
    del host.docker.containers["order-service-nginx-1"]
    assert host.run("plan") == NOTHING
    assert host.docker.did == []


def test_what_changed_is_started_anew_and_only_once(host: Host) -> None:
    host.write(MYSQL, "another")
    assert host.run("place") == "CHANGED"
    assert host.backups == BACKED_UP
    assert host.run("up") == "CHANGED: started mysql"
    assert host.docker.did == ["up --force-recreate mysql"]
    host.docker.did.clear()
    assert [host.run(action) for action in ("place", "up")] == ["UNCHANGED", "UNCHANGED"]
    assert host.docker.did == []
    assert host.backups == BACKED_UP


def test_the_rollout_alone_replaces_the_configuration_of_nginx(host: Host) -> None:
    ledger.write({"active": "old", "releases": []})
    host.write(NGINX, "another")
    host.write(COMPOSE, "another")
    host.run("place")
    assert host.placed(NGINX) == "nginx.conf, the same"
    assert host.placed(COMPOSE) == "another"


def test_what_docker_says_is_told(host: Host) -> None:
    host.write(COMPOSE, "nginx: another")
    host.run("place")
    host.docker.failing["up --force-recreate nginx"] = "no space left on device"
    with pytest.raises(CommandError, match=r"no space left on device"):
        host.run("up")


def test_a_configuration_that_nobody_mounts_restarts_nothing(host: Host) -> None:
    """As that of MySQL for several hosts, on a host that is alone."""
    host.write("deploy/mysql/group.cnf", "of a member")
    assert host.run("plan") == NOTHING
    host.deploy()
    assert (host.docker.did, host.backups) == ([], [])


def test_a_host_alone_is_described_by_the_same_files_as_ever(host: Host) -> None:
    release = host.root / "releases/new"
    names = [COMPOSE, BASE]
    assert base(release, "new").files == tuple(release / name for name in names)
    colour = ("docker-compose.yml", "deploy/host/colour.yml")
    assert Colour("blue").described("new").files == tuple(release / name for name in colour)
    host.deploy()
    assert not (host.root / "stack" / SHARED).exists()
    kept = {path.name for path in (host.root / "state/started/nginx").iterdir()}
    assert kept == {".env", "base.yml", "docker-compose.yml", "replaced"}


def test_where_the_database_is_shared_that_is_described_as_well(host: Host) -> None:
    """A release that lacks the file goes without it; what has run before is known all the same."""
    host.set("mysql: the same memory\nDATABASE_SERVERS=10.0.0.3:3306")
    (host.root / "releases/old" / SHARED).unlink()
    assert host.run("plan") == NOTHING
    host.deploy()
    assert host.docker.did == []
    assert (host.root / "stack" / SHARED).exists()
    placed = host.root / "stack"
    assert base(placed, "new").files[2:] == (placed / SHARED,)
    assert len(base(host.root / "releases/old", "old").files) == 2
    assert len(Colour("blue").described("old").files) == 2
    host.write(SHARED, "mysql: another")
    host.refused("mysql")


@pytest.mark.parametrize(
    ("parts", "own"), [("web", ["nginx"]), ("worker", []), ("database,worker", ["mysql"])]
)
def test_a_host_has_what_it_is_there_for(host: Host, parts: str, own: list[str]) -> None:
    host.set(f"mysql: the same memory\nPARTS={parts}")
    host.docker.containers.clear()
    del host.docker.pulled["mysql:9.7" if own != ["mysql"] else "nginx:1.30"]
    host.deploy()
    assert host.docker.did == [f"up --force-recreate {name}" for name in own]


def test_nginx_goes_from_a_host_that_clients_do_not_come_to_any_more(host: Host) -> None:
    """MySQL does not, since its data may still be wanted."""
    host.set("mysql: the same memory\nPARTS=worker")
    assert stack.end_former_part() == {"nginx"}
    assert list(host.docker.containers) == ["order-service-mysql-1"]
    assert stack.end_former_part() == set()


def test_what_does_not_start_is_set_back_by_the_next_deployment(host: Host) -> None:
    """It differs from what is wanted then, although that has run before."""
    made: list[Container] = []
    host.set("mysql: too little memory")
    host.docker.watch = lambda _: made.append(host.docker.add("mysql", health="unhealthy"))
    host.docker.failing["up --force-recreate mysql"] = "container is unhealthy"
    with pytest.raises(CommandError, match="container is unhealthy"):
        host.deploy("new", ALLOWED)
    host.docker.failing.clear()
    host.docker.did.clear()
    host.set("mysql: the same memory")
    assert host.run("plan", ALLOWED) == "would restart: mysql"
    host.deploy("new", ALLOWED)
    assert "up --force-recreate mysql" in host.docker.did


def test_a_restart_that_was_cut_off_is_made_by_the_next_deployment(host: Host) -> None:
    """Where the container is still the former one, it has nothing of what is wanted."""
    change(host, "nginx")
    host.docker.failing["up --force-recreate nginx"] = "docker has stopped"
    with pytest.raises(CommandError, match="docker has stopped"):
        host.deploy("new", ALLOWED)
    host.docker.failing.clear()
    host.docker.did.clear()
    host.deploy("new", ALLOWED)
    assert host.docker.did == ["up --force-recreate nginx"]
    host.docker.did.clear()
    host.deploy()
    assert host.docker.did == []


def test_a_restart_that_was_cut_off_leaves_nobody_turned_away(host: Host) -> None:
    maintenance.on(stack.RESTART, for_a_job=True)
    host.deploy()
    assert not maintenance.is_on()
    maintenance.on("by hand")
    host.deploy()
    assert maintenance.is_on()


def test_files_that_were_placed_in_part_are_completed(host: Host) -> None:
    """As on a disk that was full during the first deployment."""
    (host.root / "stack" / NGINX).unlink()
    assert host.run("place") == "CHANGED"
    assert host.placed(NGINX) == "nginx.conf, the same"


def test_what_is_not_healthy_is_waited_for(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.docker.containers["order-service-nginx-1"].health = "unhealthy"
    monkeypatch.setattr(stack, "START_SECONDS", 0.1)
    with pytest.raises(CommandError, match="nginx is unhealthy; see: sudo docker logs"):
        host.run("up")


def test_a_setting_that_compose_refuses_is_told(host: Host) -> None:
    release = host.root / "releases/new"
    (release / COMPOSE).unlink()
    with pytest.raises(CommandError, match="no such file"):
        base(release, "new").services()


def test_an_image_that_is_missing_is_pulled_before_anything_stops(host: Host) -> None:
    host.write(COMPOSE, "nginx: image nginx:1.30@sha256:new")
    host.refused(r"nginx \(another image\)")
    assert host.docker.did == ["pull nginx:1.30@sha256:new"]
    host.deploy("new", ALLOWED)
    # What nothing runs from any more would fill the disk.
    assert host.docker.did[1:] == ["up --force-recreate nginx", "remove the image sha256:nginx"]


def test_a_dry_run_pulls_nothing(host: Host) -> None:
    host.write(COMPOSE, "mysql: image mysql:9.7@sha256:new")
    said = "would pull mysql:9.7@sha256:new, and restart what runs from another image"
    assert host.run("plan", DRY_RUN) == said
    assert host.docker.did == []


def test_an_image_that_cannot_be_pulled_changes_nothing(host: Host) -> None:
    name = "mysql:9.7@sha256:new"
    host.write(COMPOSE, f"mysql: image {name}")
    host.docker.failing[f"pull {name}"] = "manifest unknown"
    with pytest.raises(CommandError, match=rf"{name} is not on this host: .*manifest unknown"):
        host.run("plan", ALLOWED)


def test_the_same_image_by_its_digest_restarts_nothing(host: Host) -> None:
    name = "mysql:9.7@sha256:of-today"
    host.write(COMPOSE, f"mysql: image {name}")
    host.docker.pulled[name] = host.docker.pulled["mysql:9.7"]
    assert host.run("plan") == NOTHING


@pytest.mark.parametrize("name", ["mysql", "nginx"])
def test_an_image_pulled_by_hand_changes_nothing_by_itself(host: Host, name: str) -> None:
    """Compose would start such a container anew, and MySQL upgrade its data."""
    tag = {"mysql": "mysql:9.7", "nginx": "nginx:1.30"}[name]
    host.docker.pulled[tag] = "sha256:pulled"
    host.docker.versions["sha256:pulled"] = "9.7.5"
    host.refused(rf"{name} \(another image\)")
    assert (host.docker.did, host.backups) == ([], [])
    host.deploy("new", ALLOWED)
    assert f"up --force-recreate {name}" in host.docker.did
    assert host.backups == (BACKED_UP if name == "mysql" else [])
    host.docker.did.clear()
    host.deploy()
    assert host.docker.did == []


def test_an_older_mysql_is_refused(host: Host) -> None:
    host.write(COMPOSE, "mysql: image mysql:8.4")
    host.docker.pulled["mysql:8.4"] = "sha256:older"
    host.docker.versions["sha256:older"] = "8.4.10"
    refusal = r"mysql:8\.4 is MySQL 8\.4\.10, and MySQL 9\.7\.4 has written the data"
    with pytest.raises(CommandError, match=refusal):
        host.run("plan", ALLOWED)


def test_without_a_backup_that_restores_nothing_is_put_in_place(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> None:
        raise CommandError("it does not restore to what was recorded")

    monkeypatch.setattr(restore, "prove", fails)
    host.write(MYSQL, "another")
    host.write(COMPOSE, "another")
    with pytest.raises(CommandError, match=r"MySQL is left as it is, .* what was recorded"):
        host.run("place")
    assert host.backups == ["before-upgrade"]
    assert host.placed(MYSQL) == "order-service.cnf, the same"
    assert host.placed(COMPOSE) == "docker-compose.yml, the same"


def test_what_a_former_release_started_is_taken_over(host: Host) -> None:
    host.forget()
    assert host.run("plan") == NOTHING
    host.docker.hashes = {"mysql": "of-another-version", "nginx": "of-another-version"}
    host.deploy()
    assert host.docker.did == []
    host.write(MYSQL, "another")
    host.refused("mysql")


def test_what_was_started_with_other_settings_is_not_taken_over(host: Host) -> None:
    host.forget()
    host.docker.hashes = {"mysql": "of-another-setting"}
    host.refused("mysql")
    host.deploy("new", ALLOWED)
    assert host.docker.did[-1:] == ["up --force-recreate mysql"]
    # Nobody knows whether its configuration is another one, too.
    assert host.backups == BACKED_UP


def test_files_that_this_compose_refuses_are_other_files(host: Host) -> None:
    (host.root / "state/started/nginx" / COMPOSE).write_text("refused\n")
    host.write(COMPOSE, "a comment")
    host.refused("nginx")
