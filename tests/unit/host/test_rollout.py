"""A rollout against real servers: what clients get decides, and something serves in any case."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import ledger as ledgers
import pytest
import rollout
import smoke

from tests.support.fake_docker import FakeDocker
from tests.support.fake_host import Behaviour, Clock, FakeHost

Program = Callable[..., None]

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
# What one pass of the watch after the switch asks itself.
WATCHED = ("GET /orders?limit=1", "GET /metrics")


@pytest.fixture
def roll_out(on: FakeHost, clock: Clock, program: Program) -> Program:  # noqa: ARG001 - it is there
    """Roll a release out; the 30 s of watching pass at once."""

    def run(release: str = "new", *arguments: str) -> None:
        program(rollout.main, release, *arguments)

    return run


def misbehaving(request: str, status: int, *, by: str = "") -> Behaviour:
    """Have the release `bad` answer a request wrongly; to nginx alone, if that is said."""
    return lambda release, asker, asked: (
        status if (release, asked) == ("bad", request) and by in ("", asker) else None
    )


def assert_old_serves(on: FakeHost) -> None:
    assert on.serves() == ("old", "old")
    assert on.runs == {"blue": "old"}
    assert ledgers.read()["active"] == "old"


def test_a_release_is_written_down_before_the_former_one_is_stopped(
    on: FakeHost, docker: FakeDocker, roll_out: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    active: dict[str, str | None] = {}
    docker.watch = lambda what: active.update({what: ledgers.read()["active"]})
    roll_out("new", "--by", "ann@laptop")
    assert docker.did[:4] == ["start green", "try nginx with new", "reload", "stop blue"]
    assert docker.did[-1] == "remove the image order-service:bad"
    assert (active["reload"], active["stop blue"]) == ("old", "new")
    assert on.serves() == ("new", "new")
    assert on.runs == {"green": "new"}
    entry = ledgers.read()["releases"][-1]
    assert (entry["image"], entry["replaced"]) == ("sha256:new", "old")
    assert entry["deployed_by"] == "ann@laptop"
    assert "CHANGED: new serves, in green" in capsys.readouterr().out


def test_one_that_does_not_get_ready_is_never_switched_to(
    on: FakeHost, docker: FakeDocker, roll_out: Program, root: Path
) -> None:
    on.behaviour = misbehaving("GET /readyz", 503)
    on.limits(ready_seconds=20)
    with pytest.raises(SystemExit, match=r"bad did not get ready within 20 s; /readyz answers 503"):
        roll_out("bad")
    assert "reload" not in docker.did
    assert_old_serves(on)
    (saved,) = (root / "failures").iterdir()
    assert json.loads((saved / "readyz.json").read_text()) == [503, {"release": "bad"}]


def test_the_answer_of_another_release_is_not_ready(
    on: FakeHost, docker: FakeDocker, roll_out: Program
) -> None:
    on.answers_as = {"new": "old"}
    with pytest.raises(SystemExit, match=r"new did not get ready .* answers 200"):
        roll_out()
    assert "reload" not in docker.did
    assert_old_serves(on)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GET /ping", 500),
        ("GET /metrics", 500),
        ("GET /orders?limit=1", 401),
        (f"GET /orders/{smoke.UNUSED_ORDER}", 200),
        ("POST /orders", 500),
    ],
)
def test_a_wrong_answer_ends_it_before_the_switch(
    on: FakeHost, docker: FakeDocker, roll_out: Program, request_: str, status: int
) -> None:
    on.behaviour = misbehaving(request_, status)
    with pytest.raises(SystemExit, match=f"{re.escape(request_)} answered {status}"):
        roll_out("bad")
    assert "reload" not in docker.did
    assert_old_serves(on)


def test_a_wrong_answer_through_nginx_switches_it_back(
    on: FakeHost, docker: FakeDocker, roll_out: Program
) -> None:
    on.behaviour = misbehaving("POST /orders", 500, by="nginx")
    with pytest.raises(SystemExit, match=r"POST /orders answered 500, expected 400"):
        roll_out("bad")
    assert docker.did.count("reload") == 2
    assert_old_serves(on)


def test_a_configuration_that_nginx_refuses_is_not_put_in_place(
    on: FakeHost, docker: FakeDocker, roll_out: Program
) -> None:
    docker.failing["try nginx with bad"] = 'unknown directive "sense"'
    with pytest.raises(SystemExit, match='unknown directive "sense"'):
        roll_out("bad")
    assert "reload" not in docker.did
    assert_old_serves(on)


def test_answers_that_turn_bad_while_they_are_watched_take_it_back(
    on: FakeHost, clock: Clock, roll_out: Program
) -> None:
    """At the fifth one, if their share is too large."""
    on.behaviour = lambda release, _, request: (
        500 if release == "bad" and clock.now > 20 and request in WATCHED else None
    )
    with pytest.raises(SystemExit, match=r"6 of \d+ answers since the switch were 5xx"):
        roll_out("bad")
    assert clock.now < 30
    assert_old_serves(on)


@pytest.mark.parametrize("others", [100, 800])
def test_few_bad_answers_count_by_their_share_at_the_end(
    on: FakeHost, clock: Clock, roll_out: Program, others: int
) -> None:
    """Four bad ones are too many of 200 answers, with 1 % allowed, and not of 900."""

    def clients() -> None:
        if clock.now == 5:
            for status in [200] * others + [500] * 4:
                on.log(status, on.upstream.split()[1])

    clock.on_sleep = clients
    if others == 100:
        with pytest.raises(SystemExit, match=r"4 of 1\d\d answers since the switch were 5xx"):
            roll_out()
        assert_old_serves(on)
    else:
        roll_out()
        assert on.serves() == ("new", "new")
    assert clock.now >= 30


def test_what_others_answered_is_not_held_against_it(
    on: FakeHost, clock: Clock, roll_out: Program
) -> None:
    """Before the switch, or the former release since."""
    for _ in range(50):
        on.log(500, on.addresses["green"], datetime.now(UTC) - timedelta(minutes=5))
    clock.on_sleep = lambda: on.log(500, on.addresses["blue"])
    roll_out()
    assert on.serves() == ("new", "new")


def test_the_next_release_finds_nothing_to_clear_up(
    on: FakeHost, docker: FakeDocker, roll_out: Program
) -> None:
    on.behaviour = misbehaving("GET /metrics", 500, by="nginx")
    with pytest.raises(SystemExit):
        roll_out("bad")
    docker.access_log.clear()  # of the same second; no host is that fast
    roll_out()
    assert on.serves() == ("new", "new")
    assert on.runs == {"green": "new"}


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
    assert_old_serves(on)


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
    assert_old_serves(on)
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


def test_the_same_release_again_changes_nothing(
    on: FakeHost, docker: FakeDocker, roll_out: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    roll_out("old")
    assert "UNCHANGED: old serves already, in blue" in capsys.readouterr().out
    assert "start green" not in docker.did
    assert_old_serves(on)


@pytest.mark.parametrize("changed", ["settings", "a secret"])
def test_what_changed_beside_the_release_is_rolled_out_and_is_no_entry_in_the_ledger(
    on: FakeHost, docker: FakeDocker, roll_out: Program, changed: str
) -> None:
    before = ledgers.read()
    if changed == "settings":
        docker.hashes["app"] = "another"
    else:
        on.add_secret("auth_password", "another", age=timedelta(seconds=-1))
    roll_out("old")
    assert "start green" in docker.did
    assert on.runs == {"green": "old"}
    assert ledgers.read() == before


def test_an_interruption_takes_it_back(on: FakeHost, clock: Clock, roll_out: Program) -> None:
    clock.on_sleep = lambda: os.kill(os.getpid(), signal.SIGTERM) if clock.now > 10 else None
    with pytest.raises(SystemExit, match="interrupted by SIGTERM"):
        roll_out()
    assert_old_serves(on)


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


def test_ten_failures_are_kept(on: FakeHost, roll_out: Program, root: Path) -> None:
    for number in range(12):
        (root / "failures" / f"2026-01-{number + 1:02}T000000Z-bad").mkdir(parents=True)
    on.behaviour = misbehaving("GET /ping", 500)
    with pytest.raises(SystemExit):
        roll_out("bad")
    left = sorted(path.name for path in (root / "failures").iterdir())
    assert len(left) == 10
    assert left[0] == "2026-01-04T000000Z-bad"
    assert not left[-1].startswith("2026-01-")
