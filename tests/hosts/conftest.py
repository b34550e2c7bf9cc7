"""Fresh hosts and the control node that deploys to them; a session shares the slow parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.control_fixtures import NewCheckout, NewControlNode
from tests.support.deployment import Deployment
from tests.support.remote_host import RemoteHost
from tests.support.stack import docker

# What a deploy needs of a registry; these hosts reach none.
BASE_IMAGES = ("mysql:9.7", "nginx:1.30", "python:3.13-slim-trixie")

NewHost = Callable[[], RemoteHost]


@pytest.fixture(scope="session")
def image_archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The base images in one file, as for a host without a registry."""
    path = tmp_path_factory.mktemp("images") / "base-images.tar"
    docker("save", "--output", str(path), *BASE_IMAGES)
    yield path
    path.unlink()


@pytest.fixture(scope="session")
def new_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewHost]:
    """Boots hosts that are removed when the session ends."""
    with ExitStack() as stack:

        def boot() -> RemoteHost:
            host = RemoteHost(tmp_path_factory.mktemp("host"))
            stack.callback(host.close)
            return host.boot()

        yield boot


@pytest.fixture(scope="session")
def deployment(
    new_host: NewHost,
    new_checkout: NewCheckout,
    new_control_node: NewControlNode,
    image_archive: Path,
) -> Deployment:
    """A bare host after its first deployment; what the tests do to it they undo, or go on from."""
    host, checkout = new_host(), new_checkout()
    node = new_control_node(checkout, host, image_archives=[str(image_archive)], bake_seconds=3)
    deployed = Deployment(host, checkout, node)
    deployed.deploy()
    return deployed
