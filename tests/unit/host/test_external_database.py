"""A database that somebody else runs: where it is, and how a client of our own gets there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from order_service.backup import backup, external
from order_service.backup.external import Login
from order_service.backup.settings import BackupError, Settings, load
from order_service.restore import restore
from order_service.restore.writers import Writers

from tests.support.fake_docker import FakeDocker

URL = "mysql+pymysql://mig%40r:p%23%5C%22w@db.example:3307/shop?ssl_ca=/run/secrets/ca.pem"
SERVICE_URL = "mysql+pymysql://svc:secret@db.example/shop"


def there(root: Path, service: str = SERVICE_URL) -> Settings:
    """Have the database be elsewhere; return the settings of backups."""
    (root / "stack").mkdir(exist_ok=True)
    (root / "stack" / ".env").write_text("PARTS=web\nDATABASE_SERVERS=db.example:3307\n")
    for name, url in (("migrate", URL), ("service", service)):
        folder = root / "volumes" / f"order-service_{name}-secrets"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "database_url").write_text(url)
    (root / "settings" / "backup.json").write_text(json.dumps({"directory": str(root / "store")}))
    return load(root / "settings" / "backup.json")


@pytest.mark.parametrize(
    ("url", "login"),
    [
        (URL, Login("db.example", 3307, "mig@r", 'p#\\"w', "/run/secrets/ca.pem")),
        ("mysql+pymysql://u:p@one,two:3307/orders", Login("one", 3306, "u", "p", "")),
        ("mysql+pymysql://u:p@[fd00::1]:3307/orders", Login("fd00::1", 3307, "u", "p", "")),
    ],
)
def test_a_database_url_says_where_to_log_in(url: str, login: Login) -> None:
    assert Login.of(url) == login


def test_the_client_has_its_password_in_a_file_and_nowhere_else(
    root: Path, docker: FakeDocker
) -> None:
    docker.add("mysql", image="sha256:mysql")
    settings = there(root)
    assert (settings.external, settings.database) == (True, "shop")
    command = external.server(settings, "backup").command("mysqldump", "--quick", "shop")
    assert command[-4:] == [
        "mysqldump",
        "--defaults-extra-file=/run/options.cnf",
        "--quick",
        "shop",
    ]
    assert not any("p#" in argument for argument in command)
    file = root / "settings" / "database-migrator.cnf"
    assert file.stat().st_mode & 0o777 == 0o400
    # MySQL's own way to write a value with such characters.
    assert 'password="p#\\\\"w"' in file.read_text().splitlines()
    assert "ssl-mode=VERIFY_IDENTITY" in file.read_text().splitlines()
    assert f"--volume={file}:/run/options.cnf:ro" in command


def test_the_same_account_for_all_cannot_be_locked(root: Path, docker: FakeDocker) -> None:
    docker.add("mysql", image="sha256:mysql")
    with pytest.raises(BackupError, match="set another as database_migrator_url"):
        Writers.of(there(root, service=URL))
    assert Writers.of(there(root)).name == "svc"


@pytest.mark.usefixtures("docker")
def test_points_in_time_are_left_to_who_runs_it(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = there(root)
    backup.binlog(settings)
    assert "whoever runs the database" in capsys.readouterr().out
    assert not (root / "store" / "last-binlog.json").exists()
    monkeypatch.setattr(restore, "load", lambda: settings)
    with pytest.raises(BackupError, match="leave out --until"):
        restore.command(["live", "--until", "latest"])
