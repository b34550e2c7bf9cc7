"""The roles that prepare a host, tried from outside it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.control_node import PlaybookRun
from tests.support.deployment import NGINX, Deployment
from tests.support.docker import docker
from tests.support.polling import wait_until
from tests.support.remote_host import RemoteHost

RunRoles = Callable[..., PlaybookRun]
PLAYBOOK = """
- name: Run some roles
  hosts: order_service
  become: true
  gather_facts: false
  tasks:
    - name: Run the roles
      ansible.builtin.include_role:
        name: "{{ role }}"
      loop_control:
        loop_var: role
      loop: "{{ roles_to_run }}"
"""
# Answers whatever connects, over IPv4 and IPv6, as a forgotten database would.
LISTENER = """import socket as s
server = s.create_server(("::", 3306), family=s.AF_INET6, dualstack_ipv6=True)
while True:
    one, _ = server.accept()
    one.sendall(b"forgotten")
    one.close()
"""
UNIT = """[Service]
ExecStart=python3 /root/listener.py
[Install]
WantedBy=multi-user.target
"""
GET = b"GET / HTTP/1.0\r\n\r\n"


@pytest.fixture(scope="module")
def host(deployment: Deployment) -> Iterator[RemoteHost]:
    """The deployed host, with more to reach than it should let anyone reach."""
    host = deployment.remote
    host.docker(
        "run", "--detach", "--name=web", "--restart=always", "--publish=8080:80", "nginx:1.30"
    )
    host.sudo(f"printf %s {shlex.quote(LISTENER)} > /root/listener.py")
    host.sudo(f"printf %s {shlex.quote(UNIT)} > /etc/systemd/system/listener.service")
    host.sudo("systemctl enable --now listener.service")
    yield host
    host.docker("rm", "--force", "web")
    host.sudo("systemctl disable --now listener.service; rm /etc/systemd/system/listener.service")


@pytest.fixture
def run_roles(deployment: Deployment) -> RunRoles:
    """Runs some of the roles alone, after the checks."""

    def run(*roles: str, **settings: Any) -> PlaybookRun:
        deployment.checkout.write("deploy/ansible/some_roles.yml", PLAYBOOK)
        names = ["control", *roles]
        return deployment.node.try_playbook("some_roles.yml", roles_to_run=names, **settings)

    return run


def answers(host: RemoteHost) -> dict[int, bool]:
    """Tell what answers from outside, once the service and the other container do."""
    wait_until(lambda: host.banner(80, GET), 60, "an answer of the service on port 80")
    inside = "curl --silent --output /dev/null http://127.0.0.1:8080"
    wait_until(lambda: host.try_ssh(inside).returncode == 0, 60, "the container on port 8080")
    return {port: bool(host.banner(port, GET)) for port in (22, 80, 443, 3306, 8080)}


ONLY_PUBLIC = {22: True, 80: True, 443: True, 3306: False, 8080: False}


def test_firewall_closes_published_and_other_ports_and_comes_back(host: RemoteHost) -> None:
    assert answers(host) == ONLY_PUBLIC

    host.sudo("systemctl stop order-service-firewall")
    assert answers(host) == ONLY_PUBLIC | {3306: True, 8080: True}
    host.sudo("systemctl start order-service-firewall")

    started = host.docker("inspect", "--format={{.State.StartedAt}}", NGINX)
    host.sudo("systemctl restart docker")
    assert answers(host) == ONLY_PUBLIC
    assert host.docker("inspect", "--format={{.State.StartedAt}}", NGINX) == started
    # Distributions bring a service that removes everyone's rules when it starts.
    host.sudo("systemctl restart nftables")
    assert answers(host) == ONLY_PUBLIC
    host.restart()
    assert answers(host) == ONLY_PUBLIC


def test_firewall_holds_for_ipv6_and_for_packets_sent_straight_to_a_container(
    host: RemoteHost,
) -> None:
    answers(host)
    container = host.docker("inspect", "--format={{.NetworkSettings.IPAddress}}", "web").strip()
    # A neighbour in the host's own network, which routes to containers through the host.
    host.sudo(
        "ip netns add neighbour; ip link add outside type veth peer name inside netns neighbour;"
        "sysctl -qw net.ipv6.conf.outside.disable_ipv6=0;"
        "ip address add 198.51.100.1/24 dev outside;"
        "ip address add 2001:db8::1/64 dev outside nodad; ip link set outside up;"
        "ip -n neighbour address add 198.51.100.2/24 dev inside;"
        "ip -n neighbour address add 2001:db8::2/64 dev inside nodad;"
        "ip -n neighbour link set inside up;"
        "ip -n neighbour route add default via 198.51.100.1"
    )

    def reached(address: str, port: int) -> str:
        connect = f"import socket; socket.create_connection(({address!r}, {port}), 2)"
        command = f"ip netns exec neighbour python3 -c {shlex.quote(connect)}"
        return host.sudo(f"if {command} 2>/dev/null; then echo yes; else echo no; fi").strip()

    allowed = [("2001:db8::1", 22), ("198.51.100.1", 80)]
    denied = [("2001:db8::1", 3306), ("198.51.100.1", 8080), (container, 80)]
    try:
        assert [reached(*target) for target in allowed + denied] == ["yes"] * 2 + ["no"] * 3
        host.sudo("systemctl stop order-service-firewall")
        assert [reached(*target) for target in allowed + denied] == ["yes"] * 5
    finally:
        host.sudo("systemctl start order-service-firewall; ip netns delete neighbour")


def test_extra_ports_open_for_their_sources_and_close_again(
    host: RemoteHost, run_roles: RunRoles
) -> None:
    ports = [{"port": 8080}, {"port": 3306, "sources": ["203.0.113.0/24", "2001:db8::/32"]}]

    run_roles("firewall", extra_open_ports=ports).succeeded()
    assert answers(host) == ONLY_PUBLIC | {8080: True}

    run_roles("firewall").succeeded()
    assert answers(host) == ONLY_PUBLIC


def test_ssh_takes_keys_only(host: RemoteHost) -> None:
    assert host.refusal().endswith("Permission denied (publickey).")
    assert host.ssh("id -un").strip() == "admin"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("AuthenticationMethods password", "AuthenticationMethods cannot be satisfied"),
        ("AuthorizedKeysFile none", "would shut keys out"),
    ],
)
def test_ssh_settings_that_would_shut_the_key_out_are_not_applied(
    host: RemoteHost, run_roles: RunRoles, line: str, said: str
) -> None:
    own = "/etc/ssh/sshd_config.d/10-own.conf"
    host.sudo(f"rm -f /etc/ssh/sshd_config.d/00-*; echo {line} > {own}")
    try:
        run = run_roles("ssh")

        assert run.returncode != 0
        assert said in " ".join(run.output.split())
        assert host.ssh("id -un").strip() == "admin"
        assert host.ssh("ls /etc/ssh/sshd_config.d/").split() == ["10-own.conf"]
    finally:
        host.inside(f"rm {own}")
        run_roles("ssh").succeeded()


def test_docker_reads_new_settings_without_a_restart(host: RemoteHost, run_roles: RunRoles) -> None:
    # A name that the host can look up: another is refused.
    mirrors = {"docker_registry_mirrors": ["https://localhost:5443"]}
    before = host.ssh("systemctl show --property=MainPID docker.service")

    run = run_roles("docker", **mirrors).succeeded()

    assert "no deployment does: sudo systemctl restart docker" in " ".join(run.output.split())
    assert "https://localhost:5443" in host.docker("info")
    assert host.ssh("systemctl show --property=MainPID docker.service") == before
    run_roles("docker").succeeded()


def test_images_come_from_an_archive_where_no_registry_has_them(
    host: RemoteHost, run_roles: RunRoles, tmp_path: Path
) -> None:
    image, archive = "order-service-lab/debian:trixie", tmp_path / "images.tar"
    docker("save", "--output", str(archive), image)
    assert run_roles("docker", image_archives=[str(archive)]).succeeded().recap.changed > 0
    assert host.docker("image", "ls", "--quiet", image)
    assert run_roles("docker", image_archives=[str(archive)]).succeeded().recap.changed == 0


def test_security_updates_and_the_journals_limit_are_in_force(host: RemoteHost) -> None:
    assert "Unattended-Upgrade::Origins-Pattern" in host.ssh("apt-config dump")
    dry = host.sudo("unattended-upgrade --dry-run --debug 2>&1 | head -50", seconds=300)
    assert "Debian-Security" in dry
    assert host.ssh("systemctl is-enabled apt-daily-upgrade.timer").strip() == "enabled"
    assert "SystemMaxUse=500M" in host.ssh("systemd-analyze cat-config systemd/journald.conf")


def test_status_says_that_updates_need_a_restart(deployment: Deployment, host: RemoteHost) -> None:
    host.sudo("touch /run/reboot-required; echo linux-image-amd64 > /run/reboot-required.pkgs")

    run = deployment.node.playbook("status.yml")

    assert "needed after updates of linux-image-amd64; see automatic_reboot_time" in run.output
    host.sudo("rm /run/reboot-required*")
