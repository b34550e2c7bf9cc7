"""A host that outgrows itself: worker hosts beside it, with its data, its passwords, its authority.

One story, in its order: each test goes on from where the one before has left the hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.hosts.conftest import NewHost
from tests.support.databases import order_body
from tests.support.deployment import Deployment
from tests.support.passwords import status_of
from tests.support.releases import assert_completed_once
from tests.support.remote_host import RemoteHost
from tests.support.several_hosts import GroupsNode, PrivateNetwork
from tests.support.traffic import Traffic

BEFORE = range(1, 21)


@dataclass
class Grown:
    """The host that was alone, the one beside it, and what clients knew before."""

    first: Deployment
    worker: RemoteHost
    password: str
    ca: bytes


@pytest.fixture(scope="module")
def grown(
    new_mirrored_host: NewHost,
    new_deployment: Callable[[], Deployment],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Grown]:
    """A host with orders, and an inventory that has another one for processors."""

    first = new_deployment()
    host, checkout, alone = first.remote, first.checkout, first.node
    first.deploy()
    client = first.client()
    assert {client.post(order_body(number)).status for number in BEFORE} == {201}
    known = Grown(first, new_mirrored_host(), first.password, first.ca.read_bytes())
    node = GroupsNode(
        tmp_path_factory.mktemp("groups"), checkout, host, known.worker, **alone.variables
    )
    node.runs = alone.runs
    node.groups = {"web": [host], "database": [host], "worker": [known.worker]}
    first.node = node
    with PrivateNetwork() as node.network:
        node.network.join(host)
        node.network.join(known.worker)
        try:
            yield known
        finally:
            node.close()


def test_a_host_that_would_restart_its_database_is_asked_first(grown: Grown) -> None:
    with Traffic(grown.first.client()) as sent:
        run = grown.first.try_deploy("--tags", "host,release,certificates")
        sent.flows()
    sent.assert_unharmed()
    assert run.returncode != 0
    assert "would restart mysql" in run.output


def test_a_worker_host_takes_the_orders_over(grown: Grown) -> None:
    first = grown.first
    with Traffic(first.client()) as sent:
        first.node.start_playbook("deploy.yml", "-e", "allow_interruption=true").wait(
            900
        ).succeeded()
        sent.problems.clear()
        sent.flows()
        assert sent.problems == []
    assert (first.password, first.ca.read_bytes()) == (grown.password, grown.ca)
    assert status_of(first, grown.password) == 200
    assert_completed_once(first, [*BEFORE, *sent.accepted])
    assert f"order-service-{first.colour}-worker-1" not in first.running()
    names = grown.worker.docker("ps", "--format={{.Names}}").split()
    assert [name.split("-")[-2] for name in names] == ["worker"]


def test_the_second_run_changes_nothing(grown: Grown) -> None:
    run = grown.first.deploy()
    assert {name: recap.changed for name, recap in run.recaps.items() if recap.changed} == {}
    assert grown.first.node.playbook("status.yml").recaps.keys() == run.recaps.keys()


def test_orders_are_accepted_while_the_worker_host_is_away(grown: Grown) -> None:
    """And end when it is back, with nobody's help."""
    grown.worker.cut_power()
    with Traffic(grown.first.client()) as sent:
        sent.flows()
    sent.assert_unharmed()
    assert_completed_once(grown.first, sent.accepted)
