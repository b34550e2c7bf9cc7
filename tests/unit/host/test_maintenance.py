"""The file that closes the service to its clients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from order_service import commands
from order_service.host import BY
from order_service.release import maintenance

from tests.support.fake_host import Program


@pytest.fixture
def do(
    root: Path,  # noqa: ARG001 - the folder is used
    program: Program,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., str]:
    """Run the command, and return what it says."""
    monkeypatch.setenv(BY, "")  # it is set

    def run(*arguments: str) -> str:
        program(commands.main, "maintenance", *arguments)
        return capsys.readouterr().out.strip()

    return run


def test_it_is_turned_on_once_shown_and_turned_off_once(do: Callable[..., str]) -> None:
    assert do("show") == "open"
    closed = do("on", "--reason", "a larger disk")
    assert closed.startswith("CHANGED: closed since 20")
    assert closed.endswith("Z: a larger disk")
    assert do("on", "--reason", "another one") == closed.replace("CHANGED", "UNCHANGED")
    assert do("show") == closed.removeprefix("CHANGED: ")
    # nginx's user has to see it.
    assert maintenance.FILE.stat().st_mode & 0o444 == 0o444
    assert do("off") == "CHANGED: open"
    assert do("off") == "UNCHANGED: open"


@pytest.mark.usefixtures("root")
def test_a_job_leaves_it_as_it_was() -> None:
    with maintenance.closed("a restore"):
        assert maintenance.is_on()
    assert not maintenance.is_on()
    maintenance.on("by hand")
    with maintenance.closed("a restore"):
        assert "by hand" in maintenance.described()
    assert maintenance.is_on()


def test_who_closes_it_during_a_job_finds_it_closed_afterwards(do: Callable[..., str]) -> None:
    with maintenance.closed("a restore"):
        assert do("on", "--reason", "a larger disk").startswith("CHANGED")
    assert "a larger disk" in do("show")


@pytest.mark.usefixtures("root")
def test_a_job_that_was_cut_off_opens_it_when_it_is_done_again() -> None:
    maintenance.on("a restore", for_a_job=True)
    with maintenance.closed("a restore"):
        pass
    assert not maintenance.is_on()


@pytest.mark.usefixtures("root")
def test_it_is_opened_when_the_job_fails() -> None:
    with pytest.raises(RuntimeError), maintenance.closed("a restore"):
        raise RuntimeError
    assert not maintenance.is_on()


def test_a_file_that_cannot_be_written_is_one_line(
    root: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "FILE", root / "settings" / "no" / "x")
    (root / "settings" / "no").touch()
    with pytest.raises(SystemExit, match=r"^FAILED: .* exists"):
        program(maintenance.main, "on")
