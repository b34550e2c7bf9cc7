"""A host for the host's programs, in this process: no Docker, and no folder but the test's own."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from order_service.alerts import alert
from order_service.backup import backup
from order_service.release import answers, bake, mysql_upgrade, nginx, rollout
from order_service.restore import restore

from tests.support.alerted_host import AlertClock, Alerts
from tests.support.clock import Clock
from tests.support.fake_docker import FakeDocker
from tests.support.fake_host import FakeHost, Program
from tests.support.hook_receiver import open_receiver
from tests.support.host_facts import Facts
from tests.support.relocation import relocate
from tests.support.secret_volumes import Volumes
from tests.support.stack_host import StackHost


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for /opt/order-service; the settings are in `settings` below it."""
    relocate(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture
def docker(root: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """What the programs take for Docker."""
    fake = FakeDocker(root / "volumes")
    monkeypatch.setattr("order_service.host.subprocess.run", fake.run)
    monkeypatch.setattr(answers, "Popen", fake.follow)
    return fake


@pytest.fixture
def on(root: Path, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    """A host on which the release `old` serves, in blue."""
    deployed = FakeHost(root, docker)
    with deployed.serving(monkeypatch):
        yield deployed


@pytest.fixture
def facts(on: FakeHost, monkeypatch: pytest.MonkeyPatch) -> Facts:
    """A host that is as good as it must be, and no better."""
    return Facts(on, monkeypatch)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time for a rollout; it passes when it sleeps."""
    made = Clock()
    for module in (answers, bake, nginx, rollout):
        monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    """Run a program's `main` with a command line; what it changes in this process is undone."""
    signals = {one: signal.getsignal(one) for one in rollout.INTERRUPTS}
    mask = os.umask(0)
    os.umask(mask)

    def run(main: Callable[[], None], *arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["program", *arguments])
        main()

    yield run
    for one, handler in signals.items():
        signal.signal(one, handler)
    os.umask(mask)


@pytest.fixture
def alerts(facts: Facts, program: Program, monkeypatch: pytest.MonkeyPatch) -> Iterator[Alerts]:
    """The same, and a receiver that is told what is wrong with it."""
    clock = AlertClock()
    monkeypatch.setattr(alert, "time", clock)
    with open_receiver() as receiver:
        made = Alerts(facts, receiver, program, clock)
        made.configure()
        yield made


@pytest.fixture
def roll_out(on: FakeHost, clock: Clock, program: Program) -> Program:  # noqa: ARG001 - they are used
    """Roll a release out, `new` unless told else; the 30 s of watching pass at once."""

    def run(release: str = "new", *arguments: str) -> None:
        program(rollout.main, release, *arguments)

    return run


@pytest.fixture
def host(
    root: Path,
    docker: FakeDocker,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> StackHost:
    """MySQL and nginx, as a deployment has left them."""
    made = StackHost(root, docker, capsys)
    monkeypatch.setattr(mysql_upgrade, "load", lambda: None)
    monkeypatch.setattr(backup, "full", lambda _, kind: made.backups.append(kind))
    monkeypatch.setattr(restore, "prove", lambda _: made.backups.append("restored"))
    return made


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    """The folders of the stack's secrets, filled."""
    made = Volumes(tmp_path)
    made.make()
    return made
