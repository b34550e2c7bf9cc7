"""Brings the release before into service again. The schema stays: it is only ever expanded."""

from __future__ import annotations

import sys

from order_service.host import CommandError, say
from order_service.release import ledger, rollout


def main() -> None:
    """Go back by one release; the last line begins with CHANGED."""
    try:
        say(rollout.bring(rollout.Wanted(_former(), back=True)))
    except (CommandError, OSError) as problem:
        sys.exit(f"FAILED: {problem}")


def _former() -> str:
    known = ledger.read()
    if known["active"] and rollout.recover(known):
        return known["active"]
    release = ledger.previous(known)
    if release is None:
        raise CommandError(f"there is no release before {known['active']} to go back to")
    return release
