"""The program's command line: what is alone on the host, and in whose name."""

from __future__ import annotations

import os
from importlib import import_module

import pytest
from order_service import commands, unit
from order_service.host import BY, CommandError, run

from tests.support.fake_host import Program

Entered = list[tuple[str, list[str], float]]


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> Entered:
    """What is to be done in the unit."""
    found: Entered = []

    def enter(what: str, arguments: list[str], wait: float) -> int:
        found.append((what, arguments, wait))
        return 7

    monkeypatch.setattr(unit, "enter", enter)
    monkeypatch.setattr(unit, "is_inside", lambda: False)
    monkeypatch.setenv(BY, "")
    return found


def test_each_command_is_there() -> None:
    for _, module in commands.COMMANDS.values():
        assert callable(import_module(f"order_service.{module}").main)
    assert set(commands.ALONE) <= set(commands.COMMANDS)


@pytest.mark.parametrize(
    "line",
    ["install 1a", "rollout 1a", "rollback", "credentials rotate all",
     "credentials retire", "restore --until latest live", "deploy 1a", "drain stop",
     "drain off"],
)  # fmt: skip
def test_what_changes_the_service_is_alone(line: str) -> None:
    command, *arguments = line.split()
    assert commands.is_alone(command, arguments)


@pytest.mark.parametrize(
    "line",
    ["status", "credentials show", "restore scratch", "restore drill", "backup full", "drain on"],
)
def test_what_looks_only_is_not(line: str) -> None:
    command, *arguments = line.split()
    assert not commands.is_alone(command, arguments)


def test_the_unit_is_entered_with_the_same_command_and_who_wants_it(
    entered: Entered, program: Program
) -> None:
    with pytest.raises(SystemExit) as ended:
        program(commands.main, "--by=ann@laptop", "--wait=5", "rollout", "1a", "--digest=x")
    assert ended.value.code == 7
    what = "rollout 1a --digest=x by ann@laptop"
    assert entered == [(what, ["--by=ann@laptop", "rollout", "1a", "--digest=x"], 5)]


def test_who_types_it_is_named(
    entered: Entered, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "bob")
    with pytest.raises(SystemExit):
        program(commands.main, "rollback")
    assert entered[0][0] == f"rollback by bob@{os.uname().nodename}"


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (CommandError("rollback by ann@laptop, since then is at work"), "is at work"),
        (KeyboardInterrupt(), "it goes on: journalctl -fu order-service-deployment.service"),
    ],
)
def test_trouble_is_one_line(
    program: Program, monkeypatch: pytest.MonkeyPatch, trouble: BaseException, said: str
) -> None:
    def enter(*_: object) -> int:
        raise trouble

    monkeypatch.setattr(unit, "enter", enter)
    monkeypatch.setattr(unit, "is_inside", lambda: False)
    with pytest.raises(SystemExit, match=f"^order-service: .*{said}"):
        program(commands.main, "rollback")


def test_a_program_that_is_missing_is_named_with_what_installs_it() -> None:
    with pytest.raises(CommandError, match=r"no-such-program is not on this host; run deploy\.yml"):
        run(["no-such-program"])
