"""Images are pinned to what a registry has for their tags, and raised when it has something new."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.checkout import Checkout
from tests.support.docker import docker
from tests.support.polling import wait_until
from tests.support.registry import IMAGE, PORT

pytestmark = pytest.mark.engine
COMPOSE = "docker-compose.yml"
Push = Callable[[str], str]


def answers(address: str) -> bool:
    """Return whether a registry is there."""
    try:
        with urllib.request.urlopen(f"http://{address}/v2/", timeout=2):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """A registry of Docker's on loopback, by its address."""
    name = f"orders-registry-{secrets.token_hex(4)}"
    docker("run", "--detach", f"--name={name}", f"--publish=127.0.0.1::{PORT}", IMAGE)
    try:
        address = docker("port", name, str(PORT))
        wait_until(lambda: answers(address), 20, "the registry")
        yield address
    finally:
        docker("rm", "--force", "--volumes", name)


@pytest.fixture
def push(registry: str) -> Iterator[Push]:
    """Pushes another version of an image under the same tag; returns its digest."""
    tag = f"{registry}/shop/nginx:1.30"

    def pushed(version: str) -> str:
        text = f"FROM scratch\nLABEL version={version}\n"
        subprocess.run(
            ["docker", "build", "--quiet", "--tag", tag, "-"],
            check=True, input=text, text=True, timeout=60, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        said = docker("push", tag)
        found = re.search(r"digest: (sha256:[0-9a-f]{64})", said)
        assert found, said
        return found[1]

    yield pushed
    # By their ids: a push gives an image a second name.
    ids = docker("image", "ls", "--quiet", "--no-trunc", tag.partition(":1.30")[0]).split()
    docker("image", "rm", "--force", *set(ids))


@pytest.fixture
def checkout(tmp_path: Path, registry: str) -> Checkout:
    """A checkout whose nginx comes from the registry."""
    made = Checkout(tmp_path / "checkout")
    made.replace(COMPOSE, "&nginx nginx:1.30\n", f"&nginx {registry}/shop/nginx:1.30\n")
    made.commit("Our own registry")
    return made


def update(checkout: Checkout, *names: str) -> subprocess.CompletedProcess[str]:
    """Run `make update-images`, whatever comes of it."""
    given = ("update-images", f"PYTHON={sys.executable}", f"ARGS={' '.join(names)}")
    return subprocess.run(
        ["make", "--silent", *given],
        capture_output=True, check=False, cwd=checkout.folder, text=True, timeout=120,
    )  # fmt: skip


def nginx(checkout: Checkout) -> str:
    """Return what the file of the last commit names as nginx's image."""
    text = checkout.git("show", f"HEAD:{COMPOSE}")
    found = re.search(r"&nginx (\S+)", text)
    assert found, text
    return found[1]


def test_each_version_of_a_tag_becomes_a_commit(
    checkout: Checkout, registry: str, push: Push
) -> None:
    digests = []
    for version in ("1", "2"):
        digests.append(push(version))
        before = checkout.head
        done = update(checkout, "nginx")
        assert done.returncode == 0, done.stderr
        assert nginx(checkout) == f"{registry}/shop/nginx:1.30@{digests[-1]}"
        assert digests[-1] in done.stdout
        # It is a release: a commit of its own, and nothing that differs from it.
        assert checkout.git("rev-parse", "HEAD^") == before
        assert checkout.git("status", "--porcelain") == ""
        assert checkout.git("diff", "--name-only", "HEAD^") == COMPOSE
    assert digests[0] != digests[1]
    before = checkout.head
    assert "are those that the registries have" in update(checkout, "nginx").stdout
    assert checkout.head == before


def test_what_cannot_be_asked_changes_nothing(checkout: Checkout, registry: str) -> None:
    before = checkout.head
    checkout.replace(COMPOSE, f"{registry}/shop/nginx:1.30", f"{registry}/shop/nginx:none")
    assert "not committed" in update(checkout, "nginx").stderr
    checkout.commit("A tag that nobody has")
    before = checkout.head
    done = update(checkout, "nginx")
    assert done.returncode != 0
    assert "nginx:none" in done.stderr
    assert "Traceback" not in done.stderr
    assert checkout.head == before
    assert checkout.git("status", "--porcelain") == ""
    assert "docker-compose.yml has python, mysql, nginx" in update(checkout, "no-such").stderr
