"""Two web hosts behind HAProxy: one that leaves, one that dies, and none that wants clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.balanced import Balancer, balanced
from tests.support.docker import docker
from tests.support.polling import wait_until
from tests.support.stack import Stack
from tests.support.traffic import Traffic

CLIENTS = 8
PAUSE = 0.05
# Until connections to a host that is silent are cut. New ones go elsewhere within a second.
SILENT_SECONDS = 10


@pytest.fixture(scope="module")
def balancer(shared_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balancer]:
    with balanced(shared_stack, tmp_path_factory.mktemp("balanced")) as started:
        yield started


def test_web_hosts_see_who_the_client_is(balancer: Balancer) -> None:
    client = balancer.client()
    assert client.get("/ping").status == 200
    # It says so to the balancer alone.
    assert client.get("/lb-health").status == 404
    logged = {
        line["client"]: host
        for host in balancer.hosts
        for line in host.accesses("path", "/ping") + host.accesses("path", "/lb-health")
    }
    addresses = {balancer.address(host.network) for host in balancer.hosts}
    (seen,) = logged
    # As whom this machine comes to containers.
    assert seen.endswith(".1")
    assert seen not in addresses


def test_a_host_leaves_and_comes_back_without_a_failed_request(balancer: Balancer) -> None:
    leaving = balancer.hosts[1]
    with Traffic(balancer.client(), CLIENTS, PAUSE) as sent:
        sent.flows()
        leaving.drain(wanted=True)
        balancer.wait_for("left", leaving)
        leaving.let_connections_end()
        served = len(leaving.access_log())
        sent.flows()
        assert len(leaving.access_log()) == served
        docker("stop", leaving.nginx)
        sent.flows()
        docker("start", leaving.nginx)
        leaving.drain(wanted=False)
        balancer.wait_for("back", leaving, 20)
        wait_until(lambda: len(leaving.access_log()) > served, 10, "requests to it", 0.2)
        sent.flows()
    sent.assert_unharmed()


def test_a_host_that_goes_silent_costs_each_client_one_request(balancer: Balancer) -> None:
    staying, dying = balancer.hosts
    with Traffic(balancer.client(), CLIENTS, PAUSE) as sent:
        sent.flows()
        docker("network", "disconnect", "--force", dying.network, dying.nginx)
        balancer.wait_for("left", dying)
        wait_until(lambda: balancer.connections(dying) == 0, SILENT_SECONDS, "the cut", every=0.2)
        accepted = len(sent.accepted)
        wait_until(lambda: len(sent.accepted) > accepted + 100, 10, "orders by the other one")
    assert len(sent.problems) <= CLIENTS, sent.problems
    # All that is left wants no clients either: they get its answers all the same.
    staying.drain(wanted=True)
    balancer.wait_for("left", staying)
    assert {balancer.client().get("/ping").status for _ in range(4)} == {200}
