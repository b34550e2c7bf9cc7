"""MySQL's group, from this host: begun once, joined, started again, its primary changed."""

from __future__ import annotations

from collections.abc import Sequence

from order_service.database import decisions, engine, members
from order_service.database.decisions import Step
from order_service.database.members import Member, Seen, ask
from order_service.dotenv import head
from order_service.host import CommandError, say

CHANGE_SECONDS = 60
# How long transactions that are under way may go on at a change of the primary.
RUNNING_SECONDS = 10


def bring() -> bool:
    """Have this host's server be at work in the group; return whether it was not.

    Raises:
        CommandError: it is not, or that would not be safe; nothing is begun twice.
    """
    engine.wait_for_itself()
    if engine.is_new(members.own()):
        # So that the others can ask it, and see that it is.
        engine.prepare()
    own, others = _survey()
    was_member = decisions.RECORD.exists()
    step = decisions.at_deployment(own, others, is_head=not head(), was_member=was_member)
    if own.works:
        # Perhaps the deployment that began it was cut off.
        engine.remember(own.group)
    return _take(step, own, others)


def start(without: Sequence[str]) -> Step:
    """Start the group again after all of it was stopped; return what was done by this host.

    Raises:
        CommandError: that would not be safe, or failed.
    """
    engine.wait_until_up()
    engine.stop_unless_working()
    step = decisions.at_start(members.survey(), members.here(), without)
    own, others = _survey()
    _take(step, own, others)
    return step


def join() -> bool:
    """Have this host's server join the members that are at work; return whether it had not.

    Raises:
        CommandError: none is, or it cannot follow them.
    """
    engine.wait_for_itself()
    own, others = _survey()
    if own.works:
        return False
    return _take(decisions.joining(own, others), own, others)


def clone() -> str | None:
    """Have this host's server join; where it cannot follow, with a copy of the group's data.

    Returns:
        The address of the member that it was copied from, empty where it has only joined; None
        where it was at work already.

    Raises:
        CommandError: no other member is at work, or it failed.
    """
    try:
        return "" if join() else None
    except CommandError as why:
        say(f"it cannot follow: {why}")
    own, others = _survey()
    donors = sorted((one for one in others if one.works), key=lambda one: one.is_primary)
    if not donors:
        raise CommandError("no other member is at work, so there is nothing to copy")
    engine.stop_unless_working()
    say(f"copying {donors[0].address}; what {own.address} had is removed")
    engine.copy(donors[0].address)
    own = members.own()
    if not own.works:
        engine.join(own, donors[0].group)
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
        ask("STOP GROUP_REPLICATION", seconds=engine.STOP_SECONDS)
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
        engine.begin(own)
    elif step is Step.JOIN:
        there = decisions.working(others)
        engine.join(own, there.group if there else own.group)
    return step in (Step.BEGIN, Step.JOIN)
