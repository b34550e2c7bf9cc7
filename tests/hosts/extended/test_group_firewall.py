"""Who reaches what of a host in a group, by the role's rules in the kernel's own nftables.

No Docker is there: a bridge with a network namespace stands in for a container, and a rule of our
own for the port that Docker would publish for it. This machine is each of the others in turn.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.control_fixtures import NewCheckout, NewControlNode
from tests.support.control_node import ControlNode
from tests.support.polling import wait_until
from tests.support.remote_host import RemoteHost
from tests.support.several_hosts import private_address

ELSEWHERE = "10.99.99.99"
PORTS = (80, 3306, 33061, 5000)
CONTAINER = "192.168.213.10"
SETUP = f"""set -e
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update && apt-get -qq install -y nftables >/dev/null
ip link add br-test type bridge && ip addr add 192.168.213.1/24 dev br-test
ip netns add container
ip link add outer type veth peer name inner netns container
ip link set outer master br-test up && ip link set br-test up
ip -n container addr add {CONTAINER}/24 dev inner && ip -n container link set inner up
ip -n container route add default via 192.168.213.1
sysctl -qw net.ipv4.ip_forward=1
nft 'add table ip docker; add chain ip docker in {{ type nat hook prerouting priority dstnat; }}'
nft 'add rule ip docker in tcp dport 80 dnat to {CONTAINER}:8080'
for port in 3306 33061 5000; do systemd-run --quiet python3 -m http.server $port; done
systemd-run --quiet ip netns exec container python3 -m http.server 8080
"""
PLAYBOOK = """
- name: Write the rules
  hosts: order_service
  gather_facts: false
  vars_files: ["{{ playbook_dir }}/roles/firewall/defaults/main.yml"]
  tasks:
    - name: Write them
      ansible.builtin.copy:
        content: "{{ lookup('ansible.builtin.template', template) }}"
        dest: "{{ target }}/{{ inventory_hostname }}"
        mode: "0600"
      vars:
        template: "{{ playbook_dir }}/roles/firewall/templates/firewall.nft.j2"
        ansible_managed: by a test
"""
Groups = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def host(new_host: Callable[..., RemoteHost]) -> RemoteHost:
    """A host whose ports all answer."""
    made = new_host()
    made.inside(SETUP)
    wait_until(lambda: reached(private_address(made)) == {*PORTS}, 20, "all ports to answer")
    return made


@pytest.fixture(scope="module")
def node(new_checkout: NewCheckout, new_control_node: NewControlNode) -> ControlNode:
    made: ControlNode = new_control_node(new_checkout())
    (made.ansible_folder / "rules.yml").write_text(PLAYBOOK)
    return made


def reached(address: str) -> set[int]:
    """Return the ports that answer this machine."""
    found = set()
    for port in PORTS:
        try:
            with socket.create_connection((address, port), timeout=1) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                found |= {port} if connection.recv(10) else set()
        except OSError:
            continue
    return found


def test_each_host_is_reached_by_those_it_is_there_for(
    host: RemoteHost, node: ControlNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = private_address(host)
    here = f"{own.rpartition('.')[0]}.1"

    def load(groups: Groups) -> None:
        """Have the host be the one that is called `it`."""
        children = {
            part: {"hosts": {name: {"private_address": its} for name, its in hosts.items()}}
            for part, hosts in groups.items()
        }
        settings: dict[str, Any] = {
            "ansible_connection": "local", "control_ssh_port": 22, "target": str(tmp_path),
        }  # fmt: skip
        inventory = {"order_service": {"children": children, "vars": settings}}
        monkeypatch.setattr(node, "inventory", lambda _: inventory)
        node.playbook("rules.yml", "--limit=it")
        rules = (tmp_path / "it").read_text()
        command = ["docker", "exec", "--interactive", host.name, "nft", "--file", "-"]
        subprocess.run(command, input=rules, text=True, check=True, timeout=30)

    database = {"it": own}
    load({"web": {"web": here}, "database": database})
    assert reached(own) == {3306}
    ask = "__import__('urllib.request').request.urlopen('http://{}:{}', timeout=2)"
    for port, answers in ((3306, True), (33061, False), (5000, False)):
        run = host.try_inside(f'ip netns exec container python3 -c "{ask.format(own, port)}"')
        assert (run.returncode == 0) == answers, f"{port} for a container of its own: {run}"
    load({"web": {"web": ELSEWHERE}, "database": database})
    assert reached(own) == set()
    load({"web": {"web": ELSEWHERE}, "database": database | {"two": here, "three": "10.99.99.98"}})
    assert reached(own) == {3306, 33061}

    web, others = {"it": own}, {"database": {"database": here}}
    load({"web": web, "balancer": {"balancer": ELSEWHERE}} | others)
    assert reached(own) == set()
    load({"web": web, "balancer": {"balancer": here}, "database": {"database": ELSEWHERE}})
    assert reached(own) == {80}
    load({"web": web} | others)
    assert reached(own) == {80}, "with a cloud's balancer, all may come"
    load({"worker": web, "web": {"web": here}} | others)
    assert reached(own) == set()
