"""Whether a database on another host can be used, before anything is changed for it.

The release's own `flask check-database` tells, in a container that has nothing but the URL.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from order_service.dotenv import head
from order_service.host import CommandError, say, try_run
from order_service.release import images
from order_service.secrets import secret_files

# What the service waits for is bounded; a container takes some seconds to start.
SECONDS = 90
_URL, _CA = "DATABASE_URL_FILE", "DATABASE_CA_FILE"
_MIGRATOR_URL = "DATABASE_MIGRATOR_URL_FILE"
_MOUNTED = {_URL: "/run/secrets/database_url", _CA: "/run/secrets/database_ca.pem"}


def run(release: str, own: Mapping[str, str], from_head: Any) -> None:
    """Refuse a database that the service, or the head's migrations, cannot work with.

    Args:
        release: whose image looks.
        own: the operator's secrets, among which are the URLs where somebody else runs the database.
        from_head: what another host has handed on.

    Raises:
        CommandError: it cannot be used; the text says why, and what to do.
    """
    if url := own.get(_URL):
        authority = own.get(_CA, "")
        _check(release, "database_url", url, authority)
        if not head():
            migrators = own.get(_MIGRATOR_URL) or url
            _check(release, "database_migrator_url", migrators, authority, "--migrator")
    elif name := head():
        service = (from_head or {}).get("service", {})
        if url := service.get("database_url"):
            _check(release, f"the database of {name}", url, service.get("database_ca.pem", ""))


def _check(release: str, what: str, url: str, authority: str, *options: str) -> None:
    given = {name: text for name, text in ((_URL, url), (_CA, authority)) if text}
    with secret_files.in_memory(given) as paths:
        done = try_run(
            [
                *("docker", "run", "--rm", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL"),
                *("--security-opt=no-new-privileges", "--no-healthcheck"),
                # Who may read the files.
                f"--user={os.geteuid()}:{os.getegid()}",
                *(f"--volume={path}:{_MOUNTED[name]}:ro" for name, path in paths.items()),
                f"--env={_URL}={_MOUNTED[_URL]}",
                *(f"{images.REPOSITORY}:{release}", "flask", "check-database", *options),
            ],
            seconds=SECONDS,
        )
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["it was not looked at"])[-1]
        for prefix in ("Error: ", "order-service: DATABASE_URL: "):
            said = said.removeprefix(prefix)
        raise CommandError(f"{what}: {said}")
    say(f"{what}: {done.stdout.strip()}")
