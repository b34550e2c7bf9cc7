"""A host that leaves its balancers, is stopped, and comes back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from order_service import commands, unit
from order_service.database import bring
from order_service.host import CommandError
from order_service.release import colours, drain

from tests.support.clock import Clock
from tests.support.fake_host import FakeHost, Program


@pytest.fixture
def do(
    on: FakeHost,
    clock: Clock,
    program: Program,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., str]:
    """Run the command, and return what it says."""
    monkeypatch.setattr(unit, "NAME", "")
    monkeypatch.setattr(drain, "time", clock)
    for container in on.docker.containers.values():
        container.health = "healthy"
    on.docker.told_to_balancers = lambda: 503 if drain.FILE.exists() else 200

    def run(action: str) -> str:
        program(commands.main, "--by=ann@laptop", "drain", action)
        return capsys.readouterr().out.strip()

    return run


def test_balancers_are_told_once_until_it_is_back(do: Callable[..., str]) -> None:
    assert do("show") == "takes clients"
    told = do("on")
    assert told.startswith("CHANGED: drained since 20")
    assert told.endswith(" by ann@laptop")
    assert do("on") == told.replace("CHANGED", "UNCHANGED")
    # nginx's user has to see it.
    assert drain.FILE.stat().st_mode & 0o444 == 0o444
    with pytest.raises(SystemExit, match=r"^drained since"):
        do("show")
    assert do("off") == "CHANGED: takes clients"
    assert do("off") == "UNCHANGED: takes clients"


def test_connections_end_with_a_reload_of_nginx(do: Callable[..., str], on: FakeHost) -> None:
    do("on")
    assert do("leave").startswith("CHANGED: drained since")
    assert on.docker.did == ["reload"]


def test_all_is_stopped_in_good_order_and_started_again(
    do: Callable[..., str], on: FakeHost
) -> None:
    on.docker.add("green-worker", release="old", health="healthy")
    do("on")
    do("stop")
    assert [line for line in on.docker.ran if line.startswith("docker stop")] == [
        "docker stop order-service-blue-app-1 order-service-green-worker-1",
        "docker stop order-service-nginx-1",
        "docker stop order-service-mysql-1",
    ]
    stopped = [one for one in on.docker.containers.values() if not one.running]
    assert len(stopped) == 4
    # The host's next start is enough.
    assert {one.restart for one in stopped} == {"always"}
    on.docker.did.clear()
    assert do("off") == "CHANGED: takes clients"
    assert on.docker.did == ["start mysql-1 nginx-1 blue-app-1 green-worker-1"]
    assert {one.restart for one in stopped} == {"unless-stopped"}
    assert all(one.running for one in stopped)
    # What is stopped by hand later is not started by the next one.
    on.docker.did.clear()
    do("off")
    assert on.docker.did == []


@pytest.fixture
def alone_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a MySQL that no other member of its group could take the writes from."""

    def refuse() -> None:
        raise CommandError("the only member at work")

    monkeypatch.setattr(bring, "hand_over", refuse)


@pytest.mark.usefixtures("alone_at_work")
def test_nothing_is_stopped_where_mysql_cannot_be(do: Callable[..., str], on: FakeHost) -> None:
    """It may be the only member at work, and the host serves on."""
    with pytest.raises(SystemExit, match="the only member at work"):
        do("stop")
    assert not [line for line in on.docker.ran if line.startswith("docker stop")]


@pytest.mark.usefixtures("alone_at_work")
def test_all_end_with_the_host_and_come_back_with_it(do: Callable[..., str], on: FakeHost) -> None:
    on.docker.programs["systemctl"] = lambda _: "running\n"
    assert do("halt").startswith("UNCHANGED")
    assert all(one.running for one in on.docker.containers.values())
    on.docker.programs["systemctl"] = lambda _: "stopping\n"
    assert "MySQL is stopped all the same: the only member at work" in do("halt")
    assert [line for line in on.docker.ran if line.startswith("docker stop")][-1].endswith(
        "mysql-1"
    )
    assert not any(one.running for one in on.docker.containers.values())
    # A deployment since may have removed one.
    del on.docker.containers["order-service-blue-app-1"]
    on.docker.did.clear()
    do("resume")
    do("resume")
    assert on.docker.did == ["start mysql-1 nginx-1"]
    assert {one.restart for one in on.docker.containers.values()} == {"unless-stopped"}


def test_all_come_back_where_a_stop_was_cut_off_and_called_again(
    do: Callable[..., str], on: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[None] = []

    def refuse_later() -> None:
        calls.append(None)
        if len(calls) == 2:
            raise CommandError("the only member at work by now")

    monkeypatch.setattr(bring, "hand_over", refuse_later)
    with pytest.raises(SystemExit, match="by now"):
        do("stop")
    do("stop")
    on.docker.did.clear()
    do("off")
    assert on.docker.did == ["start mysql-1 nginx-1 blue-app-1"]


def test_what_does_not_get_ready_gets_no_clients(
    do: Callable[..., str], on: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    do("on")
    monkeypatch.setattr(colours.Colour, "readiness", lambda _: (503, {}))
    with pytest.raises(SystemExit, match=r"^FAILED: not ready after 180 s: the service"):
        do("off")
    assert drain.FILE.exists()
    on.docker.containers["order-service-mysql-1"].health = "starting"
    with pytest.raises(SystemExit, match=r"^FAILED: not ready after 180 s: MySQL"):
        do("off")


def test_a_host_whose_nginx_is_away_takes_no_clients(do: Callable[..., str], on: FakeHost) -> None:
    on.docker.containers["order-service-nginx-1"].running = False
    with pytest.raises(SystemExit, match="/lb-health answers nothing"):
        do("show")
    with pytest.raises(SystemExit, match=r"^FAILED: not ready after 180 s: nginx"):
        do("off")
