"""The stand-in for a fresh cloud server is one: what all other tests of this layer build on."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.control_fixtures import NewCheckout, NewControlNode
from tests.support.remote_host import CLOSED_PORTS, RemoteHost

NewHost = Callable[..., RemoteHost]


def test_two_fresh_hosts_are_reached_by_ansible_and_have_nothing_of_the_service(
    new_host: NewHost, new_checkout: NewCheckout, new_control_node: NewControlNode
) -> None:
    first, second = new_host(), new_host()
    node = new_control_node(new_checkout(), first, second)

    assert node.ping().succeeded().output.count("ping: pong") == 2
    for host in (first, second):
        assert host.ssh("sudo id -un; cat /proc/1/comm; hostname").split() == [
            "root",
            "systemd",
            host.name,
        ]
        assert "password" in host.refusal()
        assert host.try_ssh("command -v docker nft").stdout == ""
        assert [port for port in (80, 443, *CLOSED_PORTS) if host.banner(port)] == []


def test_host_keeps_its_files_and_its_key_over_a_restart_and_a_power_cut(
    new_host: NewHost,
) -> None:
    host = new_host()
    host.sudo("echo kept > /root/file && echo lost > /run/file")

    for again in (host.restart, host.cut_power):
        boot = host.ssh("cat /proc/1/stat")
        again()
        assert host.ssh("cat /proc/1/stat") != boot
        assert host.sudo("cat /root/file; ls /run/file 2>&1 || true").startswith("kept\nls:")


def test_checkout_turns_changes_into_releases(new_checkout: NewCheckout) -> None:
    checkout = new_checkout()
    first = checkout.head
    checkout.replace("wsgi.py", "import", "# changed\nimport")
    checkout.write("new/file.txt", "new")

    second = checkout.commit("Change it")

    assert checkout.git("diff", "--name-only", first, second).split() == ["new/file.txt", "wsgi.py"]
    checkout.reset(first)
    assert checkout.head == first
    assert not (checkout.folder / "new/file.txt").exists()
