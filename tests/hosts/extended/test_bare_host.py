"""The roles that prepare a host, on one that has nothing of the service."""

from __future__ import annotations

import ipaddress
import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.conftest import NewHost
from tests.support.control_fixtures import NewCheckout, NewControlNode
from tests.support.control_node import PlaybookRun
from tests.support.docker import docker
from tests.support.polling import wait_until
from tests.support.remote_host import RemoteHost

PLAYBOOK = """
- name: Run one role
  hosts: order_service
  become: true
  tasks:
    - name: Run it
      ansible.builtin.include_role:
        name: "{{ role_to_run }}"
"""
# Answers whatever connects to some ports, over IPv4 and IPv6.
LISTENER = """import socket as s, sys, threading
def serve(port):
    server = s.create_server(("::", int(port)), family=s.AF_INET6, dualstack_ipv6=True)
    while True:
        server.accept()[0].close()
for port in sys.argv[1:]:
    threading.Thread(target=serve, args=[port]).start()
"""
# What a container sees: a bridge of the host's, and behind the host a cloud with its metadata.
NETWORKS = """
ip netns add container; ip netns add cloud
ip link add br-lab type bridge; ip address add 10.9.0.1/24 dev br-lab
ip link add lab0 type veth peer name eth0 netns container; ip link set lab0 master br-lab
ip link add cloud0 type veth peer name eth0 netns cloud
ip address add 198.51.100.1/24 dev cloud0
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.all.forwarding=1
for each in br-lab lab0 cloud0; do
  sysctl -qw net.ipv6.conf.$each.disable_ipv6=0; ip link set $each up
done
ip address add fd09::1/64 dev br-lab nodad; ip address add 2001:db8::1/64 dev cloud0 nodad
for each in container cloud; do
  ip -n $each link set lo up; ip -n $each link set eth0 up
done
ip -n container address add 10.9.0.2/24 dev eth0
ip -n container address add fd09::2/64 dev eth0 nodad
ip -n container route add default via 10.9.0.1; ip -n container route add default via fd09::1
ip -n cloud address add 198.51.100.2/24 dev eth0
ip -n cloud address add 2001:db8::2/64 dev eth0 nodad
ip -n cloud address add 169.254.169.254/32 dev lo
ip -n cloud address add fd00:ec2::254/128 dev lo nodad
ip -n cloud route add default via 198.51.100.1; ip -n cloud route add default via 2001:db8::1
ip route add 169.254.169.254 via 198.51.100.2; ip route add fd00:ec2::254 via 2001:db8::2
systemd-run --quiet --unit=of-the-host python3 /root/listener.py 53 80 3306
systemd-run --quiet --unit=of-the-cloud ip netns exec cloud python3 /root/listener.py 53 80
"""
CLOSED = [
    ("169.254.169.254", 80),
    ("fd00:ec2::254", 80),
    ("10.9.0.1", 22),
    ("198.51.100.1", 22),
    ("10.9.0.1", 3306),
    ("fd09::1", 3306),
]
OPEN = [
    ("169.254.169.254", 53),
    ("198.51.100.2", 80),
    ("2001:db8::2", 80),
    ("10.9.0.1", 53),
    ("198.51.100.1", 80),
]
LATER = "10.200.0.0/20"


class BareHost:
    """A fresh host, and who runs roles on it."""

    def __init__(
        self, new_host: NewHost, new_checkout: NewCheckout, new_control_node: NewControlNode
    ) -> None:
        self.host: RemoteHost = new_host()
        checkout = new_checkout()
        checkout.write("deploy/ansible/one_role.yml", PLAYBOOK)
        self._node = new_control_node(checkout, self.host, control_ssh_port=22)

    def run(self, role: str, **settings: Any) -> PlaybookRun:
        return self._node.playbook("one_role.yml", role_to_run=role, **settings)


@pytest.fixture(scope="module")
def bare(
    new_host: NewHost, new_checkout: NewCheckout, new_control_node: NewControlNode
) -> BareHost:
    return BareHost(new_host, new_checkout, new_control_node)


