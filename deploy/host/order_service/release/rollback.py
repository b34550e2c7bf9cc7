"""Brings the release before into service again. The schema stays: it is only ever expanded."""

from __future__ import annotations

import argparse
import sys

from order_service.host import CommandError, say
from order_service.release import colours, ledger, rollout


def main() -> None:
    """Go back by one release; the last line begins with CHANGED or UNCHANGED."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="release", metavar="RELEASE", help="only if this one serves")
    try:
        say(go_back(parser.parse_args().release))
    except (CommandError, OSError) as problem:
        sys.exit(f"FAILED: {problem}")


def go_back(release: str | None = None) -> str:
    """Go back by one release; return a line that begins with CHANGED or UNCHANGED.

    Args:
        release: go back only if this one serves.

    Raises:
        CommandError: there is none to go back to, or it does not serve, and the present one does.
    """
    if not colours.services():
        return f"UNCHANGED: {colours.NO_SERVICE}"
    known = ledger.read()
    active = known["active"]
    if active and rollout.recover(known):
        former: str | None = active
    elif release and release != active:
        return f"UNCHANGED: {active} serves, and not {release}"
    else:
        former = ledger.previous(known)
    if former is None:
        raise CommandError(f"there is no release before {active} to go back to")
    return rollout.bring(rollout.Wanted(former, back=True))
