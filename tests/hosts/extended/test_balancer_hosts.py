"""The role `balancer` on two bare hosts, and the address that they share."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from typing import Any

import pytest
import urllib3

from tests.support.control_fixtures import NewCheckout
from tests.support.control_node import ControlNode
from tests.support.docker import docker
from tests.support.polling import wait_until
from tests.support.remote_host import RemoteHost

PLAYBOOK = "balancers_alone.yml"
ALONE = """
- hosts: balancer
  become: true
  gather_facts: false
  serial: 1
  tasks:
    - ansible.builtin.import_role: {name: balancer}
"""
# In the place of a web host: says whom it takes for the client.
WEB = """
server {
    listen 80 proxy_protocol;
    listen 443 proxy_protocol;
    location = /lb-health { return 200; }
    location / { return 200 $proxy_protocol_addr; }
}
"""
ADDRESS = "--format={{.NetworkSettings.IPAddress}}"
MOVED_SECONDS = 15


class Balancers(ControlNode):
    """A control node whose hosts are balancers, in front of a web host that it does not call."""

    web: Mapping[str, str]

    def inventory(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inventory, in groups."""
        flat = super().inventory(variables)["order_service"]
        for host in self.hosts:
            flat["hosts"][host.name]["private_address"] = docker("inspect", ADDRESS, host.name)
        web = {name: {"private_address": address} for name, address in self.web.items()}
        children = {"balancer": {"hosts": flat["hosts"]}, "web": {"hosts": web}}
        return {"order_service": {"children": children, "vars": flat["vars"]}}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a web host."""
    folder = tmp_path_factory.mktemp("web")
    folder.chmod(0o755)
    (folder / "default.conf").write_text(WEB)
    mounted = f"{folder}:/etc/nginx/conf.d:ro"
    name = docker(
        "run", "--detach", "--volume", mounted, "nginx:1.30", "nginx", "-g", "daemon off;"
    )
    yield docker("inspect", ADDRESS, name)
    docker("rm", "--force", name)


@pytest.fixture(scope="module")
def node(
    new_host: Callable[[], RemoteHost],
    new_checkout: NewCheckout,
    web: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Balancers]:
    """Two balancers after one run."""
    checkout = new_checkout()
    hosts = [new_host(), new_host()]
    network = web.rsplit(".", 2)[0]
    shared = f"{network}.250.{secrets.randbelow(200) + 20}"
    with closing(
        Balancers(tmp_path_factory.mktemp("node"), checkout, *hosts, balancer_address=shared)
    ) as made:
        made.web = {"web-1": web}
        (made.ansible_folder / PLAYBOOK).write_text(ALONE)
        made.start_playbook(PLAYBOOK).wait(900).succeeded()
        yield made


def asked(address: str) -> str:
    """Return what is answered there; empty where nothing is."""
    with suppress(urllib3.exceptions.HTTPError):
        answer = urllib3.request("GET", f"http://{address}/", timeout=2, retries=False)
        return answer.data.decode()
    return ""


def holders(node: Balancers) -> list[RemoteHost]:
    """Return the hosts that have the shared address."""
    address = rf"inet {re.escape(node.variables['balancer_address'])}/"
    return [one for one in node.hosts if re.search(address, one.inside("ip address"))]


def main_process(host: RemoteHost) -> str:
    return host.inside("systemctl show --property=MainPID haproxy")


def test_both_hand_clients_on(node: Balancers) -> None:
    for host in node.hosts:
        own = docker("inspect", ADDRESS, host.name)
        assert re.fullmatch(r"[\d.]+\.0\.1", asked(own)), own
        assert host.inside("stat -c '%U %a' /run/haproxy-admin.sock") == "root 600\n"
        assert host.inside("stat -c '%U %a' /etc/keepalived/password.conf") == "root 600\n"
    passwords = {host.inside("cat /etc/keepalived/password.conf") for host in node.hosts}
    assert len(passwords) == 1
    wait_until(lambda: len(holders(node)) == 1, 30, "one that has the address")
    assert asked(node.variables["balancer_address"])


def test_the_second_run_changes_nothing(node: Balancers) -> None:
    run = node.playbook(PLAYBOOK)
    assert {recap.changed for recap in run.recaps.values()} == {0}, run.output
    dry = node.playbook(PLAYBOOK, "--check")
    assert {recap.changed for recap in dry.recaps.values()} == {0}, dry.output


def test_the_address_goes_to_the_other_one_and_stays(node: Balancers) -> None:
    shared = node.variables["balancer_address"]
    (former,) = holders(node)
    (other,) = set(node.hosts) - {former}
    former.inside("systemctl stop haproxy")
    wait_until(lambda: holders(node) == [other], MOVED_SECONDS, "the move", every=0.2)
    assert asked(shared)
    former.inside("systemctl start haproxy")
    wait_until(lambda: asked(docker("inspect", ADDRESS, former.name)), 10, "HAProxy", every=0.2)
    assert holders(node) == [other]
    docker("kill", other.name)
    wait_until(lambda: asked(shared), MOVED_SECONDS, "an answer of the one that is left", every=0.2)
    docker("start", other.name)
    other.wait_booted()
    wait_until(lambda: holders(node) == [former], MOVED_SECONDS, "one that has it", every=0.2)


def test_another_configuration_is_read_without_a_restart(node: Balancers, web: str) -> None:
    processes = [main_process(host) for host in node.hosts]
    node.web = {"web-1": web, "web-2": "192.0.2.2"}
    run = node.playbook(PLAYBOOK, balancer_address="")
    assert [main_process(host) for host in node.hosts] == processes, run.output
    for host in node.hosts:
        assert "web-2" in host.inside("cat /etc/haproxy/haproxy.cfg")
        assert host.try_inside("systemctl is-active keepalived").returncode != 0
        assert asked(docker("inspect", ADDRESS, host.name))
    assert holders(node) == []


def test_what_can_not_be_reached_is_said(node: Balancers) -> None:
    node.web = {"web-1": "192.0.2.2"}
    first = node.hosts[0].name
    run = node.try_playbook(PLAYBOOK, f"--limit={first}", balancer_address="")
    assert run.recaps[first].failed == 1
    assert "HAProxy sends no clients to a web host" in run.output
