"""MySQL and nginx, the containers that outlive releases: `docker-compose.yml` with `base.yml`.

plan   say what a release would restart, and refuse it where nobody has allowed that, or where
       MySQL would not start with it
place  put the release's Compose files and MySQL's configuration in place
up     start what is not running, and restart what has changed
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from order_service.host import RELEASES, STACK, STATE, CommandError, run, say, try_run, write_text

SERVICES = ("mysql", "nginx")
FILES = (Path("docker-compose.yml"), Path("deploy/host/base.yml"))
FOLDERS = (Path("deploy/mysql"), Path("deploy/nginx"))
# nginx's own changes with the colour; the rollout does that.
OWN_CONFIGURATION = {"mysql": Path("deploy/mysql"), "nginx": None}
START_SECONDS = 400


def main() -> None:
    """Do one of the three; the last line begins with CHANGED or UNCHANGED."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["plan", "place", "up"])
    parser.add_argument("release")
    parser.add_argument("services", nargs="*", default=SERVICES)
    parser.add_argument("--allow-interruption", action="store_true")
    given = parser.parse_args()
    try:
        if given.action == "plan":
            plan(given.release, allowed=given.allow_interruption)
        elif given.action == "place":
            place(given.release)
        else:
            up(given.release, given.services)
    except CommandError as problem:
        sys.exit(f"FAILED: {problem}")


def compose(
    folder: Path, release: str, *arguments: str, mounted: Path = STACK, seconds: float = 120
) -> str:
    """Run `docker compose` on the base project, as the files below the folder define it.

    Args:
        folder: has the Compose files.
        release: whose image the one-shots have.
        arguments: of `docker compose`.
        mounted: the folder whose files the containers see.
        seconds: after which it is given up.
    """
    files = [part for file in FILES for part in ("-f", str(folder / file))]
    where = ["--project-directory", str(mounted), "--env-file", str(STACK / ".env")]
    return run(
        ["docker", "compose", "-p", "order-service", *where, *files, *arguments],
        seconds=seconds,
        env={"COMPOSE_FILE": "", "RELEASE": release},
    )


def plan(release: str, *, allowed: bool) -> None:
    """Say what would be restarted.

    Raises:
        CommandError: something that serves would be, and nobody has allowed that; or MySQL refuses
            the configuration that it would be started with.
    """
    restarts = [name for name in SERVICES if _differs(RELEASES / release, release, name)]
    if restarts and not allowed:
        raise CommandError(
            f"this release or its settings would restart {' and '.join(restarts)}: requests fail"
            " for some seconds. Run it again with -e allow_interruption=true when that may be."
        )
    if "mysql" in restarts:
        _try_mysql(release)
    say(f"would restart: {', '.join(restarts) or 'nothing'}")


def _try_mysql(release: str) -> None:
    """Have another server of the same image read the release's configuration, and nothing else.

    Without the image's entrypoint, which would prepare a data folder.
    """
    folder = RELEASES / release
    once = ("run", "--rm", "--no-deps", "-T", "--entrypoint", "mysqld", "mysql")
    try:
        compose(folder, release, *once, "--validate-config", mounted=folder, seconds=START_SECONDS)
    except CommandError as problem:
        raise CommandError(
            f"MySQL refuses this release's configuration, so it runs on with what it has: {problem}"
        ) from None


def place(release: str) -> None:
    """Put the files in place. nginx's configuration is the rollout's, once there is one."""
    changed = False
    for file in FILES:
        changed |= _copy(RELEASES / release / file, STACK / file)
    for folder in FOLDERS:
        if folder.name == "nginx" and (STACK / folder).exists():
            continue
        for source in sorted((RELEASES / release / folder).rglob("*")):
            if source.is_file():
                changed |= _copy(source, STACK / source.relative_to(RELEASES / release))
    say("CHANGED" if changed else "UNCHANGED")


def up(release: str, services: list[str]) -> None:
    """Start the services and wait until they are healthy."""
    changed = []
    for name in services:
        running = _container(name)
        if running is None or _differs(STACK, release, name):
            changed.append(name)
        arguments = ["up", "--detach", "--no-deps", "--wait"]
        if running and _configuration_changed(STACK, name):
            arguments.append("--force-recreate")
        compose(STACK, release, *arguments, name, seconds=START_SECONDS)
        _remember_configuration(name)
    say(f"CHANGED: started {', '.join(changed)}" if changed else "UNCHANGED")


def _differs(folder: Path, release: str, name: str) -> bool:
    """Return whether a container that runs is another one than the files and settings describe."""
    running = _container(name)
    if running is None:
        return False
    wanted = compose(folder, release, "config", "--hash", name).split()[-1]
    has: str = running["Config"]["Labels"]["com.docker.compose.config-hash"]
    return wanted != has or _configuration_changed(folder, name)


def _container(name: str) -> dict[str, Any] | None:
    found = try_run(["docker", "inspect", f"order-service-{name}-1"])
    if found.returncode != 0:
        return None
    described: list[dict[str, Any]] = json.loads(found.stdout)
    return described[0] if described[0]["State"]["Running"] else None


def _configuration_changed(folder: Path, name: str) -> bool:
    remembered = _memory(name)
    return remembered.exists() and remembered.read_text() != _configuration(folder, name)


def _remember_configuration(name: str) -> None:
    write_text(_memory(name), _configuration(STACK, name))


def _memory(name: str) -> Path:
    return STATE / f"{name}-configuration.sha256"


def _configuration(folder: Path, name: str) -> str:
    """Return a digest of the files that the service reads at its start only."""
    own = OWN_CONFIGURATION[name]
    digest = hashlib.sha256()
    for path in sorted((folder / own).rglob("*")) if own else ():
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _copy(source: Path, target: Path) -> bool:
    if target.exists() and target.read_bytes() == source.read_bytes():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)
    return True
