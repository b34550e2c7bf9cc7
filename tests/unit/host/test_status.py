"""What status.py finds worth attention: each limit from both sides, one cause at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from order_service.status import status

from tests.support.fake_host import Program
from tests.support.host_facts import Facts

PENDING = {"next": "", "since": "2026-11-22T10:15:00Z", "by": "ann@laptop"}
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
    parts = {"release", "readiness", "container", "certificate", "passwords", "backup",
             "binary logs", "drill", "disk", "memory", "load", "lock"}  # fmt: skip
    assert {line["part"] for line in told} == parts


CAUSES: dict[str, tuple[Callable[[Facts], object], str, str]] = {
    "certificate": (lambda on: on.certificate(14), "certificate", "13 days"),
    "late backup": (lambda on: on.job("backup", hours=26.1), "backup", "is late"),
    "late drill": (lambda on: on.job("drill", days=40.1), "drill", "is late"),
    "failed backup": (lambda on: on.job("backup", "failed", hours=1), "backup", "no space; went"),
    "failed copy": (lambda on: on.job("binlog", "failed", hours=1), "binary logs", "no space"),
    "no backup": (lambda on: on.none_so_far("backup", hours=26.1), "backup", "none .* it is late"),
    "no drill": (lambda on: on.none_so_far("drill", days=40.1), "drill", "none .* it is late"),
    "no settings": (lambda on: on.remove("settings/backup.json"), "backup", "not set up"),
    "disk": (lambda on: on.disk(9.9), "disk", r"9\.9 of 100\.0 GiB free"),
    "memory": (lambda on: on.memory(4.9), "memory", "96 of 1953 MiB available"),
    "unit": (lambda on: on.failed_units("docker.service loaded"), "unit", "docker.service has"),
    "cut off": (lambda on: on.write("state/rotation.json", **PENDING), "passwords", "run it again"),
    "another release": (lambda on: on.app(release="new"), "release", "but new runs there"),
    "not ready": (lambda on: on.not_ready(), "readiness", "/readyz answers 503"),
    "unhealthy": (lambda on: on.app(status="Up (unhealthy)"), "container", "blue-app-1: Up .unh"),
    "ended": (lambda on: on.app(running=False, status="Exited"), "container", "blue-app-1: Exited"),
    "no container": (lambda on: on.remove_container("mysql"), "container", "mysql-1 is missing"),
    "no certificate": (
        lambda on: on.remove("certificates/tls.crt"),
        "certificate",
        "cannot be told",
    ),
    "no release": (lambda on: on.remove("state/ledger.json"), "release", "none is deployed"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_what_needs_attention_is_told_and_nothing_else(
    facts: Facts, tell: Callable[[], tuple[int, Told]], cause: str
) -> None:
    make, part, text = CAUSES[cause]
    make(facts)
    code, told = tell()
    (bad,) = [line for line in told if not line["good"]]
    assert bad["part"] == part
    assert re.search(text, bad["text"])
    assert code == 1


@pytest.mark.parametrize(("job", "age"), [("backup", {"hours": 25.9}), ("drill", {"days": 39.9})])
def test_a_new_host_may_have_none_so_far(
    facts: Facts, tell: Callable[[], tuple[int, Told]], job: str, age: dict[str, float]
) -> None:
    facts.none_so_far(job, **age)
    code, told = tell()
    assert {line["text"] for line in told if line["part"] == job} == {"none so far"}
    assert code == 0


def test_who_deploys_is_told(
    facts: Facts, tell: Callable[[], tuple[int, Told]]
) -> None:
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
