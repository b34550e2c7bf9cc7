"""The role that has Prometheus and people told how the host is, on a host without a deployment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hosts.conftest import NewHost
from tests.support.control_fixtures import NewCheckout, NewControlNode
from tests.support.control_node import PlaybookRun
from tests.support.deployment import install_program
from tests.support.polling import wait_until
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
TOKEN = "token-that-nobody-else-may-see"
HEARD = "/var/lib/heard"
LISTENER = f"""
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("{HEARD}", "ab") as file:
            file.write(body + b"\\n")
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", 8099), Handler).serve_forever()
"""
LISTENING = """[Service]
ExecStart=/usr/bin/python3 /opt/listener.py
[Install]
WantedBy=multi-user.target
"""
FAILING = """[Service]
Type=oneshot
ExecStart=/bin/false
"""
ALERTS = {
    "alert_url": f"http://127.0.0.1:8099/{TOKEN}",
    "alert_headers": {"X-Key": TOKEN},
    "alert_template": {"text": "$text", "key": "$key", "secret": TOKEN},
}
# As if some minutes had passed.
PASSED = """
import json, pathlib
path = pathlib.Path("/opt/order-service/state/alerts.json")
book = json.loads(path.read_text())
for entry in book.values():
    entry["since"] -= 600
    entry["seen"] -= 600
path.write_text(json.dumps(book))
"""
ALERT = "/etc/systemd/system/order-service-alert"


class Monitored:
    """A host with the programs that a deployment ships, and who runs the role on it."""

    def __init__(
        self, new_host: NewHost, new_checkout: NewCheckout, new_control_node: NewControlNode
    ) -> None:
        self.host: RemoteHost = new_host()
        self.host.sudo(
            "apt-get update -qq && apt-get install -y -qq python3-cryptography curl"
            " && mkdir -p /opt/order-service/state /etc/order-service",
            seconds=300,
        )
        install_program(self.host)
        checkout = new_checkout()
        checkout.write("deploy/ansible/monitored.yml", PLAYBOOK)
        self._node = new_control_node(checkout, self.host)

    def run(self, *arguments: str, **settings: Any) -> PlaybookRun:
        return self._node.playbook("monitored.yml", *arguments, **settings)

    def write(self, path: str, text: str) -> None:
        """Write a file on the host."""
        self.host.sudo(f"cat >{path} <<'END'\n{text}END")

    def heard(self, words: str = "") -> list[dict[str, str]]:
        """Return the alerts with these words that the listener on the host got."""
        lines = self.host.sudo(f"touch {HEARD}; cat {HEARD}").splitlines()
        return [one for one in map(json.loads, lines) if words in one["text"]]


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


@pytest.fixture(scope="module")
def alerted(monitored: Monitored) -> Iterator[Monitored]:
    """The host with a listener of its own, and the alerts that go there."""
    monitored.write("/opt/listener.py", LISTENER)
    monitored.write("/etc/systemd/system/listener.service", LISTENING)
    monitored.host.sudo("systemctl enable --now listener.service")
    assert monitored.run("--check", **ALERTS).recap.changed > 0
    assert monitored.host.sudo(f"ls -d {ALERT}* /etc/order-service/alerts.json || true") == ""
    run = monitored.run("--diff", **ALERTS)
    assert run.recap.changed > 0
    assert TOKEN not in run.output
    yield monitored
    assert TOKEN not in monitored.run("--diff").output
    left = monitored.host.sudo(
        "ls /etc/systemd/system/* /etc/order-service /opt/order-service/state"
    )
    assert "order-service-alert" not in left
    assert "alerts.json" not in left
    assert monitored.run().recap.changed == 0


def test_a_second_run_changes_nothing_about_alerts_and_a_test_alert_arrives(
    alerted: Monitored,
) -> None:
    run = alerted.run(alert_test=True, **ALERTS)
    assert run.recap.changed == 0
    assert "alert_url has taken a test alert and its end" in run.output
    assert [one["text"].partition(":")[0] for one in alerted.heard("OrderServiceTest")] == [
        "PROBLEM",
        "OVER",
    ]


def test_a_unit_that_fails_is_told_by_systemd_and_its_end_by_the_timer(alerted: Monitored) -> None:
    host = alerted.host
    host.sudo("systemctl stop order-service-alert.timer")
    alerted.write("/etc/systemd/system/order-service-try.service", FAILING)
    host.sudo("systemctl daemon-reload; ! systemctl start order-service-try.service")
    words = "OrderServiceUnitFailed on "
    wait_until(lambda: alerted.heard(words), 60, "an alert", every=0.5)
    (told,) = alerted.heard(words)
    assert "unit: order-service-try.service has failed" in told["text"]
    # A unit that systemd forgets at its end has it, too; the one that tells has not.
    asked = "systemctl show --property=OnFailure --value order-service-alert.service"
    assert host.sudo(asked).strip() == ""
    host.sudo("systemctl reset-failed order-service-try.service")
    host.sudo(f"python3 -c '{PASSED}'")
    host.sudo("systemctl start order-service-alert.timer")
    wait_until(lambda: len(alerted.heard(words)) == 2, 90, "its end", every=0.5)
    assert alerted.heard(words)[-1]["text"].startswith("OVER: ")
    assert alerted.heard(words)[-1]["key"] == told["key"]


def test_a_restart_of_the_host_repeats_nothing(alerted: Monitored) -> None:
    wait_until(lambda: alerted.heard("OrderServiceBackupFailed"), 90, "an alert", every=0.5)
    before = alerted.heard()
    alerted.host.restart()
    runs = "journalctl --boot --unit order-service-alert.service | grep -c Finished || true"
    wait_until(lambda: int(alerted.host.sudo(runs)) > 0, 150, "a run after the boot", every=1)
    assert alerted.heard() == before


def test_what_is_secret_is_roots_alone_and_in_no_log(alerted: Monitored) -> None:
    host = alerted.host
    assert host.sudo("stat -c '%a %U' /etc/order-service/alerts.json").strip() == "600 root"
    logged = host.sudo(f"journalctl --no-pager | grep {TOKEN[:-1]} || true").splitlines()
    # But for what this test has had sudo do.
    assert [line for line in logged if "COMMAND=" not in line] == []
    assert TOKEN not in host.sudo("cat /opt/order-service/state/*.json")
    assert TOKEN not in host.sudo("systemctl show order-service-alert.service")
    assert TOKEN not in host.sudo(f"cat {ALERT}.service {ALERT}.timer")
