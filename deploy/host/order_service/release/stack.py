"""MySQL and nginx, the containers that outlive releases: `docker-compose.yml` with `base.yml`.

A host has those that it is there for.

plan   say what a release would restart, and refuse it where nobody has allowed that, or where
       MySQL would not start with it
place  put the release's Compose files and MySQL's configuration in place, after a backup where
       MySQL's data may become such as the former MySQL cannot read
up     start what is not running, and restart what has changed
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from order_service.containers import wait_until_healthy
from order_service.database import bring as database
from order_service.dotenv import DATABASE, WEB, has_part
from order_service.host import RELEASES, STACK, CommandError, copy_file, run, say, try_run
from order_service.release import changes, images, ledger, maintenance, mysql_upgrade, network
from order_service.release.changes import Change
from order_service.release.project import Project, base, base_files

_PARTS = {"mysql": DATABASE, "nginx": WEB}
FOLDERS = (Path("deploy/mysql"), Path("deploy/nginx"))
# What is read at the start only. nginx's own changes with the colour; the rollout does that.
CONFIGURATION = {"mysql": Path("deploy/mysql")}
START_SECONDS = 400
# Why clients are turned away meanwhile.
RESTART = "a restart of MySQL or nginx"


def services() -> list[str]:
    """Return those that this host is there for."""
    return [name for name, part in _PARTS.items() if has_part(part)]


def plan(release: str, *, allowed: bool, dry_run: bool = False) -> None:
    """Say what would be restarted; pull the images that are missing, unless it is a dry run.

    Raises:
        CommandError: something that serves would be, and nobody has allowed that; or MySQL cannot
            run on its data with what the release has; or an image cannot be pulled.
    """
    own = services()
    for name in own:
        _take_over(name, release)
    described = base(RELEASES / release, release).services()
    missing = [image for name in own if not images.identify(image := described[name]["image"])]
    if missing and dry_run:
        say(f"would pull {', '.join(missing)}, and restart what runs from another image")
        return
    for image in missing:
        images.pull(image)
    found = {name: change for name in own if (change := _change(RELEASES / release, release, name))}
    if change := found.get("mysql"):
        mysql_upgrade.check(_name("mysql"), change)
    if found and not allowed:
        named = (f"{name} (another image)" if found[name].image else name for name in found)
        raise CommandError(
            f"this release or its settings would restart {' and '.join(named)}: requests fail"
            " for some seconds. Run it again with -e allow_interruption=true when that may be."
        )
    if "mysql" in found:
        _try_mysql(release)
    say(f"would restart: {', '.join(found) or 'nothing'}")


def _try_mysql(release: str) -> None:
    """Have another server of the same image read the release's configuration, and nothing else.

    Without the image's entrypoint, which would prepare a data folder.
    """
    folder = RELEASES / release
    once = ("run", "--rm", "--no-deps", "-T", "--entrypoint", "mysqld", "mysql")
    try:
        base(folder, release, mounted=folder).compose(
            *once, "--validate-config", seconds=START_SECONDS
        )
    except CommandError as problem:
        raise CommandError(
            f"MySQL refuses this release's configuration, so it runs on with what it has: {problem}"
        ) from None


def place(release: str) -> bool:
    """Put the files in place; return whether they were not.

    nginx's configuration is the rollout's, once a release has served.

    Raises:
        CommandError: there is no backup of what could not be undone; nothing is put in place.
    """
    if has_part(DATABASE) and (change := _change(RELEASES / release, release, "mysql")):
        mysql_upgrade.prepare(change)
    # Before any container is run: Compose 2.26 wants it for those, too, that are not in it.
    network.make()
    changed = False
    for file in base_files(RELEASES / release):
        changed |= copy_file(RELEASES / release / file, STACK / file)
    for folder in FOLDERS:
        if folder.name == "nginx" and ledger.read()["active"]:
            continue
        for source in sorted((RELEASES / release / folder).rglob("*")):
            if source.is_file():
                changed |= copy_file(source, STACK / source.relative_to(RELEASES / release))
    return changed


def up(release: str) -> list[str]:
    """Start the services and wait until they are healthy; return which were started.

    Where one that runs is restarted, clients are told to come again meanwhile.
    """
    found = {name: _change(STACK, release, name) for name in services()}
    if any(found.values()) or maintenance.is_on(RESTART):
        with maintenance.closed(RESTART):
            return _up(release, found)
    return _up(release, found)


def end_former_part() -> set[str]:
    """End nginx where this host is not there for clients any more; return what was ended.

    MySQL stays, whatever the host is there for: only the operator knows where its data is.
    """
    if has_part(WEB) or not _container("nginx"):
        return set()
    run(["docker", "rm", "--force", _name("nginx")])
    return {"nginx"}


def _up(release: str, found: dict[str, Change | None]) -> list[str]:
    started = []
    for name, change in found.items():
        former = _container(name)
        described = _described(STACK, release, name)
        if change or not former:
            # Before: one that does not get healthy has to differ from what is set back.
            changes.remember(name, described, replaced=former["Created"] if former else "")
            if name == "mysql":
                database.hand_over()
            # Whether it is another one has been said here: Compose's versions differ about it.
            base(STACK, release).compose(
                *("up", "--detach", "--no-deps", "--wait", "--force-recreate", name),
                seconds=START_SECONDS,
            )
            started.append(name)
            if former and change and change.image:
                images.remove(former["Image"])
        else:
            _wait_until_healthy(name)
            changes.remember(name, described)
    return started


def _wait_until_healthy(name: str) -> None:
    for container, state in wait_until_healthy([_name(name)], START_SECONDS).items():
        raise CommandError(f"{name} is {state}; see: sudo docker logs {container}")


def _change(folder: Path, release: str, name: str) -> Change | None:
    """Return what a container that runs has otherwise than the files and settings describe."""
    if running := _container(name):
        labels = {name: running["Config"]["Labels"] | {changes.CREATED: running["Created"]}}
        return changes.find(name, _described(folder, release, name), labels).get(name)
    return None


def _take_over(name: str, release: str) -> None:
    """Know what a former release has started, before its files are replaced."""
    if running := _container(name):
        labels = {name: running["Config"]["Labels"]}
        changes.take_over(name, _described(STACK, release, name), labels)


def _described(folder: Path, release: str, name: str) -> Project:
    """Return the base project, and to it what that service reads at its start."""
    own = CONFIGURATION.get(name)
    return replace(base(folder, release), configuration=own and folder / own)


def _container(name: str) -> dict[str, Any] | None:
    found = try_run(["docker", "inspect", _name(name)])
    if found.returncode != 0:
        return None
    described: list[dict[str, Any]] = json.loads(found.stdout)
    return described[0] if described[0]["State"]["Running"] else None


def _name(service: str) -> str:
    return f"order-service-{service}-1"
