"""drain.yml asks the others before it takes a host away, and tells its program what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest

from tests.support.control_fixtures import NewCheckout
from tests.support.control_node import ControlNode
from tests.support.local_hosts import HERE, write_program

# Takes clients until it is told to send them away.
PROGRAM = """#!/bin/sh
shift $(($# - 2))
echo "$@" >>"$0.called"
case "$2" in
  on) touch "$0.drained"; echo "CHANGED: drained" ;;
  leave) echo "CHANGED: drained" ;;
  show) if [ -e "$0.drained" ]; then echo "drained since yesterday" >&2; exit 1; fi ;;
esac
"""
WEB = ("web-1", "web-2")


class Hosts(ControlNode):
    """This machine as two web hosts behind somebody's balancer; the database is not asked."""

    def inventory(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return it; each host has a folder and an address of its own."""
        groups: dict[str, Any] = {"database": {"hosts": {"db": {"private_address": "10.0.0.9"}}}}
        web = {
            name: {"order_service_root": str(self.folder / name), "private_address": f"10.0.0.{at}"}
            for at, name in enumerate(WEB, 1)
        }
        groups["web"] = {"hosts": web, "vars": HERE}
        settings = {"trusted_proxies": ["10.0.0.0/24"], **variables}
        return {"order_service": {"children": groups, "vars": settings}}

    def called(self, name: str) -> list[str]:
        """Return what a host's program was called with."""
        return (self.folder / name / "order-service.called").read_text().splitlines()


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory, new_checkout: NewCheckout) -> Iterator[Hosts]:
    with closing(Hosts(tmp_path_factory.mktemp("hosts"), new_checkout())) as made:
        for name in WEB:
            write_program(made.folder / name / "order-service", PROGRAM)
        yield made


def test_the_last_host_that_takes_clients_keeps_them(hosts: Hosts) -> None:
    options = ("-e", "drain=true", "-e", "drain_seconds=0")
    run = hosts.try_playbook("drain.yml", "--limit=web", *options)
    assert (run.recaps["web-1"].failed, run.recaps["web-2"].failed) == (0, 1), run.output
    assert hosts.called("web-1") == ["drain on", "drain leave", "drain show"]
    assert hosts.called("web-2") == ["drain show"]
    assert "No other web host takes clients, so web-2 has to. web-1: drained since" in " ".join(
        run.output.split()
    )
