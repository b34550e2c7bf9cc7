"""What a member of MySQL's group may do next: begin a group, join one, wait, or nothing."""

from __future__ import annotations

from dataclasses import replace
from subprocess import CompletedProcess

import pytest
from order_service.backup.gtids import Gtids
from order_service.database import engine, group, members
from order_service.database.decisions import Step, at_deployment, at_start
from order_service.database.members import Member, Seen
from order_service.host import CommandError
from order_service.secrets import database_accounts

from tests.support.fake_docker import FakeDocker
from tests.support.fake_engine import Complaint
from tests.support.fake_host import FakeHost

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
NAME, OTHER_NAME = "of-the-group", "of-another"
NOBODY = "ERROR 2003 (HY000): Can't connect to MySQL server on '10.0.0.2:3306' (111)"
TIMED_OUT = "ERROR 2003 (HY000): Can't connect to MySQL server on '10.0.0.2:3306' (110)"
FOREIGN = "ERROR 1045 (28000): Access denied for user 'admin'@'10.0.0.1'"


def _seen(address: str, state: str = "ONLINE", role: str = "SECONDARY") -> Seen:
    return Seen(f"id-{address}", address, state, role, "9.7.4")


def _new(address: str) -> Member:
    return Member(address, identity=f"id-{address}", view=(_seen(address, "OFFLINE", ""),))


def _stopped(address: str, has: str = "u:1-5", name: str = NAME) -> Member:
    return replace(_new(address), group=name, transactions=Gtids.parse(has), has_tables=True)


def _working(address: str, *others: Seen, has: str = "u:1-9", role: str = "PRIMARY") -> Member:
    return replace(_stopped(address, has), view=(_seen(address, role=role), *others))


def _silent(address: str, why: str = TIMED_OUT) -> Member:
    return Member(address, silent=why, absent=why == NOBODY)


def _deploy(own: Member, *others: Member, head: bool = True, was_member: bool = False) -> Step:
    return at_deployment(own, others, is_head=head, was_member=was_member)


def test_the_head_begins_where_nobody_has_a_group() -> None:
    assert _deploy(_new(A), _silent(B, NOBODY), _new(C)) is Step.BEGIN


def test_a_server_that_was_the_only_one_begins_with_its_orders() -> None:
    own = replace(_new(A), has_tables=True, transactions=Gtids.parse("u:1-70"))
    assert _deploy(own, _silent(B, NOBODY), _silent(C, NOBODY)) is Step.BEGIN


@pytest.mark.parametrize(
    "other",
    [
        _silent(B, TIMED_OUT),
        _silent(B, FOREIGN),
        _stopped(B),
        replace(_new(B), has_tables=True),
    ],
    ids=["silent", "foreign", "stopped", "with orders"],
)
def test_no_second_group_is_begun(other: Member) -> None:
    with pytest.raises(CommandError, match=f"would begin a new group .*{B}"):
        _deploy(_new(A), _silent(C, NOBODY), other)


def test_a_head_whose_data_is_lost_begins_nothing() -> None:
    """Also where the others are away without a trace, as their host says."""
    with pytest.raises(CommandError, match="has lost its data"):
        _deploy(_new(A), _silent(B, NOBODY), _silent(C, NOBODY), was_member=True)


@pytest.mark.parametrize("was_member", [True, False])
def test_a_head_whose_data_is_lost_joins_the_others(was_member: bool) -> None:
    others = [_working(B, _seen(C)), _working(C, _seen(B), role="SECONDARY")]
    assert _deploy(_new(A), *others, was_member=was_member) is Step.JOIN


def test_only_the_head_begins() -> None:
    with pytest.raises(CommandError, match="deploy that one first"):
        _deploy(_new(B), _new(A), _new(C), head=False)


def test_a_member_at_work_is_left_alone() -> None:
    own = _working(A, _seen(B), _seen(C, "UNREACHABLE"))
    assert _deploy(own, _silent(B), _silent(C)) is Step.NOTHING


def test_a_member_is_at_work_while_others_join_it() -> None:
    assert _working(A, _seen(B, "RECOVERING")).works
    assert _working(A, _seen(B, "RECOVERING"), _seen(C, "RECOVERING")).works
    assert not _working(A, _seen(B, "UNREACHABLE")).works


def test_a_member_without_a_majority_is_not_at_work() -> None:
    own = _working(A, _seen(B, "UNREACHABLE"), _seen(C, "UNREACHABLE"))
    assert not own.works
    assert own.primary is None
    with pytest.raises(CommandError, match="start=true"):
        _deploy(own, _silent(B), _silent(C))


@pytest.mark.parametrize(
    ("own", "why"),
    [
        (_stopped(A, "u:1-10"), r"has transactions that the group has not \(u:10\)"),
        (_stopped(A, name=OTHER_NAME), "belongs to another group"),
        (replace(_new(A), has_tables=True), "has orders, and belongs to no group"),
    ],
)
def test_who_has_something_of_his_own_does_not_follow(own: Member, why: str) -> None:
    with pytest.raises(CommandError, match=f"{why}.*-e rejoin={A}"):
        _deploy(own, _working(B, _seen(C)), _silent(C))


def test_a_member_that_is_behind_joins() -> None:
    assert _deploy(_stopped(A, "u:1-3"), _working(B, _seen(C)), _silent(C)) is Step.JOIN


def _start(here: str, *found: Member, without: tuple[str, ...] = ()) -> Step:
    return at_start(found, here, without)


