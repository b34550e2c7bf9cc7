"""Whether containers that run are those that the files and the settings describe.

Compose's own hash of a service is another one with another version of Compose. So what containers
were started with is kept, and one and the same Compose renders that and what is wanted now.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

from order_service.host import STATE, CommandError
from order_service.release import images
from order_service.release.project import Project

STARTED = STATE / "started"
# By service.
Labels = dict[str, dict[str, str]]
# Of a container, among its labels: when it was made.
CREATED = "created"
# Beside what is kept: when the container was made that is replaced.
_REPLACED = "replaced"
_HASH, _IMAGE = "com.docker.compose.config-hash", "com.docker.compose.image"


@dataclass(frozen=True)
class Change:
    """What a container that runs has otherwise than what is described."""

    settings: bool
    configuration: bool
    # The name of what it would have in place of its image, brought by a release or by a pull.
    image: str

    def __bool__(self) -> bool:
        """Return whether there is anything."""
        return self.settings or self.configuration or bool(self.image)


def remember(name: str, project: Project, replaced: str = "") -> None:
    """Keep what the containers of that name are started with.

    Args:
        name: of the containers.
        project: what they are started with.
        replaced: when the container was made that is replaced next; where that does not happen,
            it is still known as one that was started otherwise.
    """
    folder = STARTED / name
    new = folder.with_name(f".{name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for file in (*project.files, project.settings):
        shutil.copy(file, new)
    if project.configuration:
        shutil.copytree(project.configuration, new / project.configuration.name)
    (new / _REPLACED).write_text(replaced)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def take_over(name: str, placed: Project, labels: Labels) -> None:
    """Have containers remembered that were started by a release which kept nothing.

    Args:
        name: of the containers.
        placed: what they were started with, if Compose's hashes are still the same.
        labels: of the containers, by service.
    """
    if not _remembers(name) and labels and not _hashed_otherwise(placed, labels):
        remember(name, placed)


def find(name: str, wanted: Project, labels: Labels) -> dict[str, Change]:
    """Return what differs, by service.

    Args:
        name: by which it is remembered what the containers were started with.
        wanted: what they ought to be.
        labels: of the containers, by service.
    """
    described = wanted.services()
    former = wanted.copied(STARTED / name)
    known = _remembers(name)
    if not known:
        others = _hashed_otherwise(wanted, labels)
    elif former.has(wanted):
        others = []
    else:
        had = _still_understood(former)
        others = [one for one in labels if _but_image(had, one) != _but_image(described, one)]
    kept = [one for one, label in labels.items() if _was_to_be_replaced(name, label)]
    others += kept
    configuration = bool(kept) or (known and former.configured() != wanted.configured())
    changes = {
        service: Change(
            settings=service in others,
            # Where nothing is known, it may be another one.
            configuration=configuration or (service in others and not known),
            image=_other_image(described.get(service, {}).get("image", ""), label),
        )
        for service, label in labels.items()
    }
    return {service: change for service, change in changes.items() if change}


def _remembers(name: str) -> bool:
    return (STARTED / name).is_dir()


def _was_to_be_replaced(name: str, label: dict[str, str]) -> bool:
    """Return whether a start was cut off, or refused, before there was a new container."""
    file = STARTED / name / _REPLACED
    return file.exists() and file.read_text() == label.get(CREATED)


def _still_understood(former: Project) -> dict[str, Any]:
    """A newer Compose may refuse older files; then nothing is as it was."""
    try:
        return former.services()
    except CommandError:
        return {}


def _hashed_otherwise(project: Project, labels: Labels) -> list[str]:
    lines = project.compose("config", "--hash", "*").splitlines()
    hashes = dict(line.split() for line in lines)
    return [service for service in labels if labels[service][_HASH] != hashes.get(service)]


def _other_image(name: str, label: dict[str, str]) -> str:
    return name if images.identify(name) != label[_IMAGE] else ""


def _but_image(services: dict[str, Any], name: str) -> dict[str, Any]:
    """An image is known by its id, whatever it is called."""
    return {key: value for key, value in services.get(name, {}).items() if key != "image"}
