"""database.yml tells the programs of the database hosts what to do, in their addresses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest

from tests.support.control_fixtures import NewCheckout
from tests.support.control_node import ControlNode
from tests.support.local_hosts import HERE, write_program

# The second host's server has everything; the first finds a group at the second time only.
PROGRAM = """#!/bin/sh
while [ "$1" != database ]; do shift; done
echo "$@" >>"$0.called"
case "$2" in
  start) if [ -e "$0.later" ]; then rm "$0.later"; echo "LATER: another member has to begin"
         else echo "CHANGED: it is at work"; fi ;;
  status) [ ! -e "$0.works" ] || echo "10.0.0.3         ONLINE     follows           has u:1-9"
          echo "UNCHANGED: 3 of 3 members at work" ;;
  *) echo "CHANGED: done" ;;
esac
"""
# What the role of a host's system makes of it.
REBOOTS = """
- hosts: order_service
  gather_facts: false
  vars_files: ["{{ playbook_dir }}/roles/base/defaults/main.yml"]
  tasks:
    - ansible.builtin.debug:
        msg: "{{ inventory_hostname }} restarts at {{ base_reboot_time }}"
"""
ADDRESSES = {"db-1": "10.0.0.1", "db-2": "10.0.0.2", "db-3": "10.0.0.3"}


class Hosts(ControlNode):
    """This machine as three database hosts, and a web host that is not asked."""

    def inventory(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return it; each host has a folder and an address of its own."""
        hosts = {
            name: {"order_service_root": str(self.folder / name), "private_address": address}
            for name, address in ADDRESSES.items()
        }
        groups: dict[str, Any] = {
            "database": {"hosts": hosts, "vars": HERE},
            "web": {"hosts": {"web-1": {"private_address": "10.0.0.9"}}},
        }
        return {"order_service": {"children": groups, "vars": dict(variables)}}

    def called(self) -> dict[str, list[str]]:
        """Return what the hosts' programs were called with, once."""
        calls = {}
        for name in ADDRESSES:
            file = self.folder / name / "order-service.called"
            calls[name] = file.read_text().splitlines() if file.exists() else []
            file.unlink(missing_ok=True)
        return {name: lines for name, lines in calls.items() if lines}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory, new_checkout: NewCheckout) -> Iterator[Hosts]:
    with closing(Hosts(tmp_path_factory.mktemp("hosts"), new_checkout())) as made:
        for name in ADDRESSES:
            write_program(made.folder / name / "order-service", PROGRAM)
        yield made


def test_the_host_that_is_named_takes_the_writes(hosts: Hosts) -> None:
    run = hosts.playbook("database.yml", primary="db-2")
    assert hosts.called() == {"db-2": ["database primary 10.0.0.2", "database status"]}
    assert "3 of 3 members at work" in run.output


def test_all_start_but_the_lost_one(hosts: Hosts) -> None:
    """Twice, since whoever has everything may not be the first that is asked."""
    (hosts.folder / "db-1" / "order-service.later").touch()
    options = ("-e", "start=true", "-e", "without=db-3")
    hosts.playbook("database.yml", *options)
    start = "database start --without=10.0.0.3"
    assert hosts.called() == {
        "db-1": [start, start, "database status"],
        "db-2": [start, start, "database status"],
        "db-3": ["database status", "database status"],
    }


def test_who_is_at_work_is_not_given_up(hosts: Hosts) -> None:
    """Nobody begins a second group then."""
    works = hosts.folder / "db-3" / "order-service.works"
    works.touch()
    run = hosts.try_playbook("database.yml", "-e", "start=true", "-e", "without=db-3")
    works.unlink()
    assert run.returncode != 0
    assert "db-3 is at work in the group, and would be given up" in run.output
    assert hosts.called() == {"db-3": ["database status"]}


def test_only_database_hosts_are_members(hosts: Hosts) -> None:
    run = hosts.try_playbook("database.yml", "-e", "rejoin=web-1")
    assert run.returncode != 0
    assert "web-1 is no host of the group" in run.output
    assert hosts.called() == {}


def test_hosts_do_not_restart_together(hosts: Hosts) -> None:
    (hosts.ansible_folder / "reboots.yml").write_text(REBOOTS)
    run = hosts.playbook("reboots.yml", automatic_reboot_time="23:50")
    turns = zip([*ADDRESSES, "web-1"], ("23:50", "00:10", "00:30", "00:50"), strict=True)
    for name, time in turns:
        assert f"{name} restarts at {time}" in run.output
