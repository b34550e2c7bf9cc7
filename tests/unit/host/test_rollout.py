"""A rollout against real servers: what clients get decides which release serves."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from order_service.host import BY
from order_service.release import ledger as ledgers
from order_service.release import maintenance, smoke

from tests.support.clock import Clock
from tests.support.fake_docker import FakeDocker
from tests.support.fake_host import FakeHost, Program, misbehaving

# What one pass of the watch after the switch asks itself.
WATCHED = ("GET /orders?limit=1", "GET /metrics")


def test_a_release_is_written_down_before_the_former_one_is_stopped(
    on: FakeHost,
    docker: FakeDocker,
    roll_out: Program,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    active: dict[str, str | None] = {}
    docker.watch = lambda what: active.update({what: ledgers.read()["active"]})
    monkeypatch.setenv(BY, "ann@laptop")
    roll_out("new")
    assert docker.did[:4] == ["start green", "try nginx with new", "reload", "stop blue"]
    assert "remove the image order-service:bad" in docker.did
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
    on.assert_old_serves()
    (saved,) = (root / "failures").iterdir()
    assert json.loads((saved / "readyz.json").read_text()) == [503, {"release": "bad"}]


def test_the_answer_of_another_release_is_not_ready(
    on: FakeHost, docker: FakeDocker, roll_out: Program
) -> None:
    on.answers_as = {"new": "old"}
    with pytest.raises(SystemExit, match=r"new did not get ready .* answers 200"):
        roll_out()
    assert "reload" not in docker.did
    on.assert_old_serves()


@pytest.mark.usefixtures("on")
def test_a_worker_is_waited_for_as_well(
    docker: FakeDocker, clock: Clock, roll_out: Program
) -> None:
    docker.services = ["app", "worker"]
    docker.healths = {"worker": "starting"}
    switched_at: list[float] = []
    docker.watch = lambda what: switched_at.append(clock.now) if what == "reload" else None

    def recovers() -> None:
        if clock.now > 10:
            docker.containers["order-service-green-worker-1"].health = "healthy"

    clock.on_sleep = recovers
    roll_out()
    assert [round(when) for when in switched_at] == [10]


def test_one_whose_worker_does_not_get_ready_is_never_switched_to(
    on: FakeHost, docker: FakeDocker, roll_out: Program
) -> None:
    docker.services = ["app", "worker"]
    docker.healths = {"worker": "unhealthy"}
    with pytest.raises(SystemExit, match=r"bad did not get ready .*; its worker is unhealthy"):
        roll_out("bad")
    assert "reload" not in docker.did
    on.assert_old_serves()


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
    on.assert_old_serves()


def test_a_wrong_answer_through_nginx_switches_it_back(
    on: FakeHost, docker: FakeDocker, roll_out: Program
) -> None:
    on.behaviour = misbehaving("POST /orders", 500, by="nginx")
    with pytest.raises(SystemExit, match=r"POST /orders answered 500, expected 400"):
        roll_out("bad")
    assert docker.did.count("reload") == 2
    on.assert_old_serves()


def test_a_configuration_that_nginx_refuses_is_not_put_in_place(
    on: FakeHost, docker: FakeDocker, roll_out: Program
) -> None:
    docker.failing["try nginx with bad"] = 'unknown directive "sense"'
    with pytest.raises(SystemExit, match='unknown directive "sense"'):
        roll_out("bad")
    assert "reload" not in docker.did
    on.assert_old_serves()


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
    on.assert_old_serves()


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
        on.assert_old_serves()
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


def test_a_service_that_is_closed_gets_its_release_all_the_same(
    on: FakeHost, clock: Clock, roll_out: Program
) -> None:
    """Clients who are turned away meanwhile are no sign of a bad release."""
    maintenance.on("planned work")
    clock.on_sleep = lambda: on.log(503, "-")
    on.behaviour = misbehaving("POST /orders", 500)
    with pytest.raises(SystemExit, match="POST /orders answered 500"):
        roll_out("bad")
    roll_out()
    maintenance.off()
    assert on.serves() == ("new", "new")


def test_a_release_is_tried_behind_a_balancer_too(on: FakeHost, roll_out: Program) -> None:
    """nginx then expects a line of the PROXY protocol before anything else."""
    with (on.root / "stack" / ".env").open("a") as settings:
        settings.write("PROXY_PROTOCOL='on'\n")
    roll_out()
    assert on.serves() == ("new", "new")


def test_the_log_is_read_once_however_long_it_is_watched(
    on: FakeHost, docker: FakeDocker, roll_out: Program
) -> None:
    on.limits(bake_seconds=60)
    roll_out()
    assert len(docker.following) == 1
    assert docker.following[0].ended


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


def test_the_same_release_again_changes_nothing(
    on: FakeHost, docker: FakeDocker, roll_out: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    roll_out("old")
    assert "UNCHANGED: old serves already, in blue" in capsys.readouterr().out
    assert "start green" not in docker.did
    on.assert_old_serves()


def test_another_image_of_the_same_release_is_entered_in_the_ledger(
    on: FakeHost, docker: FakeDocker, roll_out: Program
) -> None:
    """As after a pull of another digest; there is no need to say so."""
    docker.images["order-service:old"] = "sha256:pulled"
    docker.containers["order-service-blue-app-1"].image = "sha256:former"
    roll_out("old", "--digest=sha256:of-the-registry")
    assert on.runs == {"green": "old"}
    (entry,) = ledgers.read()["releases"]
    assert (entry["image"], entry["digest"]) == ("sha256:pulled", "sha256:of-the-registry")


def test_the_same_release_is_started_anew_where_it_does_not_answer(
    on: FakeHost, docker: FakeDocker, roll_out: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    """It hangs, or somebody has stopped its containers."""

    def silent(_release: str, _asker: str, asked: str) -> int | None:
        return 503 if asked == "GET /readyz" and "start green" not in docker.did else None

    on.behaviour = silent
    roll_out("old")
    assert "CHANGED: old serves, in green" in capsys.readouterr().out
    assert on.runs == {"green": "old"}


@pytest.mark.parametrize("changed", ["settings", "a secret", "a worker"])
def test_what_changed_beside_the_release_is_rolled_out_and_is_no_entry_in_the_ledger(
    on: FakeHost, docker: FakeDocker, roll_out: Program, changed: str
) -> None:
    before = ledgers.read()
    if changed == "settings":
        docker.hashes["app"] = "another"
    elif changed == "a worker":
        docker.services.append("worker")
    else:
        on.add_secret("auth_password", "another", age=timedelta(seconds=-1))
    roll_out("old")
    assert "start green" in docker.did
    assert on.runs == {"green": "old"}
    assert ledgers.read() == before
