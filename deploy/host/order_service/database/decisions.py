"""What a member of MySQL's group may do next, by what all of them tell. A group is begun once ever:
who begins a second one gives the service two servers that take writes, each with orders of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import Enum, auto

from order_service.database.members import Member
from order_service.host import STATE, CommandError

# That this host's server has been in a group: its data may be lost, and this not.
RECORD = STATE / "group.json"


class Step(Enum):
    """What comes next."""

    NOTHING = auto()
    # Begin the group, for the first time or again.
    BEGIN = auto()
    JOIN = auto()
    # Another member has to begin it first.
    LATER = auto()


def at_deployment(
    own: Member, others: Sequence[Member], *, is_head: bool, was_member: bool
) -> Step:
    """Return what a deployment does with this host's server.

    Args:
        own: this host's server.
        others: those of the other hosts.
        is_head: whether this host is the one that begins the group.
        was_member: whether this host's server has been in a group, whatever it tells now.

    Raises:
        CommandError: nothing of that is safe; says why, and what to do.
    """
    if own.works:
        return Step.NOTHING
    if working(others):
        return joining(own, others)
    if own.group:
        raise CommandError(
            f"no member of the group of MySQL servers is at work: {_told([own, *others])}. Where"
            " all have been stopped or killed: ansible-playbook database.yml -e start=true"
        )
    if was_member:
        raise CommandError(
            f"the MySQL of {own.address} has been in a group and has lost its data, and no other"
            f" member is at work: {_told(others)}. Have them at work first, then this one joins"
            f" them. Where none has data any more: remove {RECORD}"
        )
    if not is_head:
        raise CommandError(
            "no group of MySQL servers is at work, and only the first of the database hosts begins"
            " one: deploy that one first"
        )
    for other in others:
        if not other.absent and (other.silent or other.group or other.has_tables):
            raise CommandError(
                f"{own.address} would begin a new group of MySQL servers, but {_told([other])}."
                " There may be one already, with orders that a new one would not have. Where there"
                " is none, deploy to that host: it refuses, but tells so from then on"
            )
    return Step.BEGIN


def at_start(members: Sequence[Member], here: str, without: Collection[str]) -> Step:
    """Return what this host's server does where no member is at work, after all were killed say.

    Args:
        members: all of them, in the order that each host has them in.
        here: the address of this host's.
        without: addresses of those whose orders are given up, if they have some of their own.

    Raises:
        CommandError: nothing of that is safe; says why, and what to do.
    """
    own = next(one for one in members if one.address == here)
    others = [one for one in members if one is not own]
    if own.works:
        return Step.NOTHING
    if working(others):
        return joining(own, others)
    known = [one for one in members if one.address not in without]
    for member in known:
        if member.silent or not member.group:
            why = member.silent or "has never been in the group, or has lost its data"
            raise CommandError(
                f"{member.address}: {why}. Orders may be there that no other member has. Have it"
                " answer with its data first; or, to give those up:"
                f" -e without={member.address}"
            )
    best = [one for one in known if all(other.transactions <= one.transactions for other in known)]
    if not best:
        raise CommandError(
            "no member has all that the others have, and which of them is right only you can tell:"
            f" start with that one alone, by -e without= and the others' addresses. {_told(known)}"
        )
    return Step.BEGIN if best[0] is own else Step.LATER


def working(members: Sequence[Member]) -> Member | None:
    """Return one that is at work, with a majority; the primary, if it is among them."""
    found = sorted((one for one in members if one.works), key=lambda one: not one.is_primary)
    return found[0] if found else None


def joining(own: Member, others: Sequence[Member]) -> Step:
    """Have it join, unless that loses something or cannot be."""
    there = working(others)
    if there is None:
        raise CommandError(f"no other member is at work: {_told(others)}")
    if not own.group and not own.has_tables:
        return Step.JOIN
    why = ""
    if own.group != there.group:
        why = "belongs to another group" if own.group else "has orders, and belongs to no group"
    elif not own.transactions <= there.transactions:
        why = f"has transactions that the group has not ({own.transactions - there.transactions})"
    if why:
        raise CommandError(
            f"the MySQL of {own.address} {why}, so it cannot follow. To replace its data by a copy"
            f" of the group's: ansible-playbook database.yml -e rejoin={own.address}"
        )
    return Step.JOIN


def _told(members: Sequence[Member]) -> str:
    return "; ".join(f"{one.address} {one.silent or _state(one)}" for one in members)


def _state(member: Member) -> str:
    if not member.group:
        return "has orders of its own" if member.has_tables else "has never been in a group"
    return f"is {member.state}, and has {member.transactions}"
