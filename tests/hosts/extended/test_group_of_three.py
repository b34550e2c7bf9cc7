"""Three hosts that each have all: web, processors, and a member of MySQL's group.

One story, in its order: each test goes on from where the one before has left the hosts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.hosts.conftest import SETTINGS, NewHost
from tests.support.control_fixtures import NewCheckout
from tests.support.control_node import PlaybookRun
from tests.support.databases import order_body
from tests.support.deployment import PROGRAM, Deployment
from tests.support.polling import wait_until
from tests.support.registry import Registry
from tests.support.remote_host import RemoteHost
from tests.support.several_hosts import GroupsNode, PrivateNetwork, query_as_root
from tests.support.stack import StackClient
from tests.support.traffic import Traffic

DEPLOY_SECONDS = 1500
PARTS = ("web", "worker", "database")
SHUTDOWN = "order-service-shutdown.service"
ALL_AT_WORK = "UNCHANGED: 3 of 3 members at work"
STORE = "/var/backups/order-service"
KEPT, TAKEN_BACK = 121, 122
ATTEMPTS = "SELECT order_id, outcome, attempts FROM orders WHERE order_id IN ({})"


class Trio:
    """The hosts, by their place in the inventory, and who deploys to them."""

    def __init__(self, node: GroupsNode, boot: NewHost) -> None:
        self.node, self._boot = node, boot
        self.hosts: list[Deployment] = []

    def add(self) -> None:
        """Have one more bare host, the last one."""
        host = self._boot()
        host.let_reboot()
        self.node.network.join(host)
        self.hosts.append(Deployment(host, self.node.checkout, self.node))
        self._list()

    def lose_the_first(self) -> None:
        """The head is gone, with all that it had."""
        self.hosts.pop(0).remote.close()
        self._list()

    def _list(self) -> None:
        self.node.hosts = tuple(one.remote for one in self.hosts)
        self.node.groups = {part: list(self.node.hosts) for part in PARTS}

    def deploy(self, *arguments: str) -> PlaybookRun:
        return self.node.start_playbook("deploy.yml", *arguments).wait(DEPLOY_SECONDS).succeeded()

    def address(self, one: Deployment) -> str:
        return self.node.network.address(one.remote)

    def members(self, asked: Deployment) -> dict[str, str]:
        """Return the line of each member by its address, as this host sees it."""
        lines = asked.remote.sudo(f"{PROGRAM} database status").splitlines()
        return {line.split()[0]: line for line in lines}

    def primary(self, asked: Deployment) -> Deployment:
        """Return the host that takes the writes."""
        lines = self.members(asked)
        return next(one for one in self.hosts if "takes the writes" in lines[self.address(one)])

    def other_than(self, one: Deployment) -> Deployment:
        return next(other for other in self.hosts if other is not one)

    def wait_all_at_work(self, asked: Deployment) -> None:
        command = f"sudo {PROGRAM} database status"
        wait_until(
            lambda: ALL_AT_WORK in asked.remote.try_ssh(command).stdout, 180, "all members at work"
        )

    def assert_completed_once(self, asked: Deployment, accepted: list[int]) -> None:
        """Each order that was accepted has ended, though perhaps at its second attempt."""
        query = ATTEMPTS.format(",".join(map(str, accepted)))

        def ended() -> bool:
            rows = query_as_root(asked.remote, query).splitlines()
            assert len(rows) == len(accepted), f"{len(accepted)} accepted, {len(rows)} there"
            assert {row.split("\t")[1] for row in rows} <= {"Completed", "NULL"}
            return all(row.split("\t")[1] == "Completed" for row in rows)

        wait_until(ended, 120, "the end of every accepted order")


@pytest.fixture(scope="module")
def trio(
    new_mirrored_host: NewHost,
    new_checkout: NewCheckout,
    registry: Registry,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Trio]:
    """Three bare hosts after one command."""
    # Clients reach each web host themselves.
    settings = {**SETTINGS, "docker_registry_mirrors": [registry.url], "trusted_proxies": []}
    node = GroupsNode(tmp_path_factory.mktemp("node"), new_checkout(), **settings)
    with PrivateNetwork() as node.network:
        made = Trio(node, new_mirrored_host)
        try:
            for _ in range(3):
                made.add()
            made.deploy()
            yield made
        finally:
            node.close()


def assert_only_refused(told: list[str]) -> None:
    """Clients were told to come again, and nothing else."""
    assert [problem for problem in told if ": 503 " not in problem] == []


def test_bare_hosts_are_one_shop_after_one_command(trio: Trio) -> None:
    head = trio.hosts[0]
    assert ALL_AT_WORK in head.remote.sudo(f"{PROGRAM} database status")
    for number, one in enumerate(trio.hosts, 1):
        assert one.client().post(order_body(number)).status == 201
    for one in trio.hosts:
        statuses = [one.client().get(f"/orders/{number}").status for number in (1, 2, 3)]
        assert statuses == [200, 200, 200]
    trio.assert_completed_once(head, [1, 2, 3])
    assert len({one.password for one in trio.hosts}) == 1
    assert len({one.ca.read_bytes() for one in trio.hosts}) == 1


def test_the_second_run_changes_nothing(trio: Trio) -> None:
    run = trio.deploy()
    assert {name: recap.changed for name, recap in run.recaps.items() if recap.changed} == {}
    told = trio.node.playbook("database.yml").output
    assert told.count(ALL_AT_WORK) == 3
    assert trio.node.playbook("status.yml").recaps.keys() == run.recaps.keys()


def test_another_member_takes_the_writes_when_told(trio: Trio) -> None:
    client = trio.hosts[0].client()
    wanted = trio.other_than(trio.primary(trio.hosts[0]))
    with Traffic(client) as sent:
        trio.node.playbook("database.yml", "-e", f"primary={wanted.remote.name}")
        sent.problems, told = [], sent.problems
        sent.flows()
    assert_only_refused(told)
    assert trio.primary(trio.hosts[0]) is wanted
    trio.assert_completed_once(wanted, sent.accepted)


def test_a_host_with_everything_is_restarted_without_a_failed_request(trio: Trio) -> None:
    """Its clients go elsewhere first, then the writes, then it restarts."""
    chosen = trio.primary(trio.hosts[0])
    name, other = chosen.remote.name, trio.other_than(chosen)
    boot = chosen.remote.boot_id()
    limit = ("--limit", name)
    refused = trio.node.try_playbook("drain.yml", *limit)
    assert refused.returncode != 0
    assert f"database.yml -e restart={name}" in " ".join(refused.output.split())
    with Traffic(other.client()) as sent:
        trio.node.playbook("drain.yml", "-e", "drain=true", "-e", "drain_seconds=3", *limit)
        trio.node.playbook("database.yml", "-e", f"restart={name}")
        trio.node.playbook("drain.yml", "-e", "drain=false", *limit)
        sent.problems, told = [], sent.problems
        sent.flows()
        assert sent.problems == []
    # While another one takes the writes over.
    assert_only_refused(told)
    assert chosen.remote.boot_id() != boot
    assert ALL_AT_WORK in other.remote.sudo(f"{PROGRAM} database status")
    assert trio.primary(other) is not chosen
    trio.assert_completed_once(other, sent.accepted)
    assert chosen.client().post(order_body(11)).status == 201


def test_a_host_that_somebody_restarts_hands_the_writes_over_first(trio: Trio) -> None:
    chosen = trio.primary(trio.hosts[0])
    other = trio.other_than(chosen)
    chosen.remote.sudo("mkdir -p /var/log/journal && journalctl --flush")
    boot = chosen.remote.boot_id()
    with Traffic(other.client()) as sent:
        chosen.remote.try_ssh("sudo systemctl reboot")
        wait_until(lambda: is_another_boot(chosen.remote, boot), 150, "the host's restart")
        trio.wait_all_at_work(other)
        sent.problems, told = [], sent.problems
        sent.flows()
        assert sent.problems == []
    assert_only_refused(told)
    journal = chosen.remote.sudo(f"journalctl --output=cat --unit={SHUTDOWN}")
    assert f"{trio.address(trio.primary(other))} takes the writes from here on" in journal
    assert "CHANGED" in journal
    # And MySQL has ended by itself.
    assert "Shutdown complete" in chosen.logs("mysql")
    assert trio.primary(other) is not chosen
    trio.assert_completed_once(other, sent.accepted)


def test_the_primarys_host_may_die(trio: Trio) -> None:
    chosen = trio.primary(trio.hosts[0])
    other = trio.other_than(chosen)
    with Traffic(other.client()) as sent:
        chosen.remote.cut_power()
        trio.wait_all_at_work(other)
        sent.problems, told = [], sent.problems
        sent.flows()
        assert sent.problems == []
    assert_only_refused(told)
    assert trio.primary(other) is not chosen
    trio.assert_completed_once(other, sent.accepted)


def test_a_backup_of_the_group_comes_back_while_it_is_at_work(trio: Trio) -> None:
    head = trio.hosts[0]
    assert head.client().post(order_body(KEPT)).status == 201
    trio.assert_completed_once(head, [KEPT])
    trio.node.playbook("backup.yml")
    assert head.client().post(order_body(TAKEN_BACK)).status == 201
    trial = trio.node.playbook("restore.yml").output
    newest = re.search(r"backup: (\d{4}-\d\d-\d\dT\d{6}Z)", trial)
    assert newest, trial
    live = {
        "restore_to": "live",
        "restore_backup": newest[1],
        "confirm": f"replace live data of {head.remote.name}",
    }
    # A secondary has made it, and the primary is what is restored.
    refused = trio.node.try_playbook("restore.yml", **live)
    assert refused.returncode != 0
    assert "have the member that has it take them first" in " ".join(refused.output.split())
    has_it = next(one for one in trio.hosts if newest[1] in one.remote.sudo(f"ls {STORE}"))
    trio.node.playbook("database.yml", "-e", f"primary={has_it.remote.name}")
    trio.node.playbook("restore.yml", **live)
    statuses = [trio.hosts[1].client().get(f"/orders/{one}").status for one in (KEPT, TAKEN_BACK)]
    assert statuses == [200, 404]
    assert head.client().post(order_body(23)).status == 201
    assert ALL_AT_WORK in head.remote.sudo(f"{PROGRAM} database status")


def test_all_are_killed_and_begin_again_when_told(trio: Trio) -> None:
    head = trio.hosts[0]
    accepted = list(range(31, 41))
    assert {head.client().post(order_body(number)).status for number in accepted} == {201}
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda one: one.remote.cut_power(), trio.hosts))
    wait_until(lambda: head.try_status("/ping") == 200, 120, "the service on the host")
    # Nobody does it without being told.
    assert head.client().post(order_body(41)).status == 503
    trio.node.playbook("database.yml", "-e", "start=true")
    wait_until(lambda: head.client().post(order_body(42)).status == 201, 60, "an accepted order")
    trio.assert_completed_once(head, [1, 2, 3, KEPT, 23, *accepted, 42])


def test_a_lost_head_is_replaced_by_a_bare_host(trio: Trio, tmp_path: Path) -> None:
    former = trio.hosts[0]
    (tmp_path / "ca.crt").write_bytes(former.ca.read_bytes())
    password = former.password
    trio.lose_the_first()
    other = trio.hosts[0]
    known = StackClient(443, tmp_path / "ca.crt", other.host, password)
    wait_until(lambda: known.post(order_body(51)).status == 201, 60, "an accepted order")
    trio.add()
    # Each member learns the new one's address at its start.
    trio.deploy("-e", "allow_interruption=true")
    with Traffic(known) as sent:
        sent.flows()
    sent.assert_unharmed()
    trio.wait_all_at_work(other)
    new = StackClient(443, tmp_path / "ca.crt", trio.hosts[-1].host, password)
    assert new.get(f"/orders/{sent.accepted[0]}").status == 200
    assert new.post(order_body(52)).status == 201
    trio.assert_completed_once(trio.hosts[-1], [*sent.accepted, 51, 52])


def is_another_boot(host: RemoteHost, former: str) -> bool:
    """Return whether the host has started anew, and is up."""
    found = host.try_inside("cat /proc/sys/kernel/random/boot_id; systemctl is-system-running")
    boot, _, state = found.stdout.strip().partition("\n")
    return boot != former and state in ("running", "degraded")
