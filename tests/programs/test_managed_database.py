"""The account of the service at a MySQL that somebody else runs, made by the role for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
import pytest
from order_service.certificates import authority

from tests.support.control_fixtures import NewCheckout
from tests.support.control_node import ControlNode
from tests.support.docker import docker
from tests.support.mysql_server import MySQLServer
from tests.support.ports import HOST
from tests.support.service_process import BIN

pytestmark = pytest.mark.extended

ADMIN = "GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION"
PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: managed_database, tasks_from: account}
"""


class OnThisMachine(ControlNode):
    """A host that has PyMySQL already, and whose user is root there already."""

    def inventory(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        local = {"ansible_connection": "local", "ansible_python_interpreter": str(BIN / "python")}
        return {"all": {"hosts": {"orders-1": local}, "vars": {**self.variables, **variables}}}

    def make(self, **variables: Any) -> Any:
        """Run the role."""
        return self.try_playbook("account.yml", **variables)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MySQLServer]:
    """A server with an administrator, which proves itself by a certificate."""
    folder = tmp_path_factory.mktemp("tls")
    made = authority.make()
    leaf, key = made.issue([HOST])
    with MySQLServer.start() as server:
        for name, pem in (("ca", made.certificate_pem), ("leaf", leaf), ("key", key)):
            (folder / f"{name}.pem").write_bytes(pem)
            docker("cp", str(folder / f"{name}.pem"), f"{server.name}:/var/lib/mysql/{name}.pem")
        docker("exec", "--user=0", server.name, "sh", "-c", "chown mysql: /var/lib/mysql/*.pem")
        for option, name in (("ssl_ca", "ca"), ("ssl_cert", "leaf"), ("ssl_key", "key")):
            server.query(f"SET GLOBAL {option} = '/var/lib/mysql/{name}.pem'")
        server.query("ALTER INSTANCE RELOAD TLS")
        server.query("CREATE USER admin@'%' IDENTIFIED BY 'the administrator''s'")
        server.query(ADMIN)
        yield server


@pytest.fixture
def node(server: MySQLServer, new_checkout: NewCheckout, tmp_path: Path) -> Iterator[OnThisMachine]:
    """Who makes the account of the service there."""
    docker("cp", f"{server.name}:/var/lib/mysql/ca.pem", str(tmp_path / "ca.pem"))
    place = f"{HOST}:{server.port}/orders"
    urls = {
        "managed_database_url": f"mysql+pymysql://service:first%40password@{place}",
        "managed_database_admin_url": f"mysql+pymysql://admin:the%20administrator's@{place}",
        "managed_database_ca": str(tmp_path / "ca.pem"),
        "managed_database_ca_file": str(tmp_path / "ca.pem"),
    }
    checkout = new_checkout()
    with closing(OnThisMachine(tmp_path / "node", checkout, **urls)) as made:
        (made.ansible_folder / "account.yml").write_text(PLAYBOOK)
        yield made


def log_in(server: MySQLServer, password: str, **options: Any) -> None:
    pymysql.connect(
        host=server.host, port=server.port, user="service", password=password, database="orders",
        **options,
    ).close()  # fmt: skip


def test_the_account_is_made_once_and_takes_a_new_password(
    server: MySQLServer, node: OnThisMachine
) -> None:
    run = node.make().succeeded()
    assert run.recap.changed == 1
    log_in(server, "first@password")
    # Nobody listens in.
    with pytest.raises(pymysql.OperationalError, match="Access denied"):
        log_in(server, "first@password", ssl_disabled=True)
    grants = [row[0] for row in server.query("SHOW GRANTS FOR service@'%'")]
    assert grants[1:] == ["GRANT SELECT, INSERT, UPDATE, DELETE ON `orders`.* TO `service`@`%`"]
    assert node.make().succeeded().recap.changed == 0
    url = node.variables["managed_database_url"].replace("first", "second")
    run = node.make(managed_database_url=url).succeeded()
    assert run.recap.changed == 1
    assert "second" not in run.output
    log_in(server, "second@password")
    # What serves has the former until it is deployed.
    log_in(server, "first@password")


def test_a_server_that_does_not_prove_itself_is_told_nothing(
    node: OnThisMachine, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.make().certificate_pem)
    run = node.make()
    assert run.recap.failed == 1
    assert "certificate verify failed" in run.output
