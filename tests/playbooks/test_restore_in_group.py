"""Which of several hosts restore.yml asks, with a program of the tests' own on each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.cases import Cases
from tests.support.control_node import PlaybookRun
from tests.support.local_hosts import in_parts, local_host, write_program

pytestmark = pytest.mark.extended

DATABASES = ["db1", "db2", "db3"]
ADDRESSES = {"db1": "10.0.0.1", "db2": "10.0.0.2", "db3": "10.0.0.3", "web1": "10.0.0.4"}
# db3 takes writes, db2 makes the backups, and db1's MySQL does not run.
PROGRAM = """#!/bin/sh
name=$(basename "$0")
case "$name $*" in
  "db1 "*where) echo "restore: MySQL is OFFLINE" >&2; exit 1 ;;
  "db2 "*where) echo '{"backups": null, "live": "10.0.0.3"}'; exit ;;
  "db3 "*where) echo '{"backups": "10.0.0.2", "live": null}'; exit ;;
  *" estimate") exit ;;
esac
echo "$name $*" >>"$(dirname "$0")/calls"
echo '{"backup": "1"}'
"""


class Group:
    """Three database hosts of one group, and a web host; all of them this machine."""

    def __init__(self, cases: Cases, folder: Path) -> None:
        self._cases, self._folder = cases, folder
        self._hosts = {name: self._host(name) for name in ADDRESSES}

    def _host(self, name: str) -> dict[str, Any]:
        return local_host(write_program(self._folder / name, PROGRAM), ADDRESSES[name])

    def restore(self, monkeypatch: pytest.MonkeyPatch, **settings: object) -> PlaybookRun:
        """Run restore.yml."""
        parts = {"database": DATABASES, "web": ["web1"]}
        inventory = in_parts(parts, self._hosts, {"public_names": ["o.test"]})
        monkeypatch.setattr(self._cases, "inventory", lambda _: inventory)
        return self._cases.try_playbook("restore.yml", "-e", json.dumps(settings))

    def calls(self) -> list[str]:
        """Return which programs were called to restore, with their last word."""
        path = self._folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [f"{line.split()[0]} {line.split()[-1]}" for line in lines]


@pytest.fixture
def group(cases: Cases, tmp_path: Path) -> Group:
    return Group(cases, tmp_path)


def test_each_restore_is_made_by_the_member_that_can(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    group.restore(monkeypatch).succeeded()
    assert group.calls() == ["db2 scratch"]
    told = group.restore(monkeypatch, restore_to="live", confirm="replace live data of db3")
    assert """-e 'confirm="replace live data of db1"'""" in told.output.replace("''", "'")
    assert group.calls() == []
    group.restore(monkeypatch, restore_to="live", confirm="replace live data of db1").succeeded()
    assert group.calls() == ["db3 live"]
