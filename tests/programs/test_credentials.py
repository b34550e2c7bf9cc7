"""Passwords of MySQL's accounts, on real MySQL: changed so that whoever works can go on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from order_service.secrets.database_accounts import ACCOUNTS
from sqlalchemy import make_url

from tests.support.database_host import CredentialsHost, DatabaseHost

pytestmark = pytest.mark.mysql

# A command of the program, before or after which it is killed.
CUTS = [
    ("root.next.sql", "after"),
    ("users.live.sql", "before"),
    ("rollout", "before"),
    ("discard.sql", "after"),
]


@pytest.fixture
def host(database: DatabaseHost, tmp_path: Path) -> CredentialsHost:
    return CredentialsHost(database, tmp_path)


def assert_changed(host: CredentialsHost, old: dict[str, str]) -> None:
    """Check that each account has a new password, and only that, wherever it is read."""
    database = host.database
    new = database.passwords()
    for account in ACCOUNTS:
        assert new[account] != old[account]
        assert database.may_log_in(account, new[account])
        assert not database.may_log_in(account, old[account])
        assert f"password={new[account]}\n" in database.read(f"mysql/{account}.cnf")
    for account in ("service", "migrator"):
        folder = {"migrator": "migrate"}.get(account, account)
        assert make_url(database.read(f"{folder}/database_url")).password == new[account]
        assert database.read("mysql/users.sql").count(new[account]) == 2
    assert host.served_with == new["service"]
    assert host.left_over() == []


def assert_the_service_can_log_in(host: CredentialsHost) -> None:
    """Check it for what runs; its connections may break at any time."""
    assert host.database.may_log_in("service", host.served_with)


def cut_off(host: CredentialsHost, command: str, moment: str) -> None:
    killed = host.run("rotate", "database", CUT=command, CUT_WHEN=moment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


@pytest.mark.parametrize(("command", "moment"), CUTS)
def test_a_change_that_is_cut_off_is_ended_by_the_next(
    host: CredentialsHost, command: str, moment: str
) -> None:
    """Even when MySQL was restarted meanwhile, which goes back to the accounts' file."""
    old = host.database.passwords()
    cut_off(host, command, moment)
    assert_the_service_can_log_in(host)
    host.database.restart()
    assert_the_service_can_log_in(host)
    host.must("rotate", "database")
    assert_changed(host, old)


def test_one_that_mysql_was_told_about_is_not_told_about_it_again(host: CredentialsHost) -> None:
    """That would end the password that the service works with."""
    old = host.database.passwords()
    cut_off(host, "--prepare-database", "after")
    host.database.tell("service.next.sql")
    cut_off(host, "rollout", "before")
    assert_the_service_can_log_in(host)
    host.must("rotate", "database")
    assert_changed(host, old)


def test_other_hosts_log_in_with_either_password_until_the_change_is_finished(
    host: CredentialsHost,
) -> None:
    database = host.database
    old = database.passwords()
    cut_off(host, "--commit-database", "after")
    for last_line in ("CHANGED: what had been cut off", "UNCHANGED"):
        assert host.must("rotate", "database", "--begin").splitlines()[-1] == last_line
        new = database.passwords()
        assert host.served_with == new["service"]
        for account in ACCOUNTS:
            assert old[account] != new[account]
            assert database.may_log_in(account, old[account])
            assert database.may_log_in(account, new[account])
    host.must("rotate", "database", "--finish")
    assert_changed(host, old)


def test_all_are_changed_at_once(host: CredentialsHost) -> None:
    old, api = host.database.passwords(), host.database.read("service/auth_password")
    told = host.must("rotate", "all")
    assert_changed(host, old)
    assert host.database.read("service/auth_password") != api
    assert "auth_password, " in told.splitlines()[-1]
    secrets = {*old.values(), *host.database.passwords().values()}
    assert not any(secret in told for secret in secrets)


def test_a_password_that_mysql_forgot_is_told_to_it_by_a_deployment(
    host: CredentialsHost,
) -> None:
    """As after a restore of MySQL's own tables, or by somebody's hand."""
    host.database.server.query("ALTER USER 'backup'@'%' IDENTIFIED BY 'something-else'")
    password = host.database.passwords()["backup"]
    assert not host.database.may_log_in("backup", password)
    assert host.must("make", "old").endswith("UNCHANGED\n")
    assert host.database.may_log_in("backup", password)
