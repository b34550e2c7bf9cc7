"""What a group of three MySQL servers does not see each month: a network that is cut in between, no
majority, none left, and a former primary that goes on."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.support.docker import DockerError, docker
from tests.support.group_shop import Shop, log
from tests.support.mysql_group import MySQLGroup
from tests.support.mysql_member import Member
from tests.support.polling import wait_until
from tests.support.service_process import Server

pytestmark = [pytest.mark.extended, pytest.mark.slow, pytest.mark.mysql]

# Longer than a member waits for a majority, after it has noticed that there is none.
NO_MAJORITY = 15.0
# Seconds for which a server that was frozen may be read from, once it goes on.
LONGEST_STALE = 10.0


def test_a_primary_that_only_its_group_has_lost_is_left(shop: Shop) -> None:
    """The service still reaches it, and it says for some seconds that it takes writes."""
    former, others = shop.group.primary(), shop.group.secondaries()
    with shop.load() as load, separated(former, others):
        shop.replaced(load, former)
    shop.assert_all_are_back()
    shop.assert_all_well(load, 20.0, nobody_writes=False)


def test_without_a_majority_nothing_is_accepted_until_it_is_back(shop: Shop) -> None:
    others = shop.group.secondaries()
    with shop.load() as load:
        for member in others:
            member.freeze()
        time.sleep(NO_MAJORITY)
        for member in others:
            member.thaw()
        shop.assert_all_are_back()
    shop.assert_all_well(load, 90.0, nobody_writes=False)


def test_all_are_killed_and_the_group_is_begun_anew(shop: Shop) -> None:
    with shop.load() as load:
        for member in shop.group.members:
            member.kill()
        begin_anew(shop.group)
    shop.assert_all_are_back()
    shop.assert_all_well(load, 180.0)


def test_a_former_primary_is_read_from_for_some_seconds_only(shop: Shop, tmp_path: Path) -> None:
    """By a process that did nothing while it was frozen, and has noticed nothing."""
    former = shop.group.primary()
    with Server(tmp_path, shop.url, PROCESSOR_THREADS=0).start() as idle:
        with shop.load() as load:
            former.freeze()
            shop.replaced(load, former)
        newest = f"/orders/{max(load.accepted)}"
        former.thaw()
        thawed = time.monotonic()
        answers: list[tuple[float, int]] = []
        while time.monotonic() < thawed + 2 * LONGEST_STALE:
            asked = time.monotonic() - thawed
            answers.append((asked, idle.client.get(newest).status))
            time.sleep(0.1)
    stale = max((asked for asked, status in answers if status == 404), default=0.0)
    log.info("a process that had noticed nothing read what was until %.1f s after the thaw", stale)
    assert {status for asked, status in answers} <= {200, 404, 503}
    assert {status for asked, status in answers if asked > LONGEST_STALE} == {200}
    shop.assert_all_are_back()


@contextmanager
def separated(member: Member, others: Sequence[Member]) -> Iterator[None]:
    """Let no packet pass between a member and the others meanwhile."""
    process = docker("inspect", "--format={{.State.Pid}}", member.name)
    inside = ["nsenter", "-t", process, "-n", "iptables"]
    rules = [
        [chain, end, other.address, "-j", "DROP"]
        for other in others
        for chain, end in (("INPUT", "-s"), ("OUTPUT", "-d"))
    ]
    for rule in rules:
        subprocess.run([*inside, "-I", *rule], check=True, timeout=30)
    try:
        yield
    finally:
        for rule in rules:
            subprocess.run([*inside, "-D", *rule], check=True, timeout=30)


def begin_anew(group: MySQLGroup) -> None:
    """Begin a group with the member that has all that the others have, as `database.yml` does."""
    for member in group.members:
        wait_until(member.is_up, 60, "a server that was killed", every=0.2)
        wait_until(partial(stop_joining, member), 90, "the end of its attempt to join", every=0.5)
    # A set's parts are on lines of their own.
    query = "SELECT REPLACE(@@GLOBAL.gtid_executed, '\n', '')"
    executed = {member: member.query(query)[0][0] for member in group.members}
    best = next(
        member
        for member in group.members
        if all(has_all(member, executed[member], theirs) for theirs in executed.values())
    )
    switch = "SET GLOBAL group_replication_bootstrap_group = {}"
    best.query(f"{switch.format('ON')}; START GROUP_REPLICATION; {switch.format('OFF')}")
    for member in group.members:
        if member is not best:
            member.query("START GROUP_REPLICATION")


def has_all(member: Member, own: str, theirs: str) -> bool:
    return member.query(f"SELECT GTID_SUBSET('{theirs}', '{own}')") == [["1"]]


def stop_joining(member: Member) -> bool:
    with suppress(DockerError):
        member.query("STOP GROUP_REPLICATION")
        return True
    return False
