"""A host with IPv6: who its clients are, how many connections one has, and maintenance."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable

import pytest

from tests.hosts.conftest import SETTINGS
from tests.support.control_fixtures import NewCheckout, NewControlNode
from tests.support.deployment import Deployment
from tests.support.registry import Registry
from tests.support.remote_host import RemoteHost

NewHost = Callable[..., RemoteHost]
# A neighbour in a network that the host has an address in, of both kinds.
NEIGHBOUR = """
ip netns add neighbour
ip link add outside type veth peer name inside netns neighbour
ip address add 198.51.100.1/24 dev outside
ip address add 2001:db8::1/64 dev outside nodad
ip link set outside up
ip netns exec neighbour sysctl -qw net.ipv6.conf.all.disable_ipv6=0
ip -n neighbour address add 198.51.100.2/24 dev inside
ip -n neighbour address add 2001:db8::2/64 dev inside nodad
ip -n neighbour link set inside up
"""
ASK = """
import ssl, urllib.request
context = ssl._create_unverified_context()
print(urllib.request.urlopen("https://{address}/ping?{address}", context=context).status)
"""
CONNECT = """
import resource, socket
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
opened, refused = [], 0
for _ in range(2050):
    try:
        opened.append(socket.create_connection(("{address}", 443), 5))
    except ConnectionRefusedError:
        refused += 1
print(len(opened), refused)
"""


@pytest.fixture(scope="module")
def deployed(
    new_mirrored_host: NewHost,
    new_checkout: NewCheckout,
    new_control_node: NewControlNode,
    registry: Registry,
) -> Deployment:
    """A host that had addresses of IPv6 before its first deployment."""
    host, checkout = new_mirrored_host(), new_checkout()
    for interface in ("all", "default", "lo"):
        host.inside(f"sysctl -qw net.ipv6.conf.{interface}.disable_ipv6=0")
    mirrors = {"docker_registry_mirrors": [registry.url]}
    deployed = Deployment(host, checkout, new_control_node(checkout, host, **SETTINGS, **mirrors))
    deployed.deploy()
    host.sudo(NEIGHBOUR)
    return deployed


def by_neighbour(host: RemoteHost, script: str) -> str:
    return host.sudo(f"ip netns exec neighbour python3 -c {shlex.quote(script)}").strip()


@pytest.mark.parametrize(
    ("address", "client"), [("198.51.100.1", "198.51.100.2"), ("[2001:db8::1]", "2001:db8::2")]
)
def test_a_client_is_seen_by_its_own_address(
    deployed: Deployment, address: str, client: str
) -> None:
    assert by_neighbour(deployed.remote, ASK.format(address=address)) == "200"
    lines = [json.loads(line) for line in deployed.access_log()]
    assert {one["client"] for one in lines if one["path"] == f"/ping?{address}"} == {client}


@pytest.mark.parametrize("address", ["198.51.100.1", "2001:db8::1"])
def test_one_source_has_two_thousand_connections(deployed: Deployment, address: str) -> None:
    assert by_neighbour(deployed.remote, CONNECT.format(address=address)) == "2000 50"
    assert deployed.client().get("/ping").status == 200


def test_maintenance_is_begun_told_and_ended_by_the_playbook(deployed: Deployment) -> None:
    client = deployed.client()
    reason = "a larger disk"
    deployed.node.playbook("maintenance.yml", "-e", "on=true", "-e", f'reason="{reason}"')
    try:
        answer = client.get("/orders")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
        assert client.get("/ping").status == 200
        told = deployed.node.try_playbook("status.yml")
        assert told.returncode != 0
        assert "!! maintenance  closed since" in told.output
        assert reason in told.output
        again = deployed.node.playbook("maintenance.yml", "-e", "on=true")
        assert again.recap.changed == 0
    finally:
        deployed.node.playbook("maintenance.yml", "-e", "on=false")
    assert client.get("/orders").status == 200
