"""What is done to this host's member of MySQL's group, by Group Replication's own means."""

from __future__ import annotations

import time
from uuid import uuid4

from order_service.database import decisions, members
from order_service.database.members import CONTAINER, Member, ask
from order_service.host import CommandError, now, say, try_run, write_json
from order_service.secrets import database_accounts

# A server that has just started tries to join by itself for so long.
START_SECONDS = 90
STOP_SECONDS = 120
# The engine itself gives up sooner.
JOIN_SECONDS = 300
# Until a member has what it has missed, perhaps all of it.
RECOVERY_SECONDS = 7200
# What a large database takes to open its files.
RESTART_SECONDS = 900
_BOOTSTRAP = "SET GLOBAL group_replication_bootstrap_group"
# From its next start on: a member that cannot join must not be one that takes writes.
_REMEMBER = (
    "SET PERSIST_ONLY group_replication_group_name = '{}';"
    " SET PERSIST_ONLY group_replication_start_on_boot = ON; SET PERSIST_ONLY super_read_only = ON"
)
_STARTS = "SELECT @@group_replication_start_on_boot; SHOW GLOBAL STATUS LIKE 'Uptime'"
# The donor's password is read where MySQL's client runs. The server ends itself when it has all,
# and Docker starts it again: with everything that the service looks for, so it must take no writes.
_CLONE = """cd /run/secrets && printf "%s\\n" \
  "SET PERSIST_ONLY super_read_only = ON; SET GLOBAL read_only = ON;" \
  "SET GLOBAL super_read_only = OFF; SET GLOBAL offline_mode = OFF;" \
  "SET GLOBAL clone_valid_donor_list = '$1:3306';" \
  "CLONE INSTANCE FROM 'replication'@'$1':3306 IDENTIFIED BY '$(cat replication_password)'" \
  "REQUIRE SSL;" | mysql --defaults-extra-file=root.cnf"""
# No supervisor that it knows of; the copy is complete all the same.
_ENDED_ITSELF = ("ERROR 3707", "ERROR 2013", "ERROR 2006")


def begin(own: Member) -> None:
    """Have this host's server begin the group, for the first time or again.

    Raises:
        CommandError: it failed.
    """
    say("beginning the group of MySQL servers" + (" again" if own.group else ""))
    name = own.group or str(uuid4())
    if not own.group:
        # Not persisted before there is a group: its name says that this server has been in it.
        ask(f"SET GLOBAL group_replication_group_name = '{name}'")
        database_accounts.apply()
        database_accounts.tell_member()
    try:
        ask(f"{_BOOTSTRAP} = ON; START GROUP_REPLICATION", seconds=JOIN_SECONDS)
    finally:
        # Else its next start would begin another one.
        ask(f"{_BOOTSTRAP} = OFF")
    remember(name)
    _wait_until_online()


def join(own: Member, group: str) -> None:
    """Have this host's server join the group of that name, which is at work.

    Raises:
        CommandError: it failed.
    """
    say("joining the group of MySQL servers")
    stop_unless_working()
    if is_new(own):
        prepare()
    database_accounts.tell_member()
    ask(f"{_BOOTSTRAP} = OFF; SET GLOBAL super_read_only = ON")
    ask(f"SET GLOBAL group_replication_group_name = '{group}'")
    remember(group)
    try:
        ask("START GROUP_REPLICATION", seconds=JOIN_SECONDS)
    except CommandError as problem:
        raise CommandError(
            f"{own.address} cannot join: {problem}; see sudo docker logs {CONTAINER}"
        ) from None
    _wait_until_online()


def is_new(member: Member) -> bool:
    """Return whether there is nothing in the server that anybody could miss."""
    return not member.group and not member.has_tables


def prepare() -> None:
    """Have the accounts that members call one another with, and no transaction of its own."""
    # With them the service may log in, and must not take this empty server for the database.
    ask("SET GLOBAL read_only = ON; SET GLOBAL super_read_only = OFF")
    database_accounts.apply()
    ask("RESET BINARY LOGS AND GTIDS")


def remember(group: str) -> None:
    """Have the server be a member at its starts, and the host know that it is one."""
    ask(_REMEMBER.format(group))
    if not decisions.RECORD.exists():
        write_json(decisions.RECORD, {"group": group, "since": now()})


def _wait_until_online() -> None:
    _wait_while_it_tries("this member gets what it has missed")
    member = members.own()
    if not member.works:
        raise CommandError(f"it is {member.state} in the group; see sudo docker logs {CONTAINER}")
    # Who has left for lack of a majority lets no clients in.
    ask("SET GLOBAL offline_mode = OFF")


def wait_for_itself() -> None:
    """Let a server that has just started join by itself, as it does.

    Raises:
        CommandError: it does not answer.
    """
    wait_until_up()
    _wait_while_it_tries("MySQL joins its group by itself")


def _wait_while_it_tries(what: str) -> None:
    """Wait for the end of a start, during which it may copy all of another one, and start anew."""

    def is_over() -> bool:
        member = members.look(members.here())
        if member.silent or member.works:
            return member.works
        try:
            [[on_boot], [_, uptime]] = ask(_STARTS)
        except CommandError:
            return False
        starts = on_boot == "1" and int(uptime) < START_SECONDS
        return member.state != members.RECOVERING and not starts

    members.wait(is_over, RECOVERY_SECONDS, what)


def wait_until_up() -> None:
    """Wait until this host's server answers.

    Raises:
        CommandError: it does not.
    """

    def answers() -> bool:
        return not members.look(members.here()).silent

    members.wait(answers, RESTART_SECONDS, "MySQL does not answer yet")


def stop_unless_working() -> None:
    """End what a member that is not at work still tries.

    Raises:
        CommandError: it goes on.
    """
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


def copy(donor: str) -> None:
    """Replace the data of this host's server by a copy of another one's, with which it starts anew.

    Raises:
        CommandError: it failed.
    """
    before = _started_at()
    command = ["docker", "exec", CONTAINER, "sh", "-c", _CLONE, "sh", donor]
    done = try_run(command, seconds=RECOVERY_SECONDS)
    if done.returncode != 0 and not any(error in done.stderr for error in _ENDED_ITSELF):
        raise CommandError(f"the copy failed: {done.stderr.strip()}")

    def is_another() -> bool:
        return _started_at() not in ("", before)

    members.wait(is_another, RESTART_SECONDS, "MySQL starts with its new data")
    wait_for_itself()


def _started_at() -> str:
    """Return when the container was started; empty while it does not run."""
    form = "{{.State.StartedAt}} {{.State.Running}}"
    said = try_run(["docker", "inspect", "--format", form, CONTAINER]).stdout.strip()
    return said.removesuffix(" true") if said.endswith(" true") else ""
