"""MySQL and nginx: what a release would restart is known, and refused, before it happens."""

from __future__ import annotations

import pytest
from order_service.host import CommandError
from order_service.release import ledger, stack
from order_service.release.colours import Colour
from order_service.release.project import base
from order_service.restore import restore

from tests.support.stack_host import (
    ALLOWED,
    BACKED_UP,
    BASE,
    COMPOSE,
    MYSQL,
    NGINX,
    NOTHING,
    SHARED,
    StackHost,
)


def test_a_release_that_changes_neither_restarts_nothing(host: StackHost) -> None:
    # Its own configuration is put in place with the colour, without a restart.
    host.write(NGINX, "another")
    host.write(COMPOSE, "# a comment, and other services\napp: another")
    assert host.run("plan") == NOTHING
    assert host.docker.did == []
    host.deploy()
    assert host.docker.did == []
    assert host.backups == []


def test_another_version_of_compose_restarts_nothing(host: StackHost) -> None:
    host.docker.hashes = {"mysql": "of-another-version", "nginx": "of-another-version"}
    assert host.run("plan") == NOTHING
    host.deploy()
    assert host.docker.did == []
    host.write(COMPOSE, "nginx: another")
    host.refused("nginx")


def test_both_are_named(host: StackHost) -> None:
    host.write(COMPOSE, "mysql: another\nnginx: another")
    host.refused("mysql and nginx")


def test_a_configuration_that_mysql_refuses_stops_it(host: StackHost) -> None:
    """MySQL tries the release's own files, not those that are in place."""
    host.write(MYSQL, "another")
    host.docker.failing["try MySQL with new"] = "[ERROR] unknown variable 'sense=1'"
    with pytest.raises(CommandError, match=r"it runs on with what it has: .*'sense=1'"):
        host.run("plan", ALLOWED)


def test_where_nothing_runs_nothing_is_restarted(host: StackHost) -> None:
    host.write(COMPOSE, "mysql: another\nnginx: another")
    host.docker.containers["order-service-mysql-1"].running = False
    del host.docker.containers["order-service-nginx-1"]
    assert host.run("plan") == NOTHING
    assert host.docker.did == []


def test_the_rollout_alone_replaces_the_configuration_of_nginx(host: StackHost) -> None:
    ledger.write({"active": "old", "releases": []})
    host.write(NGINX, "another")
    host.write(COMPOSE, "another")
    host.run("place")
    assert host.placed(NGINX) == "nginx.conf, the same"
    assert host.placed(COMPOSE) == "another"


def test_what_docker_says_is_told(host: StackHost) -> None:
    host.write(COMPOSE, "nginx: another")
    host.run("place")
    host.docker.failing["up --force-recreate nginx"] = "no space left on device"
    with pytest.raises(CommandError, match=r"no space left on device"):
        host.run("up")


def test_a_configuration_that_nobody_mounts_restarts_nothing(host: StackHost) -> None:
    """As that of MySQL for several hosts, on a host that is alone."""
    host.write("deploy/mysql/group.cnf", "of a member")
    assert host.run("plan") == NOTHING
    host.deploy()
    assert (host.docker.did, host.backups) == ([], [])


def test_a_host_alone_is_described_by_the_same_files_as_ever(host: StackHost) -> None:
    release = host.root / "releases/new"
    names = [COMPOSE, BASE]
    assert base(release, "new").files == tuple(release / name for name in names)
    colour = ("docker-compose.yml", "deploy/host/colour.yml")
    assert Colour("blue").described("new").files == tuple(release / name for name in colour)
    host.deploy()
    assert not (host.root / "stack" / SHARED).exists()
    kept = {path.name for path in (host.root / "state/started/nginx").iterdir()}
    assert kept == {".env", "base.yml", "docker-compose.yml", "replaced"}


def test_where_the_database_is_shared_that_is_described_as_well(host: StackHost) -> None:
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
def test_a_host_has_what_it_is_there_for(host: StackHost, parts: str, own: list[str]) -> None:
    host.set(f"mysql: the same memory\nPARTS={parts}")
    host.docker.containers.clear()
    del host.docker.pulled["mysql:9.7" if own != ["mysql"] else "nginx:1.30"]
    host.deploy()
    assert host.docker.did == [f"up --force-recreate {name}" for name in own]


def test_nginx_goes_from_a_host_that_clients_do_not_come_to_any_more(host: StackHost) -> None:
    """MySQL does not, since its data may still be wanted."""
    host.set("mysql: the same memory\nPARTS=worker")
    assert stack.end_former_part() == {"nginx"}
    assert list(host.docker.containers) == ["order-service-mysql-1"]
    assert stack.end_former_part() == set()


def test_files_that_were_placed_in_part_are_completed(host: StackHost) -> None:
    """As on a disk that was full during the first deployment."""
    (host.root / "stack" / NGINX).unlink()
    assert host.run("place") == "CHANGED"
    assert host.placed(NGINX) == "nginx.conf, the same"


def test_a_setting_that_compose_refuses_is_told(host: StackHost) -> None:
    release = host.root / "releases/new"
    (release / COMPOSE).unlink()
    with pytest.raises(CommandError, match="no such file"):
        base(release, "new").services()


def test_without_a_backup_that_restores_nothing_is_put_in_place(
    host: StackHost, monkeypatch: pytest.MonkeyPatch
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


def test_what_a_former_release_started_is_taken_over(host: StackHost) -> None:
    host.forget()
    assert host.run("plan") == NOTHING
    host.docker.hashes = {"mysql": "of-another-version", "nginx": "of-another-version"}
    host.deploy()
    assert host.docker.did == []
    host.write(MYSQL, "another")
    host.refused("mysql")


def test_what_was_started_with_other_settings_is_not_taken_over(host: StackHost) -> None:
    host.forget()
    host.docker.hashes = {"mysql": "of-another-setting"}
    host.refused("mysql")
    host.deploy("new", ALLOWED)
    assert host.docker.did[-1:] == ["up --force-recreate mysql"]
    # Nobody knows whether its configuration is another one, too.
    assert host.backups == BACKED_UP


def test_files_that_this_compose_refuses_are_other_files(host: StackHost) -> None:
    (host.root / "state/started/nginx" / COMPOSE).write_text("refused\n")
    host.write(COMPOSE, "a comment")
    host.refused("nginx")
