"""A host that gives its database to another one, by the steps of the guide.

One story, in its order: each test goes on from where the one before has left the hosts.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hosts.conftest import SETTINGS, NewHost
from tests.support.control_fixtures import NewCheckout, NewControlNode
from tests.support.control_node import ControlNode
from tests.support.databases import order_body
from tests.support.deployment import MYSQL, PROGRAM, Deployment
from tests.support.docker import docker
from tests.support.polling import wait_until
from tests.support.registry import Registry
from tests.support.several_hosts import GroupsNode, PrivateNetwork
from tests.support.stack import StackClient
from tests.support.traffic import Traffic
from tests.support.vault import Vault

ALONE, AFTER_THE_BACKUP, WHILE_PAUSED, AFTERWARDS = range(1, 11), range(11, 21), 21, 22
PAUSE = ("flask", "processing", "pause", "--reason=the database moves")
RESUME = ("flask", "processing", "resume")


class Move:
    """The host that was alone, the one that gets its database, and who deploys to both."""

    def __init__(
        self, old: Deployment, new: Deployment, both: GroupsNode, vault: Vault, boot: NewHost
    ) -> None:
        self.old, self.new, self.both, self.vault, self._boot = old, new, both, vault, boot

    def lose_the_database(self) -> None:
        """Its host is gone for good, and a bare one has its name."""
        lost = self.new.remote
        lost.close()
        bare = self._boot(vault=self.vault.address)
        docker("rename", bare.name, lost.name)
        bare.name = lost.name
        self.both.network.join(bare)
        self.new = Deployment(bare, self.new.checkout, self.both)
        self.both.hosts = (self.old.remote, bare)
        self.both.groups = {"web": [self.old.remote], "database": [bare]}

    def restore(self, node: ControlNode, **variables: str) -> None:
        """Restore what the copies have, in the place of the new server's live data."""
        node.playbook(
            "restore.yml",
            restore_from="offsite",
            restore_until="latest",
            restore_to="live",
            restore_secrets=True,
            restore_identity_file=str(self.vault.key),
            confirm=f"replace live data of {self.new.remote.name}",
            **variables,
        )

    def in_app(self, *command: str) -> None:
        self.old.remote.docker("exec", self.old.app, *command)

    def statuses(self) -> dict[int, str]:
        """Return each order's outcome, as the new server has them."""
        rows = self.new.query("SELECT order_id, outcome FROM orders").stdout.splitlines()
        return {int(number): end for number, end in (row.split("\t") for row in rows)}


@pytest.fixture(scope="module")
def move(
    new_mirrored_host: NewHost,
    new_checkout: NewCheckout,
    new_control_node: NewControlNode,
    registry: Registry,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Move]:
    """The first host deployed, and the second one bare."""
    checkout = new_checkout()
    vault = Vault(new_mirrored_host, tmp_path_factory.mktemp("age"))
    settings = {
        **SETTINGS, **vault.settings(), "docker_registry_mirrors": [registry.url],
    }  # fmt: skip
    hosts = [new_mirrored_host(vault=vault.address) for _ in range(2)]
    old, new = (
        Deployment(host, checkout, new_control_node(checkout, host, **settings)) for host in hosts
    )
    old.deploy()
    vault.let_in(old.remote)
    both = GroupsNode(tmp_path_factory.mktemp("both"), checkout, *hosts, **settings)
    both.groups = {"web": [old.remote], "database": [new.remote]}
    with PrivateNetwork() as both.network:
        both.network.join(old.remote)
        both.network.join(new.remote)
        try:
            yield Move(old, new, both, vault, new_mirrored_host)
        finally:
            both.close()


@pytest.fixture(scope="module")
def known(move: Move, tmp_path_factory: pytest.TempPathFactory) -> StackClient:
    """A client of the host as it was alone: with that authority and that password."""
    ca = tmp_path_factory.mktemp("client") / "ca.crt"
    ca.write_bytes(move.old.ca.read_bytes())
    return StackClient(443, ca, move.old.host, move.old.password)


def test_everything_that_was_accepted_is_in_the_new_database(
    move: Move, known: StackClient
) -> None:
    old, new = move.old, move.new
    assert {known.post(order_body(number)).status for number in ALONE} == {201}
    old.node.playbook("backup.yml")
    assert {known.post(order_body(number)).status for number in AFTER_THE_BACKUP} == {201}
    new.deploy()
    move.vault.let_in(new.remote)
    move.in_app(*PAUSE)
    assert known.post(order_body(WHILE_PAUSED)).status == 201
    old.node.playbook("maintenance.yml", "-e", "on=true")
    assert known.post(order_body(AFTERWARDS)).status == 503
    old.remote.sudo(f"{PROGRAM} backup binlog")
    move.restore(new.node)
    assert set(move.statuses()) == {*ALONE, *AFTER_THE_BACKUP, WHILE_PAUSED}


def test_clients_go_on_with_what_they_know(move: Move, known: StackClient) -> None:
    run = move.both.start_playbook("deploy.yml", "-e", "allow_interruption=true")
    run.wait(900).succeeded()
    assert known.post(order_body(AFTERWARDS)).status == 503, "it is still closed"
    move.in_app(*RESUME)
    move.both.playbook("maintenance.yml", "-e", "on=false")
    with Traffic(known) as sent:
        sent.flows()
    sent.assert_unharmed()
    assert known.post(order_body(AFTERWARDS)).status == 201
    wait_until(lambda: set(move.statuses().values()) == {"Completed"}, 60, "the orders' ends")
    there = {*ALONE, *AFTER_THE_BACKUP, WHILE_PAUSED, AFTERWARDS, *sent.accepted}
    assert set(move.statuses()) == there
    # What it had alone is nobody's now, and status.yml says so.
    assert MYSQL in move.old.running()
    told = " ".join(move.both.try_playbook("status.yml").output.split())
    assert "mysql-1 is still there" in told
    move.old.remote.docker("rm", "--force", MYSQL)
    assert known.post(order_body(AFTERWARDS + 1)).status == 201


def test_the_second_run_changes_nothing(move: Move) -> None:
    run = move.both.playbook("deploy.yml")
    assert {name: recap.changed for name, recap in run.recaps.items() if recap.changed} == {}


def test_a_lost_database_host_comes_back_under_its_name(move: Move, known: StackClient) -> None:
    before = move.statuses()
    move.new.remote.sudo(f"{PROGRAM} backup binlog")
    # The destination has those of the old host's MySQL as well.
    newest = move.new.remote.sudo("ls /var/backups/order-service | grep Z | tail -1").strip()
    move.lose_the_database()
    assert known.get("/orders/1").status == 503
    name = move.new.remote.name
    refused = move.both.try_playbook("deploy.yml", "--limit", name)
    assert refused.returncode != 0
    assert "would be the head" in " ".join(refused.output.split())
    move.both.playbook("deploy.yml", "--limit", name, "-e", "new_head=true")
    move.vault.let_in(move.new.remote)
    move.restore(move.both, restore_backup=newest)
    move.both.playbook("deploy.yml")
    assert move.statuses() == before
    with Traffic(known) as sent:
        sent.flows()
    sent.assert_unharmed()
