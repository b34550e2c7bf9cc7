"""Looks after MySQL's group on this host, one of several that have a member each.

status               tell how each member is
primary ADDRESS      have that member take the writes
join                 have this host's member join those that are at work
clone                the same; where it cannot follow, replace its data by a copy of theirs
start                start the group after all of it was stopped or killed: on each database host,
                     and again on those that end with LATER
"""

from __future__ import annotations

import argparse
import sys

from order_service.database import group, members
from order_service.database.decisions import Step
from order_service.database.members import Member
from order_service.dotenv import DATABASE, has_part
from order_service.host import CommandError, say


def main() -> None:
    """Do it; the last line begins with CHANGED, UNCHANGED or LATER."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("status").set_defaults(run=_status)
    primary = actions.add_parser("primary")
    primary.add_argument("address", help="of a member")
    primary.set_defaults(run=_primary)
    actions.add_parser("join").set_defaults(run=_join)
    actions.add_parser("clone").set_defaults(run=_clone)
    start = actions.add_parser("start")
    start.add_argument("--without", action="append", default=[], help="give up what it has alone")
    start.set_defaults(run=_start)
    given = parser.parse_args()
    try:
        _require_group()
        say(given.run(given))
    except (CommandError, OSError) as problem:
        sys.exit(f"FAILED: {problem}")


def _require_group() -> None:
    if not (members.is_group() and has_part(DATABASE)):
        raise CommandError("this host has no member of a group of MySQL servers")


def _status(_: argparse.Namespace) -> str:
    found = members.survey()
    for member in found:
        say(line(member))
    working = sum(member.works for member in found)
    if any(member.group for member in found) and not working:
        say("none takes writes: ansible-playbook database.yml -e start=true")
    return f"UNCHANGED: {working} of {len(found)} members at work"


def line(member: Member) -> str:
    """Return what there is to say of a member."""
    if member.silent:
        return f"{member.address:<16} does not answer: {member.silent}"
    if not member.group:
        return f"{member.address:<16} is in no group"
    role = "takes the writes" if member.is_primary else "follows" if member.works else ""
    return f"{member.address:<16} {member.state:<10} {role:<17} has {member.transactions}"


def _primary(given: argparse.Namespace) -> str:
    changed = group.change_primary(given.address)
    return f"{'CHANGED' if changed else 'UNCHANGED'}: {given.address} takes the writes"


def _join(_: argparse.Namespace) -> str:
    return "CHANGED: it is at work" if group.join() else "UNCHANGED: it is at work already"


def _clone(_: argparse.Namespace) -> str:
    donor = group.clone()
    if donor is None:
        return "UNCHANGED: it is at work already"
    return f"CHANGED: it is at work, with {f'a copy of {donor}' if donor else 'its own data'}"


def _start(given: argparse.Namespace) -> str:
    unknown = set(given.without) - set(members.addresses())
    if unknown:
        there = ", ".join(members.addresses())
        raise CommandError(f"{', '.join(unknown)} is no member; expected some of {there}")
    done = {
        Step.NOTHING: "UNCHANGED: it is at work already",
        Step.BEGIN: "CHANGED: it has all that the others have, and has begun the group again",
        Step.JOIN: "CHANGED: it is at work",
        Step.LATER: "LATER: another member has to begin; run it there, and here again",
    }
    return done[group.start(given.without)]
