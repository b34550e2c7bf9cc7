"""A host that gives its database to a provider: over verified TLS, with no root there.

One story, in its order: each test goes on from where the one before has left the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from order_service.certificates import authority

from tests.support.control_node import PlaybookRun
from tests.support.databases import order_body
from tests.support.deployment import MYSQL, RELEASE_ONLY, Deployment
from tests.support.docker import docker
from tests.support.mysql_server import MySQLServer
from tests.support.polling import wait_until
from tests.support.several_hosts import PrivateNetwork
from tests.support.stack import StackClient

FILES = ("ca", "cert", "key")
OWN, PAUSED, AFTERWARDS = range(1, 11), 11, 12
DEPLOY_SECONDS = 900
SERVICE, ADMIN, READER = "service:its-password", "provided:the-users", "reader:reads-only"


class Managed:
    """The provider's server, the host that uses it, and the settings that name it."""

    def __init__(self, server: MySQLServer, address: str, folder: Path) -> None:
        self.server, self._address = server, address
        self.ca, self.other_ca = folder / "ca.pem", folder / "other.pem"
        issuer = authority.make()
        self.ca.write_bytes(issuer.certificate_pem)
        self.other_ca.write_bytes(authority.make().certificate_pem)
        certificate, key = issuer.issue([address])
        for name, pem in zip(FILES, (issuer.certificate_pem, certificate, key), strict=True):
            (folder / name).write_bytes(pem)
            docker("cp", str(folder / name), f"{server.name}:/var/lib/mysql/managed-{name}")
        docker("exec", "--user=0", server.name, "sh", "-c", "chown mysql: /var/lib/mysql/managed-*")
        for name in FILES:
            server.query(f"SET GLOBAL ssl_{name} = '/var/lib/mysql/managed-{name}'")
        server.query("ALTER INSTANCE RELOAD TLS")
        server.query("CREATE DATABASE orders CHARACTER SET utf8mb4")
        for login, grants in ((ADMIN, "ALL"), (READER, "SELECT")):
            name, _, password = login.partition(":")
            server.query(f"CREATE USER {name} IDENTIFIED BY '{password}' REQUIRE SSL")
            server.query(f"GRANT {grants} ON *.* TO {name} WITH GRANT OPTION")

    def settings(self, login: str = SERVICE) -> dict[str, str]:
        """Return what the inventory says of the database."""
        return {
            "database_url": self._url(login),
            "database_migrator_url": self._url(ADMIN),
            "database_ca": str(self.ca),
        }

    def tables(self) -> list[tuple[str]]:
        """Return the tables of its database."""
        return self.server.query("SHOW TABLES FROM orders")

    def completed(self) -> set[int]:
        """Return which orders are completed there."""
        query = "SELECT order_id FROM orders.orders WHERE outcome = 'Completed'"
        return {number for (number,) in self.server.query(query)}

    def _url(self, login: str) -> str:
        return f"mysql+pymysql://{login}@{self._address}:3306/orders"


@dataclass
class Story:
    """The host, the provider's server, and a client of the host as it was at first."""

    host: Deployment
    managed: Managed
    client: StackClient

    def deploy(self, *arguments: str, **settings: str) -> PlaybookRun:
        """Deploy with the provider's server; settings in the place of the right ones."""
        told = {**self.managed.settings(), **settings}
        return self.host.node.start_playbook("deploy.yml", *arguments, **told).wait(DEPLOY_SECONDS)

    def playbook(self, name: str, **variables: object) -> PlaybookRun:
        return self.host.node.playbook(name, **self.managed.settings(), **variables)

    def refusal(self, **settings: str) -> str:
        """Deploy, which must be refused; return what it says, as a reader joins the lines."""
        run = self.deploy(*RELEASE_ONLY, **settings)
        assert run.returncode != 0, run.output
        return " ".join(run.output.split())

    def restore(self) -> None:
        """Restore the newest backup in the place of the live data."""
        confirm = f"replace live data of {self.host.remote.name}"
        self.playbook("restore.yml", restore_to="live", confirm=confirm)

    def in_app(self, *command: str) -> None:
        self.host.remote.docker("exec", self.host.app, *command)


@pytest.fixture(scope="module")
def story(
    new_deployment: Callable[[], Deployment], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    """A host with a MySQL of its own, and orders; and the server of a provider."""
    host = new_deployment()
    with ExitStack() as stack:
        server = stack.enter_context(MySQLServer.start())
        network = stack.enter_context(PrivateNetwork())
        network.join(server)
        network.join(host.remote)
        managed = Managed(server, network.address(server), tmp_path_factory.mktemp("tls"))
        host.deploy()
        ca = tmp_path_factory.mktemp("client") / "ca.crt"
        ca.write_bytes(host.ca.read_bytes())
        client = StackClient(443, ca, host.host, host.password)
        assert {client.post(order_body(number)).status for number in OWN} == {201}
        yield Story(host, managed, client)


def test_a_server_that_cannot_prove_itself_is_refused(story: Story) -> None:
    told = story.refusal(database_ca=str(story.managed.other_ca))
    assert "database_url: the database cannot be used: its certificate is of another auth" in told
    assert story.client.get("/orders/1").status == 200


def test_an_account_that_may_only_read_is_refused(story: Story) -> None:
    told = story.refusal(database_url=story.managed.settings(READER)["database_url"])
    assert "database_url: the database cannot be used: its account lacks INSERT" in told
    assert story.managed.tables() == []
    assert story.client.get("/orders/1").status == 200


def test_the_data_moves_to_it_by_the_steps_of_the_guide(story: Story) -> None:
    host, client = story.host, story.client
    story.playbook("managed_database.yml")
    (row,) = story.managed.server.query("SHOW GRANTS FOR service")[:1]
    assert row == ("GRANT USAGE ON *.* TO `service`@`%`",)
    story.in_app("flask", "processing", "pause", "--reason=the database moves")
    assert client.post(order_body(PAUSED)).status == 201
    host.node.playbook("maintenance.yml", "-e", "on=true")
    host.node.playbook("backup.yml")
    story.deploy().succeeded()
    assert client.post(order_body(AFTERWARDS)).status == 503, "it is still closed"
    story.restore()
    story.in_app("flask", "processing", "resume")
    story.playbook("maintenance.yml", on="false")
    assert client.post(order_body(PAUSED)).status == 409
    assert client.post(order_body(AFTERWARDS)).status == 201
    everything = {*OWN, PAUSED, AFTERWARDS}
    wait_until(lambda: story.managed.completed() == everything, 60, "the orders' ends")
    # It is told what is nobody's any more.
    told = host.node.try_playbook("status.yml", **story.managed.settings())
    assert "mysql-1 is still there" in " ".join(told.output.split())
    host.remote.docker("rm", "--force", MYSQL)
    assert client.get("/orders/1").status == 200


def test_the_second_run_changes_nothing(story: Story) -> None:
    assert story.deploy().succeeded().recap.changed == 0
    assert story.playbook("managed_database.yml").recap.changed == 0


def test_a_backup_comes_back_into_it(story: Story) -> None:
    story.playbook("backup.yml")
    story.managed.server.query("UPDATE orders.orders SET user_id = 424242")
    story.restore()
    rows = story.managed.server.query("SELECT COUNT(*) FROM orders.orders WHERE user_id = 424242")
    assert rows == [(0,)]
    assert story.managed.completed() == {*OWN, PAUSED, AFTERWARDS}
    assert story.client.post(order_body(AFTERWARDS + 1)).status == 201
