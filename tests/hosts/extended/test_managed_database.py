"""A host whose MySQL somebody else runs: over verified TLS, with no root there.

One story, in its order: each test goes on from where the one before has left the host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from order_service.certificates import authority

from tests.hosts.conftest import SETTINGS, NewHost
from tests.support.control_fixtures import NewCheckout, NewControlNode
from tests.support.databases import order_body
from tests.support.deployment import RELEASE_ONLY, Deployment
from tests.support.docker import docker
from tests.support.mysql_server import MySQLServer
from tests.support.polling import wait_until
from tests.support.registry import Registry
from tests.support.several_hosts import PrivateNetwork

FILES = ("ca", "cert", "key")
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

    def _url(self, login: str) -> str:
        return f"mysql+pymysql://{login}@{self._address}:3306/orders"


@pytest.fixture(scope="module")
def bare(
    new_mirrored_host: NewHost,
    new_checkout: NewCheckout,
    new_control_node: NewControlNode,
    registry: Registry,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Managed, Deployment]]:
    """The server with an account of its administrator, and a bare host."""
    host, checkout = new_mirrored_host(), new_checkout()
    with ExitStack() as stack:
        server = stack.enter_context(MySQLServer.start())
        network = stack.enter_context(PrivateNetwork())
        network.join(server)
        network.join(host)
        managed = Managed(server, network.address(server), tmp_path_factory.mktemp("tls"))
        settings: dict[str, Any] = {
            **SETTINGS, **managed.settings(), "docker_registry_mirrors": [registry.url],
        }  # fmt: skip
        yield managed, Deployment(host, checkout, new_control_node(checkout, host, **settings))


@pytest.fixture
def managed(bare: tuple[Managed, Deployment]) -> Managed:
    return bare[0]


@pytest.fixture
def host(bare: tuple[Managed, Deployment]) -> Deployment:
    return bare[1]


def refusal(host: Deployment, *arguments: str, **settings: str) -> str:
    """Deploy, which must be refused; return what it says, as a reader joins the lines."""
    run = host.try_deploy(*arguments, **settings)
    assert run.returncode != 0, run.output
    return " ".join(run.output.split())


def test_a_server_that_cannot_prove_itself_is_refused(managed: Managed, host: Deployment) -> None:
    told = refusal(host, database_ca=str(managed.other_ca))
    assert "database_url: " in told
    assert "certificate verify failed" in told
    assert host.running() == set()


def test_an_account_that_may_only_read_is_refused(managed: Managed, host: Deployment) -> None:
    url = managed.settings(READER)["database_url"]
    told = refusal(host, *RELEASE_ONLY, database_url=url)
    assert "database_url: " in told
    assert re.search(r"lacks .*INSERT", told), told
    assert host.running() == set()
    assert managed.server.query("SHOW TABLES FROM orders") == []


def test_it_serves_with_an_account_that_a_playbook_makes(
    managed: Managed, host: Deployment
) -> None:
    host.node.playbook("managed_database.yml")
    host.deploy()
    assert {host.client().post(order_body(number)).status for number in range(1, 11)} == {201}
    wait_until(lambda: ended(managed) == 10, 60, "the orders' ends")
    assert not any("mysql" in name for name in host.running())
    (row,) = managed.server.query("SHOW GRANTS FOR service")[:1]
    assert row == ("GRANT USAGE ON *.* TO `service`@`%`",)


def test_the_second_run_changes_nothing(host: Deployment) -> None:
    assert host.deploy().recap.changed == 0
    assert host.node.playbook("managed_database.yml").recap.changed == 0


def test_a_backup_comes_back_into_it(managed: Managed, host: Deployment) -> None:
    host.node.playbook("backup.yml")
    managed.server.query("UPDATE orders.orders SET user_id = 424242")
    host.node.playbook(
        "restore.yml", restore_to="live", confirm=f"replace live data of {host.remote.name}"
    )
    rows = managed.server.query("SELECT COUNT(*), MAX(user_id) = 424242 FROM orders.orders")
    assert rows == [(10, 0)]
    assert host.client().post(order_body(11)).status == 201


def ended(managed: Managed) -> int:
    """Return how many orders are completed."""
    query = "SELECT COUNT(*) FROM orders.orders WHERE outcome = 'Completed'"
    ((number,),) = managed.server.query(query)
    return int(number)
