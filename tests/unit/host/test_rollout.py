"""A rollout: what comes of it when something fails, at which step whatever."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import colours
import host
import ledger as ledgers
import nginx
import pytest
import rollout
from host import CommandError

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@dataclass
class Host:
    """Stands in for Docker and nginx; notes what is done, and fails where it is told to."""

    runs: dict[str, str] = field(default_factory=lambda: {"blue": "old"})
    serves: str = "blue"
    done: list[str] = field(default_factory=list)
    failing: dict[str, Exception] = field(default_factory=dict)

    def do(self, what: str) -> None:
        self.done.append(what)
        if what in self.failing:
            raise self.failing[what]


class FakeColour:
    """One place on that host."""

    def __init__(self, name: str, on: Host) -> None:
        self.name, self.on, self.address = name, on, name

    @property
    def other(self) -> FakeColour:
        return FakeColour("green" if self.name == "blue" else "blue", self.on)

    def containers(self) -> list[str]:
        return [self.name] if self.name in self.on.runs else []

    def release(self) -> str | None:
        return self.on.runs.get(self.name)

    def wants_change(self, release: str) -> bool:
        return self.release() != release

    def start(self, release: str) -> None:
        self.on.do(f"start {self.name}")
        self.on.runs[self.name] = release

    def stop(self) -> None:
        if self.name in self.on.runs:
            self.on.do(f"stop {self.name}")
            del self.on.runs[self.name]

    def readiness(self) -> tuple[int, dict[str, Any]]:
        return 200, {"release": self.release()}

    def save_logs(self, _folder: Path) -> str:
        self.on.do(f"save logs of {self.name}")
        return "its last words"


class FakeFormer:
    """What nginx had before."""

    def __init__(self, on: Host) -> None:
        self.on, self.serves = on, on.serves

    def is_in_place(self) -> bool:
        return self.on.serves == self.serves

    def restore(self) -> None:
        self.on.do("switch back")
        self.on.serves = self.serves


@pytest.fixture
def on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host with `old` in blue."""
    on = Host()

    def switch(_release: str, upstream: str) -> None:
        on.serves = upstream
        on.do("switch")

    monkeypatch.setattr(host, "UNDER_WAY", tmp_path / "rollout.flock")
    monkeypatch.setattr(rollout, "FAILURES", tmp_path / "failures")
    monkeypatch.setattr(rollout, "SETTINGS", tmp_path)
    monkeypatch.setattr(ledgers, "PATH", tmp_path / "ledger.json")
    monkeypatch.setattr(colours, "serving", lambda: FakeColour(on.serves, on))
    monkeypatch.setattr(colours, "upstream_for", lambda colour: colour.name)
    monkeypatch.setattr(rollout, "_clients", lambda *_: (None, None))
    monkeypatch.setattr(rollout, "_bake", lambda *_: on.do("bake"))
    monkeypatch.setattr(rollout.smoke, "test", lambda _: None)
    monkeypatch.setattr(rollout.images, "find", lambda release: f"sha256:{release}")
    monkeypatch.setattr(rollout.images, "prune", lambda _: on.do("prune"))
    monkeypatch.setattr(nginx, "keep_former", lambda: FakeFormer(on))
    monkeypatch.setattr(nginx, "check", lambda _: None)
    monkeypatch.setattr(nginx, "switch", switch)
    monkeypatch.setattr(nginx, "reload", lambda: on.do("reload"))
    monkeypatch.setattr(nginx, "wait_for_former_workers", lambda: True)
    ledgers.write(ledgers.activate(ledgers.read(), "old", "", None, "me", back=False))
    kept = {number: signal.getsignal(number) for number in rollout.INTERRUPTS}
    yield on
    for number, handler in kept.items():
        signal.signal(number, handler)


def roll_out(monkeypatch: pytest.MonkeyPatch, release: str = "new") -> None:
    monkeypatch.setattr(sys, "argv", ["rollout.py", release])
    rollout.main()


