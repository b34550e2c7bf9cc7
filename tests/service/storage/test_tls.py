"""TLS to MySQL: on where it is asked for, and with `?ssl_ca=` to a server that can prove itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result
from order_service.certificates import authority
from sqlalchemy import text

from service.app import create_app
from service.config import Settings
from tests.support.databases import open_database
from tests.support.docker import docker
from tests.support.mysql_server import MySQLServer

pytestmark = pytest.mark.mysql


@pytest.fixture
def own_ca(mysql_server: MySQLServer, tmp_path: Path) -> Path:
    """The authority that MySQL made for itself; its certificate names no host."""
    path = tmp_path / "ca.pem"
    path.write_text(docker("exec", mysql_server.name, "cat", "/var/lib/mysql/ca.pem"))
    return path


@pytest.fixture
def other_ca(tmp_path: Path) -> Path:
    """An authority that has nothing to do with MySQL."""
    path = tmp_path / "other.pem"
    path.write_bytes(authority.make().certificate_pem)
    return path


def stats(url: str) -> Result:
    """Run a command that asks the database at this URL."""
    settings = Settings.from_environment({"DATABASE_URL": url})
    result: Result = create_app(settings).test_cli_runner().invoke(args=["orders", "stats"])
    return result


def assert_refused(result: Result) -> None:
    assert result.exit_code == 1
    assert "CERTIFICATE_VERIFY_FAILED" in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr


@pytest.mark.parametrize("chosen", ["", "?ssl_disabled=false"])
def test_a_connection_inside_the_host_is_encrypted_when_asked_only(
    mysql_url: str, chosen: str
) -> None:
    opened = open_database(mysql_url + chosen, 1)
    cipher = text("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
    with opened.connect() as connection:
        assert bool(connection.execute(cipher).one()[1]) == bool(chosen)
    opened.engine.dispose()


def test_its_own_authority_is_taken(mysql_url: str, own_ca: Path) -> None:
    result = stats(f"{mysql_url}?ssl_ca={own_ca}&ssl_check_hostname=false")
    assert (result.exit_code, result.stderr) == (0, "")


def test_another_authority_is_refused(mysql_url: str, other_ca: Path) -> None:
    assert_refused(stats(f"{mysql_url}?ssl_ca={other_ca}&ssl_check_hostname=false"))


def test_a_certificate_for_another_host_is_refused(mysql_url: str, own_ca: Path) -> None:
    assert_refused(stats(f"{mysql_url}?ssl_ca={own_ca}"))
