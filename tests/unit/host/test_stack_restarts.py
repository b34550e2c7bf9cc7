"""MySQL and nginx are started anew where that was allowed, once, and clients are told of it."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from order_service.host import CommandError
from order_service.release import maintenance, stack

from tests.support.fake_engine import Container
from tests.support.stack_host import ALLOWED, BACKED_UP, COMPOSE, MYSQL, StackHost


def change(host: StackHost, what: str) -> None:
    """Change a setting, or a line of the release's files."""
    if what == "setting":
        host.set("mysql: more memory")
    elif what == "configuration":
        host.write(MYSQL, "another")
    else:
        host.write(COMPOSE, f"{what}: another")


def test_a_member_hands_the_writes_over_before_it_is_restarted(
    host: StackHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_over = "order_service.database.bring.hand_over"
    monkeypatch.setattr(hand_over, lambda: host.docker.do("hand over"))
    change(host, "mysql")
    stack.place("new")
    stack.up("new")
    assert host.docker.did == ["hand over", "up --force-recreate mysql"]


@pytest.mark.parametrize("fails", [False, True])
def test_clients_are_told_to_come_again_during_a_restart(host: StackHost, fails: bool) -> None:
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
def test_a_restart_has_to_be_allowed(host: StackHost, what: str) -> None:
    change(host, what)
    named = "nginx" if what == "nginx" else "mysql"
    host.refused(named)
    assert host.docker.did == []
    assert host.run("plan", ALLOWED) == f"would restart: {named}"
    host.deploy("new", ALLOWED)
    assert f"up --force-recreate {named}" in host.docker.did
    # Memory can be given back; what a configuration does to the data cannot.
    assert host.backups == (BACKED_UP if what == "configuration" else [])


def test_what_changed_is_started_anew_and_only_once(host: StackHost) -> None:
    host.write(MYSQL, "another")
    assert host.run("place") == "CHANGED"
    assert host.backups == BACKED_UP
    assert host.run("up") == "CHANGED: started mysql"
    assert host.docker.did == ["up --force-recreate mysql"]
    host.docker.did.clear()
    assert [host.run(action) for action in ("place", "up")] == ["UNCHANGED", "UNCHANGED"]
    assert host.docker.did == []
    assert host.backups == BACKED_UP


def test_what_does_not_start_is_set_back_by_the_next_deployment(host: StackHost) -> None:
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


def test_a_restart_that_was_cut_off_is_made_by_the_next_deployment(host: StackHost) -> None:
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


def test_a_restart_that_was_cut_off_leaves_nobody_turned_away(host: StackHost) -> None:
    maintenance.on(stack.RESTART, for_a_job=True)
    host.deploy()
    assert not maintenance.is_on()
    maintenance.on("by hand")
    host.deploy()
    assert maintenance.is_on()


def test_what_is_not_healthy_is_waited_for(
    host: StackHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.docker.containers["order-service-nginx-1"].health = "unhealthy"
    monkeypatch.setattr(stack, "START_SECONDS", 0.1)
    with pytest.raises(CommandError, match="nginx is unhealthy; see: sudo docker logs"):
        host.run("up")
