"""A rollout that fails, is interrupted or was cut off: something serves in any case."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
from pathlib import Path

import pytest
from order_service.release import ledger as ledgers
from order_service.release import rollback

from tests.support.clock import Clock
from tests.support.fake_docker import FakeDocker
from tests.support.fake_host import FakeHost, Program, misbehaving

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("failing", ["stop blue", "list the images"])
def test_what_fails_once_it_serves_is_told_and_left_to_the_next_run(
    on: FakeHost,
    docker: FakeDocker,
    roll_out: Program,
    capsys: pytest.CaptureFixture[str],
    failing: str,
) -> None:
    docker.failing[failing] = "docker does not answer"
    roll_out()
    told = capsys.readouterr().out
    assert "docker does not answer" in told
    assert "CHANGED: new serves, in green" in told
    assert ledgers.read()["active"] == "new"
    assert on.serves() == ("new", "new")

    docker.failing.clear()
    roll_out()
    assert "UNCHANGED: new serves already" in capsys.readouterr().out
    assert on.runs == {"green": "new"}
    assert "order-service:bad" not in docker.images


def test_a_ledger_that_cannot_be_written_takes_the_release_back(
    on: FakeHost, roll_out: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise FULL

    monkeypatch.setattr(ledgers, "write", full)
    with pytest.raises(SystemExit, match=r"FAILED: .*No space left"):
        roll_out()
    on.assert_old_serves()


def test_nginx_is_switched_back_before_anything_else(
    on: FakeHost, docker: FakeDocker, roll_out: Program, root: Path
) -> None:
    docker.watch = lambda what: write_log() if what == "reload" else None

    def write_log() -> None:
        docker.containers["order-service-green-app-1"].logs = "its last words"

    on.behaviour = misbehaving("GET /ping", 500, by="nginx")
    with pytest.raises(SystemExit, match="FAILED: GET /ping answered 500"):
        roll_out("bad")
    kept = "keep the state of order-service-green-app-1"
    assert docker.did[-3:] == ["reload", kept, "stop green"]
    (saved,) = (root / "failures").iterdir()
    assert saved.name.endswith("Z-bad")
    assert (saved / "reason.txt").read_text().startswith("GET /ping answered 500, expected 200")
    assert json.loads((saved / "readyz.json").read_text()) == [200, {"release": "bad"}]
    assert (saved / "app.log").read_text() == "its last words"


@pytest.mark.parametrize("trouble", [FULL, "not done after 120 s", KeyError("Labels")])
def test_evidence_that_cannot_be_kept_is_told_and_stops_nothing(
    on: FakeHost,
    docker: FakeDocker,
    roll_out: Program,
    capsys: pytest.CaptureFixture[str],
    trouble: str | Exception,
) -> None:
    on.behaviour = misbehaving("GET /ping", 500)
    docker.failing["keep the state of order-service-green-app-1"] = trouble
    with pytest.raises(SystemExit, match="FAILED: GET /ping"):
        roll_out("bad")
    on.assert_old_serves()
    assert "keeping what tells why failed" in capsys.readouterr().out


@pytest.mark.parametrize("trouble", [FULL, "nginx does not answer"])
def test_what_nginx_still_sends_to_is_not_stopped(
    on: FakeHost,
    docker: FakeDocker,
    roll_out: Program,
    capsys: pytest.CaptureFixture[str],
    trouble: str | Exception,
) -> None:
    def fails_from_now_on(what: str) -> None:
        if what == "reload":
            docker.watch = lambda _: docker.failing.update(reload=trouble)

    docker.watch = fails_from_now_on
    on.behaviour = misbehaving("GET /ping", 500, by="nginx")
    with pytest.raises(SystemExit, match="FAILED: GET /ping"):
        roll_out("bad")
    assert on.runs == {"blue": "old", "green": "bad"}
    assert on.serves()[0] == "bad"
    assert "could not be switched back to blue" in capsys.readouterr().out


def test_a_switch_that_was_cut_off_before_its_release_was_tried_is_undone(
    on: FakeHost, docker: FakeDocker, roll_out: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    switched_to_green_by_nobody(on, docker)
    roll_out()
    assert "an earlier rollout was cut off: blue serves old again" in capsys.readouterr().out
    assert docker.did[:2] == ["reload", "stop green"]
    assert on.serves() == ("new", "new")
    assert on.runs == {"green": "new"}


def test_a_switch_that_was_cut_off_is_kept_where_the_former_release_is_gone(
    on: FakeHost, docker: FakeDocker, roll_out: Program
) -> None:
    switched_to_green_by_nobody(on, docker)
    del docker.containers["order-service-blue-app-1"]
    roll_out()
    assert docker.did[0] == "start blue"
    assert on.runs == {"blue": "new"}


def test_going_back_after_a_switch_that_was_cut_off_goes_back_once(
    on: FakeHost, docker: FakeDocker, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    """To what served before, though the ledger may know of nothing before that."""
    switched_to_green_by_nobody(on, docker)
    program(rollback.main)
    assert "an earlier rollout was cut off: blue serves old again" in capsys.readouterr().out
    on.assert_old_serves()


def test_going_back_from_a_release_goes_back_only_where_that_one_serves(
    on: FakeHost, program: Program, roll_out: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    roll_out()
    for _ in range(2):
        program(rollback.main, "--from=new")
        on.assert_old_serves()
    assert "UNCHANGED: old serves, and not new" in capsys.readouterr().out


def test_a_host_of_the_database_alone_has_no_service_to_go_back_with(
    on: FakeHost, docker: FakeDocker, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    on.become("database")
    program(rollback.main)
    assert capsys.readouterr().out == "UNCHANGED: this host has no service\n"
    assert docker.did == []


def test_files_of_nginx_of_which_a_crash_has_replaced_some_are_put_back(
    on: FakeHost, docker: FakeDocker, roll_out: Program
) -> None:
    docker.add("green-app", release="new")
    live = on.root / "stack/deploy/nginx"
    was = contents(live)
    (live / "of-the-new-one.conf").touch()
    read: list[dict[Path, str]] = []
    docker.watch = lambda what: read.append(contents(live)) if what == "reload" else None
    roll_out()
    assert read[0] == was


def contents(folder: Path) -> dict[Path, str]:
    """Return what is in each file."""
    return {path: path.read_text() for path in folder.rglob("*") if path.is_file()}


def switched_to_green_by_nobody(on: FakeHost, docker: FakeDocker) -> None:
    """As after a crash: nginx sends to `bad`, which nobody has tried."""
    docker.add("green-app", release="bad")
    path = on.root / "upstream" / "server.conf"
    path.write_text(path.read_text().replace(on.addresses["blue"], on.addresses["green"]))
    on.reload()
    assert on.serves()[0] == "bad"


def test_nginx_reads_what_is_in_place_before_what_was_left_over_is_stopped(
    on: FakeHost, docker: FakeDocker, roll_out: Program
) -> None:
    docker.add("green-app", release="bad")
    roll_out()
    assert docker.did[:2] == ["reload", "stop green"]
    assert on.runs == {"green": "new"}


def test_an_interruption_takes_it_back(on: FakeHost, clock: Clock, roll_out: Program) -> None:
    clock.on_sleep = lambda: os.kill(os.getpid(), signal.SIGTERM) if clock.now > 10 else None
    with pytest.raises(SystemExit, match="interrupted by SIGTERM"):
        roll_out()
    on.assert_old_serves()


def test_an_interruption_after_the_trial_changes_nothing(
    on: FakeHost, roll_out: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = ledgers.write

    def interrupted(ledger: ledgers.Ledger) -> None:
        write(ledger)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(ledgers, "write", interrupted)
    roll_out()
    assert on.serves() == ("new", "new")
    assert on.runs == {"green": "new"}


def test_ten_failures_are_kept_for_root_alone(on: FakeHost, roll_out: Program, root: Path) -> None:
    for number in range(12):
        (root / "failures" / f"2026-01-{number + 1:02}T000000Z-bad").mkdir(parents=True)
    on.behaviour = misbehaving("GET /ping", 500)
    with pytest.raises(SystemExit):
        roll_out("bad")
    left = sorted(path.name for path in (root / "failures").iterdir())
    assert len(left) == 10
    assert left[0] == "2026-01-04T000000Z-bad"
    assert not left[-1].startswith("2026-01-")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (root / "failures", newest(root))] == [
        0o700,
        0o700,
    ]


def newest(root: Path) -> Path:
    """Return the folder of the last failure."""
    return max((root / "failures").iterdir())


def test_what_was_kept_before_is_closed_by_any_rollout(
    on: FakeHost, roll_out: Program, root: Path
) -> None:
    (root / "failures").mkdir(mode=0o755)
    roll_out()
    assert stat.S_IMODE((root / "failures").stat().st_mode) == 0o700
    assert on.serves() == ("new", "new")
