"""Backups of a MySQL that somebody else runs: by a client of our own, over verified TLS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from order_service.certificates import authority

from tests.support.backups import BackupHost
from tests.support.docker import docker
from tests.support.mysql_server import MySQLServer
from tests.support.ports import HOST

# A client that is started anew for each step takes its time.
pytestmark = [pytest.mark.mysql, pytest.mark.extended]

PASSWORD = "p#w\\or\"d' "
URL_PASSWORD = "p%23w%5Cor%22d%27%20"
# What a provider gives to its user, with the schema's own.
GRANTS = ("ALL ON `orders%`.*", "CREATE USER ON *.*")


@pytest.fixture
def ca(mysql_server: MySQLServer, tmp_path: Path) -> bytes:
    """The authority that the server proves its address by; who asks for no TLS gets none."""
    issuer = authority.make()
    pem, key = issuer.issue([HOST])
    for name, content in (("ca", issuer.certificate_pem), ("cert", pem), ("key", key)):
        path = tmp_path / name
        path.write_bytes(content)
        path.chmod(0o644)
        docker("cp", str(path), f"{mysql_server.name}:/var/lib/mysql/external-{name}")
        mysql_server.query(f"SET GLOBAL ssl_{name} = '/var/lib/mysql/external-{name}'")
    mysql_server.query("ALTER INSTANCE RELOAD TLS")
    return issuer.certificate_pem


@pytest.fixture
def elsewhere(host: BackupHost, ca: bytes) -> Iterator[BackupHost]:
    """A host whose database the server is, by an account that a provider gives."""
    server = host.server
    server.query("CREATE USER provided IDENTIFIED BY %s REQUIRE SSL", [PASSWORD])
    for grants in GRANTS:
        server.query(f"GRANT {grants} TO provided")
    logins = {
        "migrate": f"provided:{URL_PASSWORD}",
        "service": f"service:{host.database.passwords()['service']}",
    }
    for name, login in logins.items():
        folder = host.folder / "volumes" / f"order-service_{name}-secrets"
        (folder / "database_ca.pem").write_bytes(ca)
        url = f"mysql+pymysql://{login}@{HOST}:{server.port}/orders"
        (folder / "database_url").write_text(f"{url}?ssl_ca=/run/secrets/database_ca.pem")
    (host.folder / "stack" / ".env").write_text(
        f"PARTS=web\nDATABASE_SERVERS={HOST}:{server.port}\n"
    )
    yield host
    server.query("DROP USER provided")


def test_a_full_backup_needs_no_root_and_shows_no_password(elsewhere: BackupHost) -> None:
    elsewhere.post(1, 2, 3)
    manifest = elsewhere.backup()
    assert manifest["tables"]["orders"]["rows"] == 3
    assert manifest["writers_held_milliseconds"] > 0
    asked = elsewhere.docker()
    assert any(" mysqldump " in line for line in asked)
    assert not any(line.split()[1] == "exec" or PASSWORD[:6] in line for line in asked)
    # Whoever is called like it by another authority is not believed.
    for volume in elsewhere.folder.glob("volumes/*"):
        other = authority.make().certificate_pem
        (volume / "database_ca.pem").write_bytes(other)
    said = elsewhere.refused("backup", "full", "manual")
    assert "certificate verify failed" in said


def test_a_restore_to_live_needs_what_it_says_and_takes_it_where_it_may(
    elsewhere: BackupHost,
) -> None:
    elsewhere.post(1, 2, 3)
    elsewhere.backup()
    elsewhere.server.query("UPDATE orders.orders SET user_id = 8")
    elsewhere.server.query("REVOKE CREATE USER ON *.* FROM provided")
    assert "CREATE USER privilege" in elsewhere.refused("restore", "live")
    elsewhere.server.query("GRANT CREATE USER ON *.* TO provided")
    report = json.loads(elsewhere.must("restore", "live"))
    assert (elsewhere.orders(), elsewhere.orders(user_id=8)) == (3, 0)
    assert report["replaced"]["orders"]["rows"] == 3
    assert "leave out --until" in elsewhere.refused("restore", "live", "--until", "latest")
    elsewhere.must("restore", "drill")
    assert elsewhere.state("drill")["outcome"] == "ok"
    assert elsewhere.database.may_log_in("service", elsewhere.database.passwords()["service"])
