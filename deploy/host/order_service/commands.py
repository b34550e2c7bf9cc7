"""The program's command line: `order-service [--by NAME] [--wait SECONDS] COMMAND ...`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib import import_module

from order_service import unit
from order_service.host import BY, CommandError

# What each command does, and the module whose `main` does it.
COMMANDS = {
    "install": ("put this program in place as the host's", "program"),
    "deploy": ("bring a release into service, with all that it needs", "release.deploy"),
    "rollout": ("bring a release into service", "release.rollout"),
    "rollback": ("go back to the release before", "release.rollback"),
    "maintenance": ("turn clients away with a 503 for a while", "release.maintenance"),
    "drain": ("take this host away from its balancers, and back", "release.drain"),
    "backup": ("make a backup, or copy the binary logs", "backup.backup"),
    "restore": ("restore a backup, on trial or live", "restore.restore"),
    "database": ("look after this host's member of MySQL's group", "database.database"),
    "credentials": ("make, show and change passwords", "secrets.credentials"),
    "certificate": ("renew the certificate, and have nginx read it", "certificates.renew"),
    "status": ("tell how the service on this host is", "status.status"),
    "figures": ("write the host's figures for Prometheus", "status.figures"),
    "alert": ("tell somebody when this host needs attention", "alerts.alert"),
}
# What changes the service is alone on the host: the command, or that word among its arguments.
ALONE: dict[str, set[str]] = {
    "install": set(),
    "deploy": set(),
    "rollout": set(),
    "rollback": set(),
    "drain": {"stop", "off"},
    "restore": {"live"},
    "database": {"primary", "join", "clone", "start"},
    "credentials": {"make", "rotate", "retire", "take"},
}


def main() -> None:
    """Run a command: here, or in the unit where it has to be alone."""
    given = _parser().parse_args()
    if is_alone(given.command, given.arguments) and unit.NAME and not unit.is_inside():
        sys.exit(_enter(given))
    os.environ[BY] = given.by
    if unit.NAME and unit.is_inside():
        unit.begin()
    # Each command loads what it needs alone: a broken part does not take the others with it.
    module = import_module(f"order_service.{COMMANDS[given.command][1]}")
    sys.argv = [f"order-service {given.command}", *given.arguments]
    module.main()


def is_alone(command: str, arguments: list[str]) -> bool:
    """Return whether only one such command may run at a time."""
    words = ALONE.get(command)
    return words is not None and (not words or bool(words & set(arguments)))


def _enter(given: argparse.Namespace) -> int:
    what = f"{' '.join([given.command, *given.arguments])} by {given.by}"
    try:
        by = f"--by={given.by}"
        return unit.enter(what, [by, given.command, *given.arguments], given.wait)
    except (CommandError, OSError) as problem:
        sys.exit(f"order-service: {problem}")
    except KeyboardInterrupt:
        sys.exit(f"order-service: it goes on: journalctl -fu {unit.NAME}")


def _parser() -> argparse.ArgumentParser:
    lines = (f"  {command:<12} {what}" for command, (what, _) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        "order-service",
        epilog="\n".join(["commands:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    user = os.environ.get("SUDO_USER") or "root"
    parser.add_argument("--by", default=f"{user}@{platform.node()}", help="who wants it done")
    parser.add_argument(
        "--wait",
        type=float,
        default=0,
        metavar="SECONDS",
        help="for another one that is at work on this host",
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="see below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...")
    return parser
