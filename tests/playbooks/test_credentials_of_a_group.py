"""In which order credentials.yml asks several hosts, with a program of the tests' own on each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.cases import Cases
from tests.support.control_node import PlaybookRun
from tests.support.local_hosts import in_parts, local_host, write_program
from tests.support.service_process import REPOSITORY

pytestmark = pytest.mark.extended

PARTS = {"web": ["web-1", "web-2"], "worker": ["worker-1"], "database": ["head"]}
HOSTS = {"web-1": "10.0.0.1", "web-2": "10.0.0.2", "worker-1": "10.0.0.3", "head": "10.0.0.4"}
SETTINGS = {"public_names": ["o.test"], "trusted_proxies": []}
SECRET = "aSeCREToFtHEhEAD"
PROGRAM = """#!/bin/sh
set -eu
name=$(basename "$0")
while [ "$1" != credentials ]; do shift; done
shift
case "$1" in
  export) echo "{\\"service\\": {\\"$3\\": \\"@SECRET@\\"}}"; exit ;;
  take) given=" $(cat)" ;;
esac
echo "$name $*${given:-}" >>"$(dirname "$0")/calls"
[ ! -e "$0.fails" ] || { echo "FAILED: it did not get ready" >&2; exit 1; }
echo "CHANGED: auth_password"
"""


class Group:
    """A database host, which is the head, a worker host and two web hosts; all this machine."""

    def __init__(self, cases: Cases, folder: Path) -> None:
        self._cases, self.folder = cases, folder
        self._hosts = {name: self._host(name) for name in HOSTS}
        # With what the tests of many cases have taken out of it.
        playbook = REPOSITORY / "deploy" / "ansible" / "credentials.yml"
        shutil.copy(playbook, cases.ansible_folder / "credentials-in-turn.yml")

    def _host(self, name: str) -> dict[str, Any]:
        program = write_program(self.folder / name, PROGRAM.replace("@SECRET@", SECRET))
        return local_host(program, HOSTS[name])

    def run(
        self, monkeypatch: pytest.MonkeyPatch, *arguments: str, **settings: object
    ) -> PlaybookRun:
        """Run credentials.yml."""
        inventory = in_parts(PARTS, self._hosts, SETTINGS)
        monkeypatch.setattr(self._cases, "inventory", lambda _: inventory)
        extra = json.dumps(settings)
        return self._cases.try_playbook("credentials-in-turn.yml", "-e", extra, *arguments)

    def calls(self) -> list[str]:
        """Return what was called, in turn."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def group(cases: Cases, tmp_path: Path) -> Group:
    return Group(cases, tmp_path)


def takes(host: str, part: str) -> str:
    return f'{host} take {{"service": {{"{part}": "{SECRET}"}}}}'


ALL_TAKE = [takes("worker-1", "worker"), takes("web-1", "web"), takes("web-2", "web")]


def test_the_former_passwords_end_once_all_have_the_new_ones(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = group.run(monkeypatch, rotate="all", rotate_overlap_seconds=0).succeeded()
    assert group.calls() == [
        "head rotate all --begin", *ALL_TAKE, "head rotate all --finish", "head retire", *ALL_TAKE,
    ]  # fmt: skip
    assert SECRET not in run.output


def test_where_one_host_does_not_take_them_they_do_not_end(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    (group.folder / "web-1.fails").touch()
    run = group.run(monkeypatch, rotate="database")
    assert run.returncode != 0
    assert "FAILED: it did not get ready" in run.output
    assert group.calls() == ["head rotate database --begin", *ALL_TAKE[:2]]


@pytest.mark.parametrize("what", [{"rotate": "api"}, {"retire": "api"}])
def test_no_host_is_left_out(
    group: Group, monkeypatch: pytest.MonkeyPatch, what: dict[str, str]
) -> None:
    run = group.run(monkeypatch, "--limit=head,web-1", **what)
    assert run.returncode != 0
    assert "web-2, worker-1 would keep the former passwords" in " ".join(run.output.split())
    assert group.calls() == []


def test_a_clients_secret_is_the_heads_alone(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    group.run(monkeypatch, rotate="client", client="shop").succeeded()
    assert group.calls() == ["head rotate client --client=shop"]


def test_database_hosts_take_it_of_which_each_may_be_the_next_head(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PARTS, "database", ["head", "web-1", "web-2"])
    group.run(monkeypatch, rotate="client", client="shop").succeeded()
    assert group.calls() == [
        "head rotate client --client=shop",
        takes("web-1", "database,web"),
        takes("web-2", "database,web"),
    ]
