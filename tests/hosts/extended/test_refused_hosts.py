"""Hosts that cannot do it are refused, and left as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.control_fixtures import NewCheckout, NewControlNode
from tests.support.remote_host import RemoteHost


@pytest.fixture(scope="module")
def poor_host(new_host: Callable[[], RemoteHost]) -> Iterator[RemoteHost]:
    """A host with a web server of its own, and no names."""
    host = new_host()
    host.sudo("systemd-run --unit=other-web python3 -m http.server 80")
    host.sudo("echo 'nameserver 127.0.0.1' > /etc/resolv.conf")
    yield host
    host.close()


def test_a_host_that_cannot_do_it_is_left_as_it_is(
    poor_host: RemoteHost, new_checkout: NewCheckout, new_control_node: NewControlNode
) -> None:
    node = new_control_node(new_checkout(), poor_host)
    before = poor_host.sudo("ls -la --time-style=full-iso /etc /opt | sort")

    run = node.try_playbook("deploy.yml", minimum_memory_mb=10**7, minimum_free_disk_gb=10**5)

    said = " ".join(run.output.split())
    assert run.recap.changed == 0
    assert "10000000 are needed" in said
    assert "minimum_free_disk_gb wants 102400000" in said
    assert "cannot look up " in said
    assert "other programs on the service's ports: 80 (python3)" in said
    assert poor_host.sudo("ls -la --time-style=full-iso /etc /opt | sort") == before


def test_ssh_sources_that_would_shut_the_control_node_out_are_refused(
    poor_host: RemoteHost, new_checkout: NewCheckout, new_control_node: NewControlNode
) -> None:
    node = new_control_node(new_checkout(), poor_host, ssh_allowed_sources=["203.0.113.0/24"])

    run = node.try_playbook("deploy.yml")

    assert "ssh_allowed_sources does not hold 172." in " ".join(run.output.split())
