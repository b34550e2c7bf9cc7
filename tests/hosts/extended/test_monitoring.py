"""The role that has a node exporter tell how the host is, on a host without a deployment."""

from __future__ import annotations

from typing import Any

import pytest

from tests.hosts.conftest import NewHost
from tests.support.control_fixtures import NewCheckout, NewControlNode
from tests.support.control_node import PlaybookRun
from tests.support.deployment import install_program
from tests.support.prometheus import promtool
from tests.support.remote_host import RemoteHost

PLAYBOOK = """
- name: Run the role
  hosts: order_service
  become: true
  gather_facts: false
  tasks:
    - name: Run it
      ansible.builtin.import_role:
        name: monitoring
"""
FIGURES = "/var/lib/order-service-metrics/order-service.prom"
ASK = "curl --silent --fail http://127.0.0.1:9100/metrics"


class Monitored:
    """A host with the programs that a deployment ships, and who runs the role on it."""

    def __init__(
        self, new_host: NewHost, new_checkout: NewCheckout, new_control_node: NewControlNode
    ) -> None:
        self.host: RemoteHost = new_host()
        self.host.sudo(
            "apt-get update -qq && apt-get install -y -qq python3-cryptography curl", seconds=300
        )
        install_program(self.host)
        checkout = new_checkout()
        checkout.write("deploy/ansible/monitored.yml", PLAYBOOK)
        self._node = new_control_node(checkout, self.host)

    def run(self, **settings: Any) -> PlaybookRun:
        return self._node.playbook("monitored.yml", **settings)


@pytest.fixture(scope="module")
def monitored(
    new_host: NewHost, new_checkout: NewCheckout, new_control_node: NewControlNode
) -> Monitored:
    return Monitored(new_host, new_checkout, new_control_node)


def test_it_tells_this_host_only_how_the_host_is_and_a_second_run_changes_nothing(
    monitored: Monitored,
) -> None:
    assert monitored.run(node_exporter=True).recap.changed > 0
    host = monitored.host
    page = host.ssh(ASK)
    assert 'order_service_disk_free_bytes{path="/"}' in page
    # Nothing is deployed, and it says so.
    assert 'order_service_host_good{part="release"} 0' in page
    assert 'node_textfile_mtime_seconds{file="/var/lib/order-service-metrics/' in page
    assert "node_textfile_scrape_error 0" in page
    promtool("check", "metrics", text=host.ssh(f"cat {FIGURES}"))
    assert host.ssh("systemctl is-active order-service-figures.timer").strip() == "active"
    listening = host.ssh("ss --listening --tcp --numeric --no-header 'sport = 9100'")
    assert "127.0.0.1:9100" in listening
    assert len(listening.splitlines()) == 1
    assert monitored.run(node_exporter=True).recap.changed == 0


def test_it_ends_with_its_settings(monitored: Monitored) -> None:
    monitored.run(node_exporter=True)
    assert monitored.run().recap.changed > 0
    left = monitored.host.ssh("ls /etc/systemd/system /etc/systemd/system/*.wants")
    assert "order-service-figures" not in left
    assert monitored.host.try_ssh(ASK).returncode != 0
    assert monitored.run().recap.changed == 0
