"""Images on this host: the releases', with their folders, and those that others made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable

from order_service.host import RELEASES, CommandError, run, try_run

REPOSITORY = "order-service"
# The client of ACME authorities, where there is one.
ACME = f"{REPOSITORY}-acme"
PULL_SECONDS = 900


def find(release: str) -> str | None:
    """Return the id of the release's image, or None."""
    return identify(f"{REPOSITORY}:{release}")


def identify(name: str) -> str | None:
    """Return the id of the image that has the name here, or None."""
    found = try_run(["docker", "image", "inspect", "--format", "{{.Id}}", name])
    return found.stdout.strip() if found.returncode == 0 else None


def pull(name: str) -> None:
    """Pull an image.

    Raises:
        CommandError: it cannot be had.
    """
    try:
        run(["docker", "pull", "--quiet", name], seconds=PULL_SECONDS)
    except CommandError as problem:
        raise CommandError(f"the image {name} is not on this host: {problem}") from None


def remove(name: str) -> None:
    """Remove an image; one in use stays, until the next time."""
    try_run(["docker", "image", "rm", name])


def prune(kept: list[str]) -> None:
    """Remove the images and folders of all other releases."""
    for repository in (REPOSITORY, ACME):
        listed = run(["docker", "image", "ls", "--format", "{{.Tag}}", repository]).split()
        used = {identify(f"{repository}:{release}") for release in kept}
        for release in sorted(set(listed) - set(kept)):
            for name in _names(f"{repository}:{release}", used):
                remove(name)
    for folder in RELEASES.iterdir():
        if folder.is_dir() and folder.name not in kept:
            shutil.rmtree(folder)


def _names(tag: str, used: Iterable[str | None]) -> list[str]:
    """Return all names of an image; only the tag, where a release that is kept has the same image.

    While one is left, so are the layers: a pulled image has its registry's as well. The tag comes
    last: it cannot be removed while a container uses the image, and the next time is found by it.
    """
    found = try_run(["docker", "image", "inspect", tag])
    if found.returncode != 0:
        return []
    image = json.loads(found.stdout)[0]
    if image["Id"] in used:
        return [tag]
    others = {*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())} - {tag}
    return [*sorted(others), tag]
