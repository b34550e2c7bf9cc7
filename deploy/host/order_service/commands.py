"""The program's command line: `order-service COMMAND ...`."""

from __future__ import annotations

import sys
from importlib import import_module

# What each command does, and the module whose `main` does it.
COMMANDS = {
    "rollout": ("bring a release into service", "release.rollout"),
    "previous": ("print the release before the one that serves", "release.ledger"),
    "stack": ("plan, place and start MySQL and nginx", "release.stack"),
    "lock": ("take or free the lock of a deployment", "deploy_lock"),
    "maintenance": ("turn clients away with a 503 for a while", "release.maintenance"),
    "backup": ("make a backup, or copy the binary logs", "backup.backup"),
    "restore": ("restore a backup, on trial or live", "restore.restore"),
    "credentials": ("make, show and change passwords", "secrets.credentials"),
    "clients": ("make the API's clients those of the inventory", "secrets.api_clients"),
    "certificate": ("renew the certificate, and have nginx read it", "certificates.renew"),
    "status": ("tell how the service on this host is", "status.status"),
    "figures": ("write the host's figures for Prometheus", "status.figures"),
}


def main() -> None:
    """Run the command that is named first, with what follows as its arguments."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in COMMANDS:
        asked = name in ("-h", "--help")
        lines = [f"  {command:<12} {what}" for command, (what, _) in COMMANDS.items()]
        text = "\n".join(["usage: order-service COMMAND ...", "", *lines])
        if asked:
            sys.stdout.write(text + "\n")
            return
        sys.exit(text if not name else f"order-service: no command {name!r}\n{text}")
    # Each command loads what it needs alone: a broken part does not take the others with it.
    module = import_module(f"order_service.{COMMANDS[name][1]}")
    sys.argv = [f"order-service {name}", *sys.argv[2:]]
    module.main()