def test_a_release_is_written_down_before_the_former_one_is_stopped(
    on: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = ledgers.write
    monkeypatch.setattr(ledgers, "write", lambda ledger: (on.do("write"), write(ledger)))
    roll_out(monkeypatch)
    assert on.done == ["start green", "switch", "bake", "write", "stop blue", "prune"]
    assert ledgers.read()["active"] == "new"


@pytest.mark.parametrize("failing", ["stop blue", "prune"])
def test_what_fails_once_it_serves_is_told_and_left_to_the_next_run(
    on: Host,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failing: str,
) -> None:
    on.failing[failing] = CommandError("docker does not answer")
    roll_out(monkeypatch)
    told = capsys.readouterr().out
    assert "failed: docker does not answer" in told
    assert "CHANGED: new serves, in green" in told
    assert (on.serves, ledgers.read()["active"]) == ("green", "new")

    on.failing.clear()
    roll_out(monkeypatch)
    assert "UNCHANGED: new serves already" in capsys.readouterr().out
    assert on.runs == {"green": "new"}
    assert on.done[-1] == "prune"


def test_a_ledger_that_cannot_be_written_takes_the_release_back(
    on: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise FULL

    monkeypatch.setattr(ledgers, "write", full)
    with pytest.raises(SystemExit, match=r"FAILED: .*No space left"):
        roll_out(monkeypatch)
    assert (on.serves, on.runs) == ("blue", {"blue": "old"})


def test_nginx_is_switched_back_before_anything_else(
    on: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    on.failing["bake"] = CommandError("5 of 9 answers were 5xx")
    with pytest.raises(SystemExit, match="FAILED: 5 of 9"):
        roll_out(monkeypatch)
    assert on.done[-3:] == ["switch back", "save logs of green", "stop green"]
    assert on.runs == {"blue": "old"}
    (saved,) = (tmp_path / "failures").iterdir()
    assert saved.name.endswith("Z-new")
    assert (saved / "reason.txt").read_text() == "5 of 9 answers were 5xx\n"
    assert json.loads((saved / "readyz.json").read_text()) == [200, {"release": "new"}]


@pytest.mark.parametrize("trouble", [FULL, CommandError("docker: not done after 120 s"), KeyError])
def test_evidence_that_cannot_be_kept_is_told_and_stops_nothing(
    on: Host,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trouble: Exception,
) -> None:
    on.failing |= {"bake": CommandError("5xx"), "save logs of green": trouble}
    with pytest.raises(SystemExit, match="FAILED: 5xx"):
        roll_out(monkeypatch)
    assert (on.serves, on.runs) == ("blue", {"blue": "old"})
    assert "keeping what tells why failed" in capsys.readouterr().out


@pytest.mark.parametrize("trouble", [FULL, CommandError("nginx does not answer")])
def test_what_nginx_still_sends_to_is_not_stopped(
    on: Host,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trouble: Exception,
) -> None:
    on.failing |= {"bake": CommandError("5xx"), "switch back": trouble}
    with pytest.raises(SystemExit, match="FAILED: 5xx"):
        roll_out(monkeypatch)
    assert on.runs == {"blue": "old", "green": "new"}
    assert "could not be switched back to blue" in capsys.readouterr().out


def test_nginx_reads_what_is_in_place_before_what_was_left_over_is_stopped(
    on: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    on.runs["green"] = "bad"
    roll_out(monkeypatch)
    assert on.done[:2] == ["reload", "stop green"]
    assert on.runs == {"green": "new"}


def test_an_interruption_after_the_trial_changes_nothing(
    on: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = ledgers.write

    def interrupted(ledger: ledgers.Ledger) -> None:
        write(ledger)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(ledgers, "write", interrupted)
    roll_out(monkeypatch)
    assert (on.serves, on.runs) == ("green", {"green": "new"})


def test_ten_failures_are_kept(on: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / "failures" / f"2026-01-{number + 1:02}T000000Z-bad").mkdir(parents=True)
    on.failing["bake"] = CommandError("5xx")
    with pytest.raises(SystemExit):
        roll_out(monkeypatch)
    left = sorted(path.name for path in (tmp_path / "failures").iterdir())
    assert len(left) == 10
    assert left[0] == "2026-01-04T000000Z-bad"
    assert left[-1].endswith("-new")


def test_an_answer_that_is_no_http_is_not_ready(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise colours.http.client.BadStatusLine("nonsense")

    (tmp_path / ".env").touch()
    monkeypatch.setattr(colours, "STACK", tmp_path)
    monkeypatch.setattr(colours.urllib.request, "urlopen", broken)
    assert colours.Colour("blue").readiness() == (0, {"error": "nonsense"})
