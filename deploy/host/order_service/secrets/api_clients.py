"""Makes the API's clients what the inventory says, and changes their secrets.

What the inventory says is in /etc/order-service/clients.json. Who is not in it any more is left
alone; a client is revoked when its entry says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from order_service.host import RELEASES, SETTINGS, CommandError, read_json
from order_service.release import project
from order_service.secrets import secret_files

LISTED = SETTINGS / "clients.json"
VOLUME = "order-service_migrate-secrets"
# Where the one-shot sees that volume.
MOUNTED = "/run/secrets"
SECONDS = 120
FIVE_DIGITS = 100_000


@dataclass(frozen=True)
class Client:
    """A client as it should be."""

    name: str
    scopes: tuple[str, ...] = ()
    revoked: bool = False

    @property
    def file(self) -> str:
        """The name of the file that holds its secret."""
        return f"client_{self.name}"


PROMETHEUS = Client("prometheus", ("metrics:read",))


def listed() -> list[Client]:
    """Return the clients that there should be: Prometheus, and those of the inventory."""
    found = (
        Client(one["name"], tuple(one.get("scopes", ())), one.get("revoked", False))
        for one in read_json(LISTED, [])
    )
    return [PROMETHEUS, *found]


def apply(release: str) -> set[str]:
    """Make, change and revoke; return the names of clients and of files that this has changed.

    Raises:
        CommandError: the inventory has one that was revoked, or a command failed.
    """
    known = {one["name"]: one["revoked_at"] is None for one in _flask(release, "list")}
    clients = listed()
    if not known.get(PROMETHEUS.name, True):
        # By hand, which is not undone by the next deployment.
        clients.remove(PROMETHEUS)
    wanted = [one for one in clients if not one.revoked]
    gone = [one.name for one in wanted if not known.get(one.name, True)]
    if gone:
        raise CommandError(
            f"revoked clients do not come back: {', '.join(gone)}; in api_clients set"
            " `revoked: true`, or choose another name"
        )
    changed = secret_files.make(release, *(f"--client={one.name}" for one in wanted))
    for one in wanted:
        scopes = [f"--scope={scope}" for scope in one.scopes]
        secret = f"--secret-file={MOUNTED}/{one.file}"
        if _flask(release, "create", one.name, *scopes, secret, "--update")["changed"]:
            changed.add(one.name)
    for one in clients:
        if one.revoked and known.get(one.name):
            _flask(release, "revoke", one.name)
            changed.add(one.name)
        if one.revoked:
            secret_files.make(release, f"--forget-client={one.name}")
    return changed


def rotate(release: str, name: str, overlap: int) -> set[str]:
    """Give a client another secret; the former one stays right for `overlap` seconds more.

    Raises:
        CommandError: the inventory has no such client, or a step failed: run it again.
    """
    names = [one.name for one in listed() if not one.revoked]
    if name not in names:
        raise CommandError(f"there is no client {name!r}; expected one of {', '.join(names)}")
    secret_files.make(release, f"--prepare-client={name}")
    following = f"--secret-file={MOUNTED}/next_client_{name}"
    # It takes five digits.
    duration = f"{overlap}s" if overlap < FIVE_DIGITS else f"{overlap // 60}m"
    _flask(release, "rotate", name, following, f"--overlap={duration}")
    return secret_files.make(release, f"--commit-client={name}")


def _flask(release: str, *arguments: str) -> Any:
    """Run a command of the release's on its clients; return what it prints."""
    once = ("run", "--rm", "--no-deps", "-T", "migrate", "flask", "clients")
    base = project.base(RELEASES / release, release)
    told = base.compose(*once, *arguments, "--json", seconds=SECONDS)
    return json.loads(told.splitlines()[-1])
