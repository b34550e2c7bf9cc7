"""Brings a release into service without a failed request, or leaves the former one serving.

Start the release in the colour that does not serve, wait until it is ready and does what clients
do with it, switch nginx to it, try it through the public port too, watch for a while what it
answers and how its orders end, and only then stop the former one. Whatever goes wrong, the former
colour serves on, or again. It all happens on the host: once begun, it ends in one of the two states
even when the control node is gone.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType

from order_service.host import CommandError, caller, say
from order_service.release import colours, evidence, images, nginx, trial
from order_service.release import ledger as ledgers
from order_service.release.bake import Comparison
from order_service.release.colours import Colour
from order_service.release.limits import Limits
from order_service.release.measures import Meter

# What serves is ready at once; a restart of MySQL takes it a moment.
USUALLY_READY_SECONDS = 10
INTERRUPTS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class Wanted:
    """The release that is to serve."""

    release: str
    # What the registry calls its image.
    digest: str | None = None
    # Whether this is a rollback, which the ledger keeps apart.
    back: bool = False
    # Even if it serves already.
    force: bool = False


def main() -> None:
    """Run one rollout; exit with 0 when the release serves, with 1 when it does not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("release", help="the release to serve; its image and folder are here")
    parser.add_argument("--digest", help="what the registry calls the image")
    given = parser.parse_args()
    try:
        say(bring(Wanted(given.release, given.digest)))
    except (CommandError, OSError) as problem:
        sys.exit(f"FAILED: {problem}")


def bring(wanted: Wanted) -> str:
    """Bring a release into service; return a line that begins with CHANGED or UNCHANGED.

    Raises:
        CommandError: it does not serve, and what served before does.
    """
    former = {number: signal.signal(number, _interrupted) for number in INTERRUPTS}
    try:
        return _rollout(wanted)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _rollout(given: Wanted) -> str:
    limits = Limits.read()
    evidence.close()
    ledger = ledgers.read()
    if not colours.services():
        return _without_service(ledger, given)
    recover(ledger)
    former = colours.serving()
    serves = (former.release(), ledger["active"]) == (given.release, given.release)
    if (
        serves
        and not (given.force or former.wants_change(given.release))
        and _is_ready(former, given.release, limits)
    ):
        _clear_up(former, ledger)
        return f"UNCHANGED: {given.release} serves already, in {former.name}"
    new = former.other if former.containers() else former
    with _taken_back_on_failure(former, new, given.release):
        # Nobody must be kept from going back because the release before was slower.
        meter = None if given.back else Meter.of(former)
        comparison = Comparison(meter, limits) if meter else None
        _start(new, given.release, limits)
        trial.test(new, given.release, comparison, limits)
        _wait_until_ready(new, given.release, limits)
        # From here on it serves: what is left is not worth taking it back.
        _ignore_interrupts()
        ledger = _write_down(ledger, given)
    _clear_up(new, ledger)
    return f"CHANGED: {given.release} serves, in {new.name}"


def _without_service(ledger: ledgers.Ledger, given: Wanted) -> str:
    """Have a host that is the database alone know its release, whose one-shots it runs."""
    for place in map(Colour, colours.NAMES):
        if place.containers():  # from when the host was there for more
            place.stop()
            say(f"stopped {place.name}")
    ledger = _write_down(ledger, given)
    _remove_older(ledger)
    return f"UNCHANGED: {colours.NO_SERVICE}"


def _is_ready(colour: Colour, release: str, limits: Limits) -> bool:
    """Return whether what serves answers: what hangs, or was stopped by hand, is started again."""
    try:
        _wait_until_ready(colour, release, replace(limits, ready_seconds=USUALLY_READY_SECONDS))
    except CommandError as problem:
        say(f"{colour.name} does not serve: {problem}")
        return False
    return True


def _start(new: Colour, release: str, limits: Limits) -> None:
    say(f"starting {release} in {new.name}")
    new.stop()
    new.start(release)
    _wait_until_ready(new, release, limits)
    say(f"{new.name} is ready")


