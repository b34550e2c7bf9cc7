"""The accounts of the database: changed in two steps, and as each host has them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.secret_volumes import ACCOUNTS, Volumes

SERVERS = "10.0.1.1:3306,10.0.1.2:3306"


def test_a_server_at_work_loses_no_grant(volumes: Volumes) -> None:
    assert "REVOKE" in volumes.read("mysql/users.sql")
    assert "REVOKE" not in volumes.read("mysql/users.live.sql")


def test_the_databases_passwords_are_prepared_and_then_used(volumes: Volumes) -> None:
    old = volumes.passwords()
    volumes.make("--prepare-database")
    assert volumes.passwords() == old
    following = volumes.passwords(".next")
    for name in ACCOUNTS:
        change = volumes.read(f"mysql/{name}.next.sql")
        assert f"BY '{following[name]}' RETAIN CURRENT PASSWORD" in change
    # Run again after a crash: MySQL may have been told about these already.
    volumes.make("--prepare-database")
    assert volumes.passwords(".next") == following

    volumes.make("--commit-database")
    assert volumes.passwords() == following
    assert not set(old.values()) & set(following.values())
    volumes.assert_consistent()
    assert not list((volumes.folder / "mysql").glob("*.next*"))


def test_a_commit_that_was_cut_off_is_ended_by_the_next_one(volumes: Volumes) -> None:
    volumes.make("--prepare-database")
    following = volumes.passwords(".next")
    mysql = volumes.folder / "mysql"
    (mysql / "service_password.next").replace(mysql / "service_password")
    volumes.make("--commit-database")
    assert volumes.passwords() == following
    volumes.assert_consistent()
    volumes.make("--commit-database")
    assert volumes.passwords() == following


def test_hosts_that_share_a_database_verify_each_of_its_servers(volumes: Volumes) -> None:
    (volumes.own / "database_ca").write_text("the authority\n")
    made = volumes.make("--overlap", DATABASE_SERVERS=SERVERS)
    assert {"database_ca.pem", "database_url", "recovery.sql", "admin_password"} <= made
    passwords = volumes.passwords()
    for folder, account in (("service", "service"), ("migrate", "migrator")):
        assert volumes.read(f"{folder}/database_url") == (
            f"mysql+pymysql://{account}:{passwords[account]}@{SERVERS}/orders"
            "?ssl_ca=/run/secrets/database_ca.pem"
        )
        assert volumes.read(f"{folder}/database_ca.pem") == "the authority\n"
    # The authority is brought by deployments alone.
    (volumes.own / "database_ca").unlink()
    assert volumes.make(DATABASE_SERVERS=SERVERS) == set()
    # The members of a group have the accounts from one another.
    assert "sql_log_bin = 0" not in volumes.read("mysql/users.live.sql")
    assert volumes.read("mysql/replication_password") in volumes.read("mysql/recovery.sql")
    volumes.make(DATABASE_SERVERS="10.0.1.1:3306")
    assert "sql_log_bin = 0" in volumes.read("mysql/users.live.sql")


def test_a_database_that_somebody_else_runs_is_taken_as_it_is(tmp_path: Path) -> None:
    volumes = Volumes(tmp_path)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        volumes.make(PARTS="web")
    assert "expected database_url in the inventory" in refused.value.stderr
    (volumes.own / "database_url").write_text("mysql+pymysql://s:p@db/orders\n")
    volumes.make(PARTS="web,worker")
    assert volumes.read("service/database_url") == "mysql+pymysql://s:p@db/orders"
    assert volumes.read("migrate/database_url") == "mysql+pymysql://s:p@db/orders"
    (volumes.own / "database_migrator_url").write_text("mysql+pymysql://m:p@db/orders\n")
    volumes.make(PARTS="web")
    assert volumes.read("migrate/database_url") == "mysql+pymysql://m:p@db/orders"
    assert list((tmp_path / "mysql").iterdir()) == []
    # Whoever changes the API's password brings none.
    for path in volumes.own.iterdir():
        path.unlink()
    assert volumes.make("--change-api", PARTS="web") == {"auth_password", "auth_password_previous"}
