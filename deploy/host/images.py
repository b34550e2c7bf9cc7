"""The releases' images and folders on this host."""

from __future__ import annotations

import shutil

from host import RELEASES, run, try_run

REPOSITORY = "order-service"


def find(release: str) -> str | None:
    """Return the id of the release's image, or None."""
    found = try_run(
        ["docker", "image", "inspect", "--format", "{{.Id}}", f"{REPOSITORY}:{release}"]
    )
    return found.stdout.strip() if found.returncode == 0 else None


def prune(kept: list[str]) -> None:
    """Remove the images and folders of all other releases."""
    listed = run(["docker", "image", "ls", "--format", "{{.Tag}}", REPOSITORY]).split()
    for release in set(listed) - set(kept):
        # An image in use stays, until the next time.
        try_run(["docker", "image", "rm", f"{REPOSITORY}:{release}"])
    for folder in RELEASES.iterdir():
        if folder.is_dir() and folder.name not in kept:
            shutil.rmtree(folder)
