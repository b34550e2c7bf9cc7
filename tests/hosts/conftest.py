"""Fresh hosts and the control node that deploys to them; a session shares the slow parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.control_fixtures import NewCheckout, NewControlNode
from tests.support.deployment import Deployment
from tests.support.registry import Registry
from tests.support.remote_host import RemoteHost

# For how long a switch is watched, and how long an order may take: long enough to be cut off.
SETTINGS = {"bake_seconds": 3, "simulate_max_milliseconds": 1000, "backup_destination": "none",
            "backup_public_key": "none"}  # fmt: skip

NewHost = Callable[..., RemoteHost]


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """Where the hosts pull the base images from, in place of the internet's."""
    with Registry() as started:
        yield started


@contextmanager
def booting(folders: pytest.TempPathFactory) -> Iterator[NewHost]:
    """Give what boots hosts: `boot(**names)` knows these names. They are removed at the end."""
    with ExitStack() as stack:

        def boot(**names: str) -> RemoteHost:
            host = RemoteHost(folders.mktemp("host"), **names)
            stack.callback(host.close)
            return host.boot()

        yield boot


@pytest.fixture(scope="module")
def new_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewHost]:
    """Boots hosts that are removed after the module's tests: a machine holds some twenty."""
    with booting(tmp_path_factory) as boot:
        yield boot


def mirrored(boot: NewHost, registry: Registry) -> NewHost:
    """Return what boots hosts that trust the registry, and can pull from it."""

    def boot_mirrored(**names: str) -> RemoteHost:
        host = boot(**{registry.name: registry.address}, **names)
        registry.trusted_by(host)
        return host

    return boot_mirrored


@pytest.fixture(scope="module")
def new_mirrored_host(new_host: NewHost, registry: Registry) -> NewHost:
    """Boots hosts like `new_host` that can pull from the registry."""
    return mirrored(new_host, registry)


@pytest.fixture(scope="session")
def deployment(
    tmp_path_factory: pytest.TempPathFactory,
    new_checkout: NewCheckout,
    new_control_node: NewControlNode,
    registry: Registry,
) -> Iterator[Deployment]:
    """A bare host after its first deployment; what the tests do to it they undo, or go on from."""
    with booting(tmp_path_factory) as boot:
        host, checkout = mirrored(boot, registry)(), new_checkout()
        mirrors = {"docker_registry_mirrors": [registry.url]}
        node = new_control_node(checkout, host, **SETTINGS, **mirrors)
        deployed = Deployment(host, checkout, node)
        deployed.deploy()
        yield deployed


@pytest.fixture(scope="module")
def new_deployment(
    new_mirrored_host: NewHost,
    new_checkout: NewCheckout,
    new_control_node: NewControlNode,
    registry: Registry,
) -> Callable[[], Deployment]:
    """Boots a host that is alone, with a checkout and a control node, and deploys nothing yet."""

    def make() -> Deployment:
        host, checkout = new_mirrored_host(), new_checkout()
        mirrors = {"docker_registry_mirrors": [registry.url]}
        return Deployment(host, checkout, new_control_node(checkout, host, **SETTINGS, **mirrors))

    return make


@pytest.fixture
def broken(deployment: Deployment) -> Iterator[Deployment]:
    """A deployment to break, and the checkout as it was afterwards."""
    good = deployment.checkout.head
    yield deployment
    deployment.checkout.reset(good)
