"""A host of workers alone: they are rolled out in two colours as well, without nginx or smoke."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from order_service.release import colours, rollback
from order_service.release import ledger as ledgers

from tests.support.clock import Clock
from tests.support.fake_docker import FakeDocker
from tests.support.fake_host import FakeHost, Program, misbehaving
from tests.support.figures import page


@pytest.fixture(autouse=True)
def worker_host(on: FakeHost) -> None:
    """Have `old` work in blue."""
    on.become("worker", HEAD="db1")
    on.docker.healths = {"worker": "healthy"}


def works(on: FakeHost) -> dict[str, str]:
    """Return which release runs in which colour, if it is the one that is written down."""
    colour, runs = colours.serving(), on.runs
    assert runs[colour.name] == ledgers.read()["active"]
    assert list(on.docker.containers) == [f"order-service-{name}-worker-1" for name in runs]
    return runs


def test_a_worker_takes_the_place_of_the_former_one(
    on: FakeHost, docker: FakeDocker, clock: Clock, roll_out: Program,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """It is watched for as long as a service, beside the one before; nobody asks nginx."""
    on.figures = lambda _: page(completed=1000)
    roll_out()
    assert docker.did[:2] == ["start green", "stop blue"]
    assert clock.now >= 30
    assert works(on) == {"green": "new"}
    assert "baked for 30 s\n" in capsys.readouterr().out
    assert "order-service:bad" not in docker.images
    assert not [line for line in docker.ran if "nginx" in line]


def test_the_same_again_changes_nothing(
    on: FakeHost, docker: FakeDocker, roll_out: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    roll_out("old")
    assert "UNCHANGED: old serves already, in blue" in capsys.readouterr().out
    assert "start green" not in docker.did
    docker.containers["order-service-blue-worker-1"].health = "unhealthy"
    roll_out("old")
    assert works(on) == {"green": "old"}


def test_the_first_one_has_none_to_be_compared_with(
    on: FakeHost, docker: FakeDocker, roll_out: Program
) -> None:
    docker.containers.clear()
    ledgers.write({"active": None, "releases": []})
    roll_out()
    assert works(on) == {"blue": "new"}


def test_one_that_does_not_get_ready_never_counts(
    on: FakeHost, roll_out: Program, root: Path
) -> None:
    on.behaviour = misbehaving("GET /readyz", 503)
    with pytest.raises(SystemExit, match=r"bad did not get ready .* /readyz answers 503"):
        roll_out("bad")
    assert works(on) == {"blue": "old"}
    (saved,) = (root / "failures").iterdir()
    assert json.loads((saved / "readyz.json").read_text()) == [503, {"release": "bad"}]
    assert (saved / "worker.log").exists()


def test_one_that_fails_orders_is_taken_back(on: FakeHost, clock: Clock, roll_out: Program) -> None:
    told = {"bad": page(completed=5, failed=15), "old": page(completed=1000)}
    on.figures = lambda asked: told[asked.removeprefix("the worker of ")]
    with pytest.raises(SystemExit, match=r"15 of 20 attempts at orders failed"):
        roll_out("bad")
    assert clock.now < 10
    assert works(on) == {"blue": "old"}


@pytest.mark.parametrize("breaks", ["health", "container"])
def test_one_that_breaks_while_it_is_watched_is_taken_back(
    on: FakeHost, docker: FakeDocker, clock: Clock, roll_out: Program, breaks: str
) -> None:
    def happens() -> None:
        if clock.now > 10 and breaks == "health":
            docker.containers["order-service-green-worker-1"].health = "unhealthy"
        elif clock.now > 10:
            docker.containers.pop("order-service-green-worker-1", None)

    clock.on_sleep = happens
    with pytest.raises(SystemExit, match="bad did not get ready within 120 s"):
        roll_out("bad")
    assert works(on) == {"blue": "old"}


def test_an_interruption_takes_it_back(on: FakeHost, clock: Clock, roll_out: Program) -> None:
    clock.on_sleep = lambda: os.kill(os.getpid(), signal.SIGTERM) if clock.now > 10 else None
    with pytest.raises(SystemExit, match="interrupted by SIGTERM"):
        roll_out()
    assert works(on) == {"blue": "old"}


def test_one_that_nobody_has_watched_to_the_end_is_taken_back_by_the_next(
    on: FakeHost, docker: FakeDocker, roll_out: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    address = docker.addresses["green-worker"]
    docker.add("green-worker", release="bad", health="healthy", address=address)
    path = on.root / "upstream" / "server.conf"
    path.write_text(colours.upstream_for(colours.Colour("green")))
    roll_out("old")
    assert "an earlier rollout was cut off: blue serves old again" in capsys.readouterr().out
    assert works(on) == {"blue": "old"}


def test_it_goes_back_to_the_release_before(
    on: FakeHost, program: Program, roll_out: Program
) -> None:
    roll_out()
    program(rollback.main, "--from=new")
    assert works(on) == {"blue": "old"}


def test_a_host_that_was_alone_becomes_one_of_workers(
    on: FakeHost, docker: FakeDocker, roll_out: Program
) -> None:
    docker.containers.clear()
    docker.add("blue-app", release="old")
    roll_out()
    assert works(on) == {"green": "new"}