def reached(host: RemoteHost, targets: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return those of the addresses and ports that a container reaches."""
    script = f"""import socket
for target in {targets!r}:
    try:
        socket.create_connection(target, 2).close()
        print(*target)
    except OSError:
        pass
"""
    command = f"ip netns exec container python3 -c {shlex.quote(script)}"
    return [
        (address, int(port)) for address, port in map(str.split, host.sudo(command).splitlines())
    ]


def network(host: RemoteHost, name: str) -> ipaddress.IPv4Network:
    """Return the addresses of one of Docker's networks, which is made if there is none."""
    host.try_ssh(f"sudo docker network create {name}")
    described = json.loads(host.docker("network", "inspect", name))
    return ipaddress.IPv4Network(described[0]["IPAM"]["Config"][0]["Subnet"])


def answers(host: RemoteHost, container: str) -> bool:
    """Tell whether a container's nginx answers, asked from inside and by its published port."""
    inside = host.try_ssh(f"sudo docker exec {container} curl --silent http://127.0.0.1")
    return "nginx" in inside.stdout and b"nginx" in host.banner(80, b"GET / HTTP/1.0\r\n\r\n")


def test_containers_reach_neither_the_host_nor_a_clouds_metadata(bare: BareHost) -> None:
    host = bare.host
    host.sudo("apt-get update -qq && apt-get install -y -qq nftables", seconds=300)
    host.sudo(f"printf %s {shlex.quote(LISTENER)} > /root/listener.py")
    host.sudo(NETWORKS)
    wait_until(lambda: reached(host, CLOSED + OPEN) == CLOSED + OPEN, 30, "an open host")

    assert bare.run("firewall").recap.changed > 0

    assert reached(host, CLOSED + OPEN) == OPEN
    assert bare.run("firewall").recap.changed == 0
    host.sudo("systemctl stop of-the-host of-the-cloud; ip netns delete container")


def test_docker_takes_its_networks_from_where_it_is_told(bare: BareHost, tmp_path: Path) -> None:
    host, archive = bare.host, tmp_path / "images.tar"
    docker("save", "--output", str(archive), "nginx:1.30")

    assert bare.run("docker", image_archives=[str(archive)]).recap.changed > 0

    assert "192.168.208.1/24" in host.ssh("ip -oneline address show dev docker0")
    assert network(host, "shop").subnet_of(ipaddress.IPv4Network("192.168.216.0/21"))
    host.docker(
        "run", "--detach", "--name=web", "--restart=always", "--network=shop", "--publish=80:80",
        "nginx:1.30",
    )  # fmt: skip
    assert answers(host, "web")
    assert bare.run("docker", image_archives=[str(archive)]).recap.changed == 0


def test_what_containers_need_of_docker_and_the_host_works_and_sshd_is_out_of_reach(
    bare: BareHost,
) -> None:
    host = bare.host
    address = host.ssh("hostname --all-ip-addresses").split()[0]
    ask = "run", "--rm", "--network=shop", "nginx:1.30", "curl", "--silent", "--max-time", "5"
    assert "nginx" in host.docker(*ask, "http://web")
    assert "nginx" in host.docker(*ask, f"http://{address}")
    for ssh in (f"telnet://{address}:22", "telnet://192.168.208.1:22"):
        command = f"sudo docker {shlex.join([*ask, ssh])}"
        assert "SSH-" not in host.try_ssh(command).stdout
    host.sudo("systemctl stop order-service-firewall")
    command = f"sudo docker {shlex.join([*ask, f'telnet://{address}:22'])}"
    assert "SSH-" in host.try_ssh(command).stdout
    host.sudo("systemctl start order-service-firewall")


def test_a_limit_above_the_hosts_processors_is_refused_by_docker(bare: BareHost) -> None:
    """So docker-compose.yml has none unless it is set."""
    limit = f"--cpus={os.cpu_count() or 1}.5"
    refused = bare.host.try_ssh(f"sudo docker run --rm {limit} nginx:1.30 true")
    assert "ange of CPUs is from 0.01 to" in refused.stderr


def test_other_networks_leave_those_that_are_there_and_docker_in_order(bare: BareHost) -> None:
    host = bare.host
    before = network(host, "shop"), host.ssh("systemctl show --property=MainPID docker.service")

    told = bare.run("docker", container_networks=LATER).output

    assert "docker0 changes with" in " ".join(told.split())
    assert before[1] == host.ssh("systemctl show --property=MainPID docker.service")
    host.sudo("systemctl restart docker")
    assert answers(host, "web")
    assert network(host, "shop") == before[0]
    assert network(host, "later").subnet_of(ipaddress.IPv4Network("10.200.8.0/21"))
    host.restart()
    wait_until(lambda: answers(host, "web"), 60, "the container after the restart")
    assert network(host, "shop") == before[0]
    assert "10.200.0.1/24" in host.ssh("ip -oneline address show dev docker0")


def test_a_machine_without_swap_gets_some_and_a_container_none(bare: BareHost) -> None:
    """On a disk that swap may be on, which the root of this host is not."""
    host, file = bare.host, "/var/lib/docker/swapfile"
    settings: dict[str, Any] = {"base_swap_file": file, "swap_megabytes": 16}
    bare.run("base", **settings)
    assert host.try_ssh(f"sudo ls {file}").returncode != 0
    host.sudo("printf '#!/bin/sh\\nexit 1\\n' > /usr/local/bin/systemd-detect-virt")
    host.sudo("chmod 755 /usr/local/bin/systemd-detect-virt")
    try:
        bare.run("base", base_swap_file=file, swap_megabytes=0)
        assert host.try_ssh(f"sudo ls {file}").returncode != 0

        assert bare.run("base", **settings).recap.changed > 0

        assert host.sudo("swapon --show=NAME,SIZE --noheadings").split() == [file, "16M"]
        assert host.sudo(f"stat --format=%a {file}").strip() == "600"
        assert host.ssh("grep swap /etc/fstab").split()[:4] == [file, "none", "swap", "sw"]
        assert bare.run("base", **settings).recap.changed == 0
    finally:
        # It is the machine's below.
        host.inside(f"swapoff {file} || true")
