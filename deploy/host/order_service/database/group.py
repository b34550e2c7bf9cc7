"""What is done to this host's member of MySQL's group, by Group Replication's own means."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from uuid import uuid4

from order_service.database import decisions, members
from order_service.database.decisions import Step
from order_service.database.members import CONTAINER, ONLINE, Member, Seen, ask
from order_service.dotenv import head
from order_service.host import CommandError, now, say, try_run, write_json
from order_service.secrets import database_accounts

# A server that has just started tries to join by itself for so long.
START_SECONDS = 90
STOP_SECONDS = 120
# The engine itself gives up sooner.
JOIN_SECONDS = 300
# Until a member has what it has missed, perhaps all of it.
RECOVERY_SECONDS = 7200
CHANGE_SECONDS = 60
# How long transactions that are under way may go on at a change of the primary.
RUNNING_SECONDS = 10
# What a large database takes to open its files.
RESTART_SECONDS = 900
_BEGIN = (
    "SET GLOBAL group_replication_bootstrap_group = ON; START GROUP_REPLICATION;"
    " SET GLOBAL group_replication_bootstrap_group = OFF"
)
# From its next start on: a member that cannot join must not be one that takes writes.
_REMEMBER = (
    "SET PERSIST_ONLY group_replication_group_name = '{}';"
    " SET PERSIST_ONLY group_replication_start_on_boot = ON; SET PERSIST_ONLY super_read_only = ON"
)
# The donor's password is read where MySQL's client runs. The server ends itself when it has all,
# and Docker starts it again.
_CLONE = """cd /run/secrets && printf "%s\\n" \
  "SET GLOBAL super_read_only = OFF; SET GLOBAL offline_mode = OFF;" \
  "SET GLOBAL clone_valid_donor_list = '$1:3306';" \
  "CLONE INSTANCE FROM 'replication'@'$1':3306 IDENTIFIED BY '$(cat replication_password)'" \
  "REQUIRE SSL;" | mysql --defaults-extra-file=root.cnf"""
# No supervisor that it knows of; the copy is complete all the same.
_ENDED_ITSELF = ("ERROR 3707", "ERROR 2013", "ERROR 2006")


def bring() -> bool:
    """Have this host's server be at work in the group; return whether it was not.

    Raises:
        CommandError: it is not, or that would not be safe; nothing is begun twice.
    """
    _wait_for_itself()
    if _is_new(members.own()):
        # So that the others can ask it, and see that it is.
        _prepare()
    own, others = _survey()
    was_member = decisions.RECORD.exists()
    step = decisions.at_deployment(own, others, is_head=not head(), was_member=was_member)
    if own.works:
        # Perhaps the deployment that began it was cut off.
        _remember(own.group)
    return _take(step, own, others)


def start(without: Sequence[str]) -> Step:
    """Start the group again after all of it was stopped; return what was done by this host.

    Raises:
        CommandError: that would not be safe, or failed.
    """
    _wait_until_up()
    _stop_unless_working()
    step = decisions.at_start(members.survey(), members.here(), without)
    own, others = _survey()
    _take(step, own, others)
    return step


def join() -> bool:
    """Have this host's server join the members that are at work; return whether it had not.

    Raises:
        CommandError: none is, or it cannot follow them.
    """
    _wait_for_itself()
    own, others = _survey()
    if own.works:
        return False
    return _take(decisions.joining(own, others), own, others)


def clone() -> str:
    """Replace the data of this host's server by a copy of the group's, and have it join.

    Returns:
        The address of the member that it was copied from.

    Raises:
        CommandError: the member is at work, or no other is, or it failed.
    """
    _wait_for_itself()
    own, others = _survey()
    if own.works:
        raise CommandError(f"{own.address} is at work in its group, so its data is left as it is")
    donors = sorted((one for one in others if one.works), key=lambda one: one.is_primary)
    if not donors:
        raise CommandError("no other member is at work, so there is nothing to copy")
    _stop_unless_working()
    say(f"copying {donors[0].address}; what {own.address} had is removed")
    before = _started_at()
    command = ["docker", "exec", CONTAINER, "sh", "-c", _CLONE, "sh", donors[0].address]
    done = try_run(command, seconds=RECOVERY_SECONDS)
    if done.returncode != 0 and not any(error in done.stderr for error in _ENDED_ITSELF):
        raise CommandError(f"the copy failed: {done.stderr.strip()}")
    members.wait(lambda: _started_at() != before, RESTART_SECONDS, "MySQL ends for its new data")
    _wait_for_itself()
    if not members.own().works:
        _join(members.own(), donors[0].group)
    return donors[0].address


def change_primary(address: str) -> bool:
    """Have that member take the writes; return whether another one did.

    Raises:
        CommandError: it is no member at work, or the group refuses.
    """
    own = members.own()
    if not own.works:
        raise CommandError(f"{own.address} is {own.state} in its group; ask a member at work")
    wanted = next((one for one in own.online if one.address == address), None)
    if wanted is None:
        there = ", ".join(one.address for one in own.online)
        raise CommandError(f"{address} is no member at work; expected one of {there}")
    if own.primary == wanted:
        return False
    _appoint(wanted)
    return True


def hand_over() -> str:
    """Have another member take the writes, where this host's does; return which one then does.

    Before this host's server or the host itself is stopped: the group needs some seconds less.

    Raises:
        CommandError: there is no other member at work.
    """
    own = members.look(members.here())
    if own.silent:
        say(f"this host's MySQL does not answer, so it hands nothing over: {own.silent}")
    if not own.is_primary:
        return ""
    others = [one for one in own.online if one.identity != own.identity]
    if not others:
        raise CommandError(
            f"{own.address} is the only member at work: none would take writes without it. Have the"
            " others at work first: ansible-playbook database.yml tells how they are"
        )
    # Only the oldest version may write while there are several.
    chosen = min(others, key=lambda one: [int(part) for part in one.version.split(".")])
    try:
        _appoint(chosen)
    except CommandError as problem:
        # While this is the oldest one itself, it can only leave; the others elect one at once.
        say(f"{chosen.address} cannot be appointed ({problem}): leaving the group")
        ask("STOP GROUP_REPLICATION", seconds=STOP_SECONDS)
        return "another one"
    return chosen.address


def _appoint(member: Seen) -> None:
    say(f"{member.address} takes the writes from here on")
    call = f"group_replication_set_as_primary('{member.identity}', {RUNNING_SECONDS})"
    ask(f"SELECT {call}", seconds=CHANGE_SECONDS)


def _survey() -> tuple[Member, list[Member]]:
    """Ask this host's server, and then the others: they have at least what was then."""
    own = members.own()
    return own, [members.look(one) for one in members.addresses() if one != own.address]


