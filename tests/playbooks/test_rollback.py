"""rollback.yml calls the program that is on the host, and brings nothing along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.cases import Cases
from tests.support.control_node import PlaybookRun
from tests.support.local_hosts import HERE, in_parts, write_program

# What each host's program does.
PROGRAMS = {
    "good": '#!/bin/sh\necho "$@" >>"$0.called"; echo "CHANGED: 1a2b serves, in blue"',
    "bad": '#!/bin/sh\necho "stopped blue"; echo "FAILED: it did not get ready" >&2; exit 1',
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hosts")


@pytest.fixture(scope="module")
def run(cases: Cases, root: Path) -> PlaybookRun:
    """The playbook for this machine as three hosts: of the third, nothing is there."""
    for name, script in PROGRAMS.items():
        write_program(root / name / "order-service", script)
    (root / "none").mkdir()
    hosts = {
        name: HERE | {"order_service_root": str(root / name), "deploy_lock_wait_seconds": 7}
        for name in (*PROGRAMS, "none")
    }
    return cases.try_playbook("rollback.yml", **hosts)


def test_it_is_called_in_the_name_of_who_wants_it(run: PlaybookRun, root: Path) -> None:
    assert run.recaps["good"].failed == 0
    assert "CHANGED: 1a2b serves, in blue" in run.output
    by, wait, *command = (root / "good/order-service.called").read_text().split()
    assert by.startswith("--by=")
    assert "@" in by
    assert (wait, command) == ("--wait=7", ["rollback"])


def test_nothing_is_installed(run: PlaybookRun, root: Path) -> None:
    assert run.recaps["none"].failed == 1
    assert [*(root / "none").iterdir()] == []
    assert {path.name for path in (root / "good").iterdir()} == {
        "order-service", "order-service.called",
    }  # fmt: skip


def test_what_it_says_is_told_when_it_fails(run: PlaybookRun) -> None:
    assert run.recaps["bad"].failed == 1
    assert "FAILED: it did not get ready" in run.output
    assert "stopped blue" in run.output


@pytest.fixture
def group(root: Path, cases: Cases, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two hosts of one service, of which the first has gone back already."""
    folder = root / "group"
    hosts: dict[str, dict[str, Any]] = {}
    for number, (name, release) in enumerate({"web-1": "older", "web-2": "newer"}.items(), start=1):
        (folder / name / "state").mkdir(parents=True)
        (folder / name / "state/ledger.json").write_text(json.dumps({"active": release}))
        write_program(folder / name / "order-service", PROGRAMS["good"])
        hosts[name] = HERE | {"order_service_root": str(folder / name)}
        hosts[name] |= {"private_address": f"10.0.0.{number}"}
    settings = {"trusted_proxies": [], "database_url": "mysql+pymysql://a:b@db.example.com/orders"}
    monkeypatch.setattr(cases, "inventory", lambda _: in_parts({"web": [*hosts]}, hosts, settings))
    return folder


@pytest.mark.extended
def test_hosts_that_serve_different_releases_go_back_from_one_that_is_named(
    cases: Cases, group: Path
) -> None:
    refused = cases.try_playbook("rollback.yml")
    assert refused.returncode != 0
    assert "web-1 serves older, web-2 serves newer" in " ".join(refused.output.split())
    assert not [*group.glob("*/*.called")]

    cases.try_playbook("rollback.yml", "-e", "leave=newer").succeeded()
    called = [path.read_text().split()[2:] for path in group.glob("*/*.called")]
    assert called == [["rollback", "--from", "newer"]] * 2
