"""`flask check-database`: what keeps the service from working with a database that others run."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import Result
from order_service.certificates import authority

from service.app import create_app
from service.commands import database_check
from service.config import Settings
from tests.support.docker import docker
from tests.support.mysql_server import USER, MySQLServer
from tests.support.ports import free_port

pytestmark = pytest.mark.mysql

PASSWORD = secrets.token_hex(16)


@dataclass
class External:
    """A database on a server whose certificate is of the authority in `ca`, and names no host."""

    server: MySQLServer
    name: str
    ca: Path
    account: str = f"{USER}"
    password: str = ""

    def url(self, **other: str) -> str:
        """Return the URL of its account, with something else in it."""
        parts = {
            "account": self.account,
            "password": self.password or self.server.password,
            "port": str(self.server.port),
            "name": self.name,
            "tls": f"ssl_ca={self.ca}&ssl_check_hostname=false",
        } | other
        address = f"{self.server.host}:{parts['port']}"
        login = f"{parts['account']}:{parts['password']}"
        return f"mysql+pymysql://{login}@{address}/{parts['name']}?{parts['tls']}"


@pytest.fixture(scope="module")
def external(
    mysql_server: MySQLServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[External]:
    """An empty database, as its provider hands it over."""
    ca = tmp_path_factory.mktemp("tls") / "ca.pem"
    ca.write_text(docker("exec", mysql_server.name, "cat", "/var/lib/mysql/ca.pem"))
    made = External(mysql_server, mysql_server.create_database(), ca)
    yield made
    mysql_server.drop_database(made.name)


@pytest.fixture
def grants(external: External) -> Iterator[str]:
    """What an account of its own has; it is in the URL meanwhile."""
    server, name = external.server, f"limited_{secrets.token_hex(4)}"
    server.query(f"CREATE USER '{name}'@'%%' IDENTIFIED BY %s", [PASSWORD])
    external.account, external.password = name, PASSWORD
    yield f"ON `{external.name}`.* TO '{name}'@'%'"
    external.account, external.password = USER, ""
    server.query(f"DROP USER '{name}'@'%'")


def check(url: str, *arguments: str) -> Result:
    settings = Settings.from_environment({"DATABASE_URL": url})
    result: Result = (
        create_app(settings).test_cli_runner().invoke(args=["check-database", *arguments])
    )
    return result


def refusal(url: str, *arguments: str) -> str:
    """Return the one line that says why the database cannot be used."""
    result = check(url, *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr.removeprefix("Error: the database cannot be used: ")


def test_one_that_is_right_is_accepted_and_left_as_it_is(external: External) -> None:
    for arguments in ([], ["--migrator"]):
        result = check(external.url(), *arguments)
        assert (result.exit_code, result.stderr) == (0, "")
        assert "can be used" in result.stdout
    assert external.server.query(f"SHOW TABLES FROM `{external.name}`") == []


def test_a_server_that_does_not_prove_itself_is_refused(external: External, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(authority.make().certificate_pem)
    assert refusal(external.url(tls=f"ssl_ca={other}")).startswith(
        "its certificate is of another authority; expected"
    )
    # By its own authority, but for no name.
    assert refusal(external.url(tls=f"ssl_ca={external.ca}")).startswith(
        "its certificate is for other names; expected"
    )


def test_an_account_that_cannot_log_in_is_refused(external: External) -> None:
    wrong = external.url(password="nOTtHEpASSWORD")
    said = refusal(wrong)
    assert said.startswith("it refuses the account or the password; expected")
    assert "nOTtHEpASSWORD" not in said


def test_a_database_that_is_not_there_is_refused(external: External) -> None:
    # Who may do everything is told that there is none.
    root = {"account": "root", "password": external.server.root_password}
    assert refusal(external.url(name="missing", **root)).startswith(
        "it has no such database; create it"
    )
    assert refusal(external.url(name="missing")).startswith(
        "its account has no right to this database; grant it"
    )


def test_a_server_that_is_not_there_is_refused(external: External) -> None:
    said = refusal(external.url(port=str(free_port())))
    assert said.startswith("it cannot be reached; check its address, port and firewall")


def test_a_server_that_takes_no_writes_is_refused(external: External) -> None:
    with external.server.read_only():
        said = refusal(external.url())
    assert said == "it takes no writes (read_only is on); expected the server that does\n"


def test_an_account_that_may_only_read_is_refused(external: External, grants: str) -> None:
    external.server.query(f"GRANT SELECT {grants}")
    assert refusal(external.url()).startswith("its account lacks INSERT, UPDATE, DELETE; GRANT")


def test_the_services_account_need_not_migrate(external: External, grants: str) -> None:
    external.server.query(f"GRANT SELECT, INSERT, UPDATE, DELETE {grants}")
    assert check(external.url()).exit_code == 0
    assert refusal(external.url(), "--migrator").startswith(
        "its account lacks CREATE, ALTER, INDEX, DROP; GRANT"
    )


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("version", "8.0.12", "it is 8.0.12; expected MySQL 8.0.13 or later"),
        ("version", "11.8.3-MariaDB", "it is 11.8.3-MariaDB; expected MySQL"),
        ("innodb_read_only", "ON", "it takes no writes (innodb_read_only is on)"),
        ("binlog_format", "STATEMENT", "its binlog_format is STATEMENT; expected ROW"),
        ("innodb_flush_log_at_trx_commit", "2", "its innodb_flush_log_at_trx_commit is 2"),
        ("sync_binlog", "0", "its sync_binlog is 0; expected 1"),
    ],
)
def test_a_server_that_works_otherwise_is_refused(
    external: External,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    expected: str,
) -> None:
    right = database_check.variables
    monkeypatch.setattr(
        database_check, "variables", lambda connection: right(connection) | {variable: value}
    )
    assert refusal(external.url()).startswith(expected)
