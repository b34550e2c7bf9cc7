"""What status.py finds worth attention: each limit from both sides, one cause at a time."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from order_service.status import status

from tests.support.fake_host import Program
from tests.support.host_causes import CAUSES
from tests.support.host_facts import Facts, stamp
from tests.support.ports import HOST

Told = list[dict[str, Any]]


@pytest.fixture
def tell(program: Program, capsys: pytest.CaptureFixture[str]) -> Callable[[], tuple[int, Told]]:
    """Run the program; return how it ended, and its lines."""

    def run() -> tuple[int, Told]:
        with pytest.raises(SystemExit) as ended:
            program(status.main, "--json")
        assert isinstance(ended.value.code, int)
        told: Told = json.loads(capsys.readouterr().out)
        return ended.value.code, told

    return run


@pytest.mark.usefixtures("facts")
def test_what_is_within_all_limits_is_good(tell: Callable[[], tuple[int, Told]]) -> None:
    code, told = tell()
    assert [line for line in told if not line["good"]] == []
    assert code == 0
    parts = {"release", "readiness", "container", "queue", "processors", "certificate",
             "passwords", "backup", "binary logs", "drill", "copies", "secrets", "disk", "memory",
             "load", "lock"}  # fmt: skip
    assert {line["part"] for line in told} == parts


MACHINE = {"container", "passwords", "disk", "memory", "load", "lock"}
BACKUPS = {"backup", "binary logs", "drill", "copies", "secrets"}


@pytest.mark.parametrize(
    ("parts", "told_of"),
    [
        ("web", {"readiness", "queue", "processors", "certificate"}),
        ("worker", {"readiness"}),
        ("database", {*BACKUPS, "certificate"}),
    ],
)
def test_a_host_tells_of_what_it_is_there_for(
    facts: Facts, tell: Callable[[], tuple[int, Told]], parts: str, told_of: set[str]
) -> None:
    facts.member("10.0.0.1", "ONLINE")
    facts.on.become(parts, HEAD="db1")
    needed = {"web": "certificates/tls.crt", "database": "settings/backup.json"}
    for part, name in needed.items():
        if part != parts:
            facts.remove(name)
    code, told = tell()
    assert {line["part"] for line in told} == {"release"} | MACHINE | told_of
    assert code == 0, told


def test_a_balancer_that_answers_is_good(
    facts: Facts, tell: Callable[[], tuple[int, Told]]
) -> None:
    with socket.create_server((HOST, 0)) as listening:
        facts.balancer(listening.getsockname()[1])
        code, told = tell()
    assert [line["text"] for line in told if line["part"] == "balancer"] == [f"{HOST} answers"]
    assert code == 0


@pytest.mark.parametrize("cause", CAUSES)
def test_what_needs_attention_is_told_and_nothing_else(
    facts: Facts, tell: Callable[[], tuple[int, Told]], cause: str
) -> None:
    CAUSES[cause].make(facts)
    code, told = tell()
    (bad,) = [line for line in told if not line["good"]]
    assert bad["part"] == CAUSES[cause].part
    assert re.search(CAUSES[cause].text, f"{bad['text']}: {bad['why']}")
    assert code == 1


def _taken_back_before_the_last_deployment(on: Facts) -> None:
    on.taken_back("bad", hours=2)
    on.deployed(hours=1)


WITHIN: dict[str, Callable[[Facts], object]] = {
    "certificate of six days": lambda on: on.certificate(2.1, of=6),
    "taken back long ago": lambda on: on.taken_back("bad", hours=24.1),
    "taken back before": _taken_back_before_the_last_deployment,
    "started again long ago": lambda on: on.app(
        restarts=2, started=datetime.now(UTC) - timedelta(minutes=11)
    ),
    "started by somebody": lambda on: on.app(started=datetime.now(UTC)),
    "restart": lambda on: on.restart_needed(days=6.9),
    "one in twenty": lambda on: on.orders_were(981, 9, minutes=29),
    "failed long ago": lambda on: on.orders_were(990, 0, minutes=31),
    "retried": lambda on: on.orders_were(1000, 50, minutes=29),
    "trend": lambda on: on.disk_was(15, 14.2, 13.4, 12.6, hours=48),
    "trend of hours": lambda on: on.disk_was(15.6, 14.4, 13.2, 12, hours=20),
    "gets emptier": lambda on: on.disk_was(9, 10, 11, 12, hours=48),
    "another member's": lambda on: on.write(
        "store/last-backup.json",
        outcome="ok",
        finished_at=stamp(hours=25.9),
        seconds=0.4,
        left_to="db2",
    ),
    "copied": lambda on: on.destination("bucket/orders", offsite="s3"),
}


@pytest.mark.parametrize("case", WITHIN)
def test_what_is_just_within_its_limit_is_good(
    facts: Facts, tell: Callable[[], tuple[int, Told]], case: str
) -> None:
    WITHIN[case](facts)
    assert [line for line in tell()[1] if not line["good"]] == []


def test_a_pause_and_an_absence_excuse_a_queue_and_may_last_for_a_while(
    facts: Facts, tell: Callable[[], tuple[int, Told]]
) -> None:
    facts.figures(oldest_due_order_age_seconds=10_000)
    for paused, away in ((stamp(minutes=59), None), (None, stamp(minutes=14))):
        facts.processes(paused, away)
        assert tell()[0] == 0
    facts.processes()
    assert tell()[0] == 1


@pytest.mark.parametrize(("job", "age"), [("backup", {"hours": 25.9}), ("drill", {"days": 39.9})])
def test_a_new_host_may_have_none_so_far(
    facts: Facts, tell: Callable[[], tuple[int, Told]], job: str, age: dict[str, float]
) -> None:
    facts.none_so_far(job, **age)
    code, told = tell()
    assert {line["text"] for line in told if line["part"] == job} == {"none so far"}
    assert code == 0


def test_who_takes_the_writes_is_told(facts: Facts, tell: Callable[[], tuple[int, Told]]) -> None:
    facts.member("10.0.0.3", "ONLINE")
    code, told = tell()
    assert [line["text"] for line in told if line["part"] == "database"] == [
        "10.0.0.1 is ONLINE, PRIMARY",
        "10.0.0.2 is ONLINE, SECONDARY",
        "10.0.0.3 is ONLINE, SECONDARY",
    ]
    assert code == 0


def test_who_deploys_is_told(facts: Facts, tell: Callable[[], tuple[int, Told]]) -> None:
    for state, expected in (
        ("active", "deploy new by ann@laptop, since 2026-11-01 00:00:00 UTC"),
        ("inactive", "nobody deploys"),
    ):
        facts.systemctl(state, "deploy new by ann@laptop")
        (line,) = [line for line in tell()[1] if line["part"] == "lock"]
        assert line["text"] == expected


def test_people_get_a_line_for_each_part_and_see_what_is_wrong(
    facts: Facts, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    facts.disk(1)
    with pytest.raises(SystemExit):
        program(status.main)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("!!")] == [
        f"!! disk         1.0 of 100.0 GiB free at {facts.on.root}"
    ]
    assert any(
        re.match(r"   release      old in blue, deployed .* by me@here$", one) for one in lines
    )
