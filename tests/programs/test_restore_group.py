"""Backups and restores of a group of three: a host is lost, and another one goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.backups import ORDER, BackupHost
from tests.support.databases import migrate
from tests.support.docker import docker
from tests.support.mysql_group import MySQLGroup
from tests.support.mysql_member import Member
from tests.support.polling import wait_until

pytestmark = [pytest.mark.mysql, pytest.mark.extended]


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MySQLGroup]:
    with MySQLGroup.start(tmp_path_factory.mktemp("group")) as made:
        migrate(
            f"mysql+pymysql://migrator:{made.password('migrator')}@{','.join(made.servers)}/orders"
            f"?ssl_ca={made.authority}"
        )
        yield made


class Hosts:
    """The three database hosts, whose copies go to one place."""

    def __init__(self, group: MySQLGroup, folder: Path) -> None:
        self.group, self.there = group, folder / "there"
        self.there.mkdir()
        self._next = 0
        self._by_member = {
            member: self._host(member, folder / f"host-{number}")
            for number, member in enumerate(group.members)
        }

    def _host(self, member: Member, folder: Path) -> BackupHost:
        database: Any = SimpleNamespace(server=SimpleNamespace(name=member.name))
        host = BackupHost(database, folder)
        servers = ",".join(self.group.servers)
        (folder / "stack" / ".env").write_text(f"PARTS=database\nDATABASE_SERVERS={servers}\n")
        host.configure(offsite="rsync", destination=str(self.there))
        return host

    def of(self, member: Member) -> BackupHost:
        return self._by_member[member]

    def post(self, count: int) -> None:
        """Store orders on the server that takes writes."""
        with self.group.connect(self.group.primary()) as session, session.cursor() as cursor:
            for _ in range(count):
                self._next += 1
                cursor.execute(ORDER, [self._next])

    def copy_binlogs(self, *members: Member) -> None:
        for member in members:
            self.of(member).must("backup", "binlog")


def orders(member: Member) -> int:
    return int(member.query("SELECT COUNT(*) FROM orders.orders")[0][0])


def await_orders(member: Member, count: int) -> None:
    wait_until(lambda: orders(member) == count, 30, f"{count} orders on {member.name}")


def test_a_lost_hosts_backup_and_the_others_logs_bring_every_order_back(
    group: MySQLGroup, tmp_path: Path
) -> None:
    hosts = Hosts(group, tmp_path)
    hosts.post(50)
    for member in group.members:
        hosts.of(member).must("backup", "full")
    primary = group.primary()
    states = {member: hosts.of(member).state("backup") for member in group.members}
    (taker,) = [member for member in group.members if "id" in states[member]]
    assert taker is not primary
    assert {states[member]["left_to"] for member in group.members} == {None, taker.address}
    assert {state["outcome"] for state in states.values()} == {"ok"}
    # The logs of all members have the same transactions, each in its own files.
    hosts.post(50)
    hosts.copy_binlogs(*group.members)
    hosts.post(50)
    other = next(one for one in group.secondaries() if one is not taker)
    hosts.copy_binlogs(other)
    # The host that made the backup is lost, and then the one that took the writes.
    docker("stop", "--time=30", taker.name)
    group.make_primary(other)
    hosts.post(50)
    hosts.copy_binlogs(other)
    assert orders(other) == 200
    said = hosts.of(primary).refused("restore", "live", "--store", str(hosts.there))
    assert f"the group's member that takes writes is {other.address}" in said

    at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    wait_until(lambda: datetime.now(UTC) > at, 5, "the next second")
    other.query("DELETE FROM orders.orders WHERE order_id > 10")
    hosts.copy_binlogs(other)
    until = f"{at:%Y-%m-%d %H:%M:%S}"
    host = hosts.of(other)
    report = json.loads(host.must("restore", "live", "--store", "offsite", "--until", until))
    # Those of the lost host first, then the other one's.
    assert report["backup"] == states[taker]["id"]
    assert report["binary_logs"] > 1
    assert report["replaced"]["orders"]["rows"] == 10
    # The other members have it from this one.
    for member in (other, primary):
        await_orders(member, 200)
        with group.connect(member):
            pass

    # It comes back with nothing to be asked, and makes the backups again or leaves them to another.
    taker.start()
    group.wait_until_online(3, other)
    hosts.of(taker).must("backup", "binlog")
    await_orders(taker, 200)