def test_the_member_that_has_everything_begins_again() -> None:
    found = [_stopped(A, "u:1-5"), _stopped(B, "u:1-6"), _stopped(C, "u:1-4")]
    steps = [_start(here, *found) for here in (A, B, C)]
    assert steps == [Step.LATER, Step.BEGIN, Step.LATER]


def test_of_equals_the_first_begins() -> None:
    steps = [_start(here, _stopped(A), _stopped(B), _stopped(C)) for here in (A, B, C)]
    assert steps == [Step.BEGIN, Step.LATER, Step.LATER]


@pytest.mark.parametrize(
    "missing", [_silent(C), _silent(C, NOBODY), _new(C)], ids=["silent", "away", "without data"]
)
def test_a_member_that_cannot_be_compared_is_missed(missing: Member) -> None:
    """The last orders may be there alone: an order is sure once its member has written it."""
    with pytest.raises(CommandError, match=f"-e without={C}"):
        _start(A, _stopped(A), _stopped(B), missing)
    assert _start(A, _stopped(A), _stopped(B), missing, without=(C,)) is Step.BEGIN


def test_nobody_decides_between_members_that_differ() -> None:
    found = [_stopped(A, "u:1-5"), _stopped(B, "u:1-4,v:1"), _stopped(C, "u:1-4")]
    with pytest.raises(CommandError, match="only you can tell"):
        _start(A, *found)
    assert _start(B, *found, without=(A,)) is Step.BEGIN


def test_once_a_member_has_begun_the_others_join_it() -> None:
    found = [_stopped(A, "u:1-5"), _working(B, has="u:1-6"), _stopped(C, "u:1-4")]
    steps = [_start(here, *found) for here in (A, B, C)]
    assert steps == [Step.JOIN, Step.NOTHING, Step.JOIN]


class Servers:
    """Stand-ins for MySQL's client: what this host's server says of its group, and is told."""

    def __init__(self, docker: FakeDocker) -> None:
        self.view = [_seen(A, role="PRIMARY"), _seen(B), _seen(C)]
        self.told: list[str] = []
        self.refuses = ""
        docker.mysql = self._mysql

    def _mysql(self, arguments: list[str]) -> str:
        statements = arguments[-1].removeprefix("--execute=")
        if statements.startswith("SELECT @@server_uuid"):
            rows = [["id-" + A, NAME, "u:1-3,\\nv:1", "", "2"]]
            rows += [[o.identity, o.address, o.state, o.role, o.version] for o in self.view]
            return "".join("\t".join(row) + "\n" for row in rows)
        if self.refuses and self.refuses in statements:
            raise Complaint("ERROR 3910: refused")
        self.told.append(statements)
        return ""


@pytest.fixture
def servers(on: FakeHost, docker: FakeDocker) -> Servers:
    on.become(
        "database", PRIVATE_ADDRESS=A, DATABASE_SERVERS=",".join(f"{x}:3306" for x in (A, B, C))
    )
    return Servers(docker)


def test_a_member_tells_about_itself(servers: Servers) -> None:
    own = members.own()
    assert (own.works, own.is_primary, own.group) == (True, True, NAME)
    assert str(own.transactions) == "u:1-3,v:1"
    assert [one.address for one in own.online] == [A, B, C]
    servers.view = []
    assert members.own().state == "OFFLINE"


def test_the_oldest_version_takes_the_writes(servers: Servers) -> None:
    """A newer one would be refused, as long as it is there."""
    servers.view[1] = replace(servers.view[1], version="9.10.0")
    assert group.hand_over() == C
    assert f"set_as_primary('id-{C}'" in servers.told[0]


def test_who_cannot_hand_over_leaves(servers: Servers) -> None:
    servers.refuses = "set_as_primary"
    assert group.hand_over() == "another one"
    assert servers.told == ["STOP GROUP_REPLICATION"]


def test_the_last_member_at_work_is_not_stopped(servers: Servers) -> None:
    servers.view = servers.view[:1]
    with pytest.raises(CommandError, match="the only member at work"):
        group.hand_over()


def test_a_secondary_hands_nothing_over(servers: Servers) -> None:
    servers.view = [_seen(A), _seen(B, role="PRIMARY"), _seen(C)]
    assert group.hand_over() == ""
    assert servers.told == []


def test_an_empty_member_takes_no_writes_of_a_service_that_may_log_in(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_accounts, "apply", lambda: servers.told.append("accounts"))
    engine.prepare()
    [closed, *rest] = servers.told
    assert closed.startswith("SET GLOBAL read_only = ON")
    assert rest == ["accounts", "RESET BINARY LOGS AND GTIDS"]


def test_a_server_that_is_copied_to_takes_no_writes_at_its_next_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may have been in no group before, and has all that the service looks for then."""
    ran: list[str] = []

    def run(command: list[str], **_: float) -> CompletedProcess[str]:
        ran.append(command[-3])
        return CompletedProcess(command, 1, "", "ERROR 3707: restart it")

    monkeypatch.setattr(engine, "try_run", run)
    monkeypatch.setattr(members, "wait", lambda *_: None)
    monkeypatch.setattr(engine, "wait_for_itself", lambda: None)
    engine.copy(B)
    before, clone, _ = ran[-1].partition("CLONE INSTANCE FROM")
    assert "SET PERSIST_ONLY super_read_only = ON; SET GLOBAL read_only = ON;" in before
    assert clone
