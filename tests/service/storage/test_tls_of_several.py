"""Each of several servers proves its own name: one with another's certificate is not used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from order_service.certificates import authority

from service.storage.failures import NotConnected
from tests.support.databases import open_database
from tests.support.docker import docker
from tests.support.mysql_server import USER, MySQLServer

pytestmark = pytest.mark.mysql

FOLDER = "/var/lib/mysql"
# The names that the server is reached by; they stand in the URL in this order.
FIRST, SECOND = "127.0.0.1", "localhost"


@pytest.fixture
def certify(mysql_server: MySQLServer, tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Give the server a certificate for a name, and return the authority to verify it with."""
    options = ("ssl_ca", "ssl_cert", "ssl_key")
    former = {name: mysql_server.query(f"SELECT @@GLOBAL.{name}")[0][0] for name in options}

    def use(files: dict[str, str]) -> None:
        for option, file in files.items():
            mysql_server.query(f"SET GLOBAL {option} = '{file}'")
        mysql_server.query("ALTER INSTANCE RELOAD TLS")

    def certify(name: str) -> Path:
        issuer = authority.make()
        pems = (issuer.certificate_pem, *issuer.issue([name]))
        for option, pem in zip(options, pems, strict=True):
            (tmp_path / option).write_bytes(pem)
            (tmp_path / option).chmod(0o444)
            docker("cp", str(tmp_path / option), f"{mysql_server.name}:{FOLDER}/{option}.pem")
        use({option: f"{FOLDER}/{option}.pem" for option in options})
        return tmp_path / "ssl_ca"

    yield certify
    use(former)


def url_of(server: MySQLServer, ca: Path) -> str:
    hosts = f"{FIRST}:{server.port},{SECOND}:{server.port}"
    return (
        f"mysql+pymysql://{USER}:{server.password}@{hosts}/{server.create_database()}?ssl_ca={ca}"
    )


@pytest.mark.parametrize("name", [FIRST, SECOND])
def test_the_one_that_proves_its_name_is_used(
    name: str, mysql_server: MySQLServer, certify: Callable[[str], Path]
) -> None:
    database = open_database(url_of(mysql_server, certify(name)), 1)
    try:
        with database.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            assert driver.host == name
    finally:
        database.engine.dispose()


def test_where_none_does_all_are_refused(
    mysql_server: MySQLServer, certify: Callable[[str], Path]
) -> None:
    database = open_database(url_of(mysql_server, certify("elsewhere.example")), 1)
    with pytest.raises(NotConnected) as caught, database.connect():
        pass
    assert str(caught.value).count("CERTIFICATE_VERIFY_FAILED") == 2
    assert f"{FIRST}:" in str(caught.value)
    assert f"{SECOND}:" in str(caught.value)
