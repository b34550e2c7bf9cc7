"""Before MySQL is started with another image or configuration: what could not be undone.

A newer MySQL rewrites its data dictionary at its start, and no older one reads that. So the way
back is a backup, which has been restored once before anything changes.
"""

from __future__ import annotations

import re

from order_service.backup import backup
from order_service.backup.settings import BackupError, load
from order_service.host import CommandError, private_files, run, say
from order_service.release.changes import Change
from order_service.restore import restore

KIND = "before-upgrade"


def check(container: str, change: Change) -> None:
    """Refuse an older MySQL than the one that runs.

    Raises:
        CommandError: it is older.
    """
    if not change.image:
        return
    image = run(["docker", "inspect", "--format", "{{.Image}}", container]).strip()
    has, wanted = version(image), version(change.image)
    if wanted < has:
        raise CommandError(
            f"{change.image} is MySQL {_text(wanted)}, and MySQL {_text(has)} has written the data,"
            " which no older one reads. Name that version or a newer one in docker-compose.yml."
        )


def prepare(change: Change) -> None:
    """Make a backup and restore it on trial, where the change may need it as its way back.

    Raises:
        CommandError: there is no such backup.
    """
    if not (change.image or change.configuration):
        return
    say("backing up before MySQL is changed")
    try:
        with private_files():
            settings = load()
            backup.full(settings, KIND)
            restore.prove(settings)
    except (BackupError, CommandError, OSError) as problem:
        raise CommandError(
            f"MySQL is left as it is, since there is no backup to go back to: {problem}. Where it"
            " cannot run any more: sudo docker stop order-service-mysql-1, and deploy again"
        ) from None


def version(image: str) -> tuple[int, ...]:
    """Return the version of the MySQL in an image of this host.

    Raises:
        CommandError: it has none.
    """
    once = ("docker", "run", "--rm", "--network=none", "--entrypoint=mysqld")
    text = run([*once, image, "--version"])
    found = re.search(r"Ver (\d+)\.(\d+)\.(\d+)", text)
    if not found:
        raise CommandError(f"{image}: mysqld --version says {text.strip()!r}, and no version")
    return tuple(int(part) for part in found.groups())


def _text(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