def _wait_until_ready(new: Colour, release: str, limits: Limits) -> None:
    """Wait until the release says that it is ready, under its own name, and its worker as well."""
    deadline = time.monotonic() + limits.ready_seconds
    while True:
        status, answer = new.readiness()
        worker = new.worker_health()
        if (status, answer.get("release")) == (200, release) and worker in ("", "healthy"):
            return
        if time.monotonic() > deadline:
            raise CommandError(
                f"{release} did not get ready within {limits.ready_seconds:g} s;"
                f" /readyz answers {status}: {json.dumps(answer)}"
                + (f"; its worker is {worker}" if worker else "")
            )
        time.sleep(0.3)


def _write_down(ledger: ledgers.Ledger, given: Wanted) -> ledgers.Ledger:
    """Enter the release as the one that serves; changed settings alone are no entry."""
    image = images.find(given.release) or ""
    known = ledgers.find(ledger, ledger["active"])
    same = known and (known["release"], known["image"]) == (given.release, image)
    if same and not given.force:
        return ledger
    ledger = ledgers.activate(ledger, given.release, image, given.digest, caller(), back=given.back)
    ledgers.write(ledger)
    return ledger


def _clear_up(active: Colour, ledger: ledgers.Ledger) -> None:
    """Remove what neither serves nor can be gone back to; what stays is left to the next run."""
    with _best_effort(f"stopping {active.other.name}"):
        _retire(active.other)
    _remove_older(ledger)


def _remove_older(ledger: ledgers.Ledger) -> None:
    with _best_effort("removing older releases"):
        images.prune([entry["release"] for entry in ledger["releases"]])


def _retire(colour: Colour) -> None:
    """Stop a colour that nginx sends to no longer, once its last requests are answered."""
    if not colour.containers():
        return
    if not nginx.wait_for_former_workers():
        say(f"some requests are still running; {colour.name} ends them, or gives them up")
    colour.stop()
    say(f"stopped {colour.name}")


@contextmanager
def _taken_back_on_failure(former: Colour, new: Colour, release: str) -> Iterator[None]:
    """Have the former colour serve whatever happens, and keep what tells why."""
    kept = nginx.keep_former()
    try:
        yield
    except BaseException as problem:
        _ignore_interrupts()
        # First of all: what comes after it can fail, on a full disk say.
        is_back = _switch_back(former, kept)
        with _best_effort("keeping what tells why"):
            evidence.keep(new, release, problem)
        if is_back:
            with _best_effort(f"stopping {new.name}"):
                _retire(new)
        raise


def _switch_back(former: Colour, kept: nginx.Former) -> bool:
    """Return whether nginx sends to the former colour; if not, the new one must go on."""
    try:
        if not kept.is_in_place():
            kept.restore()
            say(f"switched nginx back to {former.name}")
    except (CommandError, OSError) as problem:
        say(f"nginx could not be switched back to {former.name}, so both run on: {problem}")
        return False
    return True


@contextmanager
def _best_effort(what: str) -> Iterator[None]:
    """Go on when the block fails, and tell that it did."""
    try:
        yield
    except Exception as problem:  # noqa: BLE001 - whatever it is, what serves comes first
        say(f"{what} failed: {problem}")


def _ignore_interrupts() -> None:
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)


def recover(ledger: ledgers.Ledger) -> bool:
    """Undo a switch that was cut off before its release had been tried, by a crash say.

    Returns whether there was one, so that the ledger's release serves again.
    """
    serving = colours.serving()
    other = serving.other
    active, runs = ledger["active"], serving.release()
    if active and runs != active and other.readiness()[1].get("release") == active:
        nginx.switch(active, colours.upstream_for(other))
        say(f"an earlier rollout was cut off: {other.name} serves {active} again")
        return True
    if other.containers():
        # Perhaps some files are another release's, or nginx has not read what is in place: it would
        # still send to what is stopped next.
        if active and runs == active:
            nginx.switch(active, colours.upstream_for(serving))
        else:
            nginx.reload()
    return False


def _interrupted(number: int, _frame: FrameType | None) -> None:
    raise CommandError(f"interrupted by {signal.Signals(number).name}")