def _take(step: Step, own: Member, others: Sequence[Member]) -> bool:
    if step is Step.BEGIN:
        _begin(own)
    elif step is Step.JOIN:
        there = decisions.working(others)
        _join(own, there.group if there else own.group)
    return step in (Step.BEGIN, Step.JOIN)


def _begin(own: Member) -> None:
    say("beginning the group of MySQL servers" + (" again" if own.group else ""))
    name = own.group or str(uuid4())
    if not own.group:
        # Not persisted before there is a group: its name says that this server has been in it.
        ask(f"SET GLOBAL group_replication_group_name = '{name}'")
        database_accounts.apply()
        database_accounts.tell_member()
    ask(_BEGIN, seconds=JOIN_SECONDS)
    _remember(name)
    _wait_until_online()


def _join(own: Member, group: str) -> None:
    say("joining the group of MySQL servers")
    _stop_unless_working()
    if _is_new(own):
        _prepare()
    database_accounts.tell_member()
    ask(f"SET GLOBAL group_replication_group_name = '{group}'; SET GLOBAL super_read_only = ON")
    _remember(group)
    try:
        ask("START GROUP_REPLICATION", seconds=JOIN_SECONDS)
    except CommandError as problem:
        raise CommandError(
            f"{own.address} cannot join: {problem}; see sudo docker logs {CONTAINER}"
        ) from None
    _wait_until_online()


def _is_new(member: Member) -> bool:
    return not member.group and not member.has_tables


def _prepare() -> None:
    """Have the accounts that members call one another with, and no transaction of its own."""
    ask("SET GLOBAL super_read_only = OFF")
    database_accounts.apply()
    ask("RESET BINARY LOGS AND GTIDS")


def _remember(group: str) -> None:
    """Have the server be a member at its starts, and the host know that it is one."""
    ask(_REMEMBER.format(group))
    if not decisions.RECORD.exists():
        write_json(decisions.RECORD, {"group": group, "since": now()})


def _wait_until_online() -> None:
    problem = ""

    def is_online() -> bool:
        nonlocal problem
        member = members.look(members.here())
        # It may be copying all of another one, and start again with that.
        if not member.silent and member.state in ("OFFLINE", "ERROR"):
            problem = member.state
        return bool(problem) or member.works

    members.wait(is_online, RECOVERY_SECONDS, "this member gets what it has missed")
    if problem:
        raise CommandError(f"it is {problem} in the group; see sudo docker logs {CONTAINER}")
    # Who has left for lack of a majority lets no clients in.
    ask("SET GLOBAL offline_mode = OFF")


def _wait_for_itself() -> None:
    """Let a server that has just started join by itself, as it does."""
    _wait_until_up()

    def is_over() -> bool:
        member = members.own()
        on_boot = ask("SELECT @@group_replication_start_on_boot") == [["1"]]
        uptime = int(ask("SHOW GLOBAL STATUS LIKE 'Uptime'")[0][1])
        waits = member.state == members.RECOVERING or (on_boot and uptime < START_SECONDS)
        return member.state == ONLINE or not waits

    members.wait(is_over, RECOVERY_SECONDS, "MySQL joins its group by itself")


def _wait_until_up() -> None:
    def answers() -> bool:
        return not members.look(members.here()).silent

    members.wait(answers, RESTART_SECONDS, "MySQL does not answer yet")


def _stop_unless_working() -> None:
    """End what a member that is not at work still tries."""
    if members.own().works:
        return
    deadline = time.monotonic() + STOP_SECONDS
    while True:
        try:
            ask("STOP GROUP_REPLICATION", seconds=STOP_SECONDS)
        except CommandError:
            # While the start at boot has not given up.
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return


def _started_at() -> str:
    form = "{{.State.StartedAt}} {{.State.Running}}"
    with suppress(CommandError):
        said = try_run(["docker", "inspect", "--format", form, CONTAINER]).stdout.strip()
        return said.removesuffix(" true") if said.endswith(" true") else ""
    return ""
