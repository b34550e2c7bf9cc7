"""MySQL and nginx: what a release would restart is known, and refused, before it happens."""

from __future__ import annotations

from pathlib import Path

import pytest
from order_service.host import CommandError
from order_service.release import stack

from tests.support.fake_docker import FakeDocker
from tests.support.fake_host import Program

ALLOWED = "--allow-interruption"


@pytest.fixture
def placed(root: Path, docker: FakeDocker, program: Program) -> Path:
    """A host on which the release `old` is in place and runs; `new` has the same files."""
    for release in ("old", "new"):
        for file in ("docker-compose.yml", "deploy/host/base.yml", "deploy/mysql/order-service.cnf",
                     "deploy/mysql/mysqld.sh", "deploy/nginx/nginx.conf"):  # fmt: skip
            path = root / "releases" / release / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{path.name}, the same\n")
    program(stack.main, "place", "old")
    program(stack.main, "up", "old")
    docker.did.clear()
    return root / "releases" / "new"


def test_a_release_that_changes_neither_restarts_nothing(
    placed: Path, docker: FakeDocker, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    # Its own configuration is put in place with the colour, without a restart.
    (placed / "deploy/nginx/nginx.conf").write_text("another")
    program(stack.main, "plan", "new")
    assert capsys.readouterr().out.endswith("would restart: nothing\n")
    assert docker.did == []


def change(docker: FakeDocker, release: Path, what: str) -> None:
    """Change a setting of MySQL's or of nginx's container, or a file that MySQL reads."""
    if what == "deploy/mysql/order-service.cnf":
        (release / what).write_text("another")
    else:
        docker.hashes[what] = "another"


@pytest.mark.parametrize("what", ["mysql", "deploy/mysql/order-service.cnf", "nginx"])
def test_a_restart_has_to_be_allowed(
    placed: Path,
    docker: FakeDocker,
    program: Program,
    capsys: pytest.CaptureFixture[str],
    what: str,
) -> None:
    change(docker, placed, what)
    named = "nginx" if what == "nginx" else "mysql"
    with pytest.raises(SystemExit, match=rf"would restart {named}: .* -e allow_interruption=true"):
        program(stack.main, "plan", "new")
    assert docker.did == []
    program(stack.main, "plan", "new", ALLOWED)
    assert capsys.readouterr().out.endswith(f"would restart: {named}\n")


def test_both_are_named(placed: Path, docker: FakeDocker, program: Program) -> None:
    for what in ("mysql", "nginx"):
        change(docker, placed, what)
    with pytest.raises(SystemExit, match="would restart mysql and nginx: "):
        program(stack.main, "plan", "new")


def test_a_configuration_that_mysql_refuses_stops_it(
    placed: Path, docker: FakeDocker, program: Program
) -> None:
    """MySQL tries the release's own files, not those that are in place."""
    change(docker, placed, "deploy/mysql/order-service.cnf")
    docker.failing["try MySQL with new"] = "[ERROR] unknown variable 'sense=1'"
    with pytest.raises(SystemExit, match=r"it runs on with what it has: .*'sense=1'"):
        program(stack.main, "plan", "new", ALLOWED)


def test_where_nothing_runs_nothing_is_restarted(
    placed: Path, docker: FakeDocker, program: Program
) -> None:
    change(docker, placed, "mysql")
    docker.containers["order-service-mysql-1"].running = False
    del docker.containers["order-service-nginx-1"]
    program(stack.main, "plan", "new")
    assert docker.did == []


def test_what_changed_is_started_anew_and_only_once(
    placed: Path, docker: FakeDocker, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    change(docker, placed, "deploy/mysql/order-service.cnf")
    for expected in ("CHANGED", "UNCHANGED"):
        program(stack.main, "place", "new")
        assert capsys.readouterr().out == f"{expected}\n"
    for started, expected in ((["--force-recreate mysql", "nginx"], "CHANGED: started mysql"),
                              (["mysql", "nginx"], "UNCHANGED")):  # fmt: skip
        docker.did.clear()
        program(stack.main, "up", "new")
        assert docker.did == [f"up {one}" for one in started]
        assert capsys.readouterr().out == f"{expected}\n"


def test_the_rollout_alone_replaces_the_configuration_of_nginx(
    placed: Path, root: Path, program: Program
) -> None:
    (placed / "deploy/nginx/nginx.conf").write_text("another")
    (placed / "docker-compose.yml").write_text("another")
    program(stack.main, "place", "new")
    assert (root / "stack/deploy/nginx/nginx.conf").read_text() == "nginx.conf, the same\n"
    assert (root / "stack/docker-compose.yml").read_text() == "another"


def test_what_docker_says_is_told(docker: FakeDocker, placed: Path, program: Program) -> None:
    docker.failing["up mysql"] = "no space left on device"
    with pytest.raises(SystemExit, match=r"FAILED: .*no space left on device"):
        program(stack.main, "up", placed.name)


def test_a_setting_that_compose_refuses_is_told(placed: Path, root: Path) -> None:
    (placed / "docker-compose.yml").unlink()
    with pytest.raises(CommandError, match="no such file"):
        stack.compose(placed, "new", "config", "--hash", "mysql", mounted=root)
