"""Accounts of three MySQL servers that are a group, changed on a host whose own takes no writes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pymysql
import pytest
from order_service.secrets.database_accounts import OF_A_GROUP

from tests.support.database_hosts import DatabaseHosts
from tests.support.mysql_group import MySQLGroup
from tests.support.mysql_member import Member
from tests.support.polling import wait_until
from tests.support.service_process import REPOSITORY

pytestmark = [pytest.mark.extended, pytest.mark.mysql]

ACCOUNTS = ("migrator", "service", "backup", *OF_A_GROUP)


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MySQLGroup]:
    with MySQLGroup.start(tmp_path_factory.mktemp("group")) as started:
        yield started


@pytest.fixture(scope="module")
def hosts(group: MySQLGroup, tmp_path_factory: pytest.TempPathFactory) -> DatabaseHosts:
    return DatabaseHosts(group, tmp_path_factory.mktemp("hosts"))


def make(group: MySQLGroup, change: str) -> None:
    """Run the one-shot on the volumes, which all members share here."""
    volumes = group.folder / "volumes"
    given = {
        "VOLUMES": str(volumes),
        "MYSQL_GROUP": str(os.getgid()),
        "DATABASE_SERVERS": ",".join(group.servers),
    }
    program = REPOSITORY / "deploy" / "secrets" / "make_secrets.py"
    subprocess.run([sys.executable, program, change], check=True, env=os.environ | given)
    for path in (volumes / "mysql").iterdir():
        path.chmod(0o444)
    (volumes / "mysql").chmod(0o755)


def call(hosts: DatabaseHosts, member: Member, function: str) -> None:
    """Take a step of a change on the member's host."""
    done = hosts.python(
        member, "-c", f"from order_service.secrets import database_accounts as a; a.{function}()"
    )
    assert done.returncode == 0, done.stderr


def passwords(group: MySQLGroup, suffix: str = "") -> dict[str, str]:
    folder = group.folder / "volumes" / "mysql"
    return {name: (folder / f"{name}_password{suffix}").read_text() for name in ACCOUNTS}


def refused(group: MySQLGroup, known: dict[str, str]) -> list[tuple[str, str]]:
    """Return where, and as whom, nobody gets in with these passwords."""
    found = []
    for member in group.members:
        for account, password in known.items():
            try:
                group.connect(member, account, password=password, database=None).close()
            except pymysql.OperationalError as problem:
                if "Access denied" not in str(problem):
                    raise
                found.append((member.address, account))
    return found


def test_the_server_that_takes_writes_is_told_and_the_others_follow(
    group: MySQLGroup, hosts: DatabaseHosts
) -> None:
    head, writer, other = group.members
    group.make_primary(writer)
    old = passwords(group)
    make(group, "--prepare-database")
    for _ in range(2):  # as after a cut: told again, it would end the present passwords
        call(hosts, head, "accept_next")
    new = passwords(group, ".next")
    assert refused(group, old) == []
    wait_until(lambda: not refused(group, new), 15, "all members know the new passwords")

    make(group, "--commit-database")
    # Another one takes writes meanwhile.
    group.make_primary(other)
    call(hosts, head, "apply")
    for member in group.members:
        call(hosts, member, "tell_member")
    assert refused(group, old) == []
    call(hosts, head, "discard_former")
    ended = sorted((member.address, account) for member in group.members for account in ACCOUNTS)
    wait_until(lambda: sorted(refused(group, old)) == ended, 15, "the end of the former passwords")
    assert refused(group, new) == []

    # A member that comes back recovers from another one with the new password.
    head.kill()
    group.wait_until_online(2, other)
    with suppress(pymysql.Error), group.connect(other, "migrator") as connection:
        connection.cursor().execute("CREATE TABLE missed (id INT PRIMARY KEY)")
    group.wait_until_online(3, other)
    assert head.query("SHOW TABLES FROM orders LIKE 'missed'") == [["missed"]]
