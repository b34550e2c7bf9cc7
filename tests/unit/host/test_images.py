"""Images and folders of releases: what the ledger forgets goes, with all its names."""

from __future__ import annotations

from pathlib import Path

import pytest
from order_service.release import images

from tests.support.fake_docker import FakeDocker

REGISTRY = "registry.example.com/orders"


@pytest.fixture
def releases(root: Path, docker: FakeDocker) -> Path:
    """`kept` and `old` came from a registry; `same` is the image of `kept` by another name."""
    for release, image in (("kept", "sha256:1"), ("same", "sha256:1"), ("old", "sha256:2")):
        docker.images[f"order-service:{release}"] = image
        (root / "releases" / release).mkdir(parents=True)
    for release, image in (("kept", "sha256:1"), ("old", "sha256:2")):
        docker.images |= dict.fromkeys(
            [f"{REGISTRY}:{release}", f"{REGISTRY}@sha256:{release}"], image
        )
    return root / "releases"


def test_older_images_go_with_all_their_names_but_not_what_is_kept(
    releases: Path, docker: FakeDocker
) -> None:
    images.prune(["kept"])
    kept = {"order-service:kept", f"{REGISTRY}:kept", f"{REGISTRY}@sha256:kept"}
    assert set(docker.images) == kept
    assert [path.name for path in releases.iterdir()] == ["kept"]
    # Its own name last: by it the image is found again if it cannot be removed.
    assert [what for what in docker.did if what.startswith("remove")] == [
        f"remove the image {name}"
        for name in (f"{REGISTRY}:old", f"{REGISTRY}@sha256:old", "order-service:old",
                     "order-service:same")
    ]  # fmt: skip


@pytest.mark.usefixtures("releases")
def test_the_acme_clients_image_goes_with_its_release(docker: FakeDocker) -> None:
    for release in ("kept", "old", "same"):
        docker.images[f"order-service-acme:{release}"] = f"sha256:acme of {release}"
    images.prune(["kept"])
    left = {name for name in docker.images if name.startswith("order-service-acme")}
    assert left == {"order-service-acme:kept"}


@pytest.mark.usefixtures("releases")
def test_an_image_in_use_goes_the_next_time(docker: FakeDocker) -> None:
    in_use = "remove the image order-service:old"
    docker.failing[in_use] = "image is being used by a running container"
    images.prune(["kept"])
    assert "order-service:old" in docker.images
    docker.failing.clear()
    images.prune(["kept"])
    assert "order-service:old" not in docker.images


def test_the_image_of_a_release_is_found_by_its_name(docker: FakeDocker) -> None:
    docker.images["order-service:here"] = "sha256:1"
    assert images.find("here") == "sha256:1"
    assert images.find("gone") is None
