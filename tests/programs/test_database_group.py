"""Three database hosts with one MySQL: the program begins the group once, and never again, and has
members back whatever has become of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.database_hosts import DatabaseHosts
from tests.support.docker import docker
from tests.support.mysql_group import MySQLGroup
from tests.support.mysql_member import Member

pytestmark = [pytest.mark.extended, pytest.mark.mysql]

BEGUN, NOTHING = "['group']", "[]"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseHosts]:
    """Three hosts whose servers have never been in a group."""
    with MySQLGroup(tmp_path_factory.mktemp("group")) as group:
        group.create()
        yield DatabaseHosts(group, tmp_path_factory.mktemp("hosts"))


@pytest.fixture
def group(hosts: DatabaseHosts) -> MySQLGroup:
    """Their group, at work."""
    if not hosts.group.online():
        _begin(hosts)
    hosts.group.wait_until_online()
    return hosts.group


def test_a_group_is_begun_once(hosts: DatabaseHosts) -> None:
    """By the head, and not while it cannot tell whether the others have one already."""
    first, second, third = hosts.group.members
    refused = hosts.deploy(first).stderr
    assert second.address in refused
    assert "not allowed to connect" in refused
    for other in (second, third):
        assert "only the first of the database hosts begins" in hosts.deploy(other).stderr
    assert hosts.must_deploy(first) == BEGUN
    for other in (second, third):
        assert hosts.must_deploy(other) == BEGUN
    hosts.group.wait_until_online()
    assert [hosts.must_deploy(member) for member in hosts.group.members] == [NOTHING] * 3
    with hosts.group.connect(third) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@super_read_only")
        assert cursor.fetchone() == (1,)


def test_another_member_takes_the_writes(hosts: DatabaseHosts, group: MySQLGroup) -> None:
    """Whichever host is asked, and before this one's server is stopped."""
    former = group.primary()
    wanted, asked = group.secondaries()
    assert hosts.must(asked, "primary", wanted.address).startswith("CHANGED")
    assert group.primary() is wanted
    assert hosts.must(asked, "primary", wanted.address).startswith("UNCHANGED")
    hosts.hand_over(wanted)
    assert group.primary() is not wanted
    assert "is no member at work" in hosts.run(former, "primary", "192.0.2.1").stderr


def test_a_group_that_was_killed_starts_with_everything(
    hosts: DatabaseHosts, group: MySQLGroup
) -> None:
    """With the member that has what another one missed, and not before all have told that."""
    primary = group.primary()
    behind, other = group.secondaries()
    docker("kill", behind.name)
    group.wait_until_online(2, primary)
    _store(group, primary, 1)
    for member in (other, primary):
        docker("kill", member.name)
    for member in (behind, primary):
        member.start()
        group.wait_until_up(member)
    assert "-e start=true" in hosts.deploy(behind).stderr
    refused = hosts.run(behind, "start").stderr
    assert other.address in refused
    assert "Orders may be there" in refused
    other.start()
    group.wait_until_up(other)
    assert hosts.must(behind, "start").startswith("LATER")
    told = [hosts.must(member, "start") for member in group.members]
    assert sum("has begun the group again" in line for line in told) == 1
    assert hosts.must(behind, "start").split(":")[0] in ("CHANGED", "UNCHANGED")
    for member in group.members:
        hosts.must(member, "start")
    group.wait_until_online()
    assert [_stored(group, member) for member in group.members] == [[1]] * 3


def test_a_head_that_has_lost_its_data_joins(hosts: DatabaseHosts, group: MySQLGroup) -> None:
    """It begins no second group, whether or not the others answer. What it has missed it copies,
    since the others' logs do not go back that far."""
    head, *others = group.members
    _store(group, group.primary(), 2)
    for other in others:
        other.query("FLUSH BINARY LOGS; PURGE BINARY LOGS BEFORE NOW()")
    name = _name(others[0])
    hosts.must(head, "primary", others[0].address)
    docker("rm", "--force", "--volumes", head.name)
    hosts.record(head).unlink()
    group.run(head)
    group.wait_until_up(head)
    for other in others:
        other.freeze()
    refused = hosts.deploy(head).stderr
    for other in others:
        other.thaw()
    assert "would begin a new group" in refused
    group.wait_until_online(2, others[0])
    assert hosts.must_deploy(head) == BEGUN
    group.wait_until_online()
    assert _name(head) == name
    assert 2 in _stored(group, head)


def test_a_member_with_orders_of_its_own_is_copied(hosts: DatabaseHosts, group: MySQLGroup) -> None:
    """Only when that is asked for; and never one that is at work."""
    member, other = group.secondaries()
    assert hosts.must(other, "clone").startswith("UNCHANGED")
    member.query("STOP GROUP_REPLICATION; SET GLOBAL super_read_only = OFF")
    member.query("CREATE DATABASE of_its_own")
    for refused in (hosts.run(member, "join"), hosts.deploy(member)):
        assert f"-e rejoin={member.address}" in refused.stderr
    assert hosts.must(member, "clone").startswith("CHANGED")
    group.wait_until_online()
    assert member.query("SHOW DATABASES LIKE 'of_its_own'") == []
    assert _stored(group, member) == _stored(group, group.primary())
    # With all that makes it come back.
    member.kill()
    group.wait_until_online(2, other)
    group.wait_until_online()


def _begin(hosts: DatabaseHosts) -> None:
    first, *others = hosts.group.members
    for other in others:
        hosts.deploy(other)
    for member in (first, *others):
        hosts.must_deploy(member)


def _store(group: MySQLGroup, member: Member, number: int) -> None:
    with group.connect(member, "migrator") as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS kept (id INT PRIMARY KEY)")
        cursor.execute("INSERT INTO kept VALUES (%s)", [number])


def _stored(group: MySQLGroup, member: Member) -> list[int]:
    consistently = {"init_command": "SET SESSION group_replication_consistency = 'BEFORE'"}
    with (
        group.connect(member, "admin", **consistently) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT id FROM kept ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


def _name(member: Member) -> str:
    [[name]] = member.query("SELECT @@group_replication_group_name")
    return name
